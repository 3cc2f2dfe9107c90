"""The scan is found in real scanner screens, and no letter of what stands beside it leaves the program."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.workload import make_clip
from stream.scan_area import blank_outside, finder, sketch
from stream.scan_detection import propose
from stream.signal import TWO_PICTURES, SignalGate
from stream.sources import open_here
from stream.types import Frame, NotAnalysed, ScanArea
from tests.screens import RINGING_PX, Picture, first, read, replayed, textured

DRAWN = {
    "scanner_screen_clarius": (264, 87, 752, 792),
    "scanner_screen_sonosite": (387, 41, 336, 599),
}
"""By hand, on a frame with a grid over it, before anything was tuned."""

WORDS = {
    "scanner_screen_clarius": ("cm",),
    "scanner_screen_sonosite": ("SonoSite", "Ophthalmic", "Aug", "4.5"),
}
"""What a person reads on these screens."""

PHANTOM = "phantom:?size=1280x720&fps=5&seed=1&frames=34"


def overlap(found: ScanArea | None, box: tuple[int, int, int, int]) -> float:
    """Intersection over union."""
    assert found is not None
    x, y, width, height = box
    across = min(found.x_px + found.width_px, x + width) - max(found.x_px, x)
    down = min(found.y_px + found.height_px, y + height) - max(found.y_px, y)
    both = max(0, across) * max(0, down)
    return both / (found.width_px * found.height_px + width * height - both)


@pytest.mark.parametrize("clip", DRAWN)
def test_the_scan_is_found_in_a_scanner_s_screen(shared_data: Path, clip: str) -> None:
    frame, _ = first(str(shared_data / "clips" / f"{clip}.mp4"))
    found = propose(frame.rgb)
    assert overlap(found, DRAWN[clip]) >= 0.9
    assert found is not None
    assert not found.corners  # both are of linear probes


@pytest.mark.parametrize(("width", "height"), [(640, 480), (800, 600), (1024, 768), (1280, 720)])
def test_the_area_ends_where_the_scan_does(width: int, height: int) -> None:
    screen = np.zeros((height, width, 3), np.uint8)
    screen[61:402, 131:520] = textured(341, 389)
    assert propose(screen) == ScanArea(131, 61, 389, 341, "detected")


def test_a_scale_that_touches_the_scan_is_no_part_of_it() -> None:
    screen = np.zeros((720, 1280, 3), np.uint8)
    screen[153:556, 301:902] = textured(403, 601)
    screen[300:306, 902:1100] = textured(6, 198)
    assert propose(screen) == ScanArea(301, 153, 601, 403, "detected")


def test_a_scan_at_the_lower_edge_of_a_large_screen_does_not_leave_it() -> None:
    screen = np.zeros((968, 1920, 3), np.uint8)  # 645 * (968 / 645) is more than 968
    screen[300:, 400:1500] = textured(668, 1100)
    found = propose(cv2.blur(screen, (3, 3)).astype(np.uint8))
    assert found is not None
    assert found.y_px + found.height_px == 968


@pytest.mark.parametrize("gap_px", [16, 60])
def test_of_two_scans_side_by_side_none_is_chosen(breast: Picture, gap_px: int) -> None:
    """Nobody knows which is meant: the area holds both, and the signal gate says that there are two."""
    pane = np.asarray(cv2.resize(breast, (500, 460)), np.uint8)
    screen = np.zeros((720, 1280, 3), np.uint8)
    for left in (100, 600 + gap_px):
        screen[120:580, left : left + 500] = pane
    found = propose(screen)
    assert overlap(found, (100, 120, 1000 + gap_px, 460)) >= 0.95
    assert found is not None
    assert SignalGate(still=True).refusal(Frame(0, 0, 0.0, screen, "made"), found) == TWO_PICTURES


@pytest.mark.parametrize("clip", DRAWN)
def test_the_scan_is_found_in_a_screen_of_4k(shared_data: Path, clip: str) -> None:
    frame, _ = first(str(shared_data / "clips" / f"{clip}.mp4"))
    x, y, width, height = (4 * side for side in DRAWN[clip])
    large = cv2.resize(frame.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert overlap(propose(np.asarray(large, np.uint8)), (x, y, width, height)) >= 0.9


@pytest.mark.parametrize("query", ["seed=1", "seed=5&size=640x480", "seed=9&size=1920x1080"])
def test_the_scan_is_found_in_the_phantom_s_screen(query: str) -> None:
    frame, truth = first(f"phantom:?{query}&frames=1")
    assert truth is not None
    assert overlap(propose(frame.rgb), (truth.x_px, truth.y_px, truth.width_px, truth.height_px)) >= 0.95


@pytest.mark.parametrize("clip", ["breast_linear_BR001", "thyroid_linear_0002"])
def test_a_clip_that_is_already_cut_is_kept_whole(shared_data: Path, clip: str) -> None:
    frame, _ = first(str(shared_data / "clips" / f"{clip}.mp4"))
    found = propose(frame.rgb)
    assert found is not None
    assert (found.width_px, found.height_px, found.origin) == (*frame.rgb.shape[1::-1], "full")


@pytest.mark.parametrize("still", ["normal/normal (121)", "malignant/malignant (71)"])
def test_a_scan_of_dark_tissue_on_a_light_screen_is_found_whole(shared_data: Path, still: str) -> None:
    scan = cv2.imread(str(shared_data / "busi" / f"{still}.jpg")).repeat(2, 0).repeat(2, 1)
    dark, height, width = (255 * (scan / 255) ** 2).astype(np.uint8), *scan.shape[:2]
    screen = cv2.copyMakeBorder(dark, 100, 100, 150, 150, cv2.BORDER_CONSTANT, value=(200, 200, 200))
    assert overlap(propose(np.asarray(screen, np.uint8)), (150, 100, width, height)) > 0.95


@pytest.mark.parametrize("still", ["udiat/original/000127", "busbra/Images/bus_0181-s", "busbra/Images/bus_0853-l"])
def test_a_scan_is_found_whole_on_a_screen_as_grey_as_its_dark_tissue(shared_data: Path, still: str) -> None:
    scan = cv2.imread(str(shared_data / f"{still}.jpg"))
    zoom = 700 / max(scan.shape)
    scan = cv2.resize(scan, None, fx=zoom, fy=zoom)
    height, width = scan.shape[:2]
    screen = np.full((960, 1280, 3), 40, np.uint8)
    screen[110 : 110 + height, 300 : 300 + width] = scan
    assert overlap(propose(screen), (300, 110, width, height)) > 0.9


def test_of_a_large_picture_that_is_all_scan_nothing_is_cut() -> None:
    large = np.asarray(cv2.resize(textured(360, 640), (2560, 1440), interpolation=cv2.INTER_NEAREST), np.uint8)
    assert propose(large) == ScanArea(0, 0, 2560, 1440, "full")


@pytest.mark.parametrize("clip", DRAWN)
def test_no_text_of_a_real_screen_is_in_the_annotated_clip(shared_data: Path, tmp_path: Path, clip: str) -> None:
    before, after = replayed(shared_data / "clips" / f"{clip}.mp4", tmp_path)
    assert any(word in read(before[-1]) for word in WORDS[clip])  # else reading proves nothing
    shown = np.max(after, axis=0)  # whatever was legible in any frame is so here
    x, y, width, height = DRAWN[clip]
    shown[y - RINGING_PX : y + height + RINGING_PX, x - RINGING_PX : x + width + RINGING_PX] = (
        0  # tissue looks like letters
    )
    assert read(shown).split() == []
    assert shown.max() <= 16


def test_seven_seconds_with_a_made_up_name_show_nothing_of_it(tmp_path: Path) -> None:
    """Of the phantom's screen, recorded: an MP4 tells no scan area."""
    clip = tmp_path / "screen.mp4"
    make_clip(clip, PHANTOM)
    before, after = replayed(clip, tmp_path / "out")
    _, truth = first(PHANTOM)
    assert truth is not None
    assert len(after) == 34
    outside = np.ones(before[0].shape[:2], bool)
    bottom, right = truth.y_px + truth.height_px + RINGING_PX, truth.x_px + truth.width_px + RINGING_PX
    outside[truth.y_px - RINGING_PX : bottom, truth.x_px - RINGING_PX : right] = False
    assert "phantom" in read(before[-1] * outside[..., None]).lower()
    assert max(int(picture[outside].max()) for picture in after) <= 16
    shown = np.max(after, axis=0)
    shown[~outside] = 0
    assert read(shown).split() == []
    told = (tmp_path / "out" / "frames.jsonl").read_text() + (tmp_path / "out" / "report.html").read_text()
    assert "phantom" not in told.lower()


def test_in_stills_the_scan_is_looked_for_in_each() -> None:
    left, _ = first(PHANTOM)
    flipped = replace(left, rgb=np.ascontiguousarray(left.rgb[:, ::-1]))
    find = finder(None, still=True)
    areas = [find(left, None), find(flipped, None)]
    assert all(isinstance(area, ScanArea) for area in areas)
    assert areas[0] != areas[1]


def test_of_a_sketch_nothing_can_be_read_and_nothing_of_the_scan_is_in_it() -> None:
    frame, area = first(PHANTOM)
    assert area is not None
    cells = sketch(frame, area)
    assert max(cells.shape) <= 48
    enlarged = cv2.resize(cells, (1280, 720), interpolation=cv2.INTER_CUBIC)
    screen = frame.rgb.copy()
    screen[area.pixels] = 0  # tissue is slow to read
    assert "PHANTOM" in read(screen)
    assert "PHANTOM" not in read(np.ascontiguousarray(enlarged[..., :3]))
    assert enlarged[area.pixels][20:-20, 20:-20].max() == 0
    assert sketch(frame, None)[..., :3].max() > 100


@pytest.mark.parametrize("shape", [(100, 100, 3), (1080, 1920, 3)], ids=["small", "shrunk for the search"])
def test_nothing_of_a_picture_without_a_scan_is_analysed(shape: tuple[int, int, int]) -> None:
    assert isinstance(finder(None)(Frame(0, 0, 0.0, np.zeros(shape, np.uint8), "x"), None), NotAnalysed)


@pytest.mark.parametrize("shape", [(1, 3000, 3), (3000, 1, 3)])
def test_a_picture_that_is_nearly_a_line_ends_nothing(shape: tuple[int, int, int]) -> None:
    frame = Frame(0, 0, 0.0, np.random.default_rng(0).integers(0, 256, shape, np.uint8), "x")
    for text in (None, "0,0,64,64"):
        finder(text)(frame, None)


def test_a_detected_area_grows_when_the_probe_is_put_on() -> None:
    find = finder(None)
    screen, truth = first("phantom:?size=640x480&frames=1")
    assert truth is not None
    air = screen.rgb.copy()
    air[truth.y_px + truth.height_px // 3 : truth.y_px + truth.height_px] = screen.rgb[2, 2]
    early = find(Frame(0, 0, 0.0, air, "x"), None)
    assert isinstance(early, ScanArea)
    assert early.height_px < truth.height_px / 2
    assert find(Frame(1, 0, 0.5, screen.rgb, "x"), None) == early
    late = find(Frame(2, 0, 1.5, screen.rgb, "x"), None)
    assert isinstance(late, ScanArea)
    assert overlap(late, (truth.x_px, truth.y_px, truth.width_px, truth.height_px)) > 0.95
    assert find(Frame(3, 0, 3.0, air, "x"), None) == late


NAME_PX = 70
"""Of a bar with a name, above a scan that is all else of the screen."""


@pytest.fixture
def named(breast: Picture) -> Picture:
    """A screen whose scan is as wide, and nearly as high, as itself."""
    rgb = np.zeros((768, 1024, 3), np.uint8)
    rgb[NAME_PX:] = cv2.resize(breast, (1024, 768 - NAME_PX), interpolation=cv2.INTER_CUBIC)
    cv2.putText(rgb, "DOE, JANE", (200, 44), cv2.FONT_HERSHEY_SIMPLEX, 1, (230, 230, 230), 2)
    return rgb


def test_a_name_above_a_scan_that_fills_the_rest_is_blanked(named: Picture) -> None:
    found = propose(named)
    assert overlap(found, (0, NAME_PX, 1024, 768 - NAME_PX)) > 0.99
    assert blank_outside(Frame(0, 0, 0.0, named, "x"), found).rgb[: NAME_PX - RINGING_PX].max() == 0


def test_a_scan_that_grows_to_nearly_all_of_the_picture_still_blanks_the_name(named: Picture) -> None:
    shallow = named.copy()
    shallow[620:] = 0
    find = finder(None)
    early, late = (find(Frame(s, 0, 2.0 * s, rgb, "x"), None) for s, rgb in enumerate((shallow, named)))
    assert isinstance(early, ScanArea)
    assert isinstance(late, ScanArea)
    assert late.height_px > 1.2 * early.height_px
    assert min(early.y_px, late.y_px) >= NAME_PX - RINGING_PX


@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=st.integers(0, 99), zoom=st.integers(1, 40))
def test_any_picture_gives_an_area_in_it_or_none(size: tuple[int, int], seed: int, zoom: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, size, np.uint8) // zoom
    found = propose(np.repeat(grey[..., None], 3, axis=2))
    if found is not None:
        assert found.x_px + found.width_px <= size[1]
        assert found.y_px + found.height_px <= size[0]
        assert all(found.x_px <= x < found.x_px + found.width_px for x, _ in found.corners)
        assert all(found.y_px <= y < found.y_px + found.height_px for _, y in found.corners)


@pytest.mark.parametrize("clip", [*DRAWN, "breast_linear_BR001", "thyroid_linear_0002"])
def test_no_real_clip_is_thought_to_have_moved(shared_data: Path, clip: str) -> None:
    find = finder("0,0,100,100")
    with open_here(str(shared_data / "clips" / f"{clip}.mp4"), live=False) as source:
        for frame in source.frames():
            assert isinstance(find(replace(frame, pts_s=float(frame.index)), None), ScanArea)


WORDY = "DOE^JANE  ID 4711-0815   F 1970-01-02   St. Elsewhere Hospital  27.11.2025 09:31:22"


@pytest.mark.parametrize("fading", [0, 40])
@pytest.mark.parametrize(("gap_px", "words"), [(12, "DOE, JANE 1970-01-01"), (24, "DOE, JANE"), (40, WORDY)])
def test_a_shaded_bar_with_a_name_is_not_taken_for_scan(breast: Picture, gap_px: int, words: str, fading: int) -> None:
    rgb, bar = np.zeros((1080, 1920, 3), np.uint8), np.linspace(40, 40 + fading, 50)
    rgb[130:1030, 420:1570] = cv2.resize(breast, (1150, 900), interpolation=cv2.INTER_CUBIC)
    rgb[130 - gap_px - 50 : 130 - gap_px] = bar.astype(np.uint8)[:, None, None]
    cv2.putText(rgb, words, (430, 130 - gap_px - 15), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (230, 230, 230), 2)
    assert overlap(propose(rgb), (420, 130, 1150, 900)) > 0.98


PAGES = {"white": ((240, 240, 240), (20, 20, 20)), "grey": ((60, 60, 66), (220, 220, 220))}
"""Paper and ink."""


def page(rgb: Picture, x: int, y: int, width: int, height: int, kind: str) -> None:
    """Write a patient's page into a screen."""
    paper, ink = PAGES[kind]
    rgb[y : y + height, x : x + width] = paper
    for line in range(y + 40, y + height, 40):
        words = rgb[line - 30 : line + 10, x : x + width].copy()
        cv2.putText(words, "Name: DOE JANE, born 1954-03-12, left", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, ink, 2)
        rgb[line - 30 : line + 10, x : x + width] = words


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("across", [560, 1160], ids=["of the scan's size", "larger"])
def test_a_page_beside_the_scan_is_not_taken_for_it(breast: Picture, kind: str, across: int) -> None:
    rgb = np.zeros((1080, 1920, 3), np.uint8)
    rgb[200:700, 1250:1810] = cv2.resize(breast, (560, 500), interpolation=cv2.INTER_CUBIC)
    page(rgb, 0, 150, across, 800, kind)
    assert overlap(propose(rgb), (1250, 200, 560, 500)) > 0.98


def test_a_patient_s_page_alone_is_no_scan() -> None:
    rgb = np.full((576, 1024, 3), 30, np.uint8)
    page(rgb, 200, 100, 700, 400, "grey")
    assert propose(rgb) is None


def test_the_title_of_a_window_on_a_desktop_is_blanked(breast: Picture) -> None:
    desktop = np.full((1080, 1920, 3), (150, 180, 210), np.uint8)
    desktop[80:980, 200:1720] = 0
    desktop[80:112, 200:1720] = 240
    cv2.putText(desktop, "DOE_JANE.avi", (220, 104), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
    desktop[130:930, 560:1360] = cv2.resize(breast, (800, 800), interpolation=cv2.INTER_CUBIC)
    assert overlap(propose(desktop), (560, 130, 800, 800)) > 0.98


@pytest.mark.parametrize(("count", "width", "height"), [(1, 100, 80), (5, 100, 80), (1, 440, 110)])
def test_thumbnails_below_the_scan_are_none_of_it(breast: Picture, count: int, width: int, height: int) -> None:
    rgb = np.zeros((720, 1280, 3), np.uint8)
    rgb[50:530, 330:890] = cv2.resize(breast, (560, 480), interpolation=cv2.INTER_CUBIC)
    for x in 340 + 108 * np.arange(count):
        rgb[590 : 590 + height, x : x + width] = cv2.resize(breast, (width, height), interpolation=cv2.INTER_AREA)
    assert overlap(propose(rgb), (330, 50, 560, 480)) > 0.98


def test_a_detected_area_stays_until_the_picture_changes_its_size() -> None:
    find = finder(None)
    screen, _ = first("phantom:?size=640x480&frames=1")
    found = find(screen, None)
    black = Frame(1, 0, 0.1, np.zeros_like(screen.rgb), screen.source)
    assert find(black, None) == found
    larger, _ = first("phantom:?size=1280x720&frames=1")
    assert find(larger, None) != found


def test_the_header_wins_over_what_is_seen_and_the_user_over_both() -> None:
    screen, header = first("phantom:?size=640x480&frames=1")
    assert finder(None)(screen, header) == header
    assert finder("1,2,300,400")(screen, header) == ScanArea(1, 2, 300, 400, "user")
    assert finder("full")(screen, header) == ScanArea(0, 0, 640, 480, "full")
