"""Where are callipers and text burnt into a picture?"""

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST_PX = 320
"""Of a picture's longer side; a larger picture is shrunk to it first, because the sizes below are of this scale."""
RISE = 70
"""Grey levels that a marker stands above what surrounds it: speckle stays below, ink is drawn at full white."""
BRIGHTEST = 200
"""Grey level that a marker reaches."""
LEAST_PX, MOST_PX = 8, 400
"""Of one connected mark: flecks are smaller, skin and ligaments larger."""


def marker_mask(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of thin, bright, small marks: uint8 [H, W] -> bool [H, W], grown by one so that in-painting covers them.

    Ink is narrow in both directions; skin and ligaments, as bright and as thin, run on sideways. So a mark's seed is
    what an opening with a flat 1x13 line, longer than a calliper's arms, removes (white top-hat), and the mark is the
    bright, thin component around it. Dotted lines, and marks on equally bright tissue, are missed; a bright fleck of
    tissue can be taken for ink.
    """
    height, width = grey.shape
    scale = LONGEST_PX / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = marker_mask(np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8))
        whole = cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(whole, bool)
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8)) >= RISE
    narrow = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((1, 13), np.uint8)) >= RISE
    ink = (thin & (grey >= BRIGHTEST)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    seeds = np.bincount(np.asarray(labels, np.intp).ravel(), weights=(narrow & (ink > 0)).ravel(), minlength=count)
    area = stats[:, cv2.CC_STAT_AREA]
    upright = stats[:, cv2.CC_STAT_HEIGHT] >= 0.5 * stats[:, cv2.CC_STAT_WIDTH]
    keep = np.flatnonzero((area >= LEAST_PX) & (area <= MOST_PX) & (seeds >= 0.5 * area) & (upright | (area > 60)))
    mask = np.isin(labels, keep[keep > 0]).astype(np.uint8)
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), bool)


def inpaint_markers(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its marks in-painted (Telea 2004) from what surrounds them; the same object if it has none."""
    mask = marker_mask(grey)
    if not mask.any():
        return grey
    return np.asarray(cv2.inpaint(grey, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)
