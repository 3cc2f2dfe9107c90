"""What does the probe see? A made-up breast: layers, speckle and lesions, a pure function of seed and time.

Echo strength is kept in decibels on the probe's own raster (depth samples x scan lines), as a scanner does before scan
conversion. Speckle is the magnitude of a complex Gaussian field (Rayleigh, Wagner et al. 1983); turning one field into
another, as a probe that tilts does, keeps it so at every moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WIDTH_MM, DEPTH_MM = 50.0, 40.0
"""What a usual linear breast probe covers."""

SAMPLES, LINES = 400, 384
"""Raster of the probe: rows down in depth, columns along its face."""

MARGIN = 56
"""Lines on either side that come into view as the probe slides."""

RANGE_DB = 60.0
"""Echo strengths from white down to black."""

CYCLE_S = 6.0
"""Every so often the probe passes over another lesion ..."""

VISIBLE_S = 3.8
"""... and has it in view for this long."""

COMPOUND = 0.3
"""Part of the mean power that fills the black gaps of speckle, as scanners do by looking from several angles."""

LEAST_MM = 0.6
"""A thinner cut through a lesion is not drawn."""

SKIN = 1.6
FAT = 7.5
GLAND = 22.0
FASCIA = 30.0
"""Mean depth, in mm, at which each layer ends; muscle below."""


@dataclass(frozen=True)
class Lesion:
    """One lesion. ``level`` float32 [s, s] over -2..2 lesion radii is 1 on its outline, less inside.

    ``left, top, right, bottom`` are how far the outline reaches from its centre, in radii.
    """

    kind: Literal["benign", "malignant"]
    radius_mm: float
    line_mm: float
    depth_mm: float
    level: Floats
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Cut:
    """A lesion as it is cut at one moment: ``scale`` 0..1 of its radius, its centre in mm from the scan's corner."""

    lesion: Lesion
    scale: float
    x_mm: float
    y_mm: float

    def box_mm(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the outline in mm, cut off at the edges of the scan."""
        radius = self.lesion.radius_mm * self.scale
        left, right = self.x_mm - radius * self.lesion.left, self.x_mm + radius * self.lesion.right
        top, bottom = self.y_mm - radius * self.lesion.top, self.y_mm + radius * self.lesion.bottom
        return max(0.0, left), max(0.0, top), min(WIDTH_MM, right), min(DEPTH_MM, bottom)


class Tissue:
    """A breast that is told by its ``seed``; ``scan`` and ``cut`` may be called for any time in any order."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._seed = seed
        columns = LINES + 2 * MARGIN
        self._speckle = tuple(np.dstack([speckle(rng, columns), speckle(rng, columns)]) for _ in range(2))
        self._layers = tuple(layers(rng, columns) for _ in range(2))
        self._noise = rng.normal(0, 1, (SAMPLES * 2, LINES * 2)).astype(np.float32)
        depth = np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, LINES, dtype=np.float32)[None]
        self._gain_db = -15 * depth**2 + 2 * np.exp(-(((depth - 0.4) / 0.25) ** 2)) - 5 * across**6
        self._noise_gain = 0.8 + 2.5 * depth**3
        self._lesion = lru_cache(maxsize=8)(self._make_lesion)

    def scan(self, t_s: float) -> NDArray[np.uint8]:
        """The scan at ``t_s`` seconds, log-compressed, uint8 [SAMPLES, LINES]."""
        turn = 0.35 * t_s
        field = cv2.addWeighted(*self._window(self._speckle, t_s, np.cos(turn), np.sin(turn)))
        part = 0.5 - 0.5 * np.cos(0.3 * t_s)
        echo_db = np.asarray(cv2.addWeighted(*self._window(self._layers, t_s, 1 - part, part)), np.float32)
        cut = self.cut(t_s)
        if cut is not None:
            add_lesion(echo_db, cut)
        power = cv2.transform(cv2.multiply(field, field), np.ones((1, 2), np.float32))
        echo_db += cv2.log(power + COMPOUND) * np.float32(10 / np.log(10))
        echo_db += self._gain_db
        tick = round(t_s * 1e3)
        top, left = tick * 7919 % SAMPLES, tick * 104729 % LINES
        echo_db += self._noise[top : top + SAMPLES, left : left + LINES] * self._noise_gain
        return np.asarray(cv2.convertScaleAbs(np.clip(echo_db + RANGE_DB, 0, RANGE_DB), alpha=255 / RANGE_DB), np.uint8)

    def cut(self, t_s: float) -> Cut | None:
        """The lesion in view at ``t_s``, or None."""
        number, into_s = divmod(t_s, CYCLE_S)
        passed = (into_s - (CYCLE_S - VISIBLE_S) / 2) / VISIBLE_S
        if not 0 < passed < 1:
            return None
        lesion = self._lesion(int(number))
        scale = float(np.sqrt(1 - (2 * passed - 1) ** 2))  # a ball, cut by a plane that moves through it
        if lesion.radius_mm * scale < LEAST_MM:
            return None
        x, y = slide(t_s)
        return Cut(lesion, scale, lesion.line_mm - x * WIDTH_MM / LINES, lesion.depth_mm - y * DEPTH_MM / SAMPLES)

    def _window(
        self, pair: tuple[Floats, ...], t_s: float, first: float, second: float
    ) -> tuple[Floats, float, Floats, float, float]:
        """What lies under the probe in both of ``pair``, with their weights, as cv2.addWeighted takes them."""
        x, y = slide(t_s)
        matrix = np.array([[1, 0, x + MARGIN], [0, 1, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        a, b = (
            cv2.warpAffine(each, matrix, (LINES, SAMPLES), flags=flags, borderMode=cv2.BORDER_REFLECT) for each in pair
        )
        return np.asarray(a, np.float32), float(first), np.asarray(b, np.float32), float(second), 0.0

    def _make_lesion(self, number: int) -> Lesion:
        rng = np.random.default_rng((self._seed, number))
        malignant = bool(rng.integers(2)) if number > 1 else number == 1  # both kinds are seen within two cycles
        harmonics: Iterable[int] = (2, 3, 7, 9, 11, 13, 16) if malignant else range(2, 5)
        around = np.linspace(-np.pi, np.pi, 256, endpoint=False)
        outline = np.ones_like(around)
        for harmonic in harmonics:
            size = 0.045 if malignant else 0.05 / harmonic
            outline += size * rng.uniform(0.4, 1) * np.cos(harmonic * around + rng.uniform(0, 2 * np.pi))
        stretch = rng.uniform(0.85, 1.0) if malignant else rng.uniform(1.3, 1.6)  # cancers stand up, cysts lie down
        radius = outline / np.hypot(np.cos(around) / stretch, np.sin(around) * stretch)
        side = np.linspace(-2, 2, 129, dtype=np.float32)
        x, y = np.meshgrid(side, side)
        level = np.hypot(x, y) / np.interp(np.arctan2(y, x), around, radius, period=2 * np.pi)
        reach_x, reach_y = radius * np.cos(around), radius * np.sin(around)
        return Lesion(
            "malignant" if malignant else "benign",
            float(rng.uniform(4.5, 6.5)),
            float(rng.uniform(0.3, 0.7) * WIDTH_MM),
            float(rng.uniform(13, 18)),
            np.asarray(cv2.GaussianBlur(level.astype(np.float32), (0, 0), 0.6), np.float32),
            float(-reach_x.min()),
            float(-reach_y.min()),
            float(reach_x.max()),
            float(reach_y.max()),
        )


def slide(t_s: float) -> tuple[float, float]:
    """How far the probe has slid along and pressed into the breast at ``t_s``, in lines and samples."""
    return 0.7 * MARGIN * float(np.sin(0.55 * t_s)), 4 * float(np.sin(1.6 * t_s))


def add_lesion(echo_db: Floats, cut: Cut) -> None:
    """Draw the cut lesion, its rim and what it does to the sound behind it into ``echo_db`` [SAMPLES, LINES]."""
    lesion, malignant = cut.lesion, cut.lesion.kind == "malignant"
    radius_mm = lesion.radius_mm * cut.scale
    per_x, per_y = LINES / WIDTH_MM, SAMPLES / DEPTH_MM
    grid = (lesion.level.shape[0] - 1) / 4
    matrix = np.array(
        [
            [grid / radius_mm / per_x, 0, (2 - cut.x_mm / radius_mm) * grid],
            [0, grid / radius_mm / per_y, (2 - cut.y_mm / radius_mm) * grid],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    level = cv2.warpAffine(lesion.level, matrix, (LINES, SAMPLES), flags=flags, borderValue=9.0)
    soft = 0.3 if malignant else 0.14
    inside = np.clip((1 - level) / soft + 0.5, 0, 1)
    rim = np.clip(1 - np.abs(level - 1.12) / 0.18, 0, 1)
    x_mm = (np.arange(LINES, dtype=np.float32) + 0.5) / per_x - cut.x_mm
    y_mm = (np.arange(SAMPLES, dtype=np.float32) + 0.5) / per_y - cut.y_mm
    width_mm = radius_mm * (lesion.left + lesion.right) / 2
    behind = np.clip(y_mm / radius_mm, 0, 1) * np.exp(-np.clip(y_mm, 0, None) / 25)
    beam = np.clip(1.3 - 1.3 * (np.abs(x_mm) / width_mm) ** 2, 0, 1)
    after = np.outer(behind, beam) * (1 - inside)
    echo_db += inside * ((-40 if malignant else -47) - echo_db) + rim * (4 if malignant else 2)
    echo_db += after * (-10 if malignant else 7)


def speckle(rng: np.random.Generator, columns: int) -> Floats:
    """One part, real or imaginary, of the echo of countless small scatterers: mean square 0.5, [SAMPLES, columns]."""
    return noise(rng, columns, 1.2, 1.9) * np.float32(np.sqrt(0.5))


def noise(rng: np.random.Generator, columns: int, deep: float, wide: float) -> Floats:
    """Gaussian noise of unit variance with a grain of ``deep`` samples by ``wide`` lines, [SAMPLES, columns]."""
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SAMPLES, columns)).astype(np.float32), (0, 0), sigmaX=wide, sigmaY=deep)
    return np.asarray((grain - grain.mean()) / grain.std(), np.float32)


def layers(rng: np.random.Generator, columns: int) -> Floats:
    """Mean echo strength in dB of skin, fat, gland, fascia and muscle, float32 [SAMPLES, columns]."""
    mm = ((np.arange(SAMPLES) + 0.5) * DEPTH_MM / SAMPLES).astype(np.float32)[:, None]
    along = np.arange(columns) / columns * 2 * np.pi

    def waves(size_mm: float) -> Floats:
        swing = sum(np.sin(k * along + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 6))
        return np.asarray(size_mm * swing, np.float32)[None]

    def below(depth_mm: Floats) -> Floats:
        return np.asarray(0.5 + 0.5 * np.tanh((mm - depth_mm) / 0.5), np.float32)

    def strands(deep: float, wide: float, thin: float) -> Floats:
        return np.asarray(np.exp(-((noise(rng, columns, deep, wide) / thin) ** 2)), np.float32)

    fat_end, gland_end, fascia_end = FAT + waves(0.8), GLAND + waves(1.4), FASCIA + waves(0.6)
    skin, fat, gland, muscle = below(SKIN + waves(0.05)), below(fat_end), below(gland_end), below(fascia_end)
    fat_db = -37 + 3 * noise(rng, columns, 8, 24) + 6 * strands(9, 40, 0.2)
    gland_db = -21 + 4 * noise(rng, columns, 8, 26) + 2.5 * noise(rng, columns, 2.5, 12) - 5 * strands(10, 26, 0.3)
    deep_db = -37 + 3 * noise(rng, columns, 6, 40) + 7 * strands(8, 60, 0.2)
    muscle_db = -35 + 3 * noise(rng, columns, 4, 50) + 10 * strands(4, 70, 0.14)
    total = -18 + (fat_db + 18) * skin
    total += (gland_db - fat_db) * fat + (deep_db - gland_db) * gland + (muscle_db - deep_db) * muscle
    for depth_mm, bright_db, thick_mm in ((0.2, 9, 0.2), (SKIN, 9, 0.18), (fat_end, 6, 0.3), (gland_end, 5, 0.3)):
        total += bright_db * np.exp(-(((mm - depth_mm) / thick_mm) ** 2))
    total += 14 * np.exp(-(((mm - fascia_end) / 0.3) ** 2))
    return np.asarray(total, np.float32)
