"""The part of the training loss besides cross entropy, as a pure function of class maps and targets."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pointing_loss(class_maps: Tensor, labels: Tensor, lesion: Tensor) -> Tensor:
    """How far the class map of each picture's class is from marking the lesion: KL(t || softmax of the map over its
    cells), where t is the lesion's share of each cell, scaled to sum 1.

    The softmax ignores a constant that is added to the map. So this loss decides where the map is high, and leaves its
    mean, which is the logit, to the classification loss.

    class_maps [N, K, h, w], labels int [N], lesion [N, h, w] 0..1 -> the mean over the pictures that show a lesion, or
    0 if none does.
    """
    maps = class_maps[torch.arange(len(labels)), labels].flatten(1)
    area = lesion.flatten(1).sum(dim=1, keepdim=True)
    target = lesion.flatten(1) / area.clamp_min(1e-12)
    divergence = F.kl_div(F.log_softmax(maps, dim=1), target, reduction="sum")
    return divergence / (area > 0).sum().clamp_min(1)  # to index by a mask, or to branch, would wait for the GPU
