"""Is this a page of words, or a menu? The search for the scan asks this, and the gate asks it of what was found."""

import numpy as np
from numpy.typing import NDArray

PAGE_SHARE, PAGE_SHADE = 0.7, 2
"""On a page, this share of the pixels lies within PAGE_SHADE of one grey level. Of the pages drawn for the tests it was
0.73 at least, of 1,328 real stills 0.52 at most; with their gain raised 1.8 times, three of them pass for a page."""


def is_page(levels: NDArray[np.number], least: int) -> bool:
    """Whether most pixels have about the same grey level, and one of ``least`` or more: in a dim still they do too, but
    a low one. ``levels`` [256] counts the pixels of each."""
    near = np.convolve(levels, np.ones(2 * PAGE_SHADE + 1), "same")
    return bool(near[least:].max() >= PAGE_SHARE * levels.sum())
