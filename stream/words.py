"""Is it a page of words, or a menu? Asked where the scan is looked for, and of what was found."""

import numpy as np
from numpy.typing import NDArray

PAGE_SHARE, PAGE_SHADE = 0.7, 2
"""Share of a page that is within PAGE_SHADE of one grey level: 0.73 at least of those that were made, 0.52 at most of
1,328 real stills. At 1.8 times their gain three of these have it."""


def is_page(levels: NDArray[np.number], least: int) -> bool:
    """Whether most pixels have about one grey level, which is ``least`` or more: dim stills have few levels, but low
    ones. ``levels`` [256] counts the pixels of each."""
    near = np.convolve(levels, np.ones(2 * PAGE_SHADE + 1), "same")
    return bool(near[least:].max() >= PAGE_SHARE * levels.sum())
