"""Is a scan a sector, as a convex probe shows it? Then its outline is a polygon within its box."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.types import Corners

NARROWER, DEPTH = 0.1, 0.25
"""A scan is a sector if, at DEPTH of its height, it is narrower than its box by NARROWER of the width or more. Of 1,048
real stills on a black screen this holds for two, both trapezoids. Of 197 stills it holds for 95 % bent to trapezoids of
6 to 20 degrees a side, and for 98 % bent to fans of 20 to 45 degrees."""

STRAIGHT_PX = 1.0
"""How far a polygon's side may stray from the outline that was found: with this an arc needs only a few corners."""


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
