"""Trained networks whose mean answer another network learns to give beside the labels: several made one.

Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531, section 2) at temperature 1: label smoothing and mixup
have softened already what the teachers say. They see the view that their pupil sees (Beyer et al., arXiv:2106.05237).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rcdnet import checkpoint
from rcdnet.checkpoint import CheckpointError
from rcdnet.spec import ModelSpec


class Teachers(nn.Module):
    """Frozen checkpoints that answer for the classes of ``spec``, on pictures prepared as it says. Raises
    CheckpointError."""

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


def taught_by(path: Path) -> str:
    """In a few words, for run folders."""
    spec = checkpoint.read_spec(path)
    return f"{spec.backbone} by {spec.version}, {spec.weights_sha256[:12]}"
