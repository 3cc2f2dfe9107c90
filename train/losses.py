"""What a training step is scored on besides cross entropy. A pure function of class maps and targets."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pointing_loss(class_maps: Tensor, labels: Tensor, lesion: Tensor) -> Tensor:
    """Divergence over places: of all cells, the class map of the picture's class should pick those of the lesion.

    KL(t || softmax over cells of the map), with t the lesion's share of each cell, scaled to sum 1. It fixes where the
    map is high and leaves its level free, so it does not argue with the classification loss, which fixes the mean.

    class_maps [N, K, h, w], labels int [N], lesion [N, h, w] 0..1 -> mean over the pictures that show a lesion; 0 if
    none does.
    """
    maps = class_maps[torch.arange(len(labels)), labels].flatten(1)
    area = lesion.flatten(1).sum(dim=1, keepdim=True)
    target = lesion.flatten(1) / area.clamp_min(1e-12)
    divergence = F.kl_div(F.log_softmax(maps, dim=1), target, reduction="sum")
    return divergence / (area > 0).sum().clamp_min(1)  # no mask, no branch: neither waits for the GPU
