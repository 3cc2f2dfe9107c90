"""Which networks does a recipe train, and on which pictures is each of them tested?"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from train import datasets, splits
from train.datasets import Sample
from train.duplicates import groups_of
from train.recipes import Recipe


@dataclass(frozen=True)
class Run:
    """One network to train: its name, its seed, what it sees and what it is held out from.

    ``leaked`` counts test pictures with a near copy or their patient in training: 0 but for the paper's random split.
    """

    name: str
    seed: int
    train: list[Sample]
    test: list[Sample]
    leaked: int

    @cached_property
    def data_sha256(self) -> str:
        """Of all that it trains and tests on: which pictures, their labels, pixels and masks, as their files are."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(f"{len(part)}\n".encode())
            for sample in part:
                digest.update(f"{sample.dataset}/{sample.name} {sample.label}\n".encode())
                for file in (sample.image, *sample.masks):
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def plan(recipe: Recipe, data_root: Path, external: Sequence[Sample] = ()) -> list[Run]:
    """All runs of a recipe, each checked for leaks, of which none may train on a near copy of what is ``external``
    either. Every picture and mask is decoded, lest a broken one ends the training. Raises splits.LeakError,
    datasets.DataError."""
    samples = datasets.load_all([data_root / name for name in recipe.data])
    samples = [s for s in samples if s.label in recipe.class_names]
    test_samples = datasets.load_all([data_root / name for name in recipe.test_data])
    test_samples = [s for s in test_samples if s.label in recipe.class_names]
    groups = groups_of([*samples, *test_samples, *external])
    outlined = {sample for sample in groups if sample.lesion().any()}
    lesion_free = recipe.augmentation.lesion_free or recipe.augmentation.covered
    runs = []
    for seed in recipe.seeds:
        for name, train, test in _parts(recipe, samples, test_samples, groups, seed):
            splits.check(train, external, groups)
            shown = {sample.label for sample in train}
            if lesion_free and not outlined.isdisjoint(train):
                shown.add("normal")
            if missing := set(recipe.class_names) - shown:
                raise datasets.DataError(f"{recipe.name}, {name}: no picture to learn {' or '.join(missing)} from")
            leaked = len(splits.leaked(train, test, groups))
            runs.append(Run(f"seed{seed}-{name}", seed, train, test, leaked))
    return runs


def _parts(
    recipe: Recipe, samples: list[Sample], test_samples: list[Sample], groups: splits.Groups, seed: int
) -> Iterator[tuple[str, list[Sample], list[Sample]]]:
    if recipe.protocol == "random":  # the paper's split; it leaks, and its runs say by how much
        train, test = splits.random_split(samples, seed)
        yield "random", train, test
    samples = splits.without_conflicts(samples, groups)
    if recipe.protocol == "folds":
        parts = [(f"fold{i}", *part) for i, part in enumerate(splits.folds(samples, groups, seed), 1)]
    elif recipe.protocol == "random":
        parts = [("by_group", *splits.group_split(samples, groups, seed))]
    elif recipe.protocol == "transfer":
        parts = [("transfer", samples, test_samples)]
    else:
        parts = [("all", samples, [])]
    for name, train, test in parts:
        splits.check(train, test, groups)
        yield name, train, test
