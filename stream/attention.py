"""Where did the network look? One class of the class maps as a map of 0..1 over the scan area."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rcdnet import glance
from rcdnet.box import Box
from rcdnet.preprocess import place, to_pixels
from rcdnet.spec import ModelSpec
from stream.types import ScanArea


def attention(class_maps: NDArray[np.float32], class_name: str, area: ScanArea, spec: ModelSpec) -> NDArray[np.float32]:
    """Class maps [K, h, w] -> float32 [rows, columns], 0..1, over ``area`` at the resolution of the model input.

    The scale is fixed (``glance.scaled_rise``): a picture without evidence stays dark, while stretching each map to its
    own range would make every picture glow. The letterbox is cut off, so a plain resize lays the map over the scan
    area.
    """
    at = place(area, spec)
    unpadded = replace(at, box=Box(0, 0, at.width_px, at.height_px))
    cells = glance.scaled_rise(class_maps[spec.index(class_name)], at)
    return np.clip(to_pixels(cells, unpadded), 0, 1)
