"""Which pictures of a data set are the same picture? Exact copies are found by their pixels, near copies (mirrored ones
too) by perceptual hash and correlation. Near copies on both sides of a split are a leak; with two labels they are a
conflict."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from train.datasets import Sample

THUMBNAIL_PX = 64
"""Pictures are correlated (Pearson) as thumbnails with this side."""

MOST_BITS = 20
"""In a pair of near copies at most this many of the 64 bits of the perceptual hash (DCT, Zauner 2010) differ, and the
correlation is above LEAST_CORRELATION."""

LEAST_CORRELATION = 0.93
"""The highest value that keeps each of 127 published groups of BUSI in one piece."""

SAME_VIEW_BITS = 8
LEAST_SAME_VIEW_CORRELATION = 0.85
"""Where the hashes are as close as SAME_VIEW_BITS, this correlation is enough: callipers or a shifted crop can lower it
so far between two pictures of one view. Of the pairs of BUSI that this adds, the nine below 0.915 were inspected: each
is one view. BUS-BRA has no such pair."""


@dataclass(frozen=True)
class Pair:
    """Two near copies, by their indices. ``mirrored`` says whether one had to be mirrored to match the other best,
    ``correlation`` (-1..1) how well it then does, and ``exact`` whether all pixels are the same."""

    first: int
    second: int
    correlation: float
    mirrored: bool
    exact: bool


def find_pairs(greys: Sequence[NDArray[np.uint8]]) -> list[Pair]:
    """Every pair of near copies among uint8 [H, W] pictures, most alike first."""
    if len(greys) < 2:
        return []
    mirrored = [np.ascontiguousarray(grey[:, ::-1]) for grey in greys]
    thumbnails, hashes = _thumbnails(greys), _hashes(greys)
    digests = [hashlib.sha256(grey.tobytes() + str(grey.shape).encode()).digest() for grey in greys]
    others = ((thumbnails, hashes, False), (_thumbnails(mirrored), _hashes(mirrored), True))
    pairs = []
    for other_thumbnails, other_hashes, is_mirrored in others:
        correlation = thumbnails @ other_thumbnails.T
        bits = cdist(hashes, other_hashes, "cityblock")
        alike = (bits <= MOST_BITS) & (correlation > LEAST_CORRELATION)
        same_view = (bits <= SAME_VIEW_BITS) & (correlation > LEAST_SAME_VIEW_CORRELATION)
        for i, j in zip(*np.nonzero(np.triu(alike | same_view, k=1)), strict=True):
            pairs.append(Pair(int(i), int(j), float(correlation[i, j]), is_mirrored, digests[i] == digests[j]))
    best = {(pair.first, pair.second): pair for pair in sorted(pairs, key=lambda pair: pair.correlation)}
    return sorted(best.values(), key=lambda pair: -pair.correlation)


def connected_components(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """For each of ``count`` indices the number of its group: those that a chain of ``links`` connects share one.

    The number is the index of one of the group's members. Through ``groups_of`` it decides into which fold the group is
    dealt, so groups that are numbered differently, as by scipy, give other folds than those of docs/results.
    """
    leader = list(range(count))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first, second in links:
        leader[find(second)] = find(first)
    return [find(index) for index in range(count)]


def groups_of(samples: Sequence[Sample]) -> dict[Sample, str]:
    """The name of the group that every sample belongs to. Pictures of one patient and near copies, also those in other
    data sets, are in one group: a split must not separate them."""
    by_patient: dict[tuple[str, str], list[int]] = {}
    names, count = [], Counter[str]()
    for index, sample in enumerate(samples):
        names.append(f"{sample.dataset}-{count[sample.dataset]}")
        count[sample.dataset] += 1
        if sample.person is not None:
            by_patient.setdefault(sample.person, []).append(index)
    links = [(pair.first, pair.second) for pair in find_pairs([sample.grey() for sample in samples])]
    links += [link for of_patient in by_patient.values() for link in pairwise(of_patient)]
    numbers = connected_components(len(samples), links)
    return {sample: names[number] for sample, number in zip(samples, numbers, strict=True)}


def bootstrap_groups(samples: Sequence[Sample]) -> list[str]:
    """A name for each sample; ``metrics.bootstrap`` draws the samples of one name together.

    It is the sample's patient. Where the data set names none, it is the patient of a near copy, or if none has one, the
    name of the first picture of the group.
    """
    groups, names = groups_of(samples), dict[str, str]()
    for sample in sorted(samples, key=lambda sample: sample.patient is None):
        names.setdefault(groups[sample], sample.patient or sample.name)
    return [sample.patient or names[groups[sample]] for sample in samples]


def members(samples: Sequence[Sample], groups: Mapping[Sample, str]) -> list[list[Sample]]:
    """The samples of each group, in the order of ``samples``."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(groups[sample], []).append(sample)
    return list(found.values())


def conflicts(samples: Sequence[Sample], groups: Mapping[Sample, str]) -> list[list[Sample]]:
    """The groups in which near copies have different labels. A patient's own pictures may: they can show two
    lesions."""
    return [
        group
        for group in members(samples, groups)
        if any(a.label != b.label and (a.person is None or a.person != b.person) for a, b in combinations(group, 2))
    ]


def _thumbnails(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Unit vectors with zero mean, float32 [N, THUMBNAIL_PX * THUMBNAIL_PX]: the product of two is a correlation."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    rows = np.stack([cv2.resize(grey, side, interpolation=cv2.INTER_AREA).ravel() for grey in greys], dtype=np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def _hashes(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """The perceptual hashes, bool [N, 64]."""
    return np.stack([imagehash.phash(Image.fromarray(grey)).hash.ravel() for grey in greys])
