"""The only definition of pixels -> model input, and of class map -> pixels. Training, evaluation, the live path and
the golden set all call this file, with the settings that the weights carry in their ModelSpec."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.box import Box
from rcdnet.spec import ModelSpec, Preprocessing

LEAST_DEEP = 2**12
"""A picture of 16 bits must have a value this high: 8 bits would keep at most 16 greys of a darker one."""

Grey = NDArray[np.uint8]
"""A grey picture, uint8 [H, W]."""


@dataclass(frozen=True)
class Placement:
    """Where a ``box`` of the picture lies in the model input: columns left..left+width, rows top..top+height."""

    box: Box
    left_px: int
    top_px: int
    width_px: int
    height_px: int
    input_width_px: int
    input_height_px: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The rows and columns of the model input that hold the box."""
        return slice(self.top_px, self.top_px + self.height_px), slice(self.left_px, self.left_px + self.width_px)


def to_grey(rgb: NDArray[np.uint8]) -> Grey:
    """Luma (ITU-R BT.601) of an RGB picture, uint8 [H, W, 3] -> uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def too_dark(image: NDArray[Any]) -> bool:
    """Whether a picture of 16 bits, of any shape, uses 12 or fewer of them, and so would be nearly black in 8; False if
    it is all black."""
    return image.dtype == np.uint16 and 0 < int(image.max()) < LEAST_DEEP


def enhance(grey: Grey, settings: Preprocessing) -> Grey:
    """Denoise (median filter), then raise local contrast (CLAHE). Any size in, the same size out."""
    if settings.median_px > 1:
        grey = np.asarray(cv2.medianBlur(grey, settings.median_px), dtype=np.uint8)
    if settings.clahe_clip > 0:
        tiles = (settings.clahe_tiles, settings.clahe_tiles)
        grey = np.asarray(cv2.createCLAHE(settings.clahe_clip, tiles).apply(grey), dtype=np.uint8)
    return grey


def place(box: Box, spec: ModelSpec) -> Placement:
    """Centre ``box`` in the model input with its aspect ratio kept."""
    scale = min(spec.width_px / box.width_px, spec.height_px / box.height_px)
    width = min(spec.width_px, max(1, round(box.width_px * scale)))
    height = min(spec.height_px, max(1, round(box.height_px * scale)))
    left, top = (spec.width_px - width) // 2, (spec.height_px - height) // 2
    return Placement(box, left, top, width, height, spec.width_px, spec.height_px)


def prepare(grey: Grey, spec: ModelSpec, box: Box | None = None) -> tuple[Grey, Placement]:
    """Model input, uint8 [spec.height_px, spec.width_px], from ``box`` of a grey picture (all of it if None).

    Cut, resize with the aspect ratio kept (area averaging when shrinking, linear when growing), denoise, enhance, pad.
    Raises ValueError if the picture is not uint8 [H, W] or the box leaves it.
    """
    if grey.dtype != np.uint8 or grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"expected a grey picture, uint8 [H, W], not {grey.dtype} {list(grey.shape)}")
    height, width = grey.shape
    box = box or Box(0, 0, width, height)
    if box.x_px < 0 or box.y_px < 0 or box.x_px + box.width_px > width or box.y_px + box.height_px > height:
        raise ValueError(f"{box} leaves the {width}x{height} picture")
    at = place(box, spec)
    cut = grey[box.pixels]
    how = cv2.INTER_AREA if at.width_px < box.width_px else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(cut, (at.width_px, at.height_px), interpolation=how), dtype=np.uint8)
    image = np.full((spec.height_px, spec.width_px), spec.preprocessing.pad_value, np.uint8)
    image[at.pixels] = enhance(small, spec.preprocessing)
    return image, at


def cell_centres(at: Placement, columns: int, rows: int) -> NDArray[np.float64]:
    """Index of a map's cell -> pixel of the model input at its centre, as a 3x3 matrix."""
    width, height = at.input_width_px / columns, at.input_height_px / rows
    return np.array([[width, 0, width / 2], [0, height, height / 2], [0, 0, 1]])


def to_input(at: Placement) -> NDArray[np.float64]:
    """Pixel of the picture -> pixel of the model input, as a 3x3 matrix."""
    x, y = at.width_px / at.box.width_px, at.height_px / at.box.height_px
    return np.array([[x, 0, at.left_px - x * at.box.x_px], [0, y, at.top_px - y * at.box.y_px], [0, 0, 1]])


def to_pixels(cells: NDArray[np.float32], at: Placement) -> NDArray[np.float32]:
    """A map over the model input, float32 [h, w], as one over the box it came from, float32 [box height, box width].

    Linear interpolation between cell centres, one resample: each box pixel looks up its place in the map.
    """
    rows, columns = cells.shape
    of_box = np.array([[1, 0, at.box.x_px + 0.5], [0, 1, at.box.y_px + 0.5], [0, 0, 1]])
    matrix = (np.linalg.inv(cell_centres(at, columns, rows)) @ to_input(at) @ of_box)[:2]
    return np.asarray(
        cv2.warpAffine(
            np.ascontiguousarray(cells, np.float32),
            matrix,
            (at.box.width_px, at.box.height_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.float32,
    )
