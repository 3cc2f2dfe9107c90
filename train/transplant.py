"""Make a normal picture from one of a lesion: cover the lesion with the tissue beside it, mirrored.

The public sets hold few normal pictures, all from one hospital, and a network can learn to recognise that hospital
instead of normal tissue. With these, there are normal pictures from every machine that made lesion pictures. Everything
below the lesion is covered too, because shadow or enhancement there would reveal it. Tissue moves sideways only, so it
keeps its depth.
"""

import numpy as np
from numpy.typing import NDArray

from rcdnet.box import Box
from rcdnet.preprocess import Grey

MARGIN = 0.15
"""What is covered is larger than the lesion, on each side by this share of its width or height: masks are drawn tight,
and rim and halo must be covered too."""

FADE = 0.25
"""The upper edge fades in over as many rows as this share of the covered width."""

LEAST_TISSUE = 0.5
"""There must be at least this share of the covered width left beside it: less tissue would repeat visibly."""

LEAST_SPAN_PX = 12
"""``patched`` leaves a picture as it is if the tissue beside the lesion is narrower."""


def without_lesion(grey: Grey, lesion: Box, rng: np.random.Generator) -> Grey | None:
    """The picture with its lesion and everything below it covered by tissue; None if too little is beside it."""
    width = grey.shape[1]
    left, right, top = _to_cover(lesion, width)
    if left + width - right < LEAST_TISSUE * (right - left):
        return None
    return covered(grey, left, right, top, rng)


def patched(grey: Grey, lesion: Box | None, rng: np.random.Generator) -> Grey:
    """The picture with some tissue beside its lesion covered in the same way. If both kinds of pictures show traces of
    covering, a network cannot learn that these mean normal."""
    height, width = grey.shape
    left, right, _ = _to_cover(lesion, width) if lesion is not None else (width, width, 0)
    low, high = max([(0, left), (right, width)], key=lambda span: span[1] - span[0])
    if high - low < LEAST_SPAN_PX:
        return grey
    length = int(rng.uniform(0.3, 0.6) * (high - low))
    start = int(rng.integers(low, high - length + 1)) - low
    beside = covered(grey[:, low:high], start, start + length, int(rng.uniform(-0.1, 0.6) * height), rng)
    return np.hstack([grey[:, :low], beside, grey[:, high:]])


def covered(grey: Grey, left: int, right: int, top: int, rng: np.random.Generator) -> Grey:
    """The picture with its columns left..right, from row ``top`` down, covered by mirror images of what is beside them.

    The mirror images of both sides fade into each other where they meet, and the upper edge fades in. Something must be
    beside the columns.
    """
    height, width = grey.shape
    length = right - left
    left_tissue, right_tissue = grey[:, :left], grey[:, right:][:, ::-1]  # both with the edge to be covered last
    if not left:
        cover = _mirrored_on(right_tissue, length)[:, ::-1]
    elif right == width:
        cover = _mirrored_on(left_tissue, length)
    else:  # each side covers a part in proportion to its own width
        middle = length * left / (left + width - right) + rng.uniform(-0.1, 0.1) * length
        share = np.clip((np.arange(length) - middle) / max(4.0, 0.3 * length) + 0.5, 0, 1)
        cover = (1 - share) * _mirrored_on(left_tissue, length) + share * _mirrored_on(right_tissue, length)[:, ::-1]
    share = np.clip((np.arange(height) - top) / _fade_px(length), 0, 1)[:, None]
    result = grey.copy()
    result[:, left:right] = np.rint((1 - share) * grey[:, left:right] + share * cover)
    return result


def _mirrored_on(tissue: Grey, length: int) -> NDArray[np.floating]:
    """The ``length`` columns that continue ``tissue`` to the right: its mirror image, as often as needed."""
    return np.pad(tissue, ((0, 0), (0, length)), "symmetric")[:, tissue.shape[1] :].astype(np.float32)


def _to_cover(lesion: Box, width: int) -> tuple[int, int, int]:
    """The columns left..right to cover, and the row from which to fade in so that the whole lesion is covered."""
    beside, above = MARGIN * lesion.width_px + 2, MARGIN * lesion.height_px + 2
    left, right = round(lesion.x_px - beside), round(lesion.x_px + lesion.width_px + beside)
    return max(0, left), min(width, right), round(lesion.y_px - above - _fade_px(right - left))


def _fade_px(length: int) -> float:
    return max(4.0, FADE * length)
