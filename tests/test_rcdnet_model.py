from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from rcdnet import checkpoint
from rcdnet.golden import pictures
from rcdnet.model import RcdNet, fold_batch_norm
from rcdnet.spec import ModelSpec


class LogitsOnly(nn.Module):
    """What pytorch-grad-cam expects: one output."""

    def __init__(self, network: RcdNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)[0]
        return logits


@pytest.fixture(scope="module")
def network(untrained: Path) -> RcdNet:
    return checkpoint.load(untrained / "rcdnet.safetensors")


def test_logits_are_those_of_pooling_before_the_linear_layer(network: RcdNet) -> None:
    images = torch.from_numpy(pictures(network.spec, 3))
    with torch.inference_mode():
        pooled_first = network.classifier(network.forward_features(images).mean(dim=(2, 3)))
        torch.testing.assert_close(network(images)[0], pooled_first, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("class_index", [0, 1, 2])
def test_class_maps_are_grad_cam_up_to_a_factor_and_the_bias(network: RcdNet, class_index: int) -> None:
    """pytorch-grad-cam, with its backward pass and before its ReLU and scaling, is the independent reference."""
    images = torch.from_numpy(pictures(network.spec, 2))
    with GradCAM(LogitsOnly(network), [network.attention]) as cam:
        outputs = cam.activations_and_grads(images)
        target = ClassifierOutputTarget(class_index)
        sum(target(row) for row in outputs).backward()  # type: ignore[union-attr]
        activations = cam.activations_and_grads.activations[0].numpy()
        gradients = cam.activations_and_grads.gradients[0].numpy()
        grad_cam = cam.get_cam_image(images, network.attention, [target], activations, gradients)
    with torch.inference_mode():
        maps = network(images)[1][:, class_index].numpy()
    bias = float(network.classifier.bias[class_index].detach())
    np.testing.assert_allclose(maps.shape[1] * maps.shape[2] * grad_cam + bias, maps, rtol=1e-4, atol=1e-4)


def test_grey_in_one_channel_is_grey_in_three(network: RcdNet) -> None:
    """timm sums a stem's three input weights; for a grey picture that is exact."""
    three = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    one = timm.create_model("tf_efficientnet_lite0", pretrained=False, in_chans=1).eval()
    state = three.state_dict()
    state["conv_stem.weight"] = state["conv_stem.weight"].sum(1, keepdim=True)
    one.load_state_dict(state)
    grey = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_folding_batch_norms_changes_nothing() -> None:
    torch.manual_seed(1)
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = backbone(x)
        fold_batch_norm(backbone)
        after = backbone(x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_a_batch_norm_without_a_convolution_before_it_is_refused() -> None:
    with pytest.raises(TypeError, match="no convolution before it"):
        fold_batch_norm(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_the_papers_backbone_works_too() -> None:
    spec = ModelSpec(("benign", "malignant"), 64, 64, 0.485, 0.229, "efficientnet_b0")
    with torch.inference_mode():
        logits, maps = RcdNet(spec).eval()(torch.zeros(1, 64, 64, dtype=torch.uint8))
    assert logits.shape == (1, 2)
    assert maps.shape == (1, 2, 4, 4)
