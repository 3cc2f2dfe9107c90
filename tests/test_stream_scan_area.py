"""A rectangle given by hand; what lies outside it is gone before anything sees it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import StreamConfig
from stream.errors import UsageError
from stream.scan_area import (
    NOTHING_FOUND,
    SMALLEST_SIDE_PX,
    blank_outside,
    finder,
    format_scan_area,
    full_frame,
    parse_scan_area,
    why_unfit,
)
from stream.scan_detection import propose
from stream.types import Frame, NotAnalysed, ScanArea, State
from tests.screens import first
from tests.stream_runs import Clip, ran


def picture(height: int, width: int) -> Frame:
    rgb = np.random.default_rng(height * 1000 + width).integers(1, 256, (height, width, 3), np.uint8)
    return Frame(0, 0, 0.0, rgb, "test")


def test_a_scan_area_is_read() -> None:
    assert parse_scan_area("120, 80,640,480") == ScanArea(120, 80, 640, 480, "user")


@pytest.mark.parametrize(
    "text",
    [
        *("", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,10,10", "0,0,0,10", "1.5,0,9,9", "٣,0,9,9", "1 2,3,4,5"),
        *("1,2/3,4", "1,2/3,4/5", "1,2/3,4/5,6/", "1,2/3,4/5,x", "/".join(["1,2"] * 201)),
    ],
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


def test_a_polygon_is_read_with_the_box_around_it() -> None:
    corners = ((30, 8), (46, 8), (64, 48), (12, 48))
    area = parse_scan_area("30,8 / 46,8/64,48/12,48")
    assert area == ScanArea(12, 8, 53, 41, "user", corners)
    assert parse_scan_area(format_scan_area(area, (80, 60)).partition("@")[0]) == area


@given(
    corners=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 39)), min_size=3, max_size=3, unique=True),
)
def test_a_triangle_is_kept_to_the_pixel(corners: list[tuple[int, int]]) -> None:
    frame, size = picture(40, 60), (40, 60)
    kept = blank_outside(frame, parse_scan_area("/".join(f"{x},{y}" for x, y in corners))).rgb.any(axis=2)
    rows, columns = np.mgrid[: size[0], : size[1]]
    within = []  # pixels from each side, with one sign inside
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        within.append(((x2 - x1) * (rows - y1) - (y2 - y1) * (columns - x1)) / np.hypot(x2 - x1, y2 - y1))
    depth = np.maximum(np.min(within, axis=0), -np.max(within, axis=0))
    assert kept[depth > 1].all()
    assert not kept[depth < -1].any()


def test_the_full_frame_is_not_copied() -> None:
    frame = picture(5, 7)
    area = full_frame(frame)
    assert (area.width_px, area.height_px) == (7, 5)
    assert blank_outside(frame, area) is frame


@pytest.mark.parametrize(
    ("area", "reason"),
    [
        (ScanArea(40, 0, 32, 64, "user"), "scan area 40,0,32,64 leaves the 64x64 picture"),
        (ScanArea(0, 1, 64, 64, "user"), "leaves the 64x64 picture"),
        (ScanArea(0, 0, 64, SMALLEST_SIDE_PX - 1, "user"), "too small"),
    ],
)
def test_an_area_that_cannot_be_judged_is_refused_with_a_reason(area: ScanArea, reason: str) -> None:
    assert reason in (why_unfit(area, (64, 64)) or "")


def test_an_area_that_was_drawn_is_refused_when_the_picture_changes_its_size() -> None:
    find = finder("10,10,40,40")
    small, large = (Frame(0, 0, 0.0, np.zeros((size, size, 3), np.uint8), "x") for size in (100, 200))
    assert isinstance(find(small, None), ScanArea)
    refusal = find(large, None)
    assert isinstance(refusal, NotAnalysed)
    assert refusal.reason == "the picture is 200x200, but the scan area was drawn for 100x100: set it again"


def test_an_area_may_say_for_which_size_it_was_drawn() -> None:
    text = format_scan_area(ScanArea(10, 20, 30, 40, "detected"), (100, 80))
    assert finder(text)(Frame(0, 0, 0.0, np.zeros((80, 100, 3), np.uint8), "x"), None) == ScanArea(
        10, 20, 30, 40, "user"
    )
    refused = finder(text)(Frame(0, 0, 0.0, np.zeros((160, 200, 3), np.uint8), "x"), None)
    assert isinstance(refused, NotAnalysed)


@pytest.mark.parametrize("text", ["1,2,3,4@", "1,2,3,4@x", "1,2,3,4@640", "full@640x480", "1,2,3,4@640x480x3"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        finder(text)


class Paged(Clip):
    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            page = np.full_like(frame.rgb, 230)
            page[20:24, 10:70:2] = 0
            yield replace(frame, rgb=page) if frame.index else frame


@pytest.mark.parametrize(("area", "shown"), [(None, 0), ("full", 230)])
def test_a_page_in_the_place_of_the_scan_is_blanked_unless_the_user_gave_the_area(area: str | None, shown: int) -> None:
    _, views = ran(Paged(2), config=StreamConfig(scan_area=area))
    assert [view.assessment.state is State.NO_SIGNAL for view in views] == [False, True]
    assert views[1].frame.rgb.max() == shown


def test_a_line_of_words_that_is_seen_first_keeps_no_scan_from_being_found() -> None:
    words, scan = np.full((576, 1024, 3), 225, np.uint8), np.full((576, 1024, 3), 225, np.uint8)
    words[60:80, 100:500] = np.random.default_rng(0).integers(0, 225, (20, 400, 1))
    scan[60:460, 100:500] = np.random.default_rng(0).integers(0, 225, (400, 400, 1))
    find = finder(None)
    found = [find(Frame(index, 0, index / 25, rgb, "x"), None) for index, rgb in enumerate((words, scan))]
    assert found[0] == NOTHING_FOUND
    assert isinstance(found[1], ScanArea)
    assert found[1].height_px > 380


@pytest.mark.parametrize("panel", [(240, 0, 1440, 1080), (0, 0, 1920, 110)], ids=["4:3 on 16:9", "header"])
def test_two_lines_on_a_grey_panel_right_above_the_scan_are_not_taken_for_scan(
    shared_data: Path, panel: tuple[int, int, int, int]
) -> None:
    """The lower line reaches to within some 20 pixels of the scan, the name stands above that."""
    scan = first(str(shared_data / "clips" / "breast_linear_BR001.mp4"))[0].rgb
    screen = np.zeros((1080, 1920, 3), np.uint8)
    x, y, width, height = panel
    screen[y : y + height, x : x + width] = 24, 24, 28
    for line_y, words in ((45, "DOE, JANE  1961-04-12    ID 00471183"), (90, "12-5 MHz  Breast  MI 1.1  TIs 0.3")):
        cv2.putText(screen, words, (430, line_y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (220, 220, 220), 2)
    screen[110:830, 420:1380] = cv2.resize(scan, (960, 720), interpolation=cv2.INTER_CUBIC)
    found = propose(screen)
    assert found is not None
    assert 100 <= found.y_px <= 112
    assert found.height_px >= 715
