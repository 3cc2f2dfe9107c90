"""The network of the GPU engines, computed on the processor in real float16 (slow there), against the golden set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from engines import half, parity
from rcdnet import checkpoint
from rcdnet.glance import lesion_and_malignant_share, probabilities
from rcdnet.golden import Golden
from rcdnet.model import RcdNet
from rcdnet.weights import SHIPPED


def some(golden: Golden, chosen: slice) -> Golden:
    return replace(
        golden, images=golden.images[chosen], logits=golden.logits[chosen], class_maps=golden.class_maps[chosen]
    )


def report(network: nn.Module, golden: Golden) -> parity.ParityReport:
    with torch.inference_mode():
        logits, maps = network(torch.from_numpy(golden.images))
    assert logits.dtype == maps.dtype == torch.float32
    return parity.compare(logits.numpy(), maps.numpy(), golden)


@pytest.fixture
def model(untrained: Path) -> RcdNet:
    return checkpoint.load(untrained / "rcdnet.safetensors")


def test_float16_holds_on_a_small_network(model: RcdNet, untrained: Path) -> None:
    found = report(half.HalfNet(model), some(Golden.load(untrained / "golden.npz"), slice(0, 16, 4)))
    assert found.holds, str(found)


def test_float16_holds_on_the_shipped_weights() -> None:
    """On the golden picture that lies nearest to a decision; all sixteen take a minute and a half."""
    model, golden = checkpoint.load(SHIPPED / "rcdnet.safetensors"), Golden.load(SHIPPED / "golden.npz")
    lesion, share = lesion_and_malignant_share(probabilities(golden.logits, golden.spec), golden.spec)
    points = golden.spec.operating_points.values()
    to_lesion = np.subtract.outer(lesion, [point.lesion for point in points])
    to_malignant = np.subtract.outer(share, [point.malignant for point in points])
    nearest = int(np.abs(np.concatenate([to_lesion, to_malignant], axis=1)).min(axis=1).argmin())
    found = report(half.HalfNet(model), some(golden, slice(nearest, nearest + 1)))
    assert found.holds, str(found)


def test_it_computes_in_float16_but_for_the_end(model: RcdNet) -> None:
    network = half.HalfNet(model)
    assert half.precision(network) == "f16"
    assert half.precision(model) == "f32"
    kinds = {name: {p.dtype for p in part.parameters()} for name, part in network.named_children()}
    assert kinds["backbone"] == kinds["separable"] == {torch.float16}
    assert kinds["attention"] == kinds["classifier"] == {torch.float32}


def test_the_model_is_left_alone(model: RcdNet) -> None:
    before = checkpoint.tensors_sha256(model.state_dict())
    half.HalfNet(model)
    assert checkpoint.tensors_sha256(model.state_dict()) == before


def test_relu6_as_a_clamp_is_relu6(model: RcdNet) -> None:
    x = torch.linspace(-8, 8, 101)
    torch.testing.assert_close(half.Relu6()(x), nn.ReLU6()(x))
    assert not any(isinstance(part, nn.ReLU6 | nn.BatchNorm2d) for part in half.HalfNet(model).modules())
