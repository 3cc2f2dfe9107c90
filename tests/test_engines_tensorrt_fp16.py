"""The engine that runs TensorRT, beside stand-ins for TensorRT and the GPU. That the names are TensorRT's own is tested
in ``test_engines_tensorrt_build.py``."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engines import cache, replay
from engines.errors import EngineError
from tests.gpus import Forward, Gpu

ENGINE = Path(__file__).parents[1] / "engines" / "tensorrt_fp16.py"
KEY = cache.Key("tensorrt_fp16", "ab", "spec", "11.1.0", "2.14.0", "580.65.06", "stand-in", "8.6", "c0de")
SHAPE = 96, 128


class Context:
    """Computes ``gpus.Forward`` in the memory that it is told of."""

    refuses = ""

    made = 0

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._at: dict[str, int] = {}
        Context.made += 1

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._at[name] = address
        return name != self.refuses

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == self._gpu.stream.cuda_stream
        image, *outputs = (self._gpu.memory[self._at[name]] for name in ("image", "logits", "class_maps"))
        for output, found in zip(outputs, Forward()(image), strict=True):
            output.copy_(found)
        return True


class BuiltEngine:
    def __init__(self, gpu: Gpu, batch: int) -> None:
        self._gpu, self._batch = gpu, batch

    def create_execution_context(self) -> Context:
        return Context(self._gpu)

    def create_engine_inspector(self) -> Any:
        layers = [{"Name": "conv", "Outputs": [{"Name": "x", "Format": "kHWC8", "DataType": "Half"}]}]
        return SimpleNamespace(get_engine_information=lambda form: json.dumps({"Layers": layers}))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._batch, 2) if name == "logits" else (self._batch, 2, *SHAPE)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found = Gpu()
    monkeypatch.setattr(replay, "torch", found)
    monkeypatch.setattr(cache, "key_here", lambda name, spec: KEY)
    files = {"batch8.engine": b"8", "batch1.engine": b"1"}
    monkeypatch.setattr(cache, "read", lambda key: cache.Artefact(files, "f16"))
    return found


@pytest.fixture
def module(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """engines.tensorrt_fp16, under another name: the real one must not stay imported with a stand-in."""
    tensorrt = ModuleType("tensorrt")
    tensorrt.LayerInformationFormat = SimpleNamespace(JSON=1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    spec = importlib.util.spec_from_file_location("tensorrt_fp16_beside_stand_ins", ENGINE)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "torch", gpu)
    monkeypatch.setattr(made, "deserialized", lambda data: BuiltEngine(gpu, int(data)))
    return made


def test_every_picture_is_answered_in_order_whatever_their_number(module: ModuleType, untrained: Path) -> None:
    images = np.random.default_rng(6).integers(0, 256, (11, *SHAPE), np.uint8)
    logits, maps = Forward()(torch.from_numpy(images))
    with module.TensorrtFp16(untrained) as engine:
        for count in (1, 8, 11):
            found = engine.run(images[:count])
            np.testing.assert_allclose(found.logits, logits[:count].numpy(), rtol=1e-5)
            np.testing.assert_array_equal(found.class_maps, maps[:count].numpy())
        assert (engine.info.precision, engine.info.batch) == ("f16", 8)


def test_each_graph_has_a_context_and_memory_of_its_own(
    module: ModuleType, gpu: Gpu, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "made", 0)
    with module.TensorrtFp16(untrained) as engine:
        assert Context.made == sum(len(each._slots) for each in engine.replays) == 4
        assert len(gpu.memory) == 3 * 4


@pytest.mark.parametrize("name", ["image", "logits", "class_maps"])
def test_memory_that_tensorrt_refuses_ends_the_loading(
    module: ModuleType, untrained: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Context, "refuses", name)
    with pytest.raises(EngineError, match=rf"cannot be loaded: TensorRT refused the memory for {name}; build it with"):
        module.TensorrtFp16(untrained)


def test_what_is_closed_says_so(module: ModuleType, untrained: Path) -> None:
    engine = module.TensorrtFp16(untrained)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="tensorrt_fp16 is closed"):
        engine.run(np.zeros((1, *SHAPE), np.uint8))
