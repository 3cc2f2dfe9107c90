"""Is this a page of words, or a menu? Asked in the search for the scan, and by the gate about what was found."""

import numpy as np
from numpy.typing import NDArray

PAGE_SHARE, PAGE_SHADE = 0.7, 2
"""On a page, this share of the pixels lies within PAGE_SHADE of one grey level. On the pages drawn for the tests it was
0.73 at least, on 2,818 real stills 0.52 at most; with their gain raised 1.8 times, four of them pass for a page (eight
for one of two shades)."""

INK = 100
INK_SHADE = 0.75
INK_SHARE = 0.5
BLACK_SHARE = 0.2
"""Letters on black are of one brightness, INK at least, with black between them: at least BLACK_SHARE of the pixels,
and of the others INK_SHARE are at least INK_SHADE times as bright as the brightest, but for the last 2 %. Of 270 pages
of letters of many sizes 5 are taken for scan (169 without this). No area of 2,818 real stills changes, nor of 940 at
half or 1.8 times their gain. On 1,884 screens with nine lines of letters beside a small scan, six scans are hidden."""


def is_lettering(levels: NDArray[np.number], least: int) -> bool:
    """Whether these are bright letters on black: on levels below ``least``. ``levels`` [256] as in ``is_page``."""
    lit = levels[least:]
    if levels[:least].sum() < BLACK_SHARE * levels.sum() or not lit.any():
        return False
    ink = least + int(np.searchsorted(lit.cumsum(), 0.98 * lit.sum()))
    return bool(ink >= INK and levels[round(INK_SHADE * ink) :].sum() >= INK_SHARE * lit.sum())


def is_page(levels: NDArray[np.number], least: int, shades: int = 1) -> bool:
    """Whether most pixels have about the same grey level, or with two ``shades`` one of two. Levels below ``least`` do
    not count: in a dim still most pixels are alike as well. ``levels`` [256] tells how many pixels have each level."""
    near = np.convolve(levels, np.ones(2 * PAGE_SHADE + 1), "same")
    near[:least] = 0
    left, share = near.copy(), 0.0
    for _ in range(shades):
        most = int(left.argmax())
        if left[most] == near[max(0, most - 1) : most + 2].max():  # else a flank of the shade before: a scan's low gain
            share += left[most]
        left[max(0, most - 2 * PAGE_SHADE) : most + 2 * PAGE_SHADE + 1] = 0  # they have pixels in common with it
    return bool(share >= PAGE_SHARE * levels.sum())
