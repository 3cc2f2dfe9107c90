"""A picture without its lesion: the tissue on either side is mirrored over it.

The public sets hold few normal pictures, all with one hospital's look, and a network can tell them by that look. Here
every machine's lesion pictures have normal twins. What a lesion does to the tissue below it, shadow or enhancement, is
covered as well; tissue keeps its depth.
"""

import numpy as np
from numpy.typing import NDArray

from rcdnet.preprocess import Box, Grey

MARGIN = 0.15
"""Of the lesion's width and height, on either side: its rim and halo go with it. Masks are drawn tight."""

FADE = 0.25
"""Of the width that is covered: the rows over which the upper edge fades in."""

LEAST_TISSUE = 0.5
"""What is left beside the lesion, as a share of what must be covered: less would repeat itself visibly."""


def without_lesion(grey: Grey, lesion: Box, rng: np.random.Generator) -> Grey | None:
    """The picture with tissue over its lesion and all below it; None where too little tissue is left beside it."""
    width = grey.shape[1]
    left, right, top = _around(lesion, width)
    if left + width - right < LEAST_TISSUE * (right - left):
        return None
    return covered(grey, left, right, top, rng)


def patched(grey: Grey, lesion: Box | None, rng: np.random.Generator) -> Grey:
    """The same done to tissue beside the lesion, so that the traces of ``without_lesion`` mean nothing."""
    height, width = grey.shape
    left, right, _ = _around(lesion, width) if lesion is not None else (width, width, 0)
    low, high = max([(0, left), (right, width)], key=lambda span: span[1] - span[0])
    if high - low < 12:
        return grey
    wide = int(rng.uniform(0.3, 0.6) * (high - low))
    start = int(rng.integers(low, high - wide + 1))
    beside = covered(grey[:, low:high], start - low, start - low + wide, int(rng.uniform(-0.1, 0.6) * height), rng)
    return np.hstack([grey[:, :low], beside, grey[:, high:]])


def covered(grey: Grey, left: int, right: int, top: int, rng: np.random.Generator) -> Grey:
    """Columns left..right of a picture, from row ``top`` down, covered by what is beside them, mirrored at both edges.

    Where the two mirrored sides meet, and at the upper edge, one fades into the other. Raises ValueError if the columns
    are the whole picture.
    """
    height, width = grey.shape
    wide = right - left
    aside = grey[:, :left], grey[:, right:][:, ::-1]
    if not left and right == width:
        raise ValueError(f"columns {left} to {right} are all of a picture {width} wide: nothing is beside them")
    if not left:
        laid = _continued(aside[1], wide)[:, ::-1]
    elif right == width:
        laid = _continued(aside[0], wide)
    else:  # each side gives as much as it has
        middle = wide * left / (left + width - right) + rng.uniform(-0.1, 0.1) * wide
        share = np.clip((np.arange(wide) - middle) / max(4.0, 0.3 * wide) + 0.5, 0, 1)
        laid = (1 - share) * _continued(aside[0], wide) + share * _continued(aside[1], wide)[:, ::-1]
    share = np.clip((np.arange(height) - top) / _fade(wide), 0, 1)[:, None]
    result = grey.copy()
    result[:, left:right] = np.rint((1 - share) * grey[:, left:right] + share * laid)
    return result


def _continued(tissue: Grey, wide: int) -> NDArray[np.floating]:
    """The ``wide`` columns that follow ``tissue``, its mirror image, mirrored again where it is narrower."""
    return np.pad(tissue, ((0, 0), (0, wide)), "symmetric")[:, tissue.shape[1] :].astype(np.float32)


def _around(lesion: Box, width: int) -> tuple[int, int, int]:
    """Left, right and top of what goes with the lesion; at the lesion itself the upper edge has faded in."""
    aside, above = MARGIN * lesion.width_px + 2, MARGIN * lesion.height_px + 2
    left, right = round(lesion.x_px - aside), round(lesion.x_px + lesion.width_px + aside)
    return max(0, left), min(width, right), round(lesion.y_px - above - _fade(right - left))


def _fade(wide: int) -> float:
    return max(4.0, FADE * wide)
