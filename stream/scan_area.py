"""Where does the ultrasound picture lie in the screen? What lies outside is blanked: names are burnt in there."""

from dataclasses import replace

import numpy as np

from stream.errors import UsageError
from stream.types import Frame, ScanArea


def parse_scan_area(text: str) -> ScanArea:
    """``"x,y,width,height"`` in pixels. Raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 4 and all(part.isascii() and part.isdecimal() and len(part) <= 6 for part in parts):
        x, y, width, height = (int(part) for part in parts)
        if width and height:
            return ScanArea(x, y, width, height, "user")
    raise UsageError(
        f"scan area {text[:40]!r} makes no sense. Expected x,y,width,height in pixels, like 120,80,640,480."
    )


def full_frame(frame: Frame) -> ScanArea:
    """All of the frame, for clips that are already cut to the scan."""
    height, width = frame.rgb.shape[:2]
    return ScanArea(0, 0, width, height, "full")


def blank_outside(frame: Frame, area: ScanArea) -> Frame:
    """The frame with every pixel outside ``area`` black; the same object if nothing lies outside."""
    height, width = frame.rgb.shape[:2]
    right, bottom = area.x_px + area.width_px, area.y_px + area.height_px
    if area.x_px == 0 and area.y_px == 0 and right >= width and bottom >= height:
        return frame
    rgb = np.zeros_like(frame.rgb)
    inside = np.s_[area.y_px : bottom, area.x_px : right]
    rgb[inside] = frame.rgb[inside]
    return replace(frame, rgb=rgb)
