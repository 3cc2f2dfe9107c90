"""Is the scan still in its place? If it has moved, or has become smaller, something else may stand where it was."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.scan_detection import GLIMPSE_PX, propose, shrunk
from stream.sector import joined
from stream.types import Frame, ScanArea

SMALLEST_SIDE_PX = 32
"""A scan area with a shorter side holds fewer pixels than the network's class maps have cells to fill."""

LOOK_AGAIN_S = 1.0
"""How often the scan is looked for again while it is in its place."""

GROWTH = 0.05
"""The share by which the scan must have grown for its place to be replaced: what is less is noise."""

LOOKS = 3
"""As many looks in a row, at as many frames, make sure that the scan has moved or become smaller."""

STRAY_SHARE = 0.25
"""The scan has moved if more than this share of it lies outside its old place. On both scanners' screens at most 0.06
of it did, even dimmed to an eighth, or dark except for its top. All 154 scans that were pasted elsewhere, a third of
each outside, exceeded it."""

LEFT_SHARE = 0.75
INK = 64
INK_SHARE = 1e-4
"""The scan has become smaller if it is seen in at most LEFT_SHARE of its old place, and in the rest of that place a
share of the picture of INK_SHARE is brighter than INK: words, or something else, and not a scan that is dark there. Of
some 430 real stills that were darkened so that only a part of them was seen, the brightest rest had half as much ink,
and the smallest words that can be read have twice as much."""

TOP_SHARE = 0.4
"""If no more than this share of its old height is seen, at its top, the probe is in air, whatever is written over the
rest. Its place stays as it is: that band alone would be judged."""


class ScanPlace:
    """The place of the scan in one screen layout: where it was first seen, enlarged by what was seen of it since.

    If it ``follows`` the scan, it becomes smaller with it as well. That behind an area that the user drew does not:
    a part of the scan that is dark for a while, and then seen again, would be taken for a scan that has moved.
    """

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self.area: ScanArea | None = None
        """None until a scan was seen. If it does not follow the scan, its pixels are those of a glimpse."""
        self.in_sight = False
        """Whether anything like a scan was seen, wherever, at the last look."""
        self._looked_s = 0.0
        """When that was."""
        self._looks_elsewhere = self._looks_smaller = 0
        """How many looks in a row found that the scan has moved, or has become smaller. Those that see no scan do not
        count, and one that finds it elsewhere says nothing of its size."""

    @property
    def was_left(self) -> bool:
        """Whether the scan has moved out of its place."""
        return self._looks_elsewhere >= LOOKS

    def watch(self, frame: Frame) -> None:
        """Look for the scan in this frame, if it is time to."""
        if not self._is_due(frame.pts_s):
            return
        self._looked_s = frame.pts_s
        # what follows looks at full size: a glimpse misses flanks of a sector that light up in their old box
        rgb = frame.rgb if self._follows else shrunk(frame.rgb, GLIMPSE_PX)
        seen = propose(rgb)
        if seen is not None and min(seen.width_px, seen.height_px) < SMALLEST_SIDE_PX:
            seen = None  # it is a line of words
        self.in_sight = seen is not None
        if seen is not None:  # else the scan may be anywhere
            self._compare(seen, rgb)

    def _is_due(self, now_s: float) -> bool:
        """Every LOOK_AGAIN_S; and at each frame while no scan is in sight, or while it may have moved or shrunk. Behind
        a drawn area a scan that has become dark is not missed."""
        missed = not self.in_sight if self._follows else self.area is None
        doubted = self._looks_elsewhere > 0 or self._looks_smaller > 0
        recent = 0 <= now_s - self._looked_s < LOOK_AGAIN_S  # the time may go back
        return missed or doubted or not recent

    def _compare(self, seen: ScanArea, rgb: NDArray[np.uint8]) -> None:
        """Take in that the scan was ``seen`` there in ``rgb``."""
        if self.area is None or has_grown(self.area, seen):
            self._settle(seen)
        elif outside(self.area, seen) > STRAY_SHARE:
            self._looks_elsewhere += 1
        elif self._follows and has_shrunk(self.area, seen, rgb):
            self._looks_elsewhere = 0
            self._looks_smaller += 1
            if self._looks_smaller >= LOOKS:
                self._settle(seen)
        elif outside(seen, self.area) <= GROWTH:  # the same box: another outline is that of another part of a sector
            self._settle(replace(self.area, corners=joined(self.area.corners, seen.corners)))
        else:
            self._settle(self.area)

    def _settle(self, area: ScanArea) -> None:
        """The scan's place is this one from now on."""
        self.area = area
        self._looks_elsewhere = self._looks_smaller = 0


def has_grown(known: ScanArea, seen: ScanArea) -> bool:
    """Whether ``seen`` holds ``known`` and is larger by GROWTH: as when a probe in air, which shows only the top of its
    scan, touches the skin."""
    return known.common_px(seen) >= (1 - GROWTH) * known.count_px and seen.count_px >= (1 + GROWTH) * known.count_px


def has_shrunk(known: ScanArea, seen: ScanArea, rgb: NDArray[np.uint8]) -> bool:
    """Whether ``seen`` is much smaller than ``known``, and what else lies in its place, in ``rgb``, is not dark."""
    at_top = seen.y_px - known.y_px <= GROWTH * known.height_px
    in_air = at_top and seen.height_px <= TOP_SHARE * known.height_px
    if in_air or seen.count_px > LEFT_SHARE * known.count_px:
        return False
    ink = rgb[..., 1] > INK
    ink[seen.pixels] = False
    return int(np.count_nonzero(ink[known.pixels])) >= INK_SHARE * ink.size


def outside(known: ScanArea, seen: ScanArea) -> float:
    """The share of ``seen`` that is not in ``known``: 0 for a scan that is partly dark and so looks smaller."""
    return 1 - known.common_px(seen) / seen.count_px
