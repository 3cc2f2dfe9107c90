import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from engines import replay
from engines.base import EngineInfo
from engines.cuda_graph import CudaGraph, Pointwise, kernels
from engines.errors import EngineError
from engines.half import HalfNet
from engines.replay import GpuEngine, Replay
from rcdnet import checkpoint, golden
from rcdnet.model import RcdNet
from rcdnet.spec import ModelSpec
from tests.gpus import Forward, Gpu
from tests.programs import python


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found = Gpu()
    monkeypatch.setattr(replay, "torch", found)
    return found


class TwoBatches(GpuEngine):
    """As of TensorRT: one graph for two pictures, one for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = ModelSpec(("benign", "malignant"), 4, 6, 0.5, 0.25, "none")
        self.info = EngineInfo("two_batches", "f32", "stand-in", "tests", "")
        self.replays += [Replay(Forward(), (batch, 4, 6)) for batch in (2, 1)]


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, 4, 6), np.uint8)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("batch", [1, 2])
def test_each_batch_is_answered_by_its_own_pictures(batch: int) -> None:
    images = pictures(6)
    expected = Forward()(torch.from_numpy(images))
    found = list(Replay(Forward(), (batch, 4, 6)).run(images))
    np.testing.assert_array_equal(np.concatenate([each.logits for each in found]), expected[0].numpy())
    np.testing.assert_array_equal(np.concatenate([each.class_maps for each in found]), expected[1].numpy())


@pytest.mark.usefixtures("gpu")
def test_what_leaves_the_gpu_lies_in_one_piece() -> None:
    made = Replay(Forward(), (1, 4, 6))
    assert not Forward()(torch.zeros(1, 4, 6))[1].is_contiguous()
    steps = [step for slot in made._slots for step in slot.graph.steps]  # type: ignore[attr-defined]  # the stand-in's
    copied = [args[1] for operator, args, *_ in steps if operator is torch.ops.aten.copy_.default]
    assert len(copied) == 6  # in, and two out, of both graphs
    assert all(tensor.is_contiguous() for tensor in copied)


@pytest.mark.usefixtures("gpu")
def test_what_the_graph_points_into_lives_until_it_is_closed() -> None:
    forward = Forward()
    alive = weakref.ref(forward)
    made = Replay(forward, (1, 4, 6))
    del forward
    gc.collect()
    assert alive() is not None
    made.close()
    gc.collect()
    assert alive() is None


def test_the_graph_goes_before_what_it_points_into(gpu: Gpu) -> None:
    gone: list[str] = []
    forward = Forward()
    made = Replay(forward, (1, 4, 6))
    weakref.finalize(forward, gone.append, "forward")
    for slot in made._slots:
        weakref.finalize(slot.graph, gone.append, "graph")
    del forward, slot
    made.close()
    gc.collect()
    assert gone == ["graph", "graph", "forward"]


def test_once_the_gpu_failed_nothing_that_it_used_is_freed(gpu: Gpu) -> None:
    """Nor what belongs to a batch that did not fail: its memory was used as well."""
    engine = TwoBatches()
    kept = [weakref.ref(each) for replay in engine.replays for each in (replay._forward, *replay._slots)]
    gpu.lost = True
    for _ in range(2):  # it may be tried again
        with pytest.raises(EngineError, match=r"the GPU failed on a picture: .*launch failure"):
            engine.run(pictures(2))
    engine.close()
    del engine
    gc.collect()
    assert all(each() is not None for each in kept)


def test_once_the_gpu_failed_nothing_is_freed_when_python_ends_either() -> None:
    program = (
        "from engines import replay; from tests.gpus import Forward, Gpu; import numpy as np\n"
        "class Told(Forward):\n"
        "    def __init__(self, name): self.name = name\n"
        "    def __del__(self, print=print): print(self.name, 'is freed')\n"
        "replay.torch = Gpu()\n"
        "failed, whole = (replay.Replay(Told(name), (1, 4, 6)) for name in ('failed', 'whole'))\n"
        "list(whole.run(np.zeros((1, 4, 6), np.uint8)))\n"
        "del whole\n"
        "failed.hold()\n"
    )
    done = python("-c", program)
    assert (done.returncode, done.stdout) == (0, "whole is freed\n"), done.stderr


@pytest.mark.usefixtures("gpu")
def test_a_replay_that_did_not_fail_is_freed() -> None:
    made = Replay(Forward(), (1, 4, 6))
    buffers = [weakref.ref(slot) for slot in made._slots]
    list(made.run(pictures(3)))
    next(made.run(pictures(3)))  # who wants no more of it has not seen a failure
    made.close()
    del made
    gc.collect()
    assert all(slot() is None for slot in buffers)


def test_the_graph_alone_is_timed_and_only_if_somebody_asks(gpu: Gpu) -> None:
    made = Replay(Forward(), (1, 4, 6))
    list(made.run(pictures(1)))
    made.timings = []
    list(made.run(pictures(2)))
    assert gpu.did == ["replay", "done", *["time", "replay", "time", "done"] * 2]
    assert len(made.timings) == 2


@pytest.mark.usefixtures("gpu")
def test_the_engine_replays_what_its_network_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "stand-in")
    monkeypatch.setattr(HalfNet, "cuda", lambda network: network)
    monkeypatch.setattr(replay, "WARM_UPS", 1)  # float16 is slow on a processor
    spec = ModelSpec(("normal", "benign", "malignant"), 64, 96, 0.485, 0.229, "tf_efficientnet_lite0")
    torch.manual_seed(0)
    checkpoint.save(RcdNet(spec), tmp_path / "rcdnet.safetensors")
    images = golden.pictures(spec, 3)
    network = HalfNet(checkpoint.load(tmp_path / "rcdnet.safetensors")).to(memory_format=torch.channels_last)
    with CudaGraph(tmp_path) as engine, torch.inference_mode():
        found = engine.run(images)
        for logits, maps, image in zip(found.logits, found.class_maps, torch.from_numpy(images.copy()), strict=True):
            torch.testing.assert_close(network(image[None]), (torch.tensor(logits[None]), torch.tensor(maps[None])))


@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_is_a_matrix_product(kind: torch.dtype, bias: bool) -> None:
    layer = nn.Conv2d(6, 8, 1, bias=bias, dtype=kind)
    x = torch.rand(2, 6, 5, 7, dtype=kind).to(memory_format=torch.channels_last)
    found = Pointwise(layer)(x)
    torch.testing.assert_close(found, layer(x))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("gpu")
def test_who_calls_meanwhile_waits_for_an_answer_of_its_own() -> None:
    images = pictures(8)
    expected = Forward()(torch.from_numpy(images))[0].numpy()
    with TwoBatches() as engine, ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda image: engine.run(image[None]).logits[0], [*images] * 20))
    np.testing.assert_array_equal(found, np.tile(expected, (20, 1)))


@pytest.mark.usefixtures("gpu")
def test_a_closed_engine_holds_nothing_and_says_so() -> None:
    engine = TwoBatches()
    kept = [weakref.ref(each) for each in engine.replays]
    engine.close()
    engine.close()
    gc.collect()
    assert all(each() is None for each in kept)
    with pytest.raises(EngineError, match="two_batches is closed"):
        engine.run(pictures(1))


def test_kernels_are_chosen_alike_each_time_and_float32_is_no_tf32() -> None:
    flags = torch.backends.cudnn
    before = flags.allow_tf32, flags.benchmark, flags.deterministic
    with kernels():
        assert (flags.allow_tf32, flags.benchmark, flags.deterministic, flags.enabled) == (False, False, True, True)
    assert (flags.allow_tf32, flags.benchmark, flags.deterministic) == before
