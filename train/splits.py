"""Which pictures train and which test? Near copies and patients stay on one side; the external set never trains."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from train.datasets import Sample
from train.duplicates import conflicts
from train.errors import DataError, LeakError

Groups = Mapping[Sample, str]
"""The name of each sample's group (``duplicates.groups_of``), which no split may separate."""

Split = tuple[list[Sample], list[Sample]]
"""The samples to train on, and those to test on."""

FOLDS = 5
TRAIN_SHARE = 0.7
"""The share of the pictures on which the paper's split, and its leak-free twin, train."""


def without_conflicts(samples: Sequence[Sample], groups: Groups) -> list[Sample]:
    """The samples without those that have a near copy with another label: one of the labels is wrong, and nobody knows
    which."""
    dropped = {sample for group in conflicts(samples, groups) for sample in group}
    return [sample for sample in samples if sample not in dropped]


def folds(samples: Sequence[Sample], groups: Groups, seed: int = 0) -> Iterator[Split]:
    """FOLDS splits (train, test), in which every sample is tested once.

    A sample with an official fold keeps it; the others are dealt by whole groups, stratified by label. Raises DataError
    for an official fold that is not one of 1..FOLDS.
    """
    numbers = range(1, FOLDS + 1)
    fold_of = {sample: sample.fold for sample in samples if sample.fold is not None}
    if strange := [sample for sample in fold_of if sample.fold not in numbers]:
        raise DataError(
            f"{strange[0].dataset} has a fold {strange[0].fold}. Expected 1 to {FOLDS}, or it is never tested."
        )
    rest = [sample for sample in samples if sample.fold is None]
    if rest:
        for number, part in zip(numbers, _deal(rest, groups, FOLDS, seed), strict=True):
            fold_of |= {rest[index]: number for index in part}
    for number in numbers:
        yield [s for s in samples if fold_of[s] != number], [s for s in samples if fold_of[s] == number]


def random_split(samples: Sequence[Sample], seed: int) -> Split:
    """The paper's split (train, test): by picture, stratified by label. It ignores near copies, so it leaks; ``leaked``
    says how much."""
    labels = [sample.label for sample in samples]
    with _too_few_as_data_error(samples):
        train, test = train_test_split(
            np.arange(len(samples)), train_size=TRAIN_SHARE, stratify=labels, random_state=seed
        )
    return [samples[i] for i in sorted(train)], [samples[i] for i in sorted(test)]


def group_split(samples: Sequence[Sample], groups: Groups, seed: int) -> Split:
    """The leak-free twin of ``random_split``: the samples are dealt into tenths by whole groups, stratified by label,
    and the first three tenths are tested."""
    tenths = list(_deal(samples, groups, 10, seed))
    tested = {index for tenth in tenths[: round(10 * (1 - TRAIN_SHARE))] for index in tenth}
    return (
        [s for i, s in enumerate(samples) if i not in tested],
        [s for i, s in enumerate(samples) if i in tested],
    )


def _deal(samples: Sequence[Sample], groups: Groups, count: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """The indices of the samples in each of ``count`` parts: whole groups, stratified by label."""
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    labels, names = [sample.label for sample in samples], [groups[sample] for sample in samples]
    with _too_few_as_data_error(samples):
        yield from (part for _, part in splitter.split(samples, labels, names))


@contextmanager
def _too_few_as_data_error(samples: Sequence[Sample]) -> Iterator[None]:
    """Raises DataError where scikit-learn raises ValueError."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{len(samples)} pictures are too few to split: {error}") from error


def leaked(train: Sequence[Sample], test: Sequence[Sample], groups: Groups) -> list[Sample]:
    """The test samples that have a near copy, or another picture of their patient, in training."""
    seen = {groups[sample] for sample in train}
    return [sample for sample in test if groups[sample] in seen]


def require_no_leak(train: Sequence[Sample], test: Sequence[Sample], groups: Groups) -> None:
    """Raises LeakError if a group is on both sides of the split, or an external sample is trained on.

    ``groups`` must hold every sample.
    """
    for sample in train:
        if sample.external:
            raise LeakError(
                f"{sample.dataset}/{sample.name} is external, as its labels.csv has no column patient: "
                "it must never be trained, tuned or selected on"
            )
    crossing = leaked(train, test, groups)
    if crossing:
        names = ", ".join(f"{sample.dataset}/{sample.name}" for sample in crossing[:3])
        raise LeakError(f"{len(crossing)} test pictures have a near copy or their patient in training: {names} …")
