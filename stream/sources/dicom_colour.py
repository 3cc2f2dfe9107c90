"""Which colour does each stored value of a DICOM picture have?"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import apply_color_lut


def lookup_table(tags: Any, kind: str, bits: int) -> NDArray[np.uint8]:
    """The colour of each stored value, uint8 [2**bits, 3], by palette (PS3.3 C.7.9), or rescale and window (C.11.2).

    Without a window the whole range of stored values is shown, so that no frame decides about the brightness of others.
    """
    values = np.arange(2**bits, dtype=np.uint8 if bits <= 8 else np.uint16)
    if kind == "PALETTE COLOR":
        colour = apply_color_lut(values, tags)[:, :3]
        return np.asarray(colour if colour.dtype == np.uint8 else colour >> 8, np.uint8)
    stored = values.astype(np.float64)
    if tags.get("PixelRepresentation") == 1:  # two's complement
        stored[2 ** (bits - 1) :] -= 2**bits
    real = stored * float(tags.get("RescaleSlope") or 1) + float(tags.get("RescaleIntercept") or 0)
    grey = window(real, *first_window(tags, real), str(tags.get("VOILUTFunction") or "LINEAR"))
    grey = 1 - grey if kind == "MONOCHROME1" else grey
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[:, None], 3, axis=1)


def first_window(tags: Any, real: NDArray[np.float64]) -> tuple[float, float]:
    """Centre and width of the header's first window, or such that LINEAR maps all of ``real`` to all of the greys."""
    centre, width = (np.asarray(tags.get(tag), np.float64).reshape(-1) for tag in ("WindowCenter", "WindowWidth"))
    if math.isfinite(centre[0]) and width[0] >= 1:  # nan where there is none
        return float(centre[0]), float(width[0])
    low, high = float(real.min()), float(real.max())
    return (low + high + 1) / 2, high - low + 1


def window(real: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Grey, 0..1, of real values (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (real - centre) / width))
    if function == "LINEAR_EXACT":
        return np.clip((real - centre) / width + 0.5, 0, 1)
    return np.clip((real - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
