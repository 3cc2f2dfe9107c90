"""The golden set: prepared pictures and the network's outputs for them, against which every engine is verified.

The pictures are synthetic (nobody's scan is shipped) and stored after preprocessing, because ``cv2.resize`` is not
bit-stable between processor families. No torch here.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.preprocess import Grey, prepare
from rcdnet.spec import ModelSpec
from rcdnet.weights import how_made


class GoldenError(ValueError):
    """The file is not a golden set."""


@dataclass(frozen=True)
class Golden:
    """``images`` uint8 [N, H, W], prepared; ``logits`` float32 [N, K] and ``class_maps`` float32 [N, K, h, w] of the
    PyTorch reference in float32; ``spec`` of the network that made them.
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    class_maps: NDArray[np.float32]
    spec: ModelSpec

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 3 or len(self.images) == 0:
            raise ValueError(f"golden images are uint8 [N, H, W], not {self.images.dtype} {list(self.images.shape)}")
        if self.logits.shape != self.class_maps.shape[:2] or len(self.logits) != len(self.images):
            raise ValueError(
                f"logits {self.logits.shape} and class maps {self.class_maps.shape} do not belong together"
            )

    def save(self, path: Path) -> None:
        """Write ``.npz``; the same content gives the same bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path, images=self.images, logits=self.logits, class_maps=self.class_maps, spec=self.spec.to_json()
        )

    @classmethod
    def load(cls, path: Path) -> "Golden":
        """Read ``.npz``. Raises GoldenError."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                spec = ModelSpec.from_json(str(arrays["spec"]))
                return cls(arrays["images"], arrays["logits"], arrays["class_maps"], spec)
        except Exception as error:
            raise GoldenError(
                f"{path} cannot be read as a golden set ({error}). Restore it, or {how_made(path.parent)}"
            ) from error


def pictures(spec: ModelSpec, count: int = 16) -> NDArray[np.uint8]:
    """Synthetic scans, prepared: uint8 [count, spec.height_px, spec.width_px], the same ones each time."""
    random = np.random.default_rng(20)
    return np.stack([prepare(_scan(random, index), spec)[0] for index in range(count)])


def _scan(random: np.random.Generator, index: int) -> Grey:
    """One synthetic scan: layered speckle that fades with depth; one to three ellipses in it, none in every fourth."""
    height, width = (int(side) for side in random.integers(260, 520, 2))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    echo = 0.5 + 0.25 * np.sin(y / random.uniform(12, 50) + random.uniform(0, 6) + x / random.uniform(150, 600))
    for _ in range(int(random.integers(1, 4)) if index % 4 else 0):
        centre_x, centre_y = random.uniform(0.2, 0.8) * width, random.uniform(0.2, 0.7) * height
        axes = random.uniform(0.04, 0.28, 2) * min(height, width)
        wave = 1 + random.uniform(0, 0.35) * np.sin(random.integers(3, 9) * np.arctan2(y - centre_y, x - centre_x))
        distance = np.hypot((x - centre_x) / axes[0], (y - centre_y) / axes[1]) / wave
        inside = 0.5 - 0.5 * np.tanh((distance - 1) * random.uniform(3, 20))  # a blurred or a sharp margin
        below = (np.abs(x - centre_x) < axes[0]) & (y > centre_y)
        echo = echo * (1 - inside) + inside * random.choice([0.03, 0.1, 0.2, 0.9, 1.4])
        echo[below & (distance > 1)] *= random.choice([0.35, 1.0, 1.5])  # shadow, nothing, enhancement
    grain = tuple(random.uniform(0.8, 2.5, 2))
    real, imaginary = (
        cv2.GaussianBlur(random.standard_normal((height, width), np.float32), (0, 0), *grain) for _ in range(2)
    )
    speckle = np.hypot(real, imaginary)
    signal = echo * speckle / speckle.mean() * np.exp(-y / height * random.uniform(0.2, 1.5))
    decibel = 20 * np.log10(signal + 1e-3)
    dynamic_range = random.uniform(35, 60)
    return np.asarray(np.clip((decibel + dynamic_range - 5) / dynamic_range, 0, 1) * 255, np.uint8)
