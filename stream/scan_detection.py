"""Which part of a scanner's screen is the scan? The box around it, and the outline of a sector in that box."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from stream.panels import BLUR_PX, STEP, Slices, between_bars, between_panels, even_panels
from stream.stacked import are_stacked, sampled
from stream.types import Corners, ScanArea
from stream.words import is_lettering, is_page

BLACK = 2
"""Nothing this dark, after blurring, is scan: on a grey or white screen, black would join the scan to the frame of a
window. STEP would be too high for this: dark parts of a scan would be lost."""

TEXTURE, TEXTURE_PX = 0.5, 15
"""In a box of TEXTURE_PX a side a scan deviates from its blurred picture by more than TEXTURE grey levels on average; a
shaded bar does not."""

SPECKLE, SPECKLE_NOISE, SPECKLE_EDGE = 1.0, 2.0, 10.0
"""Where a scan is as bright as the background, it is known by its speckle: it deviates as above by more than SPECKLE
grey levels beyond SPECKLE_NOISE times the background, and by less than SPECKLE_EDGE, as do the edges of letters."""

UNIFORM_SHARE = 0.6
"""If this share of the outermost pixels is within STEP of their median, the median is the background. Else black is."""

LETTER_SHARE = 0.01
"""Whatever is thinner than this share of the longer side is not scan but letters, scales and callipers."""

TWIN_SHARE, TWIN_LEVEL = 0.6, 0.8
"""A part beside the largest one is a second picture if it has TWIN_SHARE of its area, and TWIN_LEVEL of the lower one's
rows in common with it. It is included, so that ``stream.signal`` refuses the two: nobody knows which one is meant."""

STRIP_SHARE = 0.2
"""So is a part above or below the largest one, if it has STRIP_SHARE of its area, and TWIN_LEVEL of the narrower one's
columns in common with it, and the two ``are_stacked``. An M-mode strip is flat, and may be wider than the scan: only
the columns in common are included, as a name may stand beside the narrower one."""

PART_SHARE = 0.02
"""A part above or below the largest one that has more than this share of its area belongs to the same scan, beyond a
dark stretch without echoes, unless it ``is_apart``."""

PAGE_LEVEL = 24
"""A page of words, or a menu, has at least this grey level."""

PAGE_RIVAL = 0.1
"""A scan may be smaller than a page beside it, but not smaller than this share of the page."""

BAR_RATIO, BAR_SHARE, BAR_SHADE = 4, 0.35, 2
"""A shaded bar with words on it is at least BAR_RATIO times as wide as high, and BAR_SHARE of its pixels are within
BAR_SHADE grey levels of the median of their row."""

FILLED = 0.9
"""A thumbnail fills at least this share of its box; the part of a scan that lies beyond a shadow is ragged. In 2,600
real stills, as they are and on a screen, 121 parts lay apart, and ``is_apart`` makes 34 areas smaller. Of 15 that were
inspected, 10 lose a burnt-in caption, the others noise or a few rows of tissue."""

LARGEST_PX = 1280
"""A larger picture is shrunk to this longer side before the scan is looked for: that is faster, and a scan that was
enlarged for a large screen has no texture from one pixel to the next."""

COARSE_PX, COARSE_CUT = 640, 0.05
"""A scan that fills the picture has too little texture if it was enlarged, and would be cut. So it is looked for at
this longer side as well if what was found reaches an edge, unless what was cut is narrower than COARSE_CUT of it: a
name on a strip is lost there."""

GLIMPSE_PX = 480
"""The same if the question is only whether the scan is still in its place: some 4 ms, instead of 25 at 1280 px."""

NARROWER, DEPTH = 0.1, 0.25
"""A scan is a sector if, at DEPTH of its height, it is narrower than its box by NARROWER of the width or more. Of 1,048
real stills on a black screen this holds for two, both trapezoids. Of 197 stills it holds for 95 % bent to trapezoids of
6 to 20 degrees a side, and for 98 % bent to fans of 20 to 45 degrees."""

STRAIGHT_PX = 1.0
"""How far a polygon's side may stray from the outline that was found: with this an arc needs only a few corners."""


def propose(rgb: NDArray[np.uint8]) -> ScanArea | None:
    """Where the scan lies in a screen uint8 [H, W, 3]: the box around what is large, textured and not background, with
    the corners of a sector. None if there is nothing like that.

    The area's origin is "full" only if the scan reaches all four sides: beside any smaller one a name may stand.
    """
    height, width = rgb.shape[:2]
    small = shrunk(rgb, LARGEST_PX)
    inner = between_bars(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8))
    found = _propose_twice(small[inner])
    if found is None:
        return None
    if found.origin == "full" and small[inner].shape == small.shape:
        return ScanArea(0, 0, width, height, "full")
    y, x = inner[0].start, inner[1].start
    corners = tuple((x + across, y + down) for across, down in found.corners)
    found = replace(found, x_px=x + found.x_px, y_px=y + found.y_px, origin="detected", corners=corners)
    return found if small is rgb else scaled(found, width / small.shape[1], height / small.shape[0])


def _propose_twice(rgb: NDArray[np.uint8]) -> ScanArea | None:
    """The same between the bars along the screen's edges, at the size that is given and at COARSE_PX."""
    found = _propose(rgb)
    if found is None or found.origin == "full" or max(rgb.shape) <= COARSE_PX:
        return found
    cuts = _cuts(found, rgb)
    if 0 not in cuts or any(0 < cut < COARSE_CUT * max(rgb.shape) for cut in cuts):
        return found
    coarse = _propose(shrunk(rgb, COARSE_PX))
    whole = coarse is not None and coarse.origin == "full"
    return ScanArea(0, 0, rgb.shape[1], rgb.shape[0], "full") if whole else found


def _cuts(area: ScanArea, rgb: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """How many pixels of a picture [H, W, 3] the area leaves out at the left, top, right and bottom."""
    height, width = rgb.shape[:2]
    return area.x_px, area.y_px, width - area.x_px - area.width_px, height - area.y_px - area.height_px


def _propose(rgb: NDArray[np.uint8]) -> ScanArea | None:
    """The same at the size that is given: find what is lit and textured, then take the panels around it away."""
    height, width = rgb.shape[:2]
    raw = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    grey = np.asarray(cv2.blur(raw, (BLUR_PX, BLUR_PX)), np.uint8)
    detail = cv2.boxFilter(cv2.absdiff(raw, grey), cv2.CV_32F, (TEXTURE_PX, TEXTURE_PX))
    speckle = (detail > SPECKLE + SPECKLE_NOISE * np.median(outermost(detail))) & (detail < SPECKLE_EDGE)
    differs = cv2.absdiff(grey, background(grey)) > STEP
    inner = cv2.erode(speckle.view(np.uint8), np.ones((TEXTURE_PX, TEXTURE_PX), np.uint8))  # as far as edges spread
    lit = ((differs | (inner > 0)) & (grey > BLACK) & (detail > TEXTURE)).view(np.uint8)
    found = _scan_of(lit, raw)
    if found is None:
        return None
    if (of_panel := even_panels(grey, detail, found[0])).any():
        inside = np.zeros_like(lit)
        inside[found[0]] = lit[found[0]] & ~of_panel[grey[found[0]]]
        found = _scan_of(inside, raw) or found
    box, own = found
    if own[narrower := between_panels(raw, box)].any():
        box = _around(own, narrower)
    y, bottom, x, right = box[0].start, box[0].stop, box[1].start, box[1].stop
    edge = min(BLUR_PX, right - x - 1, bottom - y - 1) // 2  # by which the blur let the scan spill into the background
    x, y = x + edge * (x > 0), y + edge * (y > 0)
    right, bottom = right - edge * (right < width), bottom - edge * (bottom < height)
    corners = tuple((x + across, y + down) for across, down in outline(own[y:bottom, x:right]))
    whole = (x, y, right, bottom) == (0, 0, width, height) and not corners
    return ScanArea(x, y, right - x, bottom - y, "full" if whole else "detected", corners)


def _around(own: NDArray[np.uint8], box: Slices) -> Slices:
    """The box around the scan within a box of ``own`` [H, W], which is 1 where scan is."""
    x, y, across, down = cv2.boundingRect(own[box])
    return np.s_[box[0].start + y : box[0].start + y + down, box[1].start + x : box[1].start + x + across]


def _scan_of(lit: NDArray[np.uint8], raw: MatLike) -> tuple[Slices, NDArray[np.uint8]] | None:
    """What is scan in ``lit`` [H, W]: the box around it, down and across, and an array that is 1 there. Words, and what
    lies apart, are recognised in ``raw``, grey."""
    side = max(3, round(LETTER_SHARE * max(raw.shape))) | 1  # odd: an even one moves what it opens by a pixel
    solid = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    count, labels, found, _ = cv2.connectedComponentsWithStats(solid)
    if count == 1 or is_lettering(cv2.calcHist([raw], [0], solid, [256], [0, 256]).ravel(), PAGE_LEVEL):
        return None
    order = sorted(range(1, count), key=lambda part: -found[part, cv2.CC_STAT_AREA])
    least = PAGE_RIVAL * found[order[0], cv2.CC_STAT_AREA]
    rivals = [part for part in order if found[part, cv2.CC_STAT_AREA] >= least]
    first = next((part for part in rivals if not is_words(part, labels, found, raw)), None)
    if first is None:
        return None
    own = np.zeros(count, np.uint8)  # 1 for the parts that are scan
    own[first] = 1
    x, y, across, down, largest = found[first].tolist()
    right, bottom = x + across, y + down
    for part in order:
        left, top, across, down, area = found[part].tolist()
        inner, outer = (max(x, left), min(right, left + across)), (min(x, left), max(right, left + across))
        shared, level = inner[1] - inner[0], min(bottom, top + down) - max(y, top)
        above, below = min(y, top), max(bottom, top + down)
        twin = area >= TWIN_SHARE * largest and level >= TWIN_LEVEL * min(down, bottom - y)
        strip = area >= STRIP_SHARE * largest and shared >= TWIN_LEVEL * min(across, right - x)
        stacked = strip and are_stacked(sampled(raw[above:below, slice(*outer)]))
        beyond = area >= PART_SHARE * largest and shared >= 0.8 * across
        joins = twin or stacked or (beyond and not is_apart(part, labels, found, raw))
        if joins and not is_words(part, labels, found, raw):
            (x, right), y, bottom = inner if stacked else outer, above, below
            own[part] = 1
    return np.s_[y:bottom, x:right], own[labels]


def is_words(part: int, labels: MatLike, found: MatLike, raw: MatLike) -> bool:
    """Whether a part of ``raw`` is a page of words. For the arrays see ``is_apart``."""
    x, y, across, down, _ = found[part].tolist()
    box = np.s_[y : y + down : 2, x : x + across : 2]
    return is_page(np.bincount(raw[box][labels[box] == part], minlength=256), PAGE_LEVEL)


def is_apart(part: int, labels: MatLike, found: MatLike, raw: MatLike) -> bool:
    """Whether a part of ``raw`` [H, W], grey, is words on a shaded bar, which may fade, or one or more thumbnails.

    ``labels`` [H, W] and ``found`` [parts, 5] are as OpenCV's connectedComponentsWithStats gives them.
    """
    x, y, across, down, area = found[part].tolist()
    placed = found[1:, [cv2.CC_STAT_TOP, cv2.CC_STAT_HEIGHT]]
    in_a_row = (np.abs(placed - (y, down)) <= BLUR_PX).all(axis=1).sum() > 1  # it is one of these
    if in_a_row or area >= FILLED * across * down:
        return True
    if across < BAR_RATIO * down:
        return False
    own = labels[y : y + down, x : x + across] == part
    rows = np.where(own, raw[y : y + down, x : x + across].astype(np.float32), np.nan)
    even = np.abs(rows - np.nanmedian(rows, axis=1, keepdims=True))[own] <= BAR_SHADE
    return bool(even.mean() >= BAR_SHARE)


def shrunk(rgb: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """The picture with a longer side of at most ``longest_px``; the same object if it is that small."""
    height, width = rgb.shape[:2]
    shrink = longest_px / max(height, width)
    if shrink >= 1:
        return rgb
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def scaled(area: ScanArea, wider: float, higher: float) -> ScanArea:
    """The same place in a picture that is as many times as wide and high, rounded inwards."""
    x, right = math.ceil(area.x_px * wider), math.floor((area.x_px + area.width_px) * wider)
    y, bottom = math.ceil(area.y_px * higher), math.floor((area.y_px + area.height_px) * higher)
    corners = tuple((min(round(a * wider), right - 1), min(round(b * higher), bottom - 1)) for a, b in area.corners)
    return ScanArea(x, y, right - x, bottom - y, area.origin, corners)


def background(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The brightness of the screen around the scan, as an array of the shape of ``grey``, uint8 [H, W]."""
    ring = outermost(grey)
    median = np.uint8(np.median(ring))
    uniform = np.mean(cv2.absdiff(ring, np.full_like(ring, median)) <= STEP) >= UNIFORM_SHARE
    return np.full_like(grey, median if uniform else 0)


def outermost(picture: MatLike) -> NDArray[Any]:
    """The values of [H, W] along its four sides."""
    return np.concatenate([side.ravel() for side in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:])])


def outline(scan: NDArray[np.uint8]) -> Corners:
    """The convex polygon around a sector, in pixels of its box; empty if the scan is a box itself.

    ``scan`` [H, W] is not zero where scan was seen, and reaches all four sides. A probe looks to both sides alike, so
    what one flank shows counts for the other, which may lie in shadow.
    """
    height, width = scan.shape
    rows = np.flatnonzero(scan.any(axis=1))
    first = np.argmax(scan[rows] > 0, axis=1)
    last = width - 1 - np.argmax(scan[rows, ::-1] > 0, axis=1)
    left = np.minimum(first, width - 1 - last)
    points = np.column_stack([np.concatenate([left, width - 1 - left]), np.concatenate([rows, rows])])
    return _narrower(hull(points), width, height)


def joined(known: Corners, seen: Corners) -> Corners:
    """The outline around both, in pixels of the picture; empty if either is a box. What was once scan stays scan."""
    if not known or not seen:
        return ()
    return hull(np.array(known + seen))


def hull(points: NDArray[np.int_]) -> Corners:
    """The corners of the convex polygon around ``points`` [N, 2]."""
    around = cv2.approxPolyDP(cv2.convexHull(points.astype(np.int32)), STRAIGHT_PX, closed=True)
    return tuple((int(x), int(y)) for x, y in around[:, 0])


def _narrower(corners: Corners, width: int, height: int) -> Corners:
    within = np.zeros((height, width), np.uint8)
    cv2.fillPoly(within, [np.array(corners)], 1)
    return corners if np.count_nonzero(within[int(DEPTH * height)]) <= (1 - NARROWER) * width else ()
