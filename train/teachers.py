"""Knowledge distillation: a network learns from the mean answer of trained networks as well as from the labels.

This is Hinton et al. 2015 (arXiv:1503.02531, section 2) at temperature 1, since label smoothing and mixup have already
softened the teachers' answers. Teachers see the same view as their student (Beyer et al. 2022, arXiv:2106.05237).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.spec import ModelSpec


class Teachers(nn.Module):
    """Frozen checkpoints. Raises CheckpointError if one has other classes, or another input, than ``spec``."""

    def __init__(self, paths: Sequence[Path], spec: ModelSpec) -> None:
        super().__init__()
        self.networks = nn.ModuleList(checkpoint.load(path) for path in paths)
        for path, network in zip(paths, self.networks, strict=True):
            for name in ("class_names", "height_px", "width_px", "preprocessing"):
                theirs, ours = getattr(network.spec, name), getattr(spec, name)
                if theirs != ours:
                    raise CheckpointError(f"{path} cannot teach this network: its {name} is {theirs}, not {ours}")

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W] grey -> the mean of their probabilities, float [N, K]."""
        return torch.stack([network(images)[0].float().softmax(dim=1) for network in self.networks]).mean(0)


def teacher_name(path: Path) -> str:
    """A teacher in a few words, as run folders name it."""
    spec = checkpoint.read_spec(path)
    return f"{spec.backbone} by {spec.version}, {spec.weights_sha256[:12]}"
