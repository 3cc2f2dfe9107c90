"""Read a picture or a lesion mask from an image file, whatever its depth, colours and transparency."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rcdnet.preprocess import too_dark
from train.errors import DataError

MOST_NUMBERED = 15
"""If no value in a mask is larger than this, the values are not brightness but number the lesions; so do the colours of
a palette if it has at most this many besides black."""


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W]; transparency is ignored. Raises DataError if it cannot be decoded, or has only two
    grey values: then it is a mask, although its name does not end in _mask."""
    grey = _decoded(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if np.count_nonzero(np.bincount(grey.ravel(), minlength=256)) == 2:
        raise DataError(
            f"{path} has only two grey values: it is a mask. Name it like its picture, with _mask at the end."
        )
    return grey


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Where a mask shows a lesion, bool [H, W]. Raises DataError if it cannot be decoded.

    Usually that is where it is brighter than half of its maximum. If its values number the lesions (MOST_NUMBERED), it
    is where it is not black. Transparent pixels show no lesion; if all opaque ones are black, these are the lesion.
    """
    has_palette, has_alpha = _palette_and_alpha(path)
    image = _decoded(path, cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    brightness = image if image.ndim == 2 else image[..., :3].max(axis=2)  # of the brightest channel: any colour counts
    if image.ndim == 3 and image.shape[2] == 4 and np.ptp(image[..., 3]):
        opaque = image[..., 3] > 127
        brightness = np.where(opaque, brightness, 0)
        if not brightness.any():
            return opaque
    brightest = brightness.max()
    numbered = brightest <= MOST_NUMBERED or (has_palette and len(np.unique(brightness)) <= MOST_NUMBERED + 1)
    return np.asarray(brightness > (0 if numbered else brightest // 2))


def _decoded(path: Path, flags: int) -> NDArray[np.uint8]:
    """An image file as OpenCV decodes it with these flags; of 16 bits the upper 8. Raises DataError."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), flags) if path.stat().st_size else None
    except cv2.error:  # an absurd size
        image = None
    if image is None:
        raise DataError(f"{path} cannot be decoded as an image")
    if too_dark(image):
        raise DataError(f"{path} has 16 bits, but no value above {image.max()}: scale it to 65535 first")
    if image.dtype == np.uint16:
        image = np.right_shift(image, 8)
    elif image.dtype != np.uint8:
        raise DataError(f"{path} has {image.dtype} pixels. Expected 8 or 16 bits.")
    return np.asarray(image, np.uint8)


def _palette_and_alpha(path: Path) -> tuple[bool, bool]:
    """Whether an image file has a palette, and whether it has transparency. OpenCV does not report the first, and when
    it reads the second (IMREAD_UNCHANGED), it does not rotate the picture as its header says.
    """
    try:
        with Image.open(path) as image:
            return image.mode in ("P", "PA"), image.has_transparency_data
    except (OSError, ValueError, Image.DecompressionBombError):  # OpenCV reads it nevertheless, or refuses it
        return False, False
