"""The pictures that an epoch shows: augmented views of the samples, in batches drawn by worker processes."""

import sys

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from rcdnet.preprocess import Grey
from train.augment import training_view
from train.datasets import Sample
from train.recipes import Recipe

View = tuple[Grey, NDArray[np.float32], int]
"""A ``training_view``: image, lesion share and class index."""

FORK = "fork" if sys.platform == "linux" else None
"""How the workers of the data loader start: forked ones share the pictures, others get a copy of them each epoch."""


class Views(Dataset[View]):
    """Augmented views of the samples, which are kept in memory. Every epoch and picture has a seed of its own, so the
    views do not depend on the workers."""

    def __init__(self, samples: list[Sample], recipe: Recipe, seed: int) -> None:
        self.recipe, self.spec, self.seed, self.epoch = recipe, recipe.spec(), seed, 0
        pictures = [(sample.grey(), sample.lesion(), sample.label) for sample in samples]
        self.pictures = [p for p in pictures for _ in range(recipe.normal_repeat if p[2] == "normal" else 1)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> View:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        grey, lesion, label = self.pictures[index]
        image, share, label = training_view(grey, lesion, label, self.spec, self.recipe.augmentation, rng)
        return image, share, self.spec.index(label)


def batches_of(views: Views, epoch: int, workers: int) -> DataLoader[View]:
    """The views of an epoch, in an order of its own."""
    views.epoch = epoch
    order = torch.Generator().manual_seed(views.seed * 1000 + epoch)
    cv2.setNumThreads(1)  # else each forked worker starts a thread per core
    return DataLoader(
        views, views.recipe.batch, shuffle=True, generator=order, num_workers=workers, multiprocessing_context=FORK
    )
