"""A network of a few lines, for tests and for pages without weights: its class maps follow the picture's brightness."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.base import Engine, EngineInfo, EngineOutput, require_images
from rcdnet.spec import ModelSpec

SPEC = ModelSpec(("normal", "benign", "malignant"), 224, 224, 0.485, 0.229, "none", version="fake")
"""The spec of the fake by default."""


class FakeEngine(Engine):
    """Dark cells speak for the last class, bright ones for the first. A pure function of the pixels; not a network."""

    CELL_PX = 16

    def __init__(self, spec: ModelSpec = SPEC) -> None:
        self.spec = spec
        self.info = EngineInfo("fake", "f32", "cpu", "numpy", spec.weights_sha256)

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        size = self.spec.width_px // self.CELL_PX, self.spec.height_px // self.CELL_PX
        cells = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]) / np.float32(255)
        weights = np.linspace(4, -4, len(self.spec.class_names), dtype=np.float32)
        maps = np.asarray(cells[:, None] * weights[:, None, None], np.float32)
        return EngineOutput(maps.mean(axis=(2, 3)), maps)
