"""Which part of a scanner's screen is the scan? The box around it, and the outline of a sector in that box."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from stream.panels import BLUR_PX, STEP, Slices, between_bars, between_panels, even_panels
from stream.scan_parts import scan_of
from stream.sector import outline
from stream.types import ScanArea

BLACK = 2
"""Nothing this dark, after blurring, is scan: on a grey or white screen, black would join the scan to the frame of a
window. STEP would be too high for this: dark parts of a scan would be lost."""

TEXTURE, TEXTURE_PX = 0.5, 15
"""In a box of TEXTURE_PX a side a scan deviates from its blurred picture by more than TEXTURE grey levels on average; a
shaded bar does not."""

SPECKLE = 1.0
SPECKLE_NOISE = 2.0
SPECKLE_EDGE = 10.0
"""Where a scan is as bright as the background, it is known by its speckle: it deviates as above by more than SPECKLE
grey levels beyond SPECKLE_NOISE times the background, and by less than SPECKLE_EDGE, as do the edges of letters."""

UNIFORM_SHARE = 0.6
"""If this share of the outermost pixels is within STEP of their median, the median is the background. Else black is."""

LARGEST_PX = 1280
"""A larger picture is shrunk to this longer side before the scan is looked for: that is faster, and a scan that was
enlarged for a large screen has no texture from one pixel to the next."""

COARSE_PX, COARSE_CUT = 640, 0.05
"""A scan that fills the picture has too little texture if it was enlarged, and would be cut. So it is looked for at
this longer side as well if what was found reaches an edge, unless what was cut is narrower than COARSE_CUT of it: a
name on a strip is lost there."""

GLIMPSE_PX = 480
"""The same if the question is only whether the scan is still in its place: some 4 ms, instead of 25 at 1280 px."""


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
    found = scan_of(lit, raw)
    if found is None:
        return None
    box = found.box
    if (of_panel := even_panels(grey, detail, box)).any():
        inside = np.zeros_like(lit)
        inside[box] = lit[box] & ~of_panel[grey[box]]
        found = scan_of(inside, raw) or found
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
