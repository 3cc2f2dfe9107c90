"""What on a scanner's screen is a panel or a bar, and not the scan? A name may be on it."""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

Slices = tuple[slice, slice]
"""Rows and columns."""

TOP, RIGHT, BOTTOM, LEFT = SIDES = range(4)
"""Each is the number of quarter turns that bring this side of a picture up, so that its rows can be looked at."""

BLUR_PX = 5
"""Side of the averaging box: speckle becomes solid, and the scan's edge moves out by less than half of it."""

STEP = 6
"""After blurring, even a scan's darkest parts differ from the screen around it by more grey levels than this."""

PANEL_SHARE = 0.05
PANEL_INSIDE = 0.01
PANEL_TEXTURE = 0.02
"""A brightness is a panel's, not the scan's, if its even pixels (deviating by PANEL_TEXTURE grey levels at most) are
PANEL_SHARE of the picture, and PANEL_INSIDE of the box around what was found. Letters give texture to the panel around
them; without this, two lines right above the scan would join it, and a name with them. The area changes on 1 of 2,818
real stills, and on 2 of 940 enlarged to 800 px: what it loses is dark and even, below the echoes."""

STROKE_SHARE = 0.0085
"""A stroke of a letter is thinner than this share of the longer side."""

SHRUNK_PX = 640
"""Longer side at which a panel that fades or is noisy is looked for: there noise averages out."""

EVEN, EVEN_PX = 1.0, 9
"""Without its letters, a panel deviates from its blurred picture (a box of BLUR_PX a side) by at most EVEN grey levels,
on average over a box of EVEN_PX a side. So does 10 % of bright tissue."""

EVEN_ROW = 0.92
SCAN_ROW = 0.5
EDGE_PX = 4
"""At least EVEN_ROW of each of a panel's rows is even, and at most SCAN_ROW of the row EDGE_PX beyond them, where the
scan has begun. Tissue that darkens with depth has no such edge."""

DEEPEST = 0.4
"""A panel covers at most this share of a box: what is deeper may be a water bath above the skin. With all these rules
the area changes on none of 2,818 real stills, and on 1 of 940 enlarged to 800 px, by a caption below the echoes."""

INK, LETTERS_PX = 32, 12
"""A letter differs from the panel by INK grey levels. A panel with fewer than LETTERS_PX such pixels stays: it may be
scan, and shows nobody's name."""

LIGHT = 128
"""If the edges of a box are brighter than this, letters are dark."""

SMALLEST_PX = 60
"""No panel is looked for in a box with a shorter side."""

BAR_EDGE, BAR_EDGE_PX = 0.6, 2
"""A bar ends at a straight edge: BAR_EDGE of its last row differ by more than STEP from the row BAR_EDGE_PX beyond."""

BAR_EVEN, BAR_PARTS = 0.85, 4
"""Its last row has no letters: BAR_EVEN of it is within STEP of the median of its part, of BAR_PARTS side by side as it
may fade, and nothing differs from that by INK."""

BAR_DEPTH = 0.16
BAR_PX = 8
BAR_LETTERS_PX = 50
"""A bar is at most BAR_DEPTH of the picture deep, and at least BAR_PX: letters in less cannot be read. They have
BAR_LETTERS_PX pixels that differ by INK, and a row without any above them: the white of a scan's first rows has not.
With all these rules the area changes on none of 2,818 real stills, nor of 940 enlarged to 1280 or 1920 px, nor at half
the gain. At 1.8 times the gain 3 of 2,818 lose the white of their first rows."""


def between_bars(grey: NDArray[np.uint8]) -> Slices:
    """The part of a picture uint8 [H, W] that lies between the bars with letters along its edges."""
    within = np.s_[0 : grey.shape[0], 0 : grey.shape[1]]
    for side in SIDES:
        within = _without(within, side, _bar_rows(np.rot90(grey[within], side)))
    return within


def _without(box: Slices, side: int, px: int) -> Slices:
    """The box without so many of its rows, or columns, at one of its SIDES."""
    rows, columns = box
    if side == TOP:
        return slice(rows.start + px, rows.stop), columns
    if side == BOTTOM:
        return slice(rows.start, rows.stop - px), columns
    if side == LEFT:
        return rows, slice(columns.start + px, columns.stop)
    return rows, slice(columns.start, columns.stop - px)


def _bar_rows(grey: NDArray[np.uint8]) -> int:
    """How many rows at the top are bars with letters, which end at a straight edge. Few scans begin with one."""
    if min(grey.shape) < SMALLEST_PX:
        return 0
    rows = np.ascontiguousarray(grey[: round(BAR_DEPTH * len(grey)), : grey.shape[1] // BAR_PARTS * BAR_PARTS])
    edges = np.flatnonzero(_shares(cv2.absdiff(rows[BAR_EDGE_PX:], rows[:-BAR_EDGE_PX]) > STEP) >= BAR_EDGE)
    if not edges.size:
        return 0
    parts = rows[: edges[-1] + 1].reshape(-1, rows.shape[1] // BAR_PARTS)
    median = np.median(parts, axis=1, keepdims=True).astype(np.uint8)
    off = cv2.absdiff(parts, np.broadcast_to(median, parts.shape)).reshape(-1, rows.shape[1])
    even, ink = _shares(off <= STEP) >= BAR_EVEN, np.count_nonzero(off >= INK, axis=1)
    cut, after = 0, int(np.argmax(ink == 0))
    for end in edges + 1:
        plain = even[end - 1] and ink[end - 1] == 0
        if end >= BAR_PX and plain and ink[after:end].sum() >= BAR_LETTERS_PX:
            cut = after = int(end)
    return cut


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Which share of each row is true."""
    return np.asarray(cv2.reduce(mask.view(np.uint8), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel(), np.float32)


def even_panels(grey: NDArray[np.uint8], detail: MatLike, box: Slices) -> NDArray[np.bool_]:
    """Which of the 256 brightnesses are those of even panels that reach into a box.

    ``grey`` [H, W] is blurred, ``detail`` [H, W] is how far the picture deviates from that.
    """
    even = np.asarray(detail <= PANEL_TEXTURE).view(np.uint8)
    levels = np.flatnonzero(_histogram(grey, even) >= PANEL_SHARE)
    levels = levels[levels > STEP]  # black, or nearly so, is no panel
    if len(levels):
        levels = levels[_histogram(grey[box], even[box])[levels] >= PANEL_INSIDE]
    return np.asarray((np.abs(np.arange(256) - levels[:, None]) <= STEP).any(axis=0))


def _histogram(grey: MatLike, even: MatLike) -> NDArray[np.float32]:
    """For each brightness, the share of a picture that has it and is ``even``."""
    return np.asarray(cv2.calcHist([grey], [0], even, [256], [0, 256]).ravel() / grey.size, np.float32)


def between_panels(raw: MatLike, box: Slices) -> Slices:
    """The part of a box of ``raw``, grey uint8 [H, W], that lies between the panels with letters at its sides.

    These may fade or be noisy: without the strokes of its letters a panel is even, and a scan is not.
    """
    down, across = (slice(side.start + BLUR_PX, side.stop - BLUR_PX) for side in box)  # a blurred edge is not even
    part = raw[down, across]
    if min(part.shape) < SMALLEST_PX:
        return box
    if np.median(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])) > LIGHT:
        part = cv2.bitwise_not(part)
    stroke = max(3, round(STROKE_SHARE * max(raw.shape))) | 1
    plain = cv2.morphologyEx(part, cv2.MORPH_OPEN, np.ones((stroke, stroke), np.uint8))
    shrink = min(1, SHRUNK_PX / max(raw.shape))
    small, without = (cv2.resize(of, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) for of in (part, plain))
    detail = cv2.absdiff(without, cv2.blur(without, (BLUR_PX, BLUR_PX)))
    even = (cv2.boxFilter(detail, cv2.CV_32F, (EVEN_PX, EVEN_PX)) <= EVEN).astype(np.float32)
    ink = cv2.subtract(small, without) >= INK
    within, begun = np.s_[0 : even.shape[0], 0 : even.shape[1]], set()
    for side in (*SIDES, *SIDES):  # twice: a panel beside the scan hides the edge above it
        rows = _panel_rows(np.rot90(even[within], side), np.rot90(ink[within], side))
        if rows:
            within = _without(within, side, rows)
            blurred = 0 if side in begun else BLUR_PX  # its edge was left out above
            box = _without(box, side, round(rows / shrink) + blurred)
            begun.add(side)
    return box


def _panel_rows(even: NDArray[np.float32], ink: NDArray[np.bool_]) -> int:
    """How many rows at the top are a panel with letters, and end where a scan begins."""
    share = even.mean(axis=1)
    rows = int(np.argmax(share < EVEN_ROW))
    ends = rows <= DEEPEST * len(share) and share[min(rows + EDGE_PX, len(share) - 1)] <= SCAN_ROW
    return rows if ends and np.count_nonzero(ink[:rows]) >= LETTERS_PX else 0
