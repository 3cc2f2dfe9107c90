"""What is wrong with a data set before anybody trains on it? Copies, conflicting labels, burnt-in markers, sizes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from train.datasets import Sample
from train.duplicates import Pair, conflicts, connected_components, find_pairs, members
from train.markers import marker_mask

MOST_PAIRS = 24
"""The contact sheet shows no more pairs than this."""


def audit(samples: Sequence[Sample]) -> tuple[dict[str, Any], list[Pair]]:
    """The findings, fit for JSON, and every pair of near copies, the most alike first.

    ``groups`` are the groups of two or more near copies, ``exact`` and ``mirrored`` the pairs that are identical or
    mirrored, ``conflicts`` the groups with more than one label, ``markers`` and ``colour`` the pictures with ink or
    colour in them. Pictures are named DATASET/NAME. Raises DataError for a picture or mask that cannot be decoded.
    """
    greys = []
    for sample in track(samples, description="reading", transient=True):
        greys.append(sample.grey())
        sample.lesion()  # raises if a mask cannot be decoded
    pairs = find_pairs(greys)
    numbers = connected_components(len(samples), [(pair.first, pair.second) for pair in pairs])
    groups = {sample: str(number) for sample, number in zip(samples, numbers, strict=True)}
    sides = np.array([grey.shape for grey in greys])
    findings: dict[str, object] = {
        "n": len(samples),
        "labels": dict(Counter(sample.label for sample in samples)),
        "patients": len({sample.person for sample in samples} - {None}) or None,
        "groups": [[_name(sample) for sample in group] for group in members(samples, groups) if len(group) > 1],
        "exact": [[_name(samples[p.first]), _name(samples[p.second])] for p in pairs if p.exact],
        "mirrored": [[_name(samples[p.first]), _name(samples[p.second])] for p in pairs if p.mirrored],
        "conflicts": [[_name(sample) for sample in conflict] for conflict in conflicts(samples, groups)],
        "markers": [_name(s) for s, grey in zip(samples, greys, strict=True) if marker_mask(grey).any()],
        "colour": [_name(sample) for sample in samples if has_colour(sample.image)],
        "sizes": {
            "different": len(np.unique(sides, axis=0)),
            "smallest": [int(v) for v in sides.min(axis=0)[::-1]],
            "largest": [int(v) for v in sides.max(axis=0)[::-1]],
        },
    }
    return findings, pairs


def has_colour(path: Path) -> bool:
    """Whether a picture has a colour overlay (Doppler, coloured callipers): at least 20 clearly saturated pixels."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return image is not None and int((image.max(axis=2).astype(int) - image.min(axis=2) > 60).sum()) >= 20


def contact_sheet(samples: Sequence[Sample], pairs: Sequence[Pair], path: Path) -> None:
    """Write a picture with pairs side by side, at most MOST_PAIRS: first those with two labels, then the most alike."""
    worst = sorted(pairs, key=lambda p: (samples[p.first].label == samples[p.second].label, -p.correlation))
    cells = []
    for pair in worst[:MOST_PAIRS]:
        both = []
        for index in (pair.first, pair.second):
            cell = cv2.resize(samples[index].grey(), (200, 160))
            cv2.rectangle(cell, (0, 142), (200, 160), 0, -1)
            cv2.putText(cell, samples[index].name, (4, 155), cv2.FONT_HERSHEY_PLAIN, 0.9, 255)
            both.append(cell)
        cells.append(np.pad(np.hstack(both), 4))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % 3)
    sheet = np.vstack([np.hstack(cells[row : row + 3]) for row in range(0, len(cells), 3)])
    cv2.imencode(path.suffix or ".png", sheet)[1].tofile(path)


def _name(sample: Sample) -> str:
    return f"{sample.dataset}/{sample.name}"
