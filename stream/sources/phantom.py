"""A seeded synthetic scan with known truth, so that everything runs with no patient data at all: tissue with lesions
that come and go, and a scanner's screen around it with a made-up name. A pure function of URI and frame index."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.sources.base import Source
from stream.sources.clocks import Pace
from stream.sources.phantom_tissue import DEPTH_MM, WIDTH_MM, Tissue
from stream.sources.uri import options
from stream.types import Frame, ScanArea

SIZE_PX = (1280, 720)
"""What most capture cards deliver."""

LEAST_PX = 160
"""Of a side; below it the scan has fewer pixels than a lesion needs."""

MADE_UP_NAME = "PHANTOM, SYNTHETIC"
"""Burnt in where a scanner burns in the patient's name: outside the scan area, so never seen after blanking."""


@dataclass(frozen=True)
class Truth:
    """The lesion of one frame: its kind and the half-open box of its outline in pixels of the picture."""

    kind: Literal["benign", "malignant"]
    left_px: int
    top_px: int
    right_px: int
    bottom_px: int


class PhantomSource(Source):
    """``phantom:?size=1280x720&fps=30&seed=1&frames=300``; without ``frames`` it never ends."""

    name = "phantom (synthetic)"
    synthetic = True
    fps: float
    scan_area: ScanArea

    def __init__(
        self,
        size_px: tuple[int, int] = SIZE_PX,
        fps: float = 30.0,
        seed: int = 1,
        frames: int | None = None,
        *,
        live: bool = True,
    ) -> None:
        super().__init__()
        self.fps, self.live = fps, live
        self.scan_area = place_scan(*size_px)
        self._frames = frames
        self._tissue = Tissue(seed)
        self._screen = draw_screen(*size_px, self.scan_area)
        self._mm_per_px = DEPTH_MM / self.scan_area.height_px, WIDTH_MM / self.scan_area.width_px

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``; live unless told otherwise."""
        asked = options("phantom", query, target)
        asked.expect("size", "fps", "seed", "frames")
        size_px, seed = asked.size_px(LEAST_PX) or SIZE_PX, asked.count("seed")
        fps, frames = asked.fps() or 30.0, asked.count("frames")
        return partial(cls, size_px, fps, 1 if seed is None else seed, frames, live=live is not False)

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        with self:
            index, pace = 0, Pace(self._closed)
            while not self._closed.is_set() and (self._frames is None or index < self._frames):
                if self.live and not pace.wait(index / self.fps):
                    return
                captured_ns = time.perf_counter_ns()
                yield Frame(index, captured_ns, index / self.fps, self.picture(index), self.name, self._mm_per_px)
                index += 1

    def picture(self, index: int) -> NDArray[np.uint8]:
        """The screen of frame ``index``, uint8 [H, W, 3]."""
        area = self.scan_area
        scan = cv2.resize(self._tissue.scan(index / self.fps), (area.width_px, area.height_px))
        picture = self._screen.copy()
        picture[area.pixels] = cv2.cvtColor(scan, cv2.COLOR_GRAY2RGB)
        return picture

    def truth(self, index: int) -> Truth | None:
        """The lesion that frame ``index`` shows, or None if it shows none."""
        cut = self._tissue.cut(index / self.fps)
        if cut is None:
            return None
        area, (down_mm, across_mm) = self.scan_area, self._mm_per_px
        left, top, right, bottom = cut.box_mm()
        return Truth(
            cut.lesion.kind,
            area.x_px + int(left / across_mm),
            area.y_px + int(top / down_mm),
            area.x_px + int(np.ceil(right / across_mm)),
            area.y_px + int(np.ceil(bottom / down_mm)),
        )


def place_scan(width: int, height: int) -> ScanArea:
    """As large as fits beside the text with its proportions kept, in the middle of what is left."""
    room_width, room_height = 0.74 * width, 0.86 * height
    scale = min(room_width / WIDTH_MM, room_height / DEPTH_MM)
    across, down = round(WIDTH_MM * scale), round(DEPTH_MM * scale)
    x, y = round(0.03 * width + (room_width - across) / 2), round(0.1 * height + (room_height - down) / 2)
    return ScanArea(x, y, across, down, "header")


def draw_screen(width: int, height: int, area: ScanArea) -> NDArray[np.uint8]:
    """The scanner's screen without its scan: name, settings, depth scale and grey bar, uint8 [H, W, 3]."""
    screen = np.full((height, width, 3), 12, np.uint8)
    unit = min(width / 1280, height / 720)

    def write(text: str, x: float, y: float, shade: int, scale: float = 0.5) -> None:
        thick = max(1, round(unit))
        at = round(x), round(y)
        cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale * unit, (shade,) * 3, thick, cv2.LINE_AA)

    line = 0.05 * height
    write(MADE_UP_NAME, 0.03 * width, line, 215, 0.6)
    write("ID 000-000-000   F   01.01.1900", 0.27 * width, line, 150)
    write("NOT A PATIENT", 0.6 * width, line, 215, 0.6)
    side = 0.845 * width
    for row, text in enumerate(("Breast", "L12-5", "B  Gn 62", "DR 60 dB", "D 4.0 cm", "MI 0.9  TIS 0.2", "Map C")):
        write(text, side, 0.14 * height + row * 28 * unit, 160)
    right = area.x_px + area.width_px
    for mm in range(0, int(DEPTH_MM) + 1, 5):
        y = area.y_px + round(mm / DEPTH_MM * (area.height_px - 1))
        start, length = right + round(6 * unit), round((10 if mm % 10 == 0 else 5) * unit)
        cv2.line(screen, (start, y), (start + length, y), (150,) * 3, 1)
    top, bar = round(0.52 * height), np.linspace(255, 0, round(0.36 * height)).astype(np.uint8)
    screen[top : top + len(bar), round(side) : round(side + 14 * unit)] = bar[:, None, None]
    return screen
