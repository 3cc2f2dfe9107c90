"""Where are callipers and text burnt into a picture?"""

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST_PX = 320
"""A picture whose longer side is longer is shrunk to this first: all sizes below are in its pixels."""
RISE = 70
"""A marker is brighter than its surroundings by at least this many grey levels. Speckle stays below."""
LEAST_BRIGHTNESS = 200
"""A marker's pixels have at least this grey level: most are drawn in white."""
LEAST_PX, MOST_PX = 8, 400
"""A connected mark has this many pixels: bright flecks have fewer, skin and ligaments more."""


def marker_mask(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels of burnt-in marks, uint8 [H, W] -> bool [H, W], grown by one pixel so that in-painting covers them.

    A mark is a small connected component of bright, thin pixels. Skin and ligaments are as bright and as thin, but run
    on sideways. So at least half of a mark's pixels must also be narrow: a white top-hat with a horizontal line of 13
    pixels, longer than a calliper's arms, must find them.

    Dotted lines, and marks on equally bright tissue, are missed. A bright fleck of tissue can be taken for a mark.
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
    bright = (thin & (grey >= LEAST_BRIGHTNESS)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    narrow_px = np.bincount(np.asarray(labels, np.intp).ravel(), (narrow & (bright > 0)).ravel(), minlength=count)
    area = stats[:, cv2.CC_STAT_AREA]
    tall = stats[:, cv2.CC_STAT_HEIGHT] >= 0.5 * stats[:, cv2.CC_STAT_WIDTH]
    marks = np.flatnonzero((area >= LEAST_PX) & (area <= MOST_PX) & (narrow_px >= 0.5 * area) & (tall | (area > 60)))
    mask = np.isin(labels, marks[marks > 0]).astype(np.uint8)  # 0 is what is not bright
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), bool)


def inpaint_markers(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its marks in-painted from their surroundings (Telea 2004); if it has none, the same object."""
    mask = marker_mask(grey)
    if not mask.any():
        return grey
    return np.asarray(cv2.inpaint(grey, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)
