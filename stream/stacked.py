"""Do two pictures stand one above the other? Asked in the search for the scan, and by the gate about what was found."""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

SAMPLES_PX = 160
"""Longest side of the grid of pixels that are looked at."""

LIT = 16
"""A sample that is brighter counts as lit."""

DARK_ROW, EDGE_ROW = 0.1, 0.7
"""A second picture begins where fewer than DARK_ROW of the samples in a row are lit, and EDGE_ROW of those two rows
below and in the row before or after that: one row alone may be a line of the screen. Below a shadow or a cyst echoes
begin as well, but in each column at another depth. With these thresholds none of 2,818 real stills seems to be two
pictures, nor half as bright, nor cut to 0.6 to 1 of their width."""

LEAST_ROWS = 20
LEAST_SHARE = 0.15
LEAST_LIT = 0.3
"""Each of the two has LEAST_SHARE of the rows, and LEAST_LIT of its samples are lit. With fewer rows than LEAST_ROWS
there is one picture."""

EVEN = 2
EVEN_PX = 7
EVEN_SHARE = 0.7
"""It is a panel, not a picture, if without its letters EVEN_SHARE of its lit samples are within EVEN grey levels of
their mean over a box of EVEN_PX a side: also where it fades or is noisy."""

LETTERS_PX = 5
"""A median over a square of this side leaves nothing of letters."""


def sampled(picture: MatLike) -> NDArray[np.uint8]:
    """A grid of at most SAMPLES_PX a side over a picture, uint8 [H, W] or [H, W, 3]."""
    step = max(1, -(-max(picture.shape[:2]) // SAMPLES_PX))
    return np.ascontiguousarray(picture[::step, ::step], np.uint8)


def are_stacked(grey: NDArray[np.uint8]) -> bool:
    """Whether in ``grey``, uint8 [H, W] as ``sampled``, a second picture begins below a dark gap from side to side."""
    if len(grey) < LEAST_ROWS:
        return False
    lit = (grey > LIT).view(np.uint8)
    rows = cv2.reduce(lit, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    begins = (rows[:-3] < DARK_ROW) & (rows[2:-1] >= EDGE_ROW) & (np.maximum(rows[1:-2], rows[3:]) >= EDGE_ROW)
    least = round(LEAST_SHARE * len(rows))
    return any(
        is_picture(grey[:gap]) and is_picture(grey[gap + 2 :])
        for gap in np.flatnonzero(begins)
        if least <= gap < len(rows) - least
    )


def is_picture(grey: NDArray[np.uint8]) -> bool:
    """Whether a part of the samples has echoes, and is no panel of words."""
    lit = grey > LIT
    plain = cv2.medianBlur(grey, LETTERS_PX)
    even = cv2.absdiff(plain, cv2.blur(plain, (EVEN_PX, EVEN_PX))) <= EVEN
    return bool(lit.mean() >= LEAST_LIT and even[lit].mean() < EVEN_SHARE)
