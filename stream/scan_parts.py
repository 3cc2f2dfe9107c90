"""Which of the lit parts of a screen are the scan? The largest one that is no page of words, and what belongs to it."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from stream.panels import BLUR_PX, Slices
from stream.stacked import are_stacked, sampled
from stream.types import Span
from stream.words import is_lettering, is_page

LETTER_SHARE = 0.01
"""Whatever is thinner than this share of the longer side is not scan but letters, scales and callipers."""

PAGE_LEVEL = 24
"""A page of words, or a menu, has at least this grey level."""

PAGE_RIVAL = 0.1
"""A scan may be smaller than a page beside it, but not smaller than this share of the page."""

ALIGNED = 0.8
"""Parts stand side by side, or one above the other, if they have this share of their rows, or columns, in common."""

TWIN_SHARE = 0.6
"""A part beside the largest one is a second picture if it has this share of its area. It is included, so that
``stream.signal`` refuses the two: nobody knows which one is meant."""

STRIP_SHARE = 0.2
"""So is a part above or below the largest one, if it has this share of its area and the two ``are_stacked``. An M-mode
strip is flat, and may be wider than the scan: only the columns in common are included, as a name may stand beside the
narrower one."""

PART_SHARE = 0.02
"""A part above or below the largest one that has more than this share of its area belongs to the same scan, beyond a
dark stretch without echoes, unless it ``is_apart``."""

FILLED = 0.9
"""A thumbnail fills at least this share of its box; the part of a scan that lies beyond a shadow is ragged. In 2,600
real stills, as they are and on a screen, 121 parts lay apart, and ``is_apart`` makes 34 areas smaller. Of 15 that were
inspected, 10 lose a burnt-in caption, the others noise or a few rows of tissue."""

BAR_RATIO = 4
BAR_SHARE = 0.35
BAR_SHADE = 2
"""A shaded bar with words on it is at least BAR_RATIO times as wide as high, and BAR_SHARE of its pixels are within
BAR_SHADE grey levels of the median of their row."""


class Part(NamedTuple):
    """A connected part of what is lit: its number, the box around it, and how many pixels it has."""

    number: int
    rows: Span
    columns: Span
    area: int

    @property
    def box(self) -> Slices:
        """To cut it from the picture."""
        return slice(*self.rows), slice(*self.columns)


def scan_of(lit: NDArray[np.uint8], raw: MatLike) -> tuple[Slices, NDArray[np.uint8]] | None:
    """What is scan in ``lit`` [H, W]: the box around it, down and across, and an array that is 1 there. Words, and what
    lies apart, are recognised in ``raw``, grey."""
    side = max(3, round(LETTER_SHARE * max(raw.shape))) | 1  # odd: an even one moves what it opens by a pixel
    solid = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    if is_lettering(cv2.calcHist([raw], [0], solid, [256], [0, 256]).ravel(), PAGE_LEVEL):
        return None
    labels, parts = connected(solid)
    rivals = [part for part in parts if part.area >= PAGE_RIVAL * parts[0].area]
    first = next((part for part in rivals if not is_words(part, labels, raw)), None)
    if first is None:
        return None
    rows, columns = first.rows, first.columns
    is_scan = np.zeros(len(parts) + 1, np.uint8)  # by the number of the part
    is_scan[first.number] = 1
    for part in parts:
        if part is first:
            continue
        share, common = part.area / first.area, columns.common(part.columns)
        all_rows, all_columns = rows.around(part.rows), columns.around(part.columns)
        twin = share >= TWIN_SHARE and are_aligned(rows, part.rows)
        strip = share >= STRIP_SHARE and are_aligned(columns, part.columns)
        stacked = strip and are_stacked(sampled(raw[slice(*all_rows), slice(*all_columns)]))
        beyond = share >= PART_SHARE and common.length >= ALIGNED * part.columns.length  # not one that is wider
        joins = twin or stacked or (beyond and not is_apart(part, parts, labels, raw))
        if joins and not is_words(part, labels, raw):
            rows, columns = all_rows, common if stacked else all_columns
            is_scan[part.number] = 1
    return (slice(*rows), slice(*columns)), is_scan[labels]


def connected(solid: MatLike) -> tuple[MatLike, list[Part]]:
    """The connected parts of what is not 0 in ``solid`` [H, W], the largest first; and an array of their numbers."""
    _, labels, found, _ = cv2.connectedComponentsWithStats(solid)
    boxes = enumerate(found[1:].tolist(), start=1)  # 0 is what is not lit
    parts = [Part(number, Span(y, y + down), Span(x, x + across), area) for number, (x, y, across, down, area) in boxes]
    return labels, sorted(parts, key=lambda part: -part.area)


def are_aligned(one: Span, other: Span) -> bool:
    """Whether the shorter one lies within the other, or nearly so."""
    return one.common(other).length >= ALIGNED * min(one.length, other.length)


def is_words(part: Part, labels: MatLike, raw: MatLike) -> bool:
    """Whether a part of ``raw`` [H, W], grey, is a page of words. ``labels`` [H, W] holds the parts' numbers."""
    own = labels[part.box][::2, ::2] == part.number
    return is_page(np.bincount(raw[part.box][::2, ::2][own], minlength=256), PAGE_LEVEL)


def is_apart(part: Part, parts: Sequence[Part], labels: MatLike, raw: MatLike) -> bool:
    """Whether a part of ``raw`` [H, W], grey, is words on a shaded bar, which may fade, or one of ``parts`` that are
    thumbnails. ``labels`` [H, W] holds the parts' numbers."""
    across, down = part.columns.length, part.rows.length
    in_a_row = [
        other
        for other in parts
        if abs(other.rows.begin - part.rows.begin) <= BLUR_PX and abs(other.rows.length - down) <= BLUR_PX
    ]
    if len(in_a_row) > 1 or part.area >= FILLED * across * down:
        return True
    if across < BAR_RATIO * down:
        return False
    own = labels[part.box] == part.number
    rows = np.where(own, raw[part.box].astype(np.float32), np.nan)
    even = np.abs(rows - np.nanmedian(rows, axis=1, keepdims=True))[own] <= BAR_SHADE
    return bool(even.mean() >= BAR_SHARE)
