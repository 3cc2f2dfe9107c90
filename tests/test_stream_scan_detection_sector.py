"""A scan that is narrower above than below: the corners of its box are blanked too, and what stands in them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.scan_area import blank_outside, finder
from stream.scan_detection import propose
from stream.sector import joined
from stream.types import Frame, ScanArea
from tests.screens import RINGING_PX, SCREEN, Picture, read, replayed, textured

SECTORS = [{"half_deg": 35, "radius": 0.5}, {"half_deg": 45, "radius": 0.05}, {"half_deg": 10, "radius": 2.5}]
"""A convex probe, a phased array, and a linear probe with its beams steered apart."""


def sector(scan: Picture, *, half_deg: float, radius: float) -> tuple[Picture, NDArray[np.bool_]]:
    """A linear probe's scan bent as a convex probe of this radius, in depths, would show it; and where it then lies."""
    height, width = SCREEN
    depth, half = 600.0, np.radians(half_deg)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    right, down = columns - width / 2, rows - 150 + radius * depth * np.cos(half)
    far, angle = np.hypot(right, down) - radius * depth, np.arctan2(right, down)
    truth = (np.abs(angle) <= half) & (far >= 0) & (far <= depth)
    u = (angle / half + 1) / 2 * (scan.shape[1] - 1)
    v = far / depth * (scan.shape[0] - 1)
    bent = cv2.remap(scan, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
    return np.where(truth[..., None], bent, 0).astype(np.uint8), truth


def within(area: ScanArea | None) -> NDArray[np.bool_]:
    """What is not blanked."""
    white = Frame(0, 0, 0.0, np.full((*SCREEN, 3), 255, np.uint8), "x")
    return blank_outside(white, area).rgb[..., 0] > 0


@pytest.mark.parametrize("shape", SECTORS)
def test_a_sector_is_found_without_the_corners_of_its_box(breast: Picture, shape: dict[str, float]) -> None:
    rgb, truth = sector(breast, **shape)
    found = within(propose(rgb))
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) >= 0.9


def test_a_name_beside_a_sector_is_in_no_output(tmp_path: Path, breast: Picture) -> None:
    rgb, truth = sector(breast, **SECTORS[0])
    for line, text in enumerate(("DOE, JANE", "1970-01-01", "ID 12345")):
        for x in (200, 940):  # in the box, 20 pixels and more from the scan
            cv2.putText(rgb, text, (x, 180 + 30 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (230, 230, 230), 2)
    (tmp_path / "stills").mkdir()
    cv2.imwrite(str(tmp_path / "stills" / "1.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    _, (shown,) = replayed(tmp_path / "stills", tmp_path / "out")
    assert "DOE, JANE" in read(rgb)
    near = cv2.dilate(truth.astype(np.uint8), np.ones((2 * RINGING_PX + 1,) * 2, np.uint8)) > 0
    assert shown[~near].max() <= 16


def test_what_was_once_scan_of_a_sector_stays_so(breast: Picture) -> None:
    bright, _ = sector(breast, **SECTORS[0])
    dark = bright.copy()
    dark[600:, :450] = dark[600:, -450:] = 0
    find, areas = finder(None), []
    for second, rgb in enumerate((dark, bright, dark)):
        area = find(Frame(second, 0, 2.0 * second, rgb, "x"), None)
        assert isinstance(area, ScanArea)
        areas.append(within(area))
    assert areas[0].sum() < areas[1].sum()
    assert np.array_equal(areas[1], areas[2])


def test_flanks_of_a_sector_that_light_up_later_are_scan(breast: Picture) -> None:
    bright, _ = sector(breast, **SECTORS[0])
    dark = bright.copy()
    dark[:400, :500] = dark[:400, -500:] = 0  # the probe's ends have no contact
    find = finder(None)
    early, late = (find(Frame(s, 0, 2.0 * s, rgb, "x"), None) for s, rgb in enumerate((dark, bright)))
    assert isinstance(early, ScanArea)
    assert isinstance(late, ScanArea)
    assert early.sides == late.sides
    lit_up = (bright > dark).any(axis=2)
    assert within(early)[lit_up].mean() < 0.85
    assert within(late)[lit_up].mean() > 0.95


def test_a_sector_is_found_in_a_screen_of_4k(breast: Picture) -> None:
    rgb, truth = sector(breast, **SECTORS[0])
    found = propose(np.asarray(cv2.resize(rgb, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8))
    large = Frame(0, 0, 0.0, np.full((3 * SCREEN[0], 3 * SCREEN[1], 3), 255, np.uint8), "x")
    kept = blank_outside(large, found).rgb[1::3, 1::3, 0] > 0
    assert np.count_nonzero(kept & truth) / np.count_nonzero(kept | truth) >= 0.9


def test_a_name_beside_a_sector_that_reaches_all_sides_is_blanked(breast: Picture) -> None:
    rgb, truth = sector(breast, **SECTORS[0])
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    cut = np.ascontiguousarray(rgb[rows[0] : rows[-1], columns[0] : columns[-1]])
    cv2.putText(cut, "DOE, JANE", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (230, 230, 230), 2)
    found = propose(cut)
    assert found is not None
    assert found.width_px * found.height_px > 0.95 * cut.shape[0] * cut.shape[1]
    assert blank_outside(Frame(0, 0, 0.0, cut, "x"), found).rgb[:50, :150].max() == 0


def trapezoid(height: int, width: int) -> Picture:
    """A scan that is half as wide above as below, and as large as the picture."""
    corners = np.array([(width // 4, 0), (width * 3 // 4, 0), (width - 1, height - 1), (0, height - 1)])
    within = np.zeros((height, width, 1), np.uint8)
    cv2.fillPoly(within, [corners], 1)
    return textured(height, width) * within


def test_a_flank_in_shadow_is_where_the_other_one_is() -> None:
    bright = trapezoid(720, 1280)
    dark = bright.copy()
    dark[:360, 800:] = 0
    white = Frame(0, 0, 0.0, np.full_like(bright, 255), "x")
    lit, shaded = (blank_outside(white, propose(rgb)).rgb > 0 for rgb in (bright, dark))
    assert np.count_nonzero(lit != shaded) < 0.01 * np.count_nonzero(lit)


def test_what_was_once_a_box_stays_a_box() -> None:
    corners = ((10, 0), (30, 0), (40, 40), (0, 40))
    assert joined((), corners) == joined(corners, ()) == ()


@pytest.mark.parametrize("size_px", [(720, 1280), (1440, 2560)])
def test_a_sector_that_is_as_large_as_the_picture_is_not_all_of_it(size_px: tuple[int, int]) -> None:
    height, width = size_px
    found = propose(trapezoid(height, width))
    assert found is not None
    assert found.sides == (0, 0, width, height)
    white = Frame(0, 0, 0.0, np.full((height, width, 3), 255, np.uint8), "x")
    assert blank_outside(white, found).rgb[: height // 4, : width // 8].max() == 0
