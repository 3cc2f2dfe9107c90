"""A scanner's screen that changes while it is watched: the area follows, and what stands in its place is blanked."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.scan_area import GONE, Finder, finder
from stream.scan_detection import propose
from stream.scan_place import outside
from stream.types import Frame, NotAnalysed, ScanArea
from tests.screens import SCREEN, Picture, first


def screen(scan: Picture, x: int, y: int, side: int) -> Picture:
    rgb = np.zeros((*SCREEN, 3), np.uint8)
    rgb[y : y + side, x : x + side] = cv2.resize(scan, (side, side), interpolation=cv2.INTER_CUBIC)
    return rgb


def named(rgb: Picture, x: int, y: int, height: float) -> Picture:
    cv2.putText(rgb, "DOE, JANE", (x, y), cv2.FONT_HERSHEY_SIMPLEX, height, (255, 255, 255), 2)
    return rgb


def watched(find: Finder, rgb: Picture, times_s: list[float]) -> list[ScanArea | NotAnalysed]:
    return [find(Frame(0, 0, time_s, rgb, "x"), None) for time_s in times_s]


def near(area: ScanArea | NotAnalysed, sides: tuple[int, int, int, int]) -> bool:
    return isinstance(area, ScanArea) and all(abs(a - b) <= 16 for a, b in zip(area.sides, sides, strict=True))


@pytest.mark.parametrize("height", [0.5, 1.2])
def test_an_area_becomes_smaller_where_a_name_stands_in_its_place(breast: Picture, height: float) -> None:
    find = finder(None)
    (before,) = watched(find, screen(breast, 140, 40, 880), [0.0])
    smaller = named(screen(breast, 400, 300, 500), 400, 180, height)
    found = watched(find, smaller, [0.5, 1.0, 1.03, 1.06])
    assert near(before, (140, 40, 880, 880))
    assert found[:3] == [before] * 3  # one strange picture, or two, are no new layout
    assert near(found[3], (400, 300, 500, 500))


@pytest.mark.parametrize(("lit_rows", "label"), [(60, False), (300, False), (600, False), (300, True)])
def test_an_area_stays_as_large_where_the_scan_is_dark(breast: Picture, lit_rows: int, label: bool) -> None:
    """Also of a probe in air, with a label in the dark."""
    find, whole = finder(None), screen(breast, 140, 40, 880)
    dark = whole.copy()
    dark[40 + lit_rows :] //= 20
    if label:
        cv2.putText(dark, "LEFT 2 H", (400, 800), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    assert len(set(watched(find, whole, [0.0]) + watched(find, dark, [float(second) for second in range(1, 9)]))) == 1


def test_a_drawn_area_holds_whatever_part_of_the_scan_is_dark(breast: Picture) -> None:
    find, whole = finder("140,40,880,880"), screen(breast, 140, 40, 880)
    lifted, tilted = whole.copy(), whole.copy()
    lifted[340:] = 0
    named(lifted, 400, 700, 1.2)
    tilted[:, :400] = tilted[:, 760:] = 0
    seen = 4 * [whole] + 4 * [lifted] + 4 * [tilted]
    found = [find(Frame(0, 0, float(second), rgb, "x"), None) for second, rgb in enumerate(seen)]
    assert set(found) == {ScanArea(140, 40, 880, 880, "user")}


def lines(rgb: Picture) -> None:
    for line in range(18):
        named(rgb, 120, 120 + 44 * line, 0.8)


def dialog(rgb: Picture) -> None:
    rgb[:], rgb[250:700, 340:940] = 30, 58
    named(rgb, 400, 420, 1.0)


def large_lines(rgb: Picture) -> None:
    for line in range(10):
        named(rgb, 120, 120 + 80 * line, 3.0)


@pytest.mark.parametrize("paint", [lines, large_lines, dialog])
def test_a_page_in_place_of_the_scan_is_blanked_until_the_scan_is_back(
    breast: Picture, paint: Callable[[Picture], None]
) -> None:
    find, scan, page = finder(None), screen(breast, 300, 110, 700), np.zeros((*SCREEN, 3), np.uint8)
    paint(page)
    (before,) = watched(find, scan, [0.0])
    assert watched(find, page, [1.0, 1.1, 2.5]) == [GONE] * 3
    assert watched(find, scan, [2.6]) == [before]


def test_a_small_scan_is_found_beside_large_letters(breast: Picture) -> None:
    rgb = screen(breast, 860, 500, 300)
    large_lines(rgb)
    found = propose(rgb)
    assert found is not None
    assert near(found, (860, 500, 300, 300))


@pytest.mark.parametrize("longest", [1280, 1920])
def test_a_real_scan_that_was_enlarged_is_kept_whole(breast: Picture, longest: int) -> None:
    enlarge = longest / max(breast.shape)
    found = propose(np.asarray(cv2.resize(breast, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)))
    assert found is not None
    assert found.origin == "full"


def test_an_enlarged_scan_is_not_kept_whole_where_a_name_stands_on_a_strip(shared_data: Path) -> None:
    still = cv2.imread(str(shared_data / "udiat" / "original" / "000037.jpg"))
    assert still is not None
    rgb = np.full((1080, 1920, 3), 12, np.uint8)
    named(rgb, 20, 16, 0.4)
    rgb[24:] = cv2.resize(still, (1920, 1056), interpolation=cv2.INTER_CUBIC)
    found = propose(rgb)
    assert found is not None
    assert found.y_px >= 12


def laid_out(scan: Picture, x: int, y: int, seconds: range) -> list[Frame]:
    """A screen with a scan, a frame each second."""
    rgb = np.zeros((*SCREEN, 3), np.uint8)
    rgb[y : y + scan.shape[0], x : x + scan.shape[1]] = scan
    return [Frame(second, 0, float(second), rgb, "x") for second in seconds]


@pytest.fixture
def scan(shared_data: Path) -> Picture:
    frame, _ = first(str(shared_data / "clips" / "scanner_screen_sonosite.mp4"))
    return frame.rgb[41:640, 387:723]


def test_where_the_scan_leaves_the_drawn_area_nothing_is_judged_until_it_is_back(scan: Picture) -> None:
    find = finder("100,100,336,599")
    before = [find(frame, None) for frame in laid_out(scan, 100, 100, range(3))]
    moved = [find(frame, None) for frame in laid_out(scan, 500, 200, range(3, 9))]
    back = [find(frame, None) for frame in laid_out(scan, 100, 100, range(9, 11))]
    area = ScanArea(100, 100, 336, 599, "user")
    assert before == [area] * 3
    refusal = moved[-1]
    assert isinstance(refusal, NotAnalysed)
    assert refusal.reason == "the scan is no longer where the scan area was set: set it again"
    assert moved[:2] == [area] * 2  # one strange picture is no new layout
    assert moved[2:] == [refusal] * 4
    assert back == [area] * 2


def test_a_larger_scan_elsewhere_is_a_new_layout_as_well(scan: Picture) -> None:
    find = finder("100,100,336,599")
    larger = np.asarray(cv2.resize(scan, (420, 740)), np.uint8)
    for frame in [*laid_out(scan, 100, 100, range(3)), *laid_out(larger, 700, 200, range(3, 9))]:
        found = find(frame, None)
    assert isinstance(found, NotAnalysed)


def test_stills_may_have_their_scan_anywhere(scan: Picture) -> None:
    find = finder("100,100,336,599", still=True)
    for frame in [*laid_out(scan, 100, 100, range(3)), *laid_out(scan, 500, 200, range(3, 9))]:
        assert find(frame, None) == ScanArea(100, 100, 336, 599, "user")


def test_a_detected_area_follows_the_scan(scan: Picture) -> None:
    find = finder(None)
    for frame in [*laid_out(scan, 100, 100, range(3)), *laid_out(scan, 500, 200, range(3, 9))]:
        area = find(frame, None)
    assert near(area, (500, 200, 336, 599))


@pytest.mark.parametrize("dimmed", [0.5, 0.125, 0.0])
@pytest.mark.parametrize("lit_rows", [0, 60, 300])
def test_a_dark_scan_or_a_lifted_probe_is_no_new_layout(scan: Picture, dimmed: float, lit_rows: int) -> None:
    dark = scan.copy()
    dark[lit_rows:] = np.rint(dimmed * scan[lit_rows:]).astype(np.uint8)
    find = finder("150,150,200,400")  # a part of the scan, as somebody wanted it
    for frame in [*laid_out(scan, 100, 100, range(2)), *laid_out(dark, 100, 100, range(2, 12))]:
        assert find(frame, None) == ScanArea(150, 150, 200, 400, "user")


@pytest.mark.parametrize(("x_px", "y_px"), [(80, 0), (0, 80), (80, 80), (20, 20)])
def test_an_area_that_touches_another_nowhere_is_all_outside_it(x_px: int, y_px: int) -> None:
    assert outside(ScanArea(0, 0, 20, 20, "detected"), ScanArea(x_px, y_px, 20, 20, "detected")) == 1
