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


class Place(NamedTuple):
    """A box in a picture."""

    rows: Span
    columns: Span

    @property
    def slices(self) -> Slices:
        """To cut it from the picture."""
        return slice(*self.rows), slice(*self.columns)

    def around(self, other: "Place") -> "Place":
        """The box around both."""
        return Place(self.rows.around(other.rows), self.columns.around(other.columns))


class Part(NamedTuple):
    """A connected part of what is lit: its number, the box around it, and how many pixels it has."""

    number: int
    place: Place
    area: int


class Lit(NamedTuple):
    """What is lit on a screen, without letters: its ``parts``, the largest first, an array [H, W] of their numbers, 0
    where nothing is lit, and the screen itself, ``raw``, grey [H, W]."""

    parts: Sequence[Part]
    labels: MatLike
    raw: MatLike


class Scan(NamedTuple):
    """The ``box`` around a scan, down and across, and an array [H, W] of the whole picture that is 1 where scan is."""

    box: Slices
    own: NDArray[np.uint8]


def scan_of(lit: NDArray[np.uint8], raw: MatLike) -> Scan | None:
    """What is scan in ``lit`` [H, W]. Words, and what lies apart, are recognised in ``raw``, grey."""
    side = max(3, round(LETTER_SHARE * max(raw.shape))) | 1  # odd: an even one moves what it opens by a pixel
    solid = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    if is_lettering(cv2.calcHist([raw], [0], solid, [256], [0, 256]).ravel(), PAGE_LEVEL):
        return None
    screen = connected(solid, raw)
    rivals = [part for part in screen.parts if part.area >= PAGE_RIVAL * screen.parts[0].area]
    first = next((part for part in rivals if not is_words(part, screen)), None)
    if first is None:
        return None
    place, is_scan = first.place, np.zeros(len(screen.parts) + 1, np.uint8)  # by the number of the part
    is_scan[first.number] = 1
    for part in screen.parts:
        wider = None if part is first else widened(place, part, first.area, screen)
        if wider is not None and not is_words(part, screen):
            place = wider
            is_scan[part.number] = 1
    return Scan(place.slices, is_scan[screen.labels])


def connected(solid: MatLike, raw: MatLike) -> Lit:
    """The connected parts of what is not 0 in ``solid`` [H, W], of a screen ``raw``, grey."""
    _, labels, found, _ = cv2.connectedComponentsWithStats(solid)
    boxes = enumerate(found[1:].tolist(), start=1)  # 0 is what is not lit
    parts = [
        Part(number, Place(Span(y, y + down), Span(x, x + across)), area)
        for number, (x, y, across, down, area) in boxes
    ]
    return Lit(sorted(parts, key=lambda part: -part.area), labels, raw)


def widened(place: Place, part: Part, first_area: int, screen: Lit) -> Place | None:
    """Where the scan lies if ``part`` belongs to what lies in ``place``, whose largest part has ``first_area`` pixels;
    None if it does not."""
    share, both = part.area / first_area, place.around(part.place)
    common = place.columns.common(part.place.columns)
    below = share >= STRIP_SHARE and are_aligned(place.columns, part.place.columns)
    if below and are_stacked(sampled(screen.raw[both.slices])):  # a second picture, above or below
        return Place(both.rows, common)
    if share >= TWIN_SHARE and are_aligned(place.rows, part.place.rows):  # a second picture beside it
        return both
    beyond = share >= PART_SHARE and common.length >= ALIGNED * part.place.columns.length  # not one that is wider
    return both if beyond and not is_apart(part, screen) else None


def are_aligned(one: Span, other: Span) -> bool:
    """Whether the shorter one lies within the other, or nearly so."""
    return one.common(other).length >= ALIGNED * min(one.length, other.length)


def is_words(part: Part, screen: Lit) -> bool:
    """Whether a part is a page of words."""
    box = part.place.slices
    own = screen.labels[box][::2, ::2] == part.number
    return is_page(np.bincount(screen.raw[box][::2, ::2][own], minlength=256), PAGE_LEVEL)


def is_apart(part: Part, screen: Lit) -> bool:
    """Whether a part is words on a shaded bar, which may fade, or one of several thumbnails."""
    rows, columns = part.place
    in_a_row = [
        other
        for other in screen.parts
        if abs(other.place.rows.begin - rows.begin) <= BLUR_PX and abs(other.place.rows.length - rows.length) <= BLUR_PX
    ]
    if len(in_a_row) > 1 or part.area >= FILLED * columns.length * rows.length:
        return True
    if columns.length < BAR_RATIO * rows.length:
        return False
    box = part.place.slices
    own = screen.labels[box] == part.number
    grey = np.where(own, screen.raw[box].astype(np.float32), np.nan)
    even = np.abs(grey - np.nanmedian(grey, axis=1, keepdims=True))[own] <= BAR_SHADE
    return bool(even.mean() >= BAR_SHARE)
