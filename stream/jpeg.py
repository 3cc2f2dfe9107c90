"""A picture as JPEG, for the page, the report and DICOM."""

import cv2
import numpy as np
from numpy.typing import NDArray


def as_jpeg(rgb: NDArray[np.uint8], quality: int, sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420) -> bytes:
    """uint8 [H, W, 3] as baseline JPEG of ``quality`` 1..100 and OpenCV's chroma ``sampling``. Raises cv2.error."""
    flags = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)[1].tobytes()
