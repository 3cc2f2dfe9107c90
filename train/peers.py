"""The networks that RcdNet is compared with: timm backbones under the same pooling and linear layer."""

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rcdnet.model import Network, RcdNet
from rcdnet.spec import ModelSpec
from train.recipes import Recipe

PEERS = {
    "ResNet50": "resnet50",
    "MobileNetV2": "mobilenetv2_100",
    "RegNet": "regnety_016",
    "ViT": "vit_small_patch16_224",
    "ResNeXt": "resnext50_32x4d",
}
"""The paper's name of each network, and the timm model of its usual size."""


class Peer(Network):
    """timm's ``spec.backbone``, global average pooling and one linear layer.

    The linear layer is applied to each cell, as in RcdNet, so peers have class maps too. A ViT is pooled over its patch
    tokens, without the class token.

    Raises RuntimeError (from timm) for an unknown name, OSError if the hub cannot be reached.
    """

    def __init__(self, spec: ModelSpec, *, pretrained: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = timm.create_model(
            spec.backbone, pretrained=pretrained, in_chans=1, num_classes=0, global_pool="", **_options(spec)
        )
        self.classifier = nn.Linear(self.backbone.num_features, len(spec.class_names))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, H, W] grey -> (logits [N, K], class maps [N, K, h, w]), as ``rcdnet.model.RcdNet``."""
        features = self.backbone.forward_features(self.scaled(images))
        if features.ndim == 3:  # tokens [N, 1 + h * w, C]; the first is the class token
            patches = features[:, self.backbone.num_prefix_tokens :]
            side = round(patches.shape[1] ** 0.5)
            features = patches.transpose(1, 2).unflatten(2, (side, side))
        return self.forward_head(features)


def kind_of(recipe: Recipe) -> type[Network]:
    """The class of the network that a recipe trains."""
    return Peer if recipe.architecture == "peer" else RcdNet


def _options(spec: ModelSpec) -> dict[str, int]:
    return {"img_size": spec.height_px} if spec.backbone.startswith("vit") else {}


def macs(model: Network) -> int:
    """Multiply-accumulate operations for one picture: half of the operations that torch's FLOP counter counts."""
    image = torch.zeros(1, model.spec.height_px, model.spec.width_px, dtype=torch.uint8)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(image)
    return int(counter.get_total_flops()) // 2
