"""OpenVINO on the CPU: the shipped ONNX in the precision and with the threads that are fastest here and correct."""

import logging
import time
from functools import cache
from pathlib import Path
from statistics import mode
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from engines import parity
from engines.base import Engine, EngineInfo, EngineOutput, require_images
from engines.errors import FAULTS, EngineError, WeightsError, faults_of, one_line
from engines.weights import read_golden, read_onnx
from rcdnet.golden import Golden

CAPABILITIES = {"FP16": "f16", "BF16": "bf16", "FP32": "f32"}
"""Name of a processor's capability -> precision to ask for, from the fastest to the most exact."""

TIMED_CALLS = 8
"""Calls that are timed for each precision and number of threads. The shortest of so few is enough to rank them, and
they take a twentieth of a second."""

BATCH = 8
"""Pictures that are computed side by side in replay: enough that the last of them leave no core idle for long."""

WORTH_IT = 0.95
"""Fewer threads are taken only if they save a twentieth: less is noise."""

log = logging.getLogger(__name__)


def fastest(weights: Path) -> "OpenvinoCpu":
    """The fastest of the precisions that this processor computes, with as few threads as are as fast.

    The first picture waits for the measurements: half a second, or nothing where there is no choice. A precision that
    fails, or differs from the golden set, is logged and left out. The last, f32, is not verified here: the caller does
    that with whatever is returned. Raises as OpenvinoCpu does.
    """
    golden = read_golden(weights)
    engines = _correct_engines(weights, golden)
    if len(engines) == 1 and not fewer_threads(engines[0].threads):
        return engines[0]
    times_s = [engine.least_s(golden) for engine in engines]
    best_s = min(times_s)
    best = engines.pop(times_s.index(best_s))
    for engine in engines:
        engine.close()
    for threads in fewer_threads(best.threads):
        other = OpenvinoCpu(weights, best.info.precision, threads)
        other_s = other.least_s(golden)
        if other_s < WORTH_IT * best_s:
            best, best_s, other = other, other_s, best
        other.close()
    return best


def _correct_engines(weights: Path, golden: Golden) -> "list[OpenvinoCpu]":
    """One for each precision that holds, and for f32."""
    engines: list[OpenvinoCpu] = []
    for precision in _native_precisions():
        try:
            engine = OpenvinoCpu(weights, precision)
            if precision == "f32" or (report := parity.measure(engine, golden)).holds:
                engines.append(engine)
                continue
            why = str(report)
        except (EngineError, *FAULTS) as error:
            if precision == "f32" or isinstance(error, WeightsError):
                raise
            why = one_line(error)
        log.info("openvino_cpu in %s is not used: %s", precision, why)
    return engines


def fewer_threads(most: int) -> list[int]:
    """Numbers of threads worth trying: a half and a quarter of ``most``. Not 1: a trial delays the first picture by
    half a second, and one thread is faster only if another program has taken the second core.
    """
    return sorted({most // 4, most // 2} - {0, 1})


@cache
def core() -> ov.Core:
    """OpenVINO's Core: one for the process, and never freed. A Core sets a signal stack for the thread that makes it,
    and frees it on the thread that drops the Core. With two Cores, or one dropped by another thread, a freed stack
    stays set, and the next Ctrl-C is a segmentation fault.
    """
    return ov.Core()


def _native_precisions() -> list[str]:
    """The precisions that this processor computes by itself, the fastest first."""
    found = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for capability, precision in CAPABILITIES.items() if capability in found]


class OpenvinoCpu(Engine):
    """``precision`` is "f16", "bf16" or "f32"; what is really computed is read back into ``info``. ``threads`` are for
    one picture; 0 leaves the number to OpenVINO, and ``self.threads`` says what it was.

    One picture is computed by all threads together. Several are computed side by side, with few threads each: no thread
    waits for another, so all cores are busy. The first such call compiles the network once more.

    Raises WeightsError for a missing or altered file, EngineError if OpenVINO cannot compile it.
    """

    def __init__(self, weights: Path, precision: str, threads: int = 0) -> None:
        data, spec = read_onnx(weights)
        self.spec = spec
        self._asked = {"INFERENCE_PRECISION_HINT": precision}
        of_one = {"INFERENCE_NUM_THREADS": str(threads)} if threads else {}
        with faults_of("OpenVINO cannot read the network"):
            self._network = core().read_model(data)
            self._network.reshape({0: [1, spec.height_px, spec.width_px]})  # a tenth faster than a free batch
        compiled = self._compile(PERFORMANCE_HINT="LATENCY", **of_one)
        self._request: Any = compiled.create_infer_request()
        self._side_by_side: list[Any] = []
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.info = EngineInfo(
            name="openvino_cpu",
            precision=_convolution_precision(compiled),
            device=str(core().get_property("CPU", "FULL_DEVICE_NAME")).strip(),
            built_for=f"OpenVINO {ov.__version__.split('-')[0]}",
            weights_sha256=spec.weights_sha256,
            batch=BATCH,
        )

    def least_s(self, golden: Golden) -> float:
        """The shortest time of one call among TIMED_CALLS, after one to warm up."""
        times = []
        for _ in range(TIMED_CALLS + 1):
            start = time.perf_counter()
            self.run(golden.images[:1])
            times.append(time.perf_counter() - start)
        return min(times[1:])

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        if self._request is None:
            raise EngineError("openvino_cpu is closed")
        outputs: list[EngineOutput] = []
        with faults_of("OpenVINO failed on a picture"):
            if len(images) == 1:  # on this thread: a twenty-fifth faster than waking another
                self._request.infer({0: images}, share_outputs=True)
                return _output(self._request)
            requests = self._requests_side_by_side()
            for start in range(0, len(images), len(requests)):
                busy = list(zip(requests, images[start : start + len(requests)], strict=False))
                for request, image in busy:
                    request.start_async({0: image[None]})
                for request, _ in busy:
                    request.wait()
                outputs += [_output(request) for request, _ in busy]
        return EngineOutput.joined(outputs)

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._request = None
        self._side_by_side = []

    def _requests_side_by_side(self) -> list[Any]:
        if not self._side_by_side:
            compiled = self._compile(PERFORMANCE_HINT="THROUGHPUT", PERFORMANCE_HINT_NUM_REQUESTS=str(BATCH))
            self._side_by_side = [compiled.create_infer_request() for _ in range(BATCH)]
        return self._side_by_side

    def _compile(self, **hints: str) -> Any:
        with faults_of("OpenVINO cannot compile the network"):
            return core().compile_model(self._network, "CPU", self._asked | hints)


def _output(request: Any) -> EngineOutput:
    """A copy of what was computed last."""
    return EngineOutput(request.get_tensor("logits").data.copy(), request.get_tensor("class_maps").data.copy())


def _convolution_precision(compiled: Any) -> str:
    """What most convolutions of the compiled network run in, as its execution graph says."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [told["runtimePrecision"].astype(str) for told in facts if told["layerType"].astype(str) == "Convolution"]
    return str(mode(kinds))
