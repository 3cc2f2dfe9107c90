"""A rectangle given by hand; what lies outside it is gone before anything sees it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import UsageError
from stream.scan_area import blank_outside, full_frame, parse_scan_area
from stream.types import Frame, ScanArea


def picture(height: int, width: int) -> Frame:
    rgb = np.random.default_rng(height * 1000 + width).integers(1, 256, (height, width, 3), np.uint8)
    return Frame(0, 0, 0.0, rgb, "test")


def test_a_scan_area_is_read() -> None:
    assert parse_scan_area("120, 80,640,480") == ScanArea(120, 80, 640, 480, "user")


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,10,10", "0,0,0,10", "1.5,0,9,9", "٣,0,9,9"]
)
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="Expected x,y,width,height"):
        parse_scan_area(text)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    extent=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_pixels_outside_are_black_and_those_inside_are_kept(
    size: tuple[int, int], corner: tuple[int, int], extent: tuple[int, int]
) -> None:
    frame = picture(*size)
    blanked = blank_outside(frame, ScanArea(*corner, *extent, "user"))
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = (columns >= corner[0]) & (columns < corner[0] + extent[0])
    inside &= (rows >= corner[1]) & (rows < corner[1] + extent[1])
    assert np.array_equal(blanked.rgb, np.where(inside[..., None], frame.rgb, 0))
    assert (blanked.index, blanked.pts_s) == (frame.index, frame.pts_s)


def test_the_full_frame_is_not_copied() -> None:
    frame = picture(5, 7)
    area = full_frame(frame)
    assert (area.width_px, area.height_px) == (7, 5)
    assert blank_outside(frame, area) is frame
