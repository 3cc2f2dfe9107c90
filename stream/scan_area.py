"""Where does the ultrasound picture lie in the screen? What lies outside is blanked: names are burnt in there."""

import re
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.types import Frame, NotAnalysed, ScanArea, State

FULL = "full"
"""What a user says instead of four numbers to have nothing blanked."""

STEP = 6
"""Grey levels by which a scan's darkest parts still stand out from the screen around it, after blurring."""

BLUR_PX = 5
"""Side of the box that is averaged: speckle becomes solid, and the edge moves out by less than half of it."""

TEXTURE, TEXTURE_PX = 0.5, 15
"""Mean deviation from the blurred picture, grey levels, in a box of this side: a scan has it, a shaded bar has not."""

UNIFORM_SHARE = 0.6
"""Share of the outermost pixels within STEP of their median from which that is the background; otherwise black is."""

LETTER_SHARE = 0.01
"""Of the longer side: what is thinner than this is letters, scales and callipers, and no scan."""

PART_SHARE = 0.02
"""Of the largest part's area: what lies above or below it and is larger belongs to it, beyond a part without echoes."""

WHOLE_SHARE = 0.8
"""Of the frame: a larger area is a clip that is already cut, and its dark margins are tissue."""

LOOK_AGAIN_S, GROWTH = 1.0, 0.05
"""How often the scan is looked for again, and the share by which it must have grown to be seen anew."""

STRAY_SHARE, STRAY_LOOKS = 0.25, 3
"""Share of the scan that lies outside its old place, and the looks in a row after which it has moved. On both scanners'
screens 0.06 at most while the scan was dimmed to an eighth or all but its top was dark; every scan pasted elsewhere, a
third of it outside, was above (154 of 154)."""

GLIMPSE_PX = 480
"""Longer side of the picture in which to look whether a scan is still in its place; 3 ms, where 1280 px take 25."""

MOVED = NotAnalysed("the scan is no longer where the scan area was set: set it again")

NOTHING_FOUND = NotAnalysed("no scan area: nothing like a scan is in the picture", state=State.NO_SIGNAL)

Finder = Callable[[Frame, ScanArea | None], ScanArea | NotAnalysed]
"""Frame and the source's own area -> the scan area of this frame, or why there is none."""


def finder(text: str | None) -> Finder:
    """Who decides: the user's ``text``, else the source's header, else what is seen. Raises UsageError for the text.

    A given area may say for which size of the picture it was drawn, ``"120,80,640,480@1280x720"``; else that is the
    first frame's. Where the scan leaves the place at which it was first seen, nothing is judged until it is back: the
    screen was laid out anew. A detected area follows the scan instead.
    """
    if text is None:
        return _Detected()
    if text == FULL:
        return lambda frame, header: full_frame(frame)
    box, at, size = text.partition("@")
    if at and not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", size):
        raise UsageError(
            f"scan area {text[:40]!r} makes no sense. Expected a size after @, like 120,80,640,480@1280x720."
        )
    return _Given(parse_scan_area(box), size)


class _Given:
    def __init__(self, area: ScanArea, drawn_for: str) -> None:
        self._area = area
        self._drawn_for = drawn_for
        self._place = _Place()

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        size = size_text(frame.rgb.shape[1], frame.rgb.shape[0])
        self._drawn_for = self._drawn_for or size
        if size != self._drawn_for:
            reason = f"the picture is {size}, but the scan area was drawn for {self._drawn_for}: set it again"
            return NotAnalysed(reason)
        if self._place.is_due(frame):
            self._place.look(propose(glimpse(frame.rgb)))
        return MOVED if self._place.left else self._area


class _Detected:
    def __init__(self) -> None:
        self._size: tuple[int, ...] | None = None
        self._place = _Place()

    def __call__(self, frame: Frame, header: ScanArea | None) -> ScanArea | NotAnalysed:
        if header is not None:
            return header
        if frame.rgb.shape != self._size or self._place.left:
            self._size, self._place = frame.rgb.shape, _Place()
        if self._place.is_due(frame):
            self._place.look(propose(frame.rgb))
        return NOTHING_FOUND if self._place.known is None else self._place.known


class _Place:
    """Where the scan was when it was first seen, grown since; and whether it was elsewhere in the last looks."""

    def __init__(self) -> None:
        self.known: ScanArea | None = None
        self._strays = 0
        self._looked_s: float | None = None

    @property
    def left(self) -> bool:
        return self._strays >= STRAY_LOOKS

    def is_due(self, frame: Frame) -> bool:
        """Whether to look at this frame: every LOOK_AGAIN_S, and at each until a scan is known."""
        due = self.known is None or self._looked_s is None or not 0 <= frame.pts_s - self._looked_s < LOOK_AGAIN_S
        if due:
            self._looked_s = frame.pts_s
        return due

    def look(self, seen: ScanArea | None) -> None:
        """Take in what was seen; where nothing was, the scan is dark and may be anywhere."""
        if seen is None:
            return
        if self.known is None or grown(self.known, seen):
            self.known, self._strays = seen, 0
        elif outside(self.known, seen) > STRAY_SHARE:
            self._strays += 1
        else:
            self._strays = 0


def grown(known: ScanArea, seen: ScanArea) -> bool:
    """Whether ``seen`` is ``known`` and at least GROWTH more: a probe in air shows the top of its scan alone."""
    before, after = known.width_px * known.height_px, seen.width_px * seen.height_px
    return shared_px(known, seen) >= 0.95 * before and after >= (1 + GROWTH) * before


def outside(known: ScanArea, seen: ScanArea) -> float:
    """The share of ``seen`` that is not in ``known``. A scan that is dark in part, and so is seen smaller, has none."""
    return 1 - shared_px(known, seen) / (seen.width_px * seen.height_px)


def shared_px(one: ScanArea, other: ScanArea) -> int:
    """How many pixels lie in both."""
    across = min(one.x_px + one.width_px, other.x_px + other.width_px) - max(one.x_px, other.x_px)
    down = min(one.y_px + one.height_px, other.y_px + other.height_px) - max(one.y_px, other.y_px)
    return max(across, 0) * max(down, 0)


def glimpse(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, no larger than GLIMPSE_PX."""
    shrink = GLIMPSE_PX / max(rgb.shape[:2])
    if shrink >= 1:
        return rgb
    return np.asarray(cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)


def propose(rgb: NDArray[np.uint8]) -> ScanArea | None:
    """Where the scan lies in a screen uint8 [H, W, 3]: the box around what is large, textured and no background.

    None if nothing is; all of the frame if it is nearly that. Only boxes: the corners beside a convex probe's sector
    are in it.
    """
    height, width = rgb.shape[:2]
    raw = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    grey = np.asarray(cv2.blur(raw, (BLUR_PX, BLUR_PX)), np.uint8)
    detail = cv2.blur(cv2.absdiff(raw, grey).astype(np.float32), (TEXTURE_PX, TEXTURE_PX))
    lit = ((cv2.absdiff(grey, background(grey)) > STEP) & (detail > TEXTURE)).view(np.uint8)
    side = max(3, round(LETTER_SHARE * max(height, width)))
    solid = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    _, _, found, _ = cv2.connectedComponentsWithStats(solid)
    parts = sorted(found[1:].tolist(), key=lambda part: -part[cv2.CC_STAT_AREA])
    if not parts:
        return None
    x, y, across, down, largest = parts[0]
    right, bottom = x + across, y + down
    for left, top, across, down, area in parts[1:]:
        beside = across - max(0, min(right, left + across) - max(x, left))
        if area >= PART_SHARE * largest and beside <= 0.2 * across:
            x, y, right, bottom = min(x, left), min(y, top), max(right, left + across), max(bottom, top + down)
    if (right - x) * (bottom - y) >= WHOLE_SHARE * width * height:
        return ScanArea(0, 0, width, height, "full")
    edge = BLUR_PX // 2  # by which the blur let the scan spill into the background
    x, y = x + edge * (x > 0), y + edge * (y > 0)
    right, bottom = right - edge * (right < width), bottom - edge * (bottom < height)
    return ScanArea(x, y, right - x, bottom - y, "detected")


def background(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The brightness of the screen around the scan, as an array of the shape of ``grey``, uint8 [H, W]."""
    ring = np.concatenate([grey[:4].ravel(), grey[-4:].ravel(), grey[:, :4].ravel(), grey[:, -4:].ravel()])
    median = np.uint8(np.median(ring))
    uniform = np.mean(cv2.absdiff(ring, np.full_like(ring, median)) <= STEP) >= UNIFORM_SHARE
    return np.full_like(grey, median if uniform else 0)


def text_of(area: ScanArea, size_px: tuple[int, int]) -> str:
    """What ``finder`` reads: the area, and the width and height of the picture that it was drawn for."""
    return f"{area.x_px},{area.y_px},{area.width_px},{area.height_px}@{size_text(*size_px)}"


def size_text(width_px: int, height_px: int) -> str:
    """As people write it."""
    return f"{width_px}x{height_px}"


def parse_scan_area(text: str) -> ScanArea:
    """``"x,y,width,height"`` in pixels. Raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 4 and all(part.isascii() and part.isdecimal() and len(part) <= 6 for part in parts):
        x, y, width, height = (int(part) for part in parts)
        if width and height:
            return ScanArea(x, y, width, height, "user")
    raise UsageError(
        f"scan area {text[:40]!r} makes no sense. Expected x,y,width,height in pixels, like 120,80,640,480, or {FULL}."
    )


def full_frame(frame: Frame) -> ScanArea:
    """All of the frame, for clips that are already cut to the scan."""
    height, width = frame.rgb.shape[:2]
    return ScanArea(0, 0, width, height, "full")


def blank_outside(frame: Frame, area: ScanArea | None) -> Frame:
    """The frame with every pixel outside ``area`` black, or all of them; the same object if nothing lies outside."""
    if area is None:
        return replace(frame, rgb=np.zeros_like(frame.rgb))
    height, width = frame.rgb.shape[:2]
    right, bottom = area.x_px + area.width_px, area.y_px + area.height_px
    if area.x_px == 0 and area.y_px == 0 and right >= width and bottom >= height:
        return frame
    rgb = np.zeros_like(frame.rgb)
    inside = np.s_[area.y_px : bottom, area.x_px : right]
    rgb[inside] = frame.rgb[inside]
    return replace(frame, rgb=rgb)
