"""Which networks does a recipe train, and on which pictures is each of them tested?"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from train import datasets, splits
from train.datasets import Sample
from train.duplicates import groups_of
from train.errors import DataError
from train.recipes import Recipe

log = logging.getLogger(__name__)

WITHOUT_NORMAL = (
    "Add some, or lesion masks, beside which normal tissue is cropped; or train a network that calls every picture a "
    'lesion and cannot be calibrated: --set \'class_names=["benign", "malignant"]\''
)
"""What to do if a data set teaches no normal tissue."""


@dataclass(frozen=True)
class TrainingRun:
    """One network to train: its name (``seed0-fold1``), its seed, and the pictures that it trains and is tested on.

    ``leaked`` counts the test pictures that have a near copy, or another picture of their patient, in training. It is 0
    in all but the paper's random split.
    """

    name: str
    seed: int
    train: list[Sample]
    test: list[Sample]
    leaked: int

    @cached_property
    def data_sha256(self) -> str:
        """A hash of all the data: which pictures are trained and tested on, their labels, and the bytes of their image
        and mask files."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(f"{len(part)}\n".encode())
            for sample in part:
                digest.update(f"{sample.dataset}/{sample.name} {sample.label}\n".encode())
                for file in (sample.image, *sample.masks):
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def plan(recipe: Recipe, data_root: Path, external: Sequence[Sample] = ()) -> list[TrainingRun]:
    """All runs of a recipe, each checked for leaks: also, none trains on a near copy of an ``external`` picture.

    Every picture and mask is decoded now, so that a broken one does not end the training later. Raises LeakError, and
    DataError also if a run has no picture of a class that it is to learn.
    """
    samples, test_samples = samples_of(recipe, recipe.data, data_root), samples_of(recipe, recipe.test_data, data_root)
    groups = groups_of([*samples, *test_samples, *external])
    with_mask = {sample for sample in groups if sample.lesion().any()}
    makes_normal = recipe.augmentation.lesion_free or recipe.augmentation.covered
    runs = []
    for seed in recipe.seeds:
        for name, train, test in _splits(recipe, samples, test_samples, groups, seed):
            splits.require_no_leak(train, external, groups)
            learned = {sample.label for sample in train}
            if makes_normal and not with_mask.isdisjoint(train):
                learned.add("normal")
            if missing := set(recipe.class_names) - learned:
                raise DataError(
                    f"{recipe.name}, {name}: no picture to learn {' or '.join(sorted(missing))} from"
                    + (f". {WITHOUT_NORMAL}" if missing == {"normal"} else "")
                )
            leaked = len(splits.leaked(train, test, groups))
            runs.append(TrainingRun(f"seed{seed}-{name}", seed, train, test, leaked))
    return runs


def samples_of(recipe: Recipe, folders: Sequence[str], data_root: Path) -> list[Sample]:
    """The samples of these data sets that have a class of the recipe. Raises DataError."""
    loaded = datasets.load_all([data_root / folder for folder in folders])
    return [sample for sample in loaded if sample.label in recipe.class_names]


def _splits(
    recipe: Recipe, samples: list[Sample], test_samples: list[Sample], groups: splits.Groups, seed: int
) -> Iterator[tuple[str, list[Sample], list[Sample]]]:
    """The splits of a recipe's protocol: name, samples to train on, samples to test on."""
    if recipe.protocol == "random":  # the paper's split: it leaks, and ``TrainingRun.leaked`` says how much
        train, test = splits.random_split(samples, seed)
        yield "random", train, test
    every, samples = samples, splits.without_conflicts(samples, groups)
    if len(samples) < len(every) and seed == recipe.seeds[0]:
        copies = "near copies with two labels and their patients' others. `train audit` names the copies"
        log.warning("left out: %d pictures, %s", len(every) - len(samples), copies)
    if recipe.protocol == "folds":
        clean = [(f"fold{i}", *fold) for i, fold in enumerate(splits.folds(samples, groups, seed), 1)]
    elif recipe.protocol == "random":
        clean = [("by_group", *splits.group_split(samples, groups, seed))]
    elif recipe.protocol == "transfer":
        clean = [("transfer", samples, test_samples)]
    else:
        clean = [("all", samples, [])]
    for name, train, test in clean:
        splits.require_no_leak(train, test, groups)
        yield name, train, test
