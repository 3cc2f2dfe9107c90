"""Is this a picture that we may judge? If not, it gets a state and a reason, and the network never sees it.

All checks look at the same pixels of the scan area, as ``sampled``. Each threshold lies between what was measured on
real B-mode stills and on pictures that must be refused; `python -m benchmarks.gates` counts how many of each it
refuses, and why.
"""

from collections import deque
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.stacked import LIT, are_stacked, sampled
from stream.types import Frame, NotAnalysed, ScanArea, State
from stream.words import is_page

FLAT = 8.0
"""A picture whose brightness has a smaller standard deviation is empty. The least of 2,655 real stills: 15."""

SMOOTH, NOISE = 0.022, 1.4
"""A scan has speckle: its brightness steps from each lit sample to the next. A picture has none if the mean step is
below SMOOTH times the mean brightness, or below NOISE grey levels: that may be only the noise of a capture card. Least
of the real stills: 0.038, and 1.5 levels at half their gain. Most of any test pattern: 0.020."""

UPRIGHT = 0.9
"""Layers and speckle lie across the beam, so brightness changes faster downwards than sideways. If the mean step down,
divided by the mean step sideways, is below this, the picture lies on its side. Least of 2,818 real stills: 1.21; most
of the same stills rotated by 90 degrees: 0.81."""

COLOURED = 48
"""A sample is coloured if the largest and the least of its R, G and B differ by this much or more."""

COLOUR_SHARE = 0.01
"""If this share of the samples is coloured, it is Doppler or elastography, and not just the scanner's small marks. The
lines of a biopsy guide or an outline may reach it too: an opening that removes them removes thin vessels as well."""

RIM = 32
"""Colour is not looked for within 1/RIM of the longer side from the edge: there a coloured bar of the screen may touch
the scan."""

TINT_LEVEL, TINT_STEP = 16, 24
"""Scanners may tint their grey (sepia, candle, blue), so that each brightness has one colour. From black on, R - G and
B - G of a tint change by at most TINT_STEP for every TINT_LEVEL of green. A vessel's colour breaks this at once."""

DEEP, DEEP_SHARE = 24, 0.06
"""If fewer than this share of the samples below the upper quarter are brighter than DEEP, the probe is in air. The
least of the real stills: 0.108."""

GAP_SHARE = 0.01
"""A black gap near the middle of this share of the width separates two pictures. The real stills have none."""

SEAM = 1.7
SEAM_ROWS = 0.25
SEAM_REACH = 9
"""Two pictures touch at a column if brightness steps SEAM times as far there as at any of the SEAM_REACH columns on
either side, and visibly so in SEAM_ROWS of the rows of each third, upper, middle and lower. A line one sample wide does
not count: it may be a calliper's. 1 of 2,818 real stills has such a seam, and 91 of 100 pairs of stills."""

LEAST_ROWS, LEAST_COLUMNS = 20, 100
"""With fewer lit rows, or fewer columns, no seam is looked for."""

FREEZE_S = 1.0
"""A picture is frozen once nothing new has come for this long. A slow probe repeats its pictures for 0.1 s."""

SAME = 1.0
"""Two pictures whose brightness differs by at most this on average are the same but for noise. In a second a real scan
changes by 8."""

KEPT = 8
"""How many pictures are remembered. A grabber without input repeats its four buffers."""

CELLS_PX = (64, 48)
"""Width and height of the grid on which pictures are compared: a cell averages away the noise of its samples."""

NO_PICTURE = NotAnalysed("the picture is empty", state=State.NO_SIGNAL)
NO_TEXTURE = NotAnalysed("a test pattern or a menu, without the texture of a scan", state=State.NO_SIGNAL)
COLOUR = NotAnalysed("a colour mode, or coloured lines over the scan: only B-mode is judged")
TWO_PICTURES = NotAnalysed("two pictures side by side: choose one as scan area")
STACKED = NotAnalysed("two pictures one above the other: choose one as scan area")
ON_ITS_SIDE = NotAnalysed("the picture lies on its side: rotate it by 90 degrees")
AIR = NotAnalysed("nothing below the surface: is the probe in contact?")
FROZEN = NotAnalysed("the picture does not move: the scanner is frozen or the feed is dead", state=State.FROZEN)
RECYCLED = NotAnalysed(
    "the same few pictures again and again: the capture card has no input, or a very short loop", state=State.FROZEN
)


class SignalGate:
    """The gates of one stream. ``still`` says that its pictures need not move: a folder of them, or a single one.

    Another ``Frame.source`` is another recording: it may begin with the picture that ended the last one.
    """

    def __init__(self, *, still: bool = False) -> None:
        self._still = still
        self._motion, self._source = Motion(), ""

    def refusal(self, frame: Frame, area: ScanArea) -> NotAnalysed | None:
        """Why the scan area of this frame, which lies in it, must not be judged, or None if it may. Frames come in
        order."""
        if frame.source != self._source:
            self._motion, self._source = Motion(), frame.source
        rgb = frame.rgb[area.pixels]
        samples = sampled(rgb)
        unfit = refusal_of_picture(samples)
        return self._motion.refusal(samples, frame.pts_s) if unfit is None and not self._still else unfit


def is_empty(frame: Frame) -> bool:
    """Whether the whole picture is of one brightness, as that of a screen that is off."""
    return _is_flat(sampled(frame.rgb[..., 1]))


def refusal_of_picture(rgb: NDArray[np.uint8]) -> NotAnalysed | None:
    """Why one picture, uint8 [H, W, 3], cannot be a B-mode scan, or None if it can."""
    red, green, blue = cv2.split(rgb)
    levels = cv2.calcHist([green], [0], None, [256], [0, 256]).ravel()
    if is_page(levels, LIT, shades=2):  # a list may shade every other row
        return NO_TEXTURE
    if _is_flat(green):
        return NO_PICTURE
    lit = (green > LIT).view(np.uint8)
    across = _mean_step(green[:, 1:], green[:, :-1], lit[:, 1:], lit[:, :-1])
    if across < max(SMOOTH * cv2.mean(green, lit)[0], NOISE):
        return NO_TEXTURE
    height, width = green.shape
    rim = min(max(height, width) // RIM, min(height, width) // 8)
    inner = np.s_[rim : height - rim, rim : width - rim]
    colour = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))[inner]
    if np.count_nonzero(colour >= COLOURED) >= COLOUR_SHARE * colour.size:
        off_tint = beside_tint(rgb[inner][::2, ::2])
        if np.count_nonzero(off_tint >= COLOURED) >= COLOUR_SHARE * off_tint.size:
            return COLOUR
    if has_gap(lit) or has_seam(np.asarray(green, np.uint8)):
        return TWO_PICTURES
    if are_stacked(np.asarray(green, np.uint8)):
        return STACKED
    if _mean_step(green[1:], green[:-1], lit[1:], lit[:-1]) < UPRIGHT * across:
        return ON_ITS_SIDE
    deep = green[len(green) // 4 :]
    if np.count_nonzero(deep > DEEP) < DEEP_SHARE * deep.size:
        return AIR
    return None


def _is_flat(green: Any) -> bool:
    return bool(cv2.meanStdDev(green)[1].item() < FLAT)


def beside_tint(rgb: NDArray[np.uint8]) -> NDArray[np.int16]:
    """How far the colour of each sample, uint8 [H, W, 3], is from the tint of its brightness; int16 [H * W]."""
    red, green, blue = rgb.reshape(-1, 3).T.astype(np.int16)
    off_green = np.stack((red - green, blue - green))
    level = green // TINT_LEVEL
    count = np.bincount(level)
    ordered = np.sort(level * 512 + off_green + 255)  # by level, then by what is off green
    medians = ordered[:, np.cumsum(count) - (count + 1) // 2] % 512 - 255
    tints, tint = np.zeros_like(medians), np.zeros(2, np.int16)
    for each in np.flatnonzero(count):
        tints[:, each] = tint = np.clip(medians[:, each], tint - TINT_STEP, tint + TINT_STEP)
    off_tint = off_green - tints[:, level]
    return np.asarray(off_tint.max(axis=0).clip(min=0) - off_tint.min(axis=0).clip(max=0), np.int16)


def _mean_step(one: Any, other: Any, lit: NDArray[np.uint8], other_lit: NDArray[np.uint8]) -> float:
    """From a sample of ``one`` to its neighbour in ``other``, all [H, W], where both are lit."""
    return float(cv2.mean(cv2.absdiff(one, other), cv2.bitwise_and(lit, other_lit))[0])


def has_gap(lit: NDArray[np.uint8]) -> bool:
    """Whether a black gap from top to bottom, near the middle, separates two pictures; ``lit`` [H, W] is 1 or 0."""
    width = lit.shape[1]
    columns = lit.mean(axis=0)
    middle = slice(round(0.4 * width), round(0.6 * width))
    beside = min(columns[: middle.start].mean(), columns[middle.stop :].mean()) if width >= 10 else 0.0
    return bool(beside > 0.25 and np.count_nonzero(columns[middle] < 0.03) >= max(2, GAP_SHARE * width))


def has_seam(grey: NDArray[np.uint8]) -> bool:
    """Whether two pictures touch in a column near the middle; ``grey`` is uint8 [H, W]."""
    width = grey.shape[1]
    if width < LEAST_COLUMNS:
        return False
    left, here, right = grey[:, :-2], grey[:, 1:-1], grey[:, 2:]
    even = cv2.max(cv2.min(left, here), cv2.min(cv2.max(left, here), right))  # the median of three: lines are gone
    steps, lit = cv2.absdiff(even[:, 1:], even[:, :-1]), cv2.max(even[:, 1:], even[:, :-1]) > LIT
    of_column = (steps * lit).sum(axis=0) / np.maximum(lit.sum(axis=0), LEAST_ROWS)
    first = round(0.4 * width)
    seam = first + int(np.argmax(of_column[first : round(0.6 * width)]))
    beside = np.r_[seam - SEAM_REACH : seam - 1, seam + 2 : seam + SEAM_REACH + 1]
    if of_column[seam] <= SEAM * max(float(of_column[beside].max()), 1.0):
        return False
    rows = steps[lit[:, seam]]
    clear = rows[:, seam] > 1.5 * rows[:, beside].mean(axis=1) + 2
    return len(clear) >= LEAST_ROWS and all(third.mean() > SEAM_ROWS for third in np.array_split(clear, 3))


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of two pictures on the grid, on average over the cells that are lit in either: black has nothing to move."""
    lit = np.maximum(one, other) > LIT
    return float(np.abs(one - other)[lit].mean()) if lit.any() else 0.0


class Motion:
    """Does a stream still bring new pictures? Remembers the last KEPT that differed from one another."""

    def __init__(self) -> None:
        self._known: deque[NDArray[np.float32]] = deque(maxlen=KEPT)
        self._new_s = 0.0  # when the newest of them came
        self._repeated: set[int] = set()  # those that came again since, by their places in the deque

    def refusal(self, rgb: NDArray[np.uint8], time_s: float) -> NotAnalysed | None:
        """FROZEN or RECYCLED once nothing new has come for FREEZE_S; ``rgb`` is uint8 [H, W, 3], time only rises."""
        cells = cv2.resize(rgb[..., 1], CELLS_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
        differences = [difference(cells, known) for known in self._known]
        if not differences or min(differences) > SAME or time_s < self._new_s:
            self._known.append(cells)
            self._new_s = time_s
            self._repeated.clear()
            return None
        self._repeated.add(int(np.argmin(differences)))
        if time_s - self._new_s < FREEZE_S:
            return None
        return FROZEN if len(self._repeated) == 1 else RECYCLED
