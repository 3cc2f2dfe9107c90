import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from engines import catalog, nvidia
from engines.base import EngineOutput
from engines.errors import EngineError, EngineUnavailable, ParityError, UnknownEngine, WeightsError, one_line
from engines.openvino_cpu import OpenvinoCpu
from rcdnet import checkpoint
from rcdnet.golden import Golden
from rcdnet.spec import SPEC_KEY


class TurnedAround(OpenvinoCpu):
    """OpenVINO with its classes in the wrong order: what a badly built engine looks like."""

    closed = 0

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        output = super().run(images)
        return EngineOutput(output.logits[:, ::-1], output.class_maps[:, ::-1])

    def close(self) -> None:
        type(self).closed += 1
        super().close()


def turned_around(weights: Path) -> TurnedAround:
    return TurnedAround(weights, "f32")


class TurnedTogether(TurnedAround):
    """Wrong where it gets several pictures."""

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        return super().run(images) if len(images) > 1 else OpenvinoCpu.run(self, images)


def turned_together(weights: Path) -> TurnedTogether:
    return TurnedTogether(weights, "f32")


@pytest.fixture
def weights(untrained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained, tmp_path / "weights"))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines on the processor alone, wherever this runs."""
    monkeypatch.setattr(catalog, "ENGINES", {name: each for name, each in catalog.ENGINES.items() if not each.gpu})


@pytest.fixture
def wrong_golden(weights: Path) -> Path:
    """A golden set that claims these weights and expects other logits of them."""
    golden = Golden.load(weights / "golden.npz")
    Golden(golden.images, golden.logits[::-1], golden.class_maps, golden.spec).save(weights / "golden.npz")
    return weights


def test_auto_takes_the_first_that_runs_here(untrained: Path) -> None:
    with catalog.open_engine("auto", untrained) as engine:
        assert engine.info.name == next(name for name in catalog.ENGINES if catalog.missing(name, untrained) is None)


def test_what_an_engine_was_measured_to_be_stays_with_it(untrained: Path) -> None:
    with catalog.open_engine("onnx_cpu", untrained) as engine:
        assert engine.info.parity is not None
        assert engine.info.parity.holds


@pytest.mark.usefixtures("no_gpu")
def test_auto_falls_to_the_next_and_says_why(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    absent = catalog.Candidate("nowhere:Nothing", ("a_package_that_is_not_there",), "extra")
    monkeypatch.setitem(catalog.ENGINES, "openvino_cpu", absent)
    with caplog.at_level(logging.INFO), catalog.open_engine("auto", untrained) as engine:
        assert engine.info.name == "onnx_cpu"
    refused, taken = [record.message for record in caplog.records][-2:]
    assert refused.startswith("engine openvino_cpu is not used: ")
    assert refused.endswith(
        'a_package_that_is_not_there is not installed: it comes with python -m pip install -e ".[extra]"'
    )
    assert taken.startswith("engine onnx_cpu is used, in f32 on cpu: largest difference")


@pytest.mark.parametrize("error", [RuntimeError("out of memory\nat line 7"), OSError("no libcuda")])
def test_auto_passes_over_an_engine_that_fails_while_it_loads(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Broken:
        def __init__(self, weights: Path) -> None:
            raise error

    monkeypatch.setattr(sys.modules[__name__], "Broken", Broken, raising=False)
    broken = catalog.Candidate(f"{__name__}:Broken", ())
    monkeypatch.setattr(catalog, "ENGINES", {"broken": broken, "onnx_cpu": catalog.ENGINES["onnx_cpu"]})
    with caplog.at_level(logging.INFO), catalog.open_engine("auto", untrained) as engine:
        assert engine.info.name == "onnx_cpu"
    (message,) = [record.message for record in caplog.records if "engine broken" in record.message]
    assert " ".join(str(error).split()) in message
    assert "\n" not in message


@pytest.mark.parametrize("during", ["import", "load"])
def test_auto_passes_over_a_gpu_engine_whatever_its_libraries_raise(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, during: str
) -> None:
    error = Exception("CUDA initialisation\nfailed")  # of no kind that says anything

    def fails(*_: object) -> None:
        raise error

    def named(target: str, named: Callable[[str], Any] = catalog._import_named) -> Any:
        if target != "a:gpu":
            return named(target)
        return fails() if during == "import" else fails

    monkeypatch.setattr(nvidia, "absent", lambda: None)
    monkeypatch.setattr(catalog, "_import_named", named)
    a_gpu = catalog.Candidate("a:gpu", (), gpu=True)
    monkeypatch.setattr(catalog, "ENGINES", {"a_gpu": a_gpu, "onnx_cpu": catalog.ENGINES["onnx_cpu"]})
    with caplog.at_level(logging.INFO), catalog.open_engine("auto", untrained) as engine:
        assert engine.info.name == "onnx_cpu"
    (message,) = [record.message for record in caplog.records if "engine a_gpu" in record.message]
    assert message == f"engine a_gpu is not used: its runtime is installed but cannot be loaded: {one_line(error)}"
    with pytest.raises(EngineUnavailable, match=r"^a_gpu: .*cannot be loaded"):
        catalog.open_engine("a_gpu", untrained)


def test_auto_closes_an_engine_that_is_off_and_says_by_how_much(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turned = catalog.Candidate(f"{__name__}:turned_around", ("openvino",))
    monkeypatch.setattr(catalog, "ENGINES", {"turned": turned, "openvino_cpu": catalog.ENGINES["openvino_cpu"]})
    monkeypatch.setattr(TurnedAround, "closed", 0)
    with caplog.at_level(logging.INFO), catalog.open_engine("auto", untrained) as engine:
        assert type(engine) is OpenvinoCpu
    (message,) = [record.message for record in caplog.records if "engine turned" in record.message]
    assert message.startswith("engine turned is not used: ")
    assert "flips" in message
    assert TurnedAround.closed == 1


def test_an_engine_is_held_against_the_golden_set_as_it_will_be_called(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = catalog.Candidate(f"{__name__}:turned_together", ("openvino",))
    monkeypatch.setattr(catalog, "ENGINES", {"turned": turned})
    with catalog.open_engine("turned", untrained) as engine:
        assert engine.info.batch > 1
    with pytest.raises(ParityError):
        catalog.open_engine("turned", untrained, batched=True)


def test_an_engine_that_computes_something_else_is_refused_with_numbers(wrong_golden: Path) -> None:
    with pytest.raises(ParityError, match=r"openvino_cpu in f32 does not compute .* flips"):
        catalog.open_engine("openvino_cpu", wrong_golden)


def test_when_none_holds_every_refusal_is_named(wrong_golden: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"openvino_cpu.*torch_reference"):
        catalog.open_engine("auto", wrong_golden)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownEngine, match=r"'warp'.*auto, .*openvino_cpu, onnx_cpu, torch_reference") as refusal:
        catalog.open_engine("warp")
    assert catalog.FAKE not in str(refusal.value)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["rcdnet.onnx", "golden.npz"])
def test_a_missing_file_is_named_with_the_mend(weights: Path, name: str) -> None:
    (weights / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}.*python -m rcdnet\.export"):
        catalog.open_engine("auto", weights)


@pytest.mark.usefixtures("no_gpu")
def test_altered_weights_are_refused_and_not_worked_around(weights: Path) -> None:
    model = onnx.load(weights / "rcdnet.onnx")
    model.graph.node[-1].name = "another"
    onnx.save(model, weights / "rcdnet.onnx")
    with pytest.raises(WeightsError, match="altered after export"):
        catalog.open_engine("auto", weights)


def test_an_altered_checkpoint_is_refused_by_the_reference(weights: Path) -> None:
    path = weights / "rcdnet.safetensors"
    tensors = load_file(path)
    tensors["classifier.bias"][0] += 1
    save_file(tensors, path, {SPEC_KEY: checkpoint.read_spec(path).to_json()})
    with pytest.raises(WeightsError, match="is not the file that its spec describes") as refusal:
        catalog.open_engine("torch_reference", weights)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("key", "value"), [("weights_sha256", "f" * 64), ("temperature", 3.0)])
def test_a_golden_set_of_another_network_or_calibration_is_refused(weights: Path, key: str, value: object) -> None:
    golden = Golden.load(weights / "golden.npz")
    replace(golden, spec=replace(golden.spec, **{key: value})).save(weights / "golden.npz")
    with pytest.raises(
        WeightsError, match=f"golden set does not belong to what openvino_cpu has loaded: {key} {value!r}"
    ):
        catalog.open_engine("auto", weights)


def test_a_checkpoint_that_was_calibrated_without_a_new_export_is_refused(weights: Path) -> None:
    path = weights / "rcdnet.safetensors"
    spec = replace(checkpoint.read_spec(path), temperature=5.0)
    save_file(load_file(path), path, {SPEC_KEY: spec.to_json()})
    with pytest.raises(WeightsError, match=r"temperature 1\.0 and not 5\.0.*python -m rcdnet\.export"):
        catalog.open_engine("torch_reference", weights)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), OSError("libnvinfer.so.11: no such file")])
def test_a_build_that_fails_is_one_line(untrained: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(weights: Path) -> Path:
        raise error

    monkeypatch.setattr(sys.modules[__name__], "broken", broken, raising=False)
    monkeypatch.setattr(catalog, "ENGINES", {"made": catalog.Candidate("", (), builder=f"{__name__}:broken")})
    with pytest.raises(EngineError, match=f"^made: .*{error}"):
        catalog.build_artefact("made", untrained)


def test_the_fake_is_never_chosen_and_takes_no_weights(tmp_path: Path) -> None:
    assert catalog.FAKE not in catalog.ENGINES
    with catalog.open_engine("fake") as engine:
        assert np.isfinite(engine.run(np.zeros((1, 224, 224), np.uint8)).logits).all()
    with pytest.raises(UnknownEngine, match="computes no network"):
        catalog.open_engine("fake", tmp_path)
