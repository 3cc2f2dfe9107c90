"""A scanner's screen that changes while it is watched: the area follows, and what stands in its place is blanked."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.scan_area import GONE, Finder, finder
from stream.scan_detection import propose
from stream.types import Frame, NotAnalysed, ScanArea
from tests.screens import SCREEN, Picture


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
