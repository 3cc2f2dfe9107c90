"""Where does the ultrasound picture lie in the screen? What lies outside is blanked: names are burnt in there."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.scan_detection import GLIMPSE_PX, propose, shrunk
from stream.sector import joined
from stream.types import Corners, Frame, NotAnalysed, ScanArea, State

FULL = "full"
"""What a user writes in place of four numbers to have nothing blanked."""

BOX, CORNER = r"[0-9]{1,6}(,[0-9]{1,6}){3}", r"[0-9]{1,6},[0-9]{1,6}"
"""How a user writes an area: four numbers, or the corners of a polygon."""

MOST_CORNERS = 200

SKETCH_CELLS = 48
"""Longer side of a sketch. A letter needs five cells to be read, and so would have to be a ninth of the screen high."""

SMALLEST_SIDE_PX = 32
"""A scan area with a shorter side holds fewer pixels than the network's class maps have cells to fill."""

LOOK_AGAIN_S, GROWTH = 1.0, 0.05
"""How often the scan is looked for again while it is where it was, and by which share it must have grown for its area
to be replaced."""

LOOKS = 3
"""As many looks in a row, at as many frames, make sure that the scan has moved or become smaller."""

STRAY_SHARE = 0.25
"""The scan has moved if more than this share of it lies outside its old place. On both scanners' screens at most 0.06
of it did, even dimmed to an eighth, or dark except for its top. All 154 scans that were pasted elsewhere, a third of
each outside, exceeded it."""

LEFT_SHARE, INK, INK_SHARE = 0.75, 64, 1e-4
"""The scan has become smaller if it is seen in at most LEFT_SHARE of its old place, and in the rest of that place a
share of the picture of INK_SHARE is brighter than INK: words, or something else, and not a scan that is dark there. Of
some 430 real stills that were darkened so that only a part of them was seen, the brightest rest had half as much ink,
and the smallest words that can be read have twice as much."""

TOP_SHARE = 0.4
"""If no more than this share of its old height is seen, at its top, the probe is in air, whatever is written over the
rest. Its place stays as it is: that band alone would be judged."""

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
    def __init__(self, area: ScanArea, drawn_for: str, still: bool) -> None:
        self._area = area
        self._still = still
        self._drawn_for = drawn_for
        self._place = _Place(follows=False)

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        size = size_text(*frame.size_px)
        self._drawn_for = self._drawn_for or size
        if size != self._drawn_for:
            reason = f"the picture is {size}, but the scan area was drawn for {self._drawn_for}: set it again"
            return NotAnalysed(reason)
        if not self._still and self._place.is_due(frame):
            self._place.look(shrunk(frame.rgb, GLIMPSE_PX))
        return MOVED if self._place.strayed else self._area


class _Detected:
    def __init__(self) -> None:
        self._of: tuple[str, tuple[int, int]] | None = None
        self._place = _Place(follows=True)

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        if header is not None:
            return header
        of = frame.source, frame.size_px
        if of != self._of or self._place.strayed:  # another recording has its scan elsewhere
            self._of, self._place = of, _Place(follows=True)
        if self._place.is_due(frame):  # at full size: a glimpse misses flanks of a sector that light up in its old box
            self._place.look(frame.rgb)
        if self._place.known is None:
            return NOTHING_FOUND
        return self._place.known if self._place.seen else GONE


class _Place:
    """Where the scan was first seen, enlarged by what was seen of it since; and whether it has left that place.

    One that ``follows`` the scan becomes smaller with it as well. In a drawn area nothing depends on that, and a part
    of the scan that is seen later, beside a smaller place, would be taken for a scan that has moved.
    """

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self.known: ScanArea | None = None
        self.seen = False
        """Whether anything like a scan was seen, wherever, at the last look."""
        self._strays = self._shrinks = 0
        self._looked_s = 0.0

    @property
    def strayed(self) -> bool:
        return self._strays >= LOOKS

    def is_due(self, frame: Frame) -> bool:
        """Whether to look at this frame: every LOOK_AGAIN_S, and at each while the scan is not seen in its place. One
        that does not follow needs no more looks at a scan that has become dark."""
        lost = not self.seen if self._follows else self.known is None
        in_place = not lost and not self._strays and not self._shrinks
        due = not in_place or not 0 <= frame.pts_s - self._looked_s < LOOK_AGAIN_S
        if due:
            self._looked_s = frame.pts_s
        return due

    def look(self, rgb: NDArray[np.uint8]) -> None:
        """Take in where the scan lies in this picture. If nowhere, or only as a line of words, it may be anywhere."""
        seen = propose(rgb)
        self.seen = seen is not None and min(seen.width_px, seen.height_px) >= SMALLEST_SIDE_PX
        if seen is None or not self.seen:
            return
        if self.known is None or grown(self.known, seen):
            self.known, self._strays, self._shrinks = seen, 0, 0
        elif outside(self.known, seen) > STRAY_SHARE:
            self._strays += 1
        elif self._follows and shrunken(self.known, seen, rgb):
            self._strays, self._shrinks = 0, self._shrinks + 1
            if self._shrinks >= LOOKS:
                self.known, self._shrinks = seen, 0
        else:
            self._strays = self._shrinks = 0
            if outside(seen, self.known) <= GROWTH:  # a part of a sector has another outline
                self.known = replace(self.known, corners=joined(self.known.corners, seen.corners))


def grown(known: ScanArea, seen: ScanArea) -> bool:
    """Whether ``seen`` holds ``known`` and is larger by GROWTH: as when a probe in air, which shows only the top of its
    scan, touches the skin."""
    before, after = known.width_px * known.height_px, seen.width_px * seen.height_px
    return shared_px(known, seen) >= (1 - GROWTH) * before and after >= (1 + GROWTH) * before


def shrunken(known: ScanArea, seen: ScanArea, rgb: NDArray[np.uint8]) -> bool:
    """Whether ``seen`` is much smaller than ``known``, and what else lies in its place, in ``rgb``, is not dark."""
    at_top = seen.y_px - known.y_px <= GROWTH * known.height_px
    in_air = at_top and seen.height_px <= TOP_SHARE * known.height_px
    if in_air or seen.width_px * seen.height_px > LEFT_SHARE * known.width_px * known.height_px:
        return False
    ink = rgb[..., 1] > INK
    ink[seen.pixels] = False
    return int(np.count_nonzero(ink[known.pixels])) >= INK_SHARE * ink.size


def outside(known: ScanArea, seen: ScanArea) -> float:
    """The share of ``seen`` that is not in ``known``: 0 for a scan that is partly dark and so looks smaller."""
    return 1 - shared_px(known, seen) / (seen.width_px * seen.height_px)


def shared_px(one: ScanArea, other: ScanArea) -> int:
    """How many pixels lie in both."""
    across = min(one.x_px + one.width_px, other.x_px + other.width_px) - max(one.x_px, other.x_px)
    down = min(one.y_px + one.height_px, other.y_px + other.height_px) - max(one.y_px, other.y_px)
    return max(across, 0) * max(down, 0)


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
