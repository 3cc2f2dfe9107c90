"""Two pictures one above the other are refused, and nothing of what else may stand below a scan is taken for one."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.scan_area import blank_outside, finder
from stream.scan_detection import propose
from stream.signal import STACKED, SignalGate
from stream.sources import open_here
from stream.types import Frame, NotAnalysed, ScanArea
from tests.screens import RINGING_PX, Picture, first

SCAN = ScanArea(440, 40, 400, 360, "user")
"""Where the scan lies in a screen; what stands below it begins GAP_PX further down."""

GAP_PX = 20


@pytest.fixture
def frames(shared_data: Path) -> list[Picture]:
    with open_here(str(shared_data / "clips" / "breast_linear_BR001.mp4"), live=False) as source:
        return [frame.rgb for frame in source.frames()]


def m_mode(frames: list[Picture], width: int, height: int) -> Picture:
    """The middle column of each frame beside that of the frame before, as often as it takes."""
    columns = np.stack([rgb[:, rgb.shape[1] // 2] for rgb in frames], axis=1)
    return resized(np.concatenate([columns, columns[:, ::-1]] * 3, axis=1), width, height)


def resized(rgb: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def screen(scan: Picture, below: Picture | None = None, gap_px: int = GAP_PX) -> Picture:
    rgb = np.zeros((720, 1280, 3), np.uint8)
    rgb[SCAN.pixels] = resized(scan, SCAN.width_px, SCAN.height_px)
    if below is not None:
        x, y = 640 - below.shape[1] // 2, SCAN.y_px + SCAN.height_px + gap_px
        rgb[y : y + below.shape[0], x : x + below.shape[1]] = below
    return rgb


def refusal(rgb: Picture, area: ScanArea | None) -> NotAnalysed | None:
    assert area is not None
    return SignalGate(still=True).refusal(Frame(0, 0, 0.0, rgb, "made"), area)


@pytest.mark.parametrize("gap_px", [8, 40])
@pytest.mark.parametrize(("width", "height"), [(400, 260), (700, 200)], ids=["as wide", "wider"])
def test_a_scan_above_an_m_mode_strip_is_refused(frames: list[Picture], width: int, height: int, gap_px: int) -> None:
    rgb = screen(frames[0], m_mode(frames, width, height), gap_px)
    assert refusal(rgb, propose(rgb)) == STACKED


def test_a_name_beside_a_scan_above_a_wider_strip_is_blanked(frames: list[Picture]) -> None:
    rgb = screen(frames[0], m_mode(frames, 900, 200))
    cv2.putText(rgb, "DOE, JANE", (200, 200), cv2.FONT_HERSHEY_SIMPLEX, 1, (230, 230, 230), 2)
    area = propose(rgb)
    assert area is not None
    assert area.y_px + area.height_px > SCAN.y_px + SCAN.height_px + GAP_PX  # the strip is in it
    assert blank_outside(Frame(0, 0, 0.0, rgb, "made"), area).rgb[:380, : SCAN.x_px - RINGING_PX].max() == 0


@pytest.mark.parametrize("gap_px", [8, 40])
def test_two_scans_one_above_the_other_are_refused(shared_data: Path, frames: list[Picture], gap_px: int) -> None:
    other = first(str(shared_data / "clips" / "thyroid_linear_0002.mp4"))[0].rgb
    rgb = screen(frames[0], resized(other, 400, 270), gap_px)
    assert refusal(rgb, propose(rgb)) == STACKED


def test_either_of_two_may_be_chosen(frames: list[Picture]) -> None:
    rgb = screen(frames[0], resized(frames[30], 400, 280))
    for area in (SCAN, ScanArea(440, 420, 400, 280, "user")):
        assert refusal(rgb, area) is None


def test_a_scan_is_judged_until_m_mode_comes_and_once_it_is_gone(frames: list[Picture]) -> None:
    find, gate, strip = finder(None), SignalGate(still=True), m_mode(frames, 700, 200)
    found = []
    for second, rgb in enumerate(frames[:9]):
        frame = Frame(second, 0, float(second), screen(rgb, strip if 3 <= second < 6 else None), "made")
        area = find(frame, None)
        assert isinstance(area, ScanArea)
        found.append(gate.refusal(frame, area))
    assert found == [None] * 3 + [STACKED] * 3 + [None] * 3


@pytest.mark.parametrize(
    ("still", "gain"),
    [
        ("busbra/Images/bus_0961-l", 1.0),
        ("busbra/Images/bus_0085-l", 0.5),
        ("busi/benign/benign (188)", 1.0),
    ],
)
def test_echoes_below_a_cyst_or_a_shadow_are_no_second_picture(shared_data: Path, still: str, gain: float) -> None:
    scan = cv2.imread(str(shared_data / f"{still}.jpg"))
    assert scan is not None
    whole = ScanArea(0, 0, scan.shape[1], scan.shape[0], "full")
    assert refusal((scan * gain).astype(np.uint8), whole) is None


def test_a_line_across_a_shadow_is_no_second_picture(shared_data: Path) -> None:
    scan = cv2.imread(str(shared_data / "busi/benign/benign (188).jpg"))
    assert scan is not None
    dark = int(np.argmin(scan[..., 1].mean(axis=1)[: len(scan) * 3 // 4]))
    scan[dark : dark + 2] = 220
    assert refusal(np.asarray(scan, np.uint8), ScanArea(0, 0, scan.shape[1], scan.shape[0], "full")) is None


def trace(rgb: Picture) -> None:
    """As of an ECG."""
    points = [(x, 60 - 50 * (x % 100 == 50)) for x in range(0, rgb.shape[1], 10)]
    cv2.polylines(rgb, [np.array(points)], isClosed=False, color=(220,) * 3, thickness=2)


def letters(rgb: Picture) -> None:
    for line in range(25, rgb.shape[0], 30):
        cv2.putText(rgb, "MI 0.8 TIS 0.4 FR 32 Hz Gain 55 DR 60 Depth 4.5 cm", (5, line), 0, 0.6, (220,) * 3, 1)


def bar(rgb: Picture) -> None:
    """The scale of its greys."""
    rgb[:24] = np.linspace(0, 255, rgb.shape[1]).astype(np.uint8)[:, None]


def panel(rgb: Picture) -> None:
    """With words, and noise as of an analogue capture."""
    rgb[:] = 70
    letters(rgb)
    rgb[:] = np.clip(rgb + np.random.default_rng(0).normal(0, 4, (*rgb.shape[:2], 1)), 0, 255)


@pytest.mark.parametrize("paint", [trace, letters, bar, panel])
def test_what_else_stands_below_a_scan_is_no_second_picture(
    frames: list[Picture], paint: Callable[[Picture], None]
) -> None:
    below = np.zeros((200, 400, 3), np.uint8)
    paint(below)
    rgb = screen(frames[0], below)
    assert refusal(rgb, propose(rgb)) is None
    assert refusal(rgb, ScanArea(440, 40, 400, 580, "user")) is None
