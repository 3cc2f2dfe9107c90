"""Where in a DICOM picture is the scan, and how large is a pixel? What its header says, once pixels are square."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from stream.scan_detection import scaled
from stream.scan_parts import TWIN_SHARE, are_aligned
from stream.sources.geometry import check_size, square_px, valid_spacing
from stream.types import ScanArea

MM_PER_UNIT = {3: 10.0}
"""Physical Units (PS3.3 C.8.5.5.1.15) that are a length: 3 is cm."""

SHRUNK = range(1, 9)
"""How many times smaller a picture may be than its regions say: some archives shrink pictures and keep the header."""

Spacing = tuple[float, float]
"""Millimetres from a pixel to the one below and to the one beside it."""


class Shown(NamedTuple):
    """As a picture is shown: its width and height once pixels are square, and where the scan lies at that size."""

    size_px: tuple[int, int]
    area: ScanArea | None
    mm_per_px: Spacing | None


def with_square_pixels(tags: Any, size_px: tuple[int, int], name: str) -> Shown:
    """What the header says of a picture that is stored with this width and height. Raises SourceError if it would be
    larger than any scanner's."""
    area, mm_per_px = region_calibration(tags, *size_px)
    shown_px = square_px(*size_px, aspect(tags, mm_per_px))
    check_size(*shown_px, name)
    wider, higher = shown_px[0] / size_px[0], shown_px[1] / size_px[1]
    if area is not None:
        area = scaled(area, wider, higher)
    if mm_per_px is not None:
        mm_per_px = mm_per_px[0] / higher, mm_per_px[1] / wider
    return Shown(shown_px, area, mm_per_px)


def region_calibration(tags: Any, width_px: int, height_px: int) -> tuple[ScanArea | None, Spacing | None]:
    """Scan area and spacing of the largest two-dimensional tissue region (PS3.3 C.8.5.5). The area is None if another
    picture stands ``beside`` it. Without such a region: None, and the Pixel Spacing (10.7.1.3).
    """
    told = tags.get("PixelSpacing")
    pixel_spacing = None if told is None else valid_spacing(float(told[0]), float(told[1]))
    regions = list(tissue_regions(tags, width_px, height_px))
    if not regions:
        return None, pixel_spacing
    best, mm_per_px = max(regions, key=lambda region: region[0].count_px)
    if any(beside(best, other) for other, _ in regions):
        return None, mm_per_px  # nobody knows which is meant: the scan is looked for, and refused if it shows both
    return best, mm_per_px


def tissue_regions(tags: Any, width_px: int, height_px: int) -> Iterator[tuple[ScanArea, Spacing | None]]:
    """Each two-dimensional tissue region of the header that fits the picture, with its spacing.

    A region that is larger than the picture is divided by the least whole number that makes it fit, rounded inwards.
    """
    for region in tags.get("SequenceOfUltrasoundRegions") or ():
        if (region.get("RegionSpatialFormat"), region.get("RegionDataType")) != (1, 1):
            continue
        corners = [region.get(f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if None in corners:
            continue
        left, top, right, bottom = (int(corner) for corner in corners)
        right, bottom = right + 1, bottom + 1  # inclusive there
        shrunk = next((by for by in SHRUNK if right <= width_px * by and bottom <= height_px * by), None)
        if shrunk is None or not (0 <= left < right and 0 <= top < bottom):
            continue
        x_px, y_px = -(-left // shrunk), -(-top // shrunk)
        size = right // shrunk - x_px, bottom // shrunk - y_px
        if min(size) < 1:
            continue
        row, column = (
            MM_PER_UNIT.get(region.get(f"PhysicalUnits{axis}Direction"), 0.0)
            * shrunk
            * float(region.get(f"PhysicalDelta{axis}") or 0)
            for axis in "YX"
        )
        yield ScanArea(x_px, y_px, *size, "header"), valid_spacing(row, column)


def beside(one: ScanArea, other: ScanArea) -> bool:
    """Whether these are two pictures side by side, or one above the other, as ``scan_parts`` has it."""
    aligned = are_aligned(one.rows, other.rows) or are_aligned(one.columns, other.columns)
    return aligned and not one.common_px(other) and other.count_px >= TWIN_SHARE * one.count_px


def aspect(tags: Any, mm_per_px: Spacing | None) -> float:
    """How many times as wide as high a pixel is: by its spacing, else by Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7)."""
    told = tags.get("PixelAspectRatio") if mm_per_px is None else mm_per_px
    sides = None if told is None else valid_spacing(float(told[0]), float(told[1]))
    return 1.0 if sides is None else sides[1] / sides[0]
