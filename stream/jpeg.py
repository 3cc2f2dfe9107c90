"""A picture as JPEG, for the page and the report."""

import cv2
import numpy as np
from numpy.typing import NDArray


def as_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """uint8 [H, W, 3] as JPEG of ``quality`` 1..100. Raises cv2.error."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
