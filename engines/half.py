"""RcdNet in half precision, strongly typed: what each GPU engine computes.

Float16 in the backbone and the separable convolution. Float32 where sums or scales need it and cost nothing: the
scaling of the input, the attention, and the head, so that the logits remain the mean of the maps. Who computes it turns
TF32 off. Batch norms are folded first, in float32.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rcdnet.model import Network, RcdNet, fold_batch_norm


class Relu6(nn.Module):
    """ReLU6 as a clamp: exported in half precision, ``nn.ReLU6`` becomes a clamp between two casts."""

    def forward(self, x: Tensor) -> Tensor:
        """[...] -> [...]."""
        return torch.clamp(x, 0.0, 6.0)


class HalfNet(Network):
    """uint8 [N, H, W] grey -> float32 logits [N, K], class maps [N, K, h, w], as ``RcdNet``. ``model`` is kept."""

    def __init__(self, model: RcdNet) -> None:
        super().__init__()
        own = copy.deepcopy(model).eval()
        self.spec = own.spec
        fold_batch_norm(own.separable)
        self.backbone = own.backbone.half()
        self.separable = own.separable.half()
        replace(self, lambda child: Relu6() if isinstance(child, nn.ReLU6) else None)
        self.attention = own.attention
        self.classifier = own.classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See ``rcdnet.model.RcdNet``."""
        fine, coarse = self.backbone(self.scaled(images).half())
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.forward_head(self.attention(self.separable(torch.cat([fine, coarse], 1)).float()))


def replace(module: nn.Module, by: Callable[[nn.Module], nn.Module | None]) -> None:
    """Put ``by(child)`` in the place of every module inside, in place, where it gives one."""
    for name, child in module.named_children():
        if (new := by(child)) is not None:
            setattr(module, name, new)
        else:
            replace(child, by)


def precision(module: nn.Module) -> str:
    """What most convolution weights are stored, and so computed, in: "f16" or "f32"."""
    kinds = [child.weight.dtype for child in module.modules() if isinstance(child, nn.Conv2d)]
    return "f16" if 2 * kinds.count(torch.float16) > len(kinds) else "f32"
