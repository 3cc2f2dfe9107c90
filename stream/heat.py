"""How is attention shown? As a heat map that changes the scan's hue and leaves its brightness."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

HEAT: tuple[tuple[int, int, int], ...] = ((70, 60, 235), (170, 60, 255), (255, 60, 190))
"""RGB, weak to strong, as live.css has them: no class's colour, and even on black of the hue that the legend shows,
the stronger the brighter. The red and yellow of other maps are both dark red there."""

FAINTEST = 0.05
"""Attention below which nothing is coloured."""


@lru_cache(maxsize=1)
def heat_colours() -> NDArray[np.uint8]:
    """RGB by attention 0..255, [256, 1, 3]: ``HEAT``, and between them."""
    where = np.linspace(0, 255, len(HEAT))
    channels = [np.interp(range(256), where, channel) for channel in zip(*HEAT, strict=True)]
    return np.stack(channels, axis=-1)[:, None].astype(np.uint8)


@lru_cache(maxsize=1)
def _heat_tints() -> NDArray[np.float32]:
    """The heat colours without their brightness (ITU-R BT.601 luma), float32 [256, 3]: what is added to a grey."""
    colours = heat_colours()[:, 0].astype(np.float32)
    return np.asarray(colours - colours @ np.array([[0.299], [0.587], [0.114]], np.float32), np.float32)


def blend_heat(scan: NDArray[np.uint8], attention: NDArray[np.float32], opacity: float) -> None:
    """Colour a scan, uint8 [H, W, 3] RGB, by the attention [h, w] over it, more where it is higher, with full
    ``opacity`` from one half on.

    Only the hue changes: what is dark stays dark, so that a cyst under the map still looks like one. Colours are mixed
    at the map's own low resolution and only the part that holds any is resized.
    """
    rows, columns = np.nonzero(attention.max(axis=1) > FAINTEST)[0], np.nonzero(attention.max(axis=0) > FAINTEST)[0]
    if rows.size == 0:
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height_px, width_px = scan.shape[:2]
    y, x = np.linspace(0, height_px, attention.shape[0] + 1), np.linspace(0, width_px, attention.shape[1] + 1)
    # in a small area a cell may be less than a pixel: one is coloured
    top, left = min(round(y[rows[0]]), height_px - 1), min(round(x[columns[0]]), width_px - 1)
    bottom, right = max(round(y[rows[-1] + 1]), top + 1), max(round(x[columns[-1] + 1]), left + 1)
    strength = opacity * np.clip((attention[part] - FAINTEST) / (0.5 - FAINTEST), 0, 1)[..., None]
    tints = strength * _heat_tints()[np.rint(255 * attention[part]).astype(np.uint8)]
    size = (right - left, bottom - top)
    added, taken = (
        cv2.resize(np.maximum(shift, 0).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        for shift in (tints, -tints)
    )
    under = scan[top:bottom, left:right]
    cv2.add(under, added, dst=under)
    cv2.subtract(under, taken, dst=under)
