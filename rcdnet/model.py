"""RcdNet: EfficientNet features, a depthwise separable convolution, CBAM, global average pooling, one linear layer.

Two deviations from the paper: the features of stride 16 and stride 32 are joined, so that the class maps have 14x14
cells rather than 7x7; and the pooling comes after the linear layer instead of before it, which is the same sum in
another order and makes the class maps an output (see ``forward_head``).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rcdnet.blocks import Cbam, SeparableConv
from rcdnet.spec import ModelSpec

CHANNELS = 256
"""Of the maps before the linear layer."""


class Network(nn.Module):
    """What RcdNet and the networks beside it share: what goes in, and class maps that come out with the logits."""

    spec: ModelSpec
    backbone: Any
    classifier: nn.Linear

    def scaled(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W] grey -> float [N, 1, H, W]. The cast comes first: TensorRT does nothing else with uint8."""
        return (images.float().unsqueeze(1) / 255.0 - self.spec.mean) / self.spec.std

    def forward_head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, h, w] -> logits [N, K] and class maps [N, K, h, w]; the logits are the maps' mean over space.

        Class activation mapping (Zhou et al. 2016, arXiv:1512.04150) with the bias included. Because only pooling and
        a linear layer follow, the map of class k equals Grad-CAM of logit k (Selvaraju et al. 2017) before its ReLU,
        up to the factor h*w and the constant bias.
        """
        class_maps = F.conv2d(features, self.classifier.weight[:, :, None, None], self.classifier.bias)
        return class_maps.mean(dim=(2, 3)), class_maps


class RcdNet(Network):
    """The network of one ModelSpec. ``pretrained`` asks timm's hub for the backbone's start.

    ``fold`` folds the backbone's batch norms, whose statistics a pretrained start brings along; a network that is
    trained from scratch needs them until it is trained.

    Raises RuntimeError (from timm) if ``spec.backbone`` is not a timm name or the hub is not reached.
    """

    def __init__(self, spec: ModelSpec, *, pretrained: bool = False, fold: bool = True) -> None:
        import timm  # takes seconds, and many commands make no network

        super().__init__()
        self.spec = spec
        # one input channel: timm sums the three input weights of a pretrained stem, exact for a grey picture
        self.backbone = timm.create_model(
            spec.backbone, pretrained=pretrained, in_chans=1, features_only=True, out_indices=(-2, -1)
        )
        if fold:
            fold_batch_norm(self.backbone)
        self.separable = SeparableConv(sum(self.backbone.feature_info.channels()), CHANNELS)
        self.attention = Cbam(CHANNELS)
        self.classifier = nn.Linear(CHANNELS, len(spec.class_names))

    def forward_features(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W] grey -> float [N, C, H/16, W/16], the last maps before the linear layer."""
        fine, coarse = self.backbone(self.scaled(images))
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        features: Tensor = self.attention(self.separable(torch.cat([fine, coarse], 1)))
        return features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, H, W] grey, prepared by ``rcdnet.preprocess`` -> (logits [N, K], class maps [N, K, H/16, W/16])."""
        return self.forward_head(self.forward_features(images))


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm of a backbone into the convolution before it, in place, with its present statistics.

    Exact in evaluation mode. The statistics of a pretrained start are better than those of small ultrasound batches,
    so training never updates them; folding makes that a property of the network and saves a fifth of a training step.
    timm's batch norm carries the activation, which stays.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            if previous is None or not isinstance(previous[1], nn.Conv2d):
                raise TypeError(f"cannot fold batch norm {name!r}: no convolution before it")
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1].eval(), child.eval()))
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            fold_batch_norm(child)
        previous = name, child
