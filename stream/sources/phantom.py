"""A seeded synthetic scan with known truth, so that everything runs with no patient data at all.

Layered tissue under fully developed speckle (Rayleigh envelope, log compression; Wagner et al. 1983), a hypoechoic
lesion that comes and goes, and a scanner's screen around it with a made-up name. A pure function of seed and index.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.sources.base import Closing, Pace
from stream.sources.uri import options
from stream.types import Frame, ScanArea

PERIOD_S = 8.0
"""From one lesion to the next."""
VISIBLE_S = 5.0
"""How long each one stays in the plane; it fades in and out over the last half second."""
FADE_S = 0.5
SWEEP_PX_PER_S = 12.0
"""How fast the probe slides along the skin."""
DYNAMIC_RANGE_DB = 55.0

NOTICE = "SYNTHETIC PHANTOM"
MADE_UP_NAME = "DOE, JANE (MADE UP)"


@dataclass(frozen=True)
class Truth:
    """The lesion of one frame in pixels of the screen; ``visibility`` 0..1, 0 where there is none."""

    visibility: float
    centre_x_px: float
    centre_y_px: float
    radius_x_px: float
    radius_y_px: float
    spiculated: bool


class PhantomSource(Closing):
    """``phantom:?size=1280x720&fps=30&seed=1&frames=300``; without ``frames`` it never ends."""

    name = "phantom (synthetic)"
    synthetic = True

    def __init__(
        self,
        size_px: tuple[int, int] = (1280, 720),
        fps: float = 30.0,
        seed: int = 1,
        frames: int | None = None,
        *,
        live: bool = True,
    ) -> None:
        super().__init__()
        self.fps, self.live, self.damaged = fps, live, 0
        self._frames, self._seed = frames, seed
        width, height = size_px
        x, y = round(0.06 * width), round(0.09 * height)
        self.scan_area = ScanArea(x, y, max(1, round(0.68 * width)), max(1, round(0.84 * height)), "header")
        random = np.random.default_rng(seed)
        self._screen = _screen(width, height, self.scan_area)
        self._tissue_db = _tissue(self.scan_area, random)
        self._noise_db = random.normal(0, 1.2, (self.scan_area.height_px + 64, self.scan_area.width_px + 64)).astype(
            np.float32
        )

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        asked = options("phantom", query)
        asked.expect("size", "fps", "seed", "frames")
        size = asked.size_px((1280, 720), least_px=160) or (1280, 720)
        fps, seed = asked.fps(30.0) or 30.0, asked.count("seed", 1) or 0
        return cls(size, fps, seed, asked.count("frames"), live=live is not False)

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        index, pace = 0, Pace(self._closed)
        while not self._closed.is_set() and (self._frames is None or index < self._frames):
            if self.live and not pace.wait(index / self.fps):
                return
            yield Frame(index, time.monotonic_ns(), index / self.fps, self.picture(index), self.name)
            index += 1

    def truth(self, index: int) -> Truth:
        """The lesion in frame ``index``."""
        number, since_s = divmod(index / self.fps, PERIOD_S)
        random = np.random.default_rng([self._seed, int(number)])
        fade = min(since_s, VISIBLE_S - since_s) / FADE_S
        area = self.scan_area
        radius = random.uniform(0.09, 0.16) * area.height_px
        drift = SWEEP_PX_PER_S * (since_s - VISIBLE_S / 2)
        return Truth(
            visibility=float(np.clip(fade, 0, 1)),
            centre_x_px=area.x_px + random.uniform(0.35, 0.65) * area.width_px - drift,
            centre_y_px=area.y_px + random.uniform(0.38, 0.55) * area.height_px,
            radius_x_px=radius * random.uniform(1.0, 1.7),
            radius_y_px=radius,
            spiculated=bool(random.random() < 0.5),
        )

    def picture(self, index: int) -> NDArray[np.uint8]:
        """The screen of frame ``index``, uint8 [H, W, 3]."""
        area = self.scan_area
        sweep = round(SWEEP_PX_PER_S * index / self.fps) % (self._tissue_db.shape[1] - area.width_px)
        tissue = self._tissue_db[:, sweep : sweep + area.width_px]
        truth = self.truth(index)
        if truth.visibility:
            tissue = tissue + truth.visibility * self._lesion(truth)
        shift = np.random.default_rng([self._seed, index, 1]).integers(0, 64, 2)  # electronic noise moves every frame
        noise = self._noise_db[shift[0] : shift[0] + area.height_px, shift[1] : shift[1] + area.width_px]
        grey = np.clip((tissue + noise) * (255 / DYNAMIC_RANGE_DB), 0, 255).astype(np.uint8)
        screen = self._screen.copy()
        screen[area.y_px : area.y_px + area.height_px, area.x_px : area.x_px + area.width_px] = grey[..., None]
        return screen

    def _lesion(self, truth: Truth) -> NDArray[np.float32]:
        """What the lesion takes from the echo, in dB, float32 [area height, area width]."""
        area = self.scan_area
        columns, rows = (
            max(1, area.width_px // 4),
            max(1, area.height_px // 4),
        )  # smooth: a quarter of the pixels will do
        x = np.linspace(0, area.width_px, columns, dtype=np.float32) + area.x_px - truth.centre_x_px
        y = np.linspace(0, area.height_px, rows, dtype=np.float32) + area.y_px - truth.centre_y_px
        across, down = np.broadcast_arrays(x[None] / truth.radius_x_px, y[:, None] / truth.radius_y_px)
        distance = np.hypot(across, down)
        if truth.spiculated:
            distance = distance * (1 + 0.13 * np.sin(9 * np.arctan2(down, across)))
        inside = 1 / (1 + np.exp(np.clip((distance - 1) * (8 if truth.spiculated else 22), -30, 30)))
        below = np.clip(down, 0, 1) * np.exp(-((across / 0.8) ** 4))
        behind = (-9 if truth.spiculated else 5) * below * (1 - inside)  # shadow, or the enhancement behind a cyst
        loss_db = np.asarray(behind - 18 * inside, np.float32)
        return np.asarray(cv2.resize(loss_db, (area.width_px, area.height_px)), np.float32)


def _tissue(area: ScanArea, random: np.random.Generator) -> NDArray[np.float32]:
    """A strip of tissue twice as wide as the scan, in dB above the noise floor, and its beginning again."""
    height, width = area.height_px, 2 * area.width_px
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    along = np.linspace(0, 2 * np.pi, width, endpoint=False, dtype=np.float32)[None]
    wave = 0.02 * np.sin(along + random.uniform(0, 6)) + 0.012 * np.sin(3 * along + random.uniform(0, 6))
    level = np.full((height, width), 24.0, np.float32)  # fat
    level += np.where(depth < 0.05 + 0.2 * wave, 16, 0)  # skin
    gland = 1 / (1 + np.exp(-(depth - 0.25 - wave) * 60))
    level += 9 * gland
    muscle = 1 / (1 + np.exp(-(depth - 0.78 - wave) * 60))
    level -= 5 * muscle
    for _ in range(14):  # fascia and Cooper's ligaments: bright, thin, nearly horizontal
        at, tilt = random.uniform(0.08, 0.95), random.uniform(0.01, 0.05)
        line = at + tilt * np.sin(random.integers(1, 5) * along + random.uniform(0, 6)) + wave
        level += random.uniform(4, 11) * np.exp(-(((depth - line) / random.uniform(0.003, 0.009)) ** 2))
    coarse = _smooth(random, height, width, height / 16)
    level += 5 * coarse / coarse.std() * gland
    grain = max(0.7, height / 480)
    envelope = np.hypot(
        _smooth(random, height, width, 1.5 * grain, grain), _smooth(random, height, width, 1.5 * grain, grain)
    )
    speckle_db = 20 * np.log10(np.maximum(envelope / envelope.mean(), 0.05))
    strip = np.asarray(level + 0.75 * speckle_db - 9 * depth, np.float32)
    return np.concatenate([strip, strip[:, : area.width_px]], axis=1)


def _smooth(
    random: np.random.Generator, height: int, width: int, sigma_x: float, sigma_y: float | None = None
) -> NDArray[np.float32]:
    """Gaussian noise blurred by ``sigma`` pixels, whose left and right edges meet."""
    noise = random.standard_normal((height, width), np.float32)
    edge = min(width, int(4 * sigma_x) + 1)
    wide = np.concatenate([noise[:, -edge:], noise, noise[:, :edge]], axis=1)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), sigma_x, sigmaY=sigma_y or sigma_x)[:, edge:-edge], np.float32)


def _screen(width: int, height: int, area: ScanArea) -> NDArray[np.uint8]:
    """The scanner's screen without its picture: name, settings, depth scale, grey bar."""
    screen = np.full((height, width, 3), 10, np.uint8)
    size = height / 720

    def write(text: str, x: float, y: float, shade: int = 190, scale: float = 0.55) -> None:
        at = int(x), int(y)
        cv2.putText(
            screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale * size, (shade,) * 3, max(1, round(size)), cv2.LINE_AA
        )

    write(MADE_UP_NAME, area.x_px, 0.055 * height)
    write(NOTICE, area.x_px + 0.62 * area.width_px, 0.055 * height, 230)
    right = area.x_px + area.width_px + 0.02 * width
    settings = ("L12-5  Breast", "FR 30 Hz", "Gn 62", "DR 55 dB", "D 4.0 cm", "MI 0.9  TIS 0.2")
    for row, text in enumerate(settings):
        write(text, right + 0.02 * width, (0.16 + 0.05 * row) * height, 150, 0.5)
    for tick in range(9):
        y = round(area.y_px + tick / 8 * (area.height_px - 1))
        cv2.line(screen, (int(right - 0.012 * width), y), (int(right - 0.006 * width), y), (120,) * 3, 1)
    bar = np.linspace(255, 0, max(2, round(0.3 * height))).astype(np.uint8)
    top, left = round(0.55 * height), round(right + 0.02 * width)
    screen[top : top + len(bar), left : left + max(4, width // 80)] = bar[:, None, None]
    return screen
