"""What is no B-mode scan in motion is refused with its reason; what is one passes. Error rates: benchmarks.gates."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import variants
from stream import signal
from stream.signal import SignalGate
from stream.sources import open_here
from stream.types import Frame, NotAnalysed, ScanArea, State
from train.datasets import load

Picture = NDArray[np.uint8]
Paint = Callable[[Picture, np.random.Generator], Picture]


@pytest.fixture(scope="module")
def scans() -> list[Picture]:
    """A dozen frames of the phantom's scan."""
    with open_here("phantom:?size=640x480&fps=10&frames=12", live=False) as source:
        area = source.scan_area
        assert area is not None
        rows, columns = slice(area.y_px, area.y_px + area.height_px), slice(area.x_px, area.x_px + area.width_px)
        return [np.ascontiguousarray(frame.rgb[rows, columns]) for frame in source.frames()]


def verdicts(pictures: Sequence[Picture], fps: float = 10.0, *, still: bool = False) -> list[NotAnalysed | None]:
    gate = SignalGate(still=still)
    return [
        gate.refusal(Frame(i, 0, i / fps, rgb, "made"), ScanArea(0, 0, rgb.shape[1], rgb.shape[0], "full"))
        for i, rgb in enumerate(pictures)
    ]


def test_a_scan_in_motion_passes(scans: list[Picture]) -> None:
    assert verdicts(scans) == [None] * len(scans)


@pytest.mark.parametrize("clip", ["breast_linear_BR001", "thyroid_linear_0002"])
def test_real_clips_pass(shared_data: Path, clip: str) -> None:
    with open_here(str(shared_data / "clips" / f"{clip}.mp4")) as source:
        assert set(verdicts([frame.rgb for frame in source.frames()], 20)) == {None}


@pytest.mark.parametrize("change", [variants.dimmed, variants.smoothed])
def test_real_stills_that_are_dim_or_smooth_are_no_test_patterns(
    shared_data: Path, change: Callable[[Picture], Picture]
) -> None:
    stills = [variants.rgb(sample.grey()) for sample in load(shared_data / "busbra")[::5]]
    assert signal.NO_TEXTURE not in verdicts([change(still) for still in stills], still=True)


@pytest.mark.parametrize("name", ["bus_0510-r", "bus_0759-s"])
def test_a_dim_still_of_few_grey_levels_is_no_list_in_two_shades(shared_data: Path, name: str) -> None:
    still = cv2.imread(str(shared_data / "busbra" / "Images" / f"{name}.jpg"))
    assert still is not None
    assert verdicts([variants.dimmed(np.asarray(still, np.uint8))], still=True) == [None]


@pytest.mark.parametrize("number", range(len(variants.patterns())))
def test_a_test_pattern_is_refused_at_once(number: int) -> None:
    assert verdicts([variants.patterns()[number]]) != [None]


def scan_of(uri: str) -> Picture:
    with open_here(uri, live=False) as source:
        frame, area = next(source.frames()), source.scan_area
    if area is None:
        return frame.rgb
    return frame.rgb[area.pixels]


@pytest.mark.parametrize("divider_px", [0, 2])
def test_two_pictures_that_touch_are_refused(shared_data: Path, divider_px: int) -> None:
    clips = ("breast_linear_BR001", "thyroid_linear_0002")
    pair = variants.side_by_side(*(scan_of(str(shared_data / "clips" / f"{clip}.mp4")) for clip in clips), 0.0).copy()
    middle = pair.shape[1] // 2
    pair[:, middle : middle + divider_px] = 200
    assert verdicts([pair]) == [signal.TWO_PICTURES]


def test_a_picture_on_its_side_is_refused(shared_data: Path) -> None:
    upright = scan_of(str(shared_data / "clips" / "breast_linear_BR001.mp4"))
    assert verdicts([upright], still=True) == [None]
    for turns in (1, 3):
        assert verdicts([np.ascontiguousarray(np.rot90(upright, turns))], still=True) == [signal.ON_ITS_SIDE]


def test_a_calliper_s_line_down_the_middle_is_no_second_picture(shared_data: Path) -> None:
    scan = scan_of(str(shared_data / "clips" / "breast_linear_BR001.mp4")).copy()
    scan[:, scan.shape[1] // 2 : scan.shape[1] // 2 + 2] = 220
    assert verdicts([scan]) == [None]


def test_an_edge_in_a_third_of_the_picture_is_no_second_picture(shared_data: Path) -> None:
    scan = scan_of(str(shared_data / "clips" / "breast_linear_BR001.mp4")).copy()
    part = scan[: len(scan) // 3, scan.shape[1] // 2 :]
    part[:] = cv2.add(part, np.full_like(part, 60))
    assert verdicts([scan], still=True) == [None]


def test_a_black_screen_is_no_signal() -> None:
    (refusal,) = verdicts([np.zeros((48, 64, 3), np.uint8)])
    assert refusal is not None
    assert refusal.state is State.NO_SIGNAL


@pytest.mark.parametrize("sigma", [0, 2])
def test_a_frozen_scan_is_said_to_be_after_a_second(scans: list[Picture], sigma: int) -> None:
    found = verdicts(variants.feed(scans[0], sigma, np.random.default_rng(0)) * 20)
    assert found[:10] == [None] * 10
    assert set(found[10:20]) == {signal.FROZEN}


def test_a_scan_that_moves_again_is_judged_again_at_once(scans: list[Picture]) -> None:
    assert verdicts([scans[0]] * 15 + [scans[6]])[-2:] == [signal.FROZEN, None]


def test_another_recording_that_begins_where_the_last_one_ended_is_not_frozen(scans: list[Picture]) -> None:
    gate, area = SignalGate(), ScanArea(0, 0, scans[0].shape[1], scans[0].shape[0], "full")
    shown = ((0.0, "a.dcm"), (1.5, "a.dcm"), (1.6, "b.dcm"), (1.7, "b.dcm"))
    found = [gate.refusal(Frame(0, 0, pts_s, scans[0], source), area) for pts_s, source in shown]
    assert found == [None, signal.FROZEN, None, None]


def test_a_slow_probe_s_repeated_pictures_are_not_frozen(scans: list[Picture]) -> None:
    assert set(verdicts([picture for picture in scans for _ in range(6)], fps=60)) == {None}


def test_recycled_buffers_are_told_from_a_freeze(scans: list[Picture]) -> None:
    assert verdicts([scans[0], scans[4], scans[8], scans[11]] * 5)[-1] == signal.RECYCLED
    assert verdicts([scans[0], scans[8]] * 10)[-1] == signal.RECYCLED


def test_a_freeze_is_one_also_of_a_probe_that_repeats_its_pictures(scans: list[Picture]) -> None:
    repeated = [picture for picture in scans[:8] for _ in range(3)]
    assert verdicts(repeated + [scans[8]] * 15)[-1] == signal.FROZEN


def test_a_scan_that_moves_is_not_frozen_however_small_it_is_in_its_area(scans: list[Picture]) -> None:
    height, width = scans[0].shape[:2]
    small = [cv2.copyMakeBorder(scan, 0, height, 0, 2 * width, cv2.BORDER_CONSTANT) for scan in scans]
    moving = (small + small[::-1]) * 3
    assert set(verdicts([picture.astype(np.uint8) for picture in moving], fps=20)) == {None}


def test_still_pictures_need_not_move(scans: list[Picture]) -> None:
    assert set(verdicts([scans[0]] * 20, still=True)) == {None}


def test_a_clip_that_starts_again_is_not_frozen(scans: list[Picture]) -> None:
    gate, area = SignalGate(), ScanArea(0, 0, scans[0].shape[1], scans[0].shape[0], "full")
    found = [gate.refusal(Frame(0, 0, pts_s, scans[0], "made"), area) for pts_s in (50.0, 50.9, 0.0, 0.9, 1.1)]
    assert found == [None] * 4 + [signal.FROZEN]


@pytest.mark.parametrize(
    ("paint", "expected"),
    [
        (variants.doppler, signal.COLOUR),
        (variants.elastography, signal.COLOUR),
        (variants.in_air, signal.AIR),
        (lambda scan, chance: variants.side_by_side(scan, scan, 0.03), signal.TWO_PICTURES),
        (lambda scan, chance: variants.marked(scan), None),
    ],
)
def test_what_is_painted_into_a_scan(scans: list[Picture], paint: Paint, expected: NotAnalysed | None) -> None:
    assert verdicts([paint(scans[3], np.random.default_rng(1))]) == [expected]


@pytest.mark.parametrize(
    ("paper", "shaded", "lines"), [(225, 225, 11), (90, 90, 1), (236, 226, 11)], ids=["page", "line", "list"]
)
def test_a_page_of_words_is_refused_at_once_however_few(paper: int, shaded: int, lines: int) -> None:
    page = np.full((480, 640, 3), paper, np.uint8)
    for row in range(0, 480, 80):
        page[row : row + 40] = shaded
    for line in range(40, 40 * lines + 1, 40):
        cv2.putText(
            page, "Name: DOE JANE, born 1954-03-12, left", (10, line), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (9,) * 3, 2
        )
    assert verdicts([page]) == [signal.NO_TEXTURE]


def test_a_coloured_bar_that_touches_the_scan_is_no_colour_mode(scans: list[Picture]) -> None:
    screen = scans[3].copy()
    screen[: len(screen) // 50] = (40, 60, 100)
    assert verdicts([screen], still=True) == [None]


@pytest.mark.parametrize("tint", variants.TINTS)
def test_a_tinted_scan_passes_and_colour_in_it_does_not(scans: list[Picture], tint: str) -> None:
    scan, chance = variants.tinted(scans[3], tint), np.random.default_rng(1)
    expected = [None, signal.COLOUR, signal.COLOUR]
    painted = [scan, variants.doppler(scan, chance), variants.elastography(scan, chance)]
    assert verdicts([variants.captured(picture) for picture in painted], still=True) == expected


def test_only_the_scan_area_counts(scans: list[Picture]) -> None:
    height, width = scans[0].shape[:2]
    screen = np.zeros((height + 100, width + 100, 3), np.uint8)
    screen[..., 0] = 255
    gate = SignalGate()
    for index in range(20):
        screen = screen.copy()
        screen[50 : 50 + height, 50 : 50 + width] = scans[0]
        cv2.putText(screen, f"10:00:{index:02}", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255))
        refusal = gate.refusal(Frame(index, 0, index / 10, screen, "made"), ScanArea(50, 50, width, height, "user"))
    assert refusal == signal.FROZEN


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from(["black", "noise"]), st.integers(0, 50), st.integers(1, 60)
)
def test_no_size_and_no_area_in_the_picture_breaks_the_gates(
    height: int, width: int, kind: str, left: int, across: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    frame = Frame(0, 0, 0.0, noise if kind == "noise" else np.zeros_like(noise), "made")
    left = min(left, width - 1)
    SignalGate().refusal(frame, ScanArea(left, 0, min(across, width - left), 1, "user"))
    SignalGate().refusal(frame, ScanArea(0, 0, width, height, "full"))
