"""Where does the ultrasound picture lie in the screen? The user says it, or the source, or it is detected.

What lies outside is blanked: names are burnt in there.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.scan_detection import shrunk
from stream.scan_place import SMALLEST_SIDE_PX, ScanPlace
from stream.types import Corners, Frame, NotAnalysed, ScanArea, State

FULL = "full"
"""What a user writes in place of four numbers to have nothing blanked."""

BOX, CORNER = r"[0-9]{1,6}(,[0-9]{1,6}){3}", r"[0-9]{1,6},[0-9]{1,6}"
"""How a user writes an area: four numbers, or the corners of a polygon."""

MOST_CORNERS = 200

SKETCH_CELLS = 48
"""Longer side of a sketch. A letter needs five cells to be read, and so would have to be a ninth of the screen high."""

MOVED = NotAnalysed("the scan is no longer where the scan area was set: set it again")

NOTHING_FOUND = NotAnalysed("no scan area: nothing like a scan is in the picture", state=State.NO_SIGNAL)

GONE = NotAnalysed("nothing like a scan is in the picture any more: a menu, or a probe in air?", state=State.NO_SIGNAL)

ORIGINS = {"user": "set", "header": "given by the source", "detected": "detected", "full": "the whole picture"}

Finder = Callable[[Frame, ScanArea | None], ScanArea | NotAnalysed]
"""(frame, the source's own scan area) -> the scan area of this frame, or why there is none."""


def finder(text: str | None, *, still: bool = False) -> Finder:
    """What finds the scan area of each frame: the user's ``text``, or else the source's own area, or else detection.

    The text may say for which size of the picture the area was drawn, ``"120,80,640,480@1280x720"``; by default it is
    the first frame's. If the scan leaves the place at which it was first seen, the screen's layout has changed, and
    nothing is judged until it is back; a detected area follows the scan instead. ``still`` pictures are independent:
    each is looked at by itself.

    Raises UsageError if the text makes no sense.
    """
    if text is None and still:
        return lambda frame, header: _Detected()(frame, header)
    if text is None:
        return _Detected()
    if text == FULL:
        return lambda frame, header: full_frame(frame)
    box, at, size = text.partition("@")
    if at and not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", size):
        raise UsageError(
            f"scan area {text[:40]!r} makes no sense. Expected a size after @, like 120,80,640,480@1280x720."
        )
    return _Given(parse_scan_area(box), size, still)


class _Given:
    """The user's area, while the scan stays where it was when it was first seen."""

    def __init__(self, area: ScanArea, drawn_for: str, still: bool) -> None:
        self._area = area
        self._still = still
        self._drawn_for = drawn_for
        self._place = ScanPlace(follows=False)

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        size = size_text(*frame.size_px)
        self._drawn_for = self._drawn_for or size
        if size != self._drawn_for:
            reason = f"the picture is {size}, but the scan area was drawn for {self._drawn_for}: set it again"
            return NotAnalysed(reason)
        if not self._still:
            self._place.watch(frame)
        return MOVED if self._place.was_left else self._area


class _Detected:
    """The source's own area, else where the scan is seen."""

    def __init__(self) -> None:
        self._recording: tuple[str, tuple[int, int]] | None = None
        self._place = ScanPlace(follows=True)

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        if header is not None:
            return header
        recording = frame.source, frame.size_px
        if recording != self._recording or self._place.was_left:  # another recording has its scan elsewhere
            self._recording, self._place = recording, ScanPlace(follows=True)
        self._place.watch(frame)
        if self._place.area is None:
            return NOTHING_FOUND
        return self._place.area if self._place.in_sight else GONE


def format_scan_area(area: ScanArea, size_px: tuple[int, int]) -> str:
    """What ``finder`` reads: the area, and the width and height of the picture that it was drawn for."""
    box = ",".join(str(side) for side in area.sides)
    polygon = "/".join(f"{x},{y}" for x, y in area.corners)
    return f"{polygon or box}@{size_text(*size_px)}"


def why_unfit(area: ScanArea, size_px: tuple[int, int]) -> str | None:
    """Why this area of a picture of this width and height must not be judged, or None if it may."""
    width, height = size_px
    if area.x_px + area.width_px > width or area.y_px + area.height_px > height:
        return f"scan area {','.join(map(str, area.sides))} leaves the {size_text(*size_px)} picture"
    if min(area.width_px, area.height_px) < SMALLEST_SIDE_PX:
        small = size_text(area.width_px, area.height_px)
        return f"scan area of {small} px is too small: {SMALLEST_SIDE_PX} px is the minimum"
    return None


def describe_area(area: ScanArea | None) -> str:
    """In words: where the area lies, in pixels, and where it comes from."""
    if area is None:
        return "none"
    sector = " sector" if area.corners else ""
    return f"{size_text(area.width_px, area.height_px)}{sector} at {area.x_px},{area.y_px}, {ORIGINS[area.origin]}"


def size_text(width_px: int, height_px: int) -> str:
    """As people write it."""
    return f"{width_px}x{height_px}"


def parse_scan_area(text: str) -> ScanArea:
    """``"x,y,width,height"`` or a polygon ``"x,y/x,y/x,y"``, in pixels. Raises UsageError for anything else."""
    parts = re.sub(r"\s*([,/])\s*", r"\1", text.strip()).split("/")
    if re.fullmatch(BOX, parts[0]) and len(parts) == 1:
        x, y, width, height = (int(number) for number in parts[0].split(","))
        if width and height:
            return ScanArea(x, y, width, height, "user")
    if 3 <= len(parts) <= MOST_CORNERS and all(re.fullmatch(CORNER, part) for part in parts):
        corners = tuple((int(x), int(y)) for x, y in (part.split(",") for part in parts))
        (left, top), (right, bottom) = np.min(corners, axis=0).tolist(), np.max(corners, axis=0).tolist()
        return ScanArea(left, top, right - left + 1, bottom - top + 1, "user", corners)
    raise UsageError(
        f"scan area {text[:40]!r} makes no sense. Expected x,y,width,height in pixels, like 120,80,640,480, a polygon "
        f"of corners, like 300,80/460,80/640,480/120,480, or {FULL}."
    )


def full_frame(frame: Frame) -> ScanArea:
    """All of the frame, for clips that are already cut to the scan."""
    return ScanArea(0, 0, *frame.size_px, "full")


def blank_outside(frame: Frame, area: ScanArea | None) -> Frame:
    """The frame with every pixel outside ``area`` black, or all of them; the same object if nothing lies outside.

    A polygon's own edge is inside.
    """
    if area is None:
        return replace(frame, rgb=np.zeros_like(frame.rgb))
    if frame.rgb[area.pixels].shape == frame.rgb.shape and not area.corners:
        return frame
    rgb = np.zeros_like(frame.rgb)
    if area.corners:
        mask = _polygon(area.corners, frame.size_px)
        cv2.copyTo(frame.rgb[area.pixels], mask[area.pixels], rgb[area.pixels])
    else:
        rgb[area.pixels] = frame.rgb[area.pixels]
    return replace(frame, rgb=rgb)


def sketch(frame: Frame, area: ScanArea | None) -> NDArray[np.uint8]:
    """What lies around the area, too coarse to be read: uint8 [h, w, 4] RGBA of at most SKETCH_CELLS a side,
    transparent where the scan is. On black, one would have to guess when drawing a new area.
    """
    cells = cv2.cvtColor(shrunk(frame.rgb, SKETCH_CELLS), cv2.COLOR_RGB2RGBA)
    if area is not None:
        scan = blank_outside(replace(frame, rgb=np.full_like(frame.rgb, 255)), area).rgb
        cells[shrunk(scan, SKETCH_CELLS)[..., 0] > 0] = 0
    return np.asarray(cells, np.uint8)


@lru_cache(maxsize=4)
def _polygon(corners: Corners, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """255 inside, 0 outside; the same for every frame of a stream."""
    mask = np.zeros(size_px[::-1], np.uint8)
    cv2.fillPoly(mask, [np.array(corners)], 255)
    return mask
