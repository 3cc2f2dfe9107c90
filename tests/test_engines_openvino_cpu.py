import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import openvino_cpu
from engines.base import EngineOutput
from engines.catalog import open_engine
from engines.errors import EngineError
from engines.openvino_cpu import OpenvinoCpu, fastest
from engines.parity import ParityReport
from rcdnet.golden import Golden, pictures
from tests.programs import python


def test_a_precision_is_taken_because_it_holds_and_is_faster(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With made-up times: every precision that this processor computes holds, and bf16 or f16 is faster."""
    monkeypatch.setattr(openvino_cpu.parity, "measure", lambda *_: ParityReport(1, 0.0, 0, 1.0))
    monkeypatch.setattr(OpenvinoCpu, "least_s", lambda self, _: 1.0 if self.info.precision == "f32" else 0.5)
    with fastest(untrained) as engine:
        assert engine.info.precision == openvino_cpu._native_precisions()[0]


def test_a_precision_that_does_not_hold_is_not_used_and_its_numbers_are_told(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino_cpu, "_native_precisions", lambda: ["bf16", "f32"])
    monkeypatch.setattr(openvino_cpu.parity, "measure", lambda *_: ParityReport(1, 0.086, 0, 1.0))
    with caplog.at_level("INFO"), fastest(untrained) as engine:
        assert engine.info.precision == "f32"
    assert "is not used: largest difference of a probability 0.08600" in caplog.text


def test_a_precision_that_cannot_be_compiled_is_not_used(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiled = OpenvinoCpu._compile

    def refusing(self: OpenvinoCpu, **hints: str) -> object:
        if self._asked["INFERENCE_PRECISION_HINT"] == "bf16":
            raise EngineError("OpenVINO cannot compile the network: no kernel")
        return compiled(self, **hints)

    monkeypatch.setattr(openvino_cpu, "_native_precisions", lambda: ["bf16", "f32"])
    monkeypatch.setattr(OpenvinoCpu, "_compile", refusing)
    with caplog.at_level("INFO"), fastest(untrained) as engine:
        assert engine.info.precision == "f32"
    assert "in bf16 is not used: OpenVINO cannot compile the network: no kernel" in caplog.text


def test_fewer_threads_are_taken_only_where_they_are_faster(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_cpu, "_native_precisions", lambda: ["f32"])
    monkeypatch.setattr(openvino_cpu, "fewer_threads", lambda most: [1])
    monkeypatch.setattr(OpenvinoCpu, "least_s", lambda self, _: float(self.threads))
    with fastest(untrained) as engine:
        assert engine.threads == 1
    monkeypatch.setattr(OpenvinoCpu, "least_s", lambda self, _: 1.0)
    with fastest(untrained) as engine, OpenvinoCpu(untrained, "f32") as left_alone:
        assert engine.threads == left_alone.threads


def test_where_there_is_no_choice_the_golden_set_is_all_that_is_computed(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed, run = [], OpenvinoCpu.run

    def counted(self: OpenvinoCpu, images: NDArray[np.uint8]) -> EngineOutput:
        computed.append(len(images))
        return run(self, images)

    monkeypatch.setattr(openvino_cpu, "_native_precisions", lambda: ["f32"])
    monkeypatch.setattr(openvino_cpu, "fewer_threads", lambda most: [])
    monkeypatch.setattr(OpenvinoCpu, "run", counted)
    with open_engine("openvino_cpu", untrained) as engine:
        assert engine.info.parity is not None
        assert sum(computed) == engine.info.parity.pictures


@pytest.mark.parametrize(("most", "tried"), [(1, []), (2, []), (4, [2]), (8, [2, 4]), (96, [24, 48])])
def test_a_half_and_a_quarter_of_the_threads_are_tried(most: int, tried: list[int]) -> None:
    assert openvino_cpu.fewer_threads(most) == tried


@pytest.mark.parametrize("count", [2, openvino_cpu.BATCH, openvino_cpu.BATCH + 3])
def test_pictures_side_by_side_are_computed_as_if_alone(untrained: Path, count: int) -> None:
    with OpenvinoCpu(untrained, "f32") as engine:
        images = pictures(engine.spec, count)
        together = engine.run(images)
        alone = [engine.run(image[None]) for image in images]
        again = engine.run(images)
    np.testing.assert_allclose(together.logits, np.concatenate([one.logits for one in alone]), atol=1e-5)
    np.testing.assert_allclose(together.class_maps, np.concatenate([one.class_maps for one in alone]), atol=1e-4)
    np.testing.assert_array_equal(together.logits, again.logits)


def test_a_call_is_timed(untrained: Path) -> None:
    with OpenvinoCpu(untrained, "f32", threads=1) as engine:
        assert engine.threads == 1
        assert engine.least_s(Golden.load(untrained / "golden.npz")) > 0


@pytest.mark.parametrize("close", ["a.close(); b.close()", "on_a_thread(a.close); on_a_thread(b.close)"])
def test_ctrl_c_is_heard_after_engines_were_closed(untrained: Path, close: str) -> None:
    program = (
        "import gc, os, signal, threading\n"
        "from pathlib import Path\n"
        "from engines.openvino_cpu import OpenvinoCpu\n"
        "def on_a_thread(step): thread = threading.Thread(target=step); thread.start(); thread.join()\n"
        f"a, b = (OpenvinoCpu(Path({str(untrained)!r}), 'f32') for _ in range(2))\n"
        f"{close}; del a, b; gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard'))\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = python("-c", program)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.parametrize("module", ["engines.openvino_cpu", "benchmarks.ratios"])
def test_nobody_is_told_that_openvino_is_used(tmp_path: Path, module: str) -> None:
    code = (
        "import sys\n"
        "doors = ('socket.getaddrinfo', 'socket.connect', 'urllib.Request', 'os.fork')\n"
        "sys.addaudithook(lambda event, told: event in doors and print(event, told, flush=True))\n"
        f"import {module}\n"
    )
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    home = {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    assert python("-c", code, env=told | home, check=True).stdout == ""
    assert list(tmp_path.iterdir()) == []
