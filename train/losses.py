"""The training loss: cross entropy of pictures mixed by mixup, distillation, and pointing at the lesion."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.recipes import Recipe


def training_loss(
    network: nn.Module,
    teachers: nn.Module | None,
    images: Tensor,
    lesion: Tensor,
    labels: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Tensor:
    """Cross entropy of pictures mixed by mixup, with their labels and with the teachers' answers, plus the pointing
    loss of both pictures in each mixture.

    ``images`` uint8 [N, H, W], ``lesion`` [N, H, W] 0..1, ``labels`` int [N].
    """
    share = float(rng.beta(recipe.mixup_alpha, recipe.mixup_alpha)) if recipe.mixup_alpha else 1.0
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    mixed = (share * images.float() + (1 - share) * images[other].float()).round().to(torch.uint8)
    logits, maps = network(mixed)
    one_hot = F.one_hot(labels, len(recipe.class_names)).float()
    target = share * one_hot + (1 - share) * one_hot[other]
    loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
    if teachers is not None:
        distillation = F.cross_entropy(logits, teachers(mixed))
        loss = (1 - recipe.teacher_weight) * loss + recipe.teacher_weight * distillation
    if recipe.pointing_weight:
        cells = F.adaptive_avg_pool2d(lesion, maps.shape[-2:])
        pointing = share * pointing_loss(maps, labels, cells)
        pointing = pointing + (1 - share) * pointing_loss(maps, labels[other], cells[other])
        loss = loss + recipe.pointing_weight * pointing
    return loss


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
