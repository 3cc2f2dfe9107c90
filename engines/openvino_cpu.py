"""OpenVINO on the CPU: the shipped ONNX, BF16 where the processor computes it and the golden set allows it."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from engines.base import Closing, EngineInfo, EngineOutput, require_images
from engines.errors import EngineError, WeightsError
from rcdnet import onnx_file
from rcdnet.spec import ModelSpec


class OpenvinoCpu(Closing):
    """``precision`` is "bf16" or "f32"; what the compiled network really computes in is read back into ``info``.

    Raises WeightsError for a missing or altered file, EngineError if OpenVINO cannot compile it.
    """

    def __init__(self, weights: Path, precision: str) -> None:
        try:
            data, spec = onnx_file.read(weights / "rcdnet.onnx")
        except onnx_file.OnnxFileError as error:
            raise WeightsError(str(error)) from error
        self.spec: ModelSpec = spec
        core = ov.Core()
        try:
            network = core.read_model(data)
            network.reshape({0: [1, spec.height_px, spec.width_px]})  # a fixed batch is a tenth faster than a free one
            compiled = core.compile_model(
                network,
                "CPU",
                {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision},
            )
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile {weights / 'rcdnet.onnx'}: {error}") from error
        self._request: Any = compiled.create_infer_request()
        self.info = EngineInfo(
            name="openvino_cpu",
            precision=_convolution_precision(compiled),
            device=str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip(),
            built_for=f"OpenVINO {ov.__version__.split('-')[0]}",
            weights_sha256=spec.weights_sha256,
        )

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        outputs = [self._run_one(image) for image in images]
        return EngineOutput(np.concatenate([z for z, _ in outputs]), np.concatenate([maps for _, maps in outputs]))

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._request = None

    def _run_one(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._request is None:
            raise EngineError("openvino_cpu is closed")
        try:
            outputs = self._request.infer({0: image[None]})
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a picture: {error}") from error
        return outputs["logits"], outputs["class_maps"]  # copies: only share_outputs would hand out its buffers


def _convolution_precision(compiled: Any) -> str:
    """What most convolutions of the compiled network run in, as its execution graph says."""
    counts: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ops():
        facts = {key: node.get_rt_info()[key].astype(str) for key in ("layerType", "runtimePrecision")}
        if facts["layerType"] == "Convolution":
            counts[facts["runtimePrecision"]] = counts.get(facts["runtimePrecision"], 0) + 1
    return max(counts, key=lambda precision: counts[precision])
