"""A header on a grey panel beside the scan is no part of it, whether the panel fades or is noisy."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.scan_detection import propose
from tests.screens import Picture

SCAN = (420, 110, 960, 720)
"""x, y, width, height."""

PANELS = {
    "pillar": (240, 0, 1440, 1080),
    "header": (0, 0, 1920, 110),
    "window": (60, 0, 1800, 1000),
}

NAME, SETTINGS = "DOE, JANE  1961-04-12   ID 00471183", "12-5 MHz  Breast  MI 1.1  TIs 0.3"

SCREENS = [
    *(("pillar", "down", 0.0), ("pillar", "across", 0.0), ("header", "down", 0.0), ("window", "across", 0.0)),
    *(("pillar", "", 1.0), ("pillar", "", 6.0), ("header", "", 2.0), ("window", "down", 2.0), ("pillar", "light", 1.5)),
]


@pytest.fixture
def scan(breast: Picture) -> Picture:
    return np.asarray(cv2.resize(breast, SCAN[2:], interpolation=cv2.INTER_CUBIC), np.uint8)


def screen(scan: Picture, panel: str, fading: str, noise: float) -> Picture:
    """A screen with a panel around the scan, and without letters yet."""
    rows, columns = np.mgrid[:1080, :1920]
    grey: NDArray[np.float64] = {
        "down": 24 + 40 * rows / 1080,
        "across": 24 + 40 * columns / 1920,
        "light": np.full((1080, 1920), 225.0),
    }.get(fading, np.full((1080, 1920), 24.0))
    x, y, width, height = PANELS[panel]
    rgb = np.zeros((1080, 1920, 3))
    rgb[y : y + height, x : x + width] = grey[y : y + height, x : x + width, None]
    x, y, width, height = SCAN
    rgb[y : y + height, x : x + width] = scan
    return noisy(rgb, noise)


def noisy(rgb: NDArray[np.float64], noise: float) -> Picture:
    grain = np.random.default_rng(0).normal(0, noise, rgb.shape[:2])
    return np.clip(np.rint(rgb + grain[..., None]), 0, 255).astype(np.uint8)


def written(rgb: Picture, words: str, x: int, y: int) -> None:
    ink = (20, 20, 20) if rgb[y, x].mean() > 128 else (220, 220, 220)
    cv2.putText(rgb, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, ink, 2, cv2.LINE_AA)


@pytest.mark.parametrize(("panel", "fading", "noise"), SCREENS)
def test_a_header_on_a_panel_that_fades_or_is_noisy_is_not_taken_for_scan(
    scan: Picture, panel: str, fading: str, noise: float
) -> None:
    rgb = screen(scan, panel, fading, noise)
    written(rgb, NAME, 430, 45)
    written(rgb, SETTINGS, 430, 90)
    found = propose(rgb)
    assert found is not None
    x, y, width, height = SCAN
    assert y - 30 <= found.y_px <= y + 2
    assert found.y_px + found.height_px >= y + height - 5
    assert found.x_px <= x + 5  # a noisy panel without letters beside it may stay
    assert found.x_px + found.width_px >= x + width - 5


@pytest.mark.parametrize("fading", ["down", "across"])
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_name_beside_the_scan_on_such_a_panel_is_not_taken_for_it(scan: Picture, fading: str, noise: float) -> None:
    rgb = screen(scan, "pillar", fading, noise)
    for line, words in enumerate(("DOE, JA", "1961-04", "ID 4711")):
        written(rgb, words, 252, 400 + 40 * line)
    found = propose(rgb)
    assert found is not None
    assert SCAN[0] - 30 <= found.x_px <= SCAN[0] + 2


BESIDE = {"right": (1392, 400), "below": (430, 900)}


@pytest.mark.parametrize(("side", "fading", "noise"), [("right", "down", 0.0), ("right", "", 2.0), ("below", "", 2.0)])
def test_nor_is_one_to_the_right_of_the_scan_or_below_it(scan: Picture, side: str, fading: str, noise: float) -> None:
    rgb = screen(scan, "pillar", fading, noise)
    x, y = BESIDE[side]
    for line, words in enumerate(("DOE, JA", "1961-04", "ID 4711")):
        written(rgb, words, x, y + 40 * line)
    found = propose(rgb)
    assert found is not None
    right, bottom = found.x_px + found.width_px, found.y_px + found.height_px
    reach = right - SCAN[0] - SCAN[2] if side == "right" else bottom - SCAN[1] - SCAN[3]
    assert -5 <= reach <= 30


def test_a_name_high_above_the_scan_is_not_taken_for_it(scan: Picture) -> None:
    rgb = np.roll(screen(scan, "pillar", "", 2.0), 300 - SCAN[1], axis=0)
    written(rgb, NAME, 430, 45)
    found = propose(rgb)
    assert found is not None
    assert 270 <= found.y_px <= 302


@pytest.mark.parametrize(("share", "words"), [(0.2, ""), (0.5, NAME)], ids=["no letters", "too deep for a panel"])
def test_an_even_stretch_of_a_scan_is_kept(scan: Picture, share: float, words: str) -> None:
    """Such as a water bath above the skin."""
    rgb = np.ascontiguousarray(scan)
    rgb[: round(share * len(rgb))] = 30
    rgb = noisy(rgb.astype(np.float64), 1.5)
    written(rgb, words, 40, 60)
    found = propose(rgb)
    assert found is not None
    assert (found.y_px, found.height_px) == (0, len(rgb))


@pytest.mark.parametrize("still", ["bus_0254-l", "bus_1018-l", "bus_1048-l", "bus_1064-l"])
def test_a_caption_below_the_echoes_takes_nothing_from_a_scan(shared_data: Path, still: str) -> None:
    rgb = np.asarray(cv2.imread(str(shared_data / "busbra" / "Images" / f"{still}.jpg")), np.uint8)
    found = propose(rgb)
    assert found is not None
    assert (found.width_px, found.height_px) == rgb.shape[1::-1]


FIELDS = "DOE, JANE    F 1961-04-12    ID 00471183    MI 1.1"

BARS = [
    *(("top", 24, 24, (1920, 1080)), ("top", 24, 225, (1280, 720)), ("top", 36, 128, (1920, 1080))),
    *(("top", 30, 40, (800, 600)), ("bottom", 24, 64, (1920, 1080)), ("bottom", 30, 225, (1024, 768))),
    *(("left", 150, 225, (1920, 1080)), ("right", 150, 40, (1280, 720))),
]
"""Side, depth in pixels of a screen of 1920x1080, grey level, and the screen's width and height."""


def barred(scan: Picture, side: str, deep_px: int, grey: int, noise: float) -> tuple[Picture, list[int]]:
    """A scan with a bar that fades and has words on it along one side of the screen, and the scan's box."""
    turns = ("top", "left", "bottom", "right").index(side)
    rgb = np.rot90(scan, -turns).astype(np.float64)
    rgb[:deep_px] = grey + np.linspace(0, 20, rgb.shape[1])[:, None]
    rgb = np.ascontiguousarray(np.rot90(noisy(rgb, noise), turns))
    height, width = rgb.shape[:2]
    box = [0, 0, width, height]
    box[("left", "top", "right", "bottom").index(side)] += deep_px * (1 if side in ("top", "left") else -1)
    ink, size = 20.0 if grey > 128 else 220.0, deep_px / 50 if side in ("top", "bottom") else deep_px / 240
    lines = [FIELDS] if side in ("top", "bottom") else FIELDS.split("    ")
    x, y = (box[2] if side == "right" else 0) + 6, round((box[3] if side == "bottom" else 0) + deep_px * 0.7)
    for line, words in enumerate(lines):
        place = (x, y + round(50 * size * line))
        cv2.putText(rgb, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, (ink,) * 3, 1, cv2.LINE_AA)
    return rgb, box


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize(("side", "deep_px", "grey", "size"), BARS)
def test_a_thin_bar_with_a_name_beside_a_scan_that_fills_the_rest_is_no_part_of_it(
    breast: Picture, side: str, deep_px: int, grey: int, size: tuple[int, int], noise: float
) -> None:
    scan = np.asarray(cv2.resize(breast, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    rgb, box = barred(scan, side, round(deep_px * size[1] / 1080), grey, noise)
    found = propose(rgb)
    assert found is not None
    sides = (found.x_px, found.y_px, found.x_px + found.width_px, found.y_px + found.height_px)
    assert sides == pytest.approx(box, abs=4)


@pytest.mark.parametrize(("begin", "end"), [(0, 8), (3, 14)], ids=["from its edge", "to the tissue"])
def test_dark_flecks_in_the_white_of_a_scan_s_first_rows_are_no_letters(breast: Picture, begin: int, end: int) -> None:
    rgb = breast.copy()
    rgb[:14] = 255
    rgb[begin:end, 10:490:80] = rgb[begin:end, 11:490:80] = 60
    found = propose(rgb)
    assert found is not None
    assert (found.y_px, found.origin) == (0, "full")
