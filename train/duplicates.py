"""Which pictures of a data set are the same picture? Exact copies by their pixels, near copies by perceptual hash and
correlation, mirrored ones too. Near copies on both sides of a split are a leak; with two labels they are a conflict."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from train.datasets import Sample

SIDE_PX = 64
MOST_BITS = 20
"""Of the 64 bits of the perceptual hash (DCT, Zauner 2010): a coarse sieve before the correlation decides."""

LEAST_CORRELATION = 0.93
"""Pearson, of the pictures at SIDE_PX. The highest that keeps each of 127 published groups of BUSI in one piece."""

SAME_VIEW_BITS = 8
LEAST_SAME_VIEW_CORRELATION = 0.85
"""Within 8 bits, callipers or a shifted crop can pull one view's correlation down to 0.85. The nine such pairs of BUSI
below 0.915 were looked at: each is one view. BUS-BRA has none."""


@dataclass(frozen=True)
class Pair:
    """Two pictures by their index; ``correlation`` -1..1 of the better of plain and ``mirrored``."""

    first: int
    second: int
    correlation: float
    mirrored: bool
    exact: bool


def find_pairs(greys: Sequence[NDArray[np.uint8]]) -> list[Pair]:
    """Every pair of near copies among uint8 [H, W] pictures, most alike first."""
    if len(greys) < 2:
        return []
    plain, mirrored = _thumbs(greys), _thumbs([grey[:, ::-1] for grey in greys])
    hashes, mirrored_hashes = _hashes(greys), _hashes([grey[:, ::-1] for grey in greys])
    digests = [
        hashlib.sha256(np.ascontiguousarray(grey).tobytes() + str(grey.shape).encode()).digest() for grey in greys
    ]
    pairs = []
    for other, other_hashes, flipped in ((plain, hashes, False), (mirrored, mirrored_hashes, True)):
        correlation = plain @ other.T
        bits = cdist(hashes, other_hashes, "cityblock")
        alike = (bits <= MOST_BITS) & (correlation > LEAST_CORRELATION)
        same_view = (bits <= SAME_VIEW_BITS) & (correlation > LEAST_SAME_VIEW_CORRELATION)
        found = np.triu(alike | same_view, k=1)
        for i, j in zip(*np.nonzero(found), strict=True):
            pairs.append(Pair(int(i), int(j), float(correlation[i, j]), flipped, digests[i] == digests[j]))
    best: dict[tuple[int, int], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.correlation):
        best[pair.first, pair.second] = pair
    return sorted(best.values(), key=lambda pair: -pair.correlation)


def group(count: int, pairs: Sequence[Pair]) -> list[int]:
    """A group number for each of ``count`` pictures: those that a chain of pairs connects share one."""
    leader = list(range(count))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for pair in pairs:
        leader[find(pair.second)] = find(pair.first)
    return [find(index) for index in range(count)]


def groups_of(samples: Sequence[Sample]) -> dict[Sample, str]:
    """A group for every sample: its patient where known, joined with whatever is a near copy, in whichever data set."""
    pairs = find_pairs([sample.grey() for sample in samples])
    by_patient: dict[tuple[str, str], list[int]] = {}
    names, count = [], Counter[str]()
    for index, sample in enumerate(samples):
        names.append(f"{sample.dataset}-{count[sample.dataset]}")
        count[sample.dataset] += 1
        if sample.person is not None:
            by_patient.setdefault(sample.person, []).append(index)
    pairs += [
        Pair(first, second, 1.0, mirrored=False, exact=False)
        for members in by_patient.values()
        for first, second in pairwise(members)
    ]
    leaders = group(len(samples), pairs)
    return {sample: names[leader] for sample, leader in zip(samples, leaders, strict=True)}


def drawn_together(samples: Sequence[Sample]) -> list[str]:
    """Whom a bootstrap must draw as one: a picture's patient or, where none is named, that of a near copy, or the first
    of its near copies where no copy has one either.
    """
    groups, whom = groups_of(samples), dict[str, str]()
    for sample in sorted(samples, key=lambda sample: sample.patient is None):
        whom.setdefault(groups[sample], sample.patient or sample.name)
    return [sample.patient or whom[groups[sample]] for sample in samples]


def conflicts(samples: Sequence[Sample], groups: Mapping[Sample, str]) -> list[list[Sample]]:
    """The groups whose members carry different labels, patients' own several lesions aside."""
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        members.setdefault(groups[sample], []).append(sample)
    return [
        group
        for group in members.values()
        if any(a.label != b.label and (a.person is None or a.person != b.person) for a, b in combinations(group, 2))
    ]


def _thumbs(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Unit vectors with zero mean, float32 [N, SIDE_PX * SIDE_PX], so that a product is a correlation."""
    rows = [
        cv2.resize(np.ascontiguousarray(g), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).ravel() for g in greys
    ]
    thumbs = np.stack(rows).astype(np.float32)
    thumbs -= thumbs.mean(axis=1, keepdims=True)
    return np.asarray(thumbs / np.maximum(np.linalg.norm(thumbs, axis=1, keepdims=True), 1e-6), np.float32)


def _hashes(greys: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    return np.stack([imagehash.phash(Image.fromarray(np.ascontiguousarray(grey))).hash.ravel() for grey in greys])
