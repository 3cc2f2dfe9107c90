"""Pictures as they are to be shown: upright, with square pixels, and of a size that can be."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.uri import FRAMES_LIMIT, SIZE_LIMIT_PX, printable

SQUARE_WITHIN = 0.01
"""Pixels that are less oblong than this count as square: headers differ by as much when a size is rounded to pixels."""

Matrix = tuple[float, float, float, float]
"""a, b, c, d of a display matrix: what lies at (x, y), y downwards, is to be shown at (ax + cy, bx + dy)."""


def check_size(width: int, height: int, name: str) -> None:
    """Raises SourceError if a picture is larger than any scanner's."""
    if max(width, height) > SIZE_LIMIT_PX:
        raise SourceError(
            f"{name} says that it is {width}x{height}. Expected at most {SIZE_LIMIT_PX} pixels a side: "
            "the header is broken, or the clip must be scaled down first."
        )


def check_count(count: int, width_px: int, height_px: int, least_bytes: int, path: Path) -> None:
    """Raises SourceError if so many frames, which take ``least_bytes`` or more, cannot be in this file."""
    if min(count, width_px, height_px) < 1 or count > FRAMES_LIMIT or least_bytes > path.stat().st_size:
        raise SourceError(
            f"{printable(path.name)} says that it holds {count} frames of {width_px}x{height_px}, which is impossible. "
            "Copy it again."
        )


def valid_spacing(row: float, column: float) -> tuple[float, float] | None:
    """mm per pixel (row, column) without signs, which tell a direction; None if it is no length."""
    sides = abs(row), abs(column)
    return sides if all(math.isfinite(side) and side > 0 for side in sides) else None


def square_px(width_px: int, height_px: int, aspect: float) -> tuple[int, int]:
    """Width and height at which pixels that are ``aspect`` times as wide as high become square, none of them lost."""
    if abs(aspect - 1) < SQUARE_WITHIN:
        return width_px, height_px
    aspect = min(max(aspect, 1 / SIZE_LIMIT_PX), float(SIZE_LIMIT_PX))  # what is beyond is no number of pixels
    return round(width_px * max(1.0, aspect)), round(height_px * max(1.0, 1 / aspect))


def squared(
    rgb: NDArray[np.uint8], mm_per_px: tuple[float, float] | None, name: str
) -> tuple[NDArray[np.uint8], tuple[float, float] | None]:
    """A picture [H, W, 3] and mm per pixel (row, column), both as of square pixels; as they are without a spacing.

    Raises SourceError if the spacing would make it larger than any scanner's.
    """
    if mm_per_px is None:
        return rgb, None
    (height, width), (row, column) = rgb.shape[:2], mm_per_px
    size_px = square_px(width, height, column / row)
    if size_px == (width, height):
        return rgb, mm_per_px
    check_size(*size_px, name)
    return stretched(rgb, size_px), (row * height / size_px[1], column * width / size_px[0])


def stretched(rgb: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture [H, W, 3] at this width and height; the same object if it has them."""
    if rgb.shape[1::-1] == size_px:
        return rgb
    return np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_LINEAR), np.uint8)


def upright(rgb: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """A picture [H, W, 3] turned, to the nearest quarter, and mirrored as ``matrix`` says."""
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, a, d = rgb.swapaxes(0, 1), c, b
    return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
