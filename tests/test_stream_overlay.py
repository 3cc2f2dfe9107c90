import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from rcdnet.notice import RESEARCH_NOTICE
from stream.config import OverlayStyle, StreamConfig
from stream.decision import class_label
from stream.heat import heat_colours
from stream.overlay import (
    AMBER,
    CLASS_COLOURS,
    GREY,
    MARGIN,
    PANEL_WIDTH,
    Labels,
    draw,
    headline,
    mapped_class,
)
from stream.types import Assessment, Frame, ScanArea, State
from tests.screens import read
from tests.stream_views import SESSION

LABELS = Labels(("benign", "malignant", "normal"))
SIZES = [(720, 1280), (256, 256), (1080, 1920), (37, 51), (1, 1), (900, 200)]


def frame(height_px: int, width_px: int, index: int = 3) -> Frame:
    rgb = np.random.default_rng(1).integers(0, 256, (height_px, width_px, 3), np.uint8)
    return Frame(index, 0, 0.0, rgb, "test")


def assessment(of: Frame, **changes: object) -> Assessment:
    height, width = of.rgb.shape[:2]
    heat = np.zeros((64, 64), np.float32)
    heat[20:40, 20:40] = 1
    plain = Assessment(
        frame_index=of.index,
        scan_area=ScanArea(0, 0, width, height, "full"),
        state=State.CLEAR_FINDING,
        reason="",
        raw=np.array((0.1, 0.8, 0.1), np.float32),
        smoothed=np.array((0.2, 0.7, 0.1), np.float32),
        finding="malignant",
        attention=heat,
        attention_class="malignant",
        age_ms=12.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_no_word_covers_the_ultrasound_picture(height: int, width: int) -> None:
    source = frame(height, width)
    bare = assessment(source, attention=None, attention_class=None)
    picture = draw(source, bare, OverlayStyle(), LABELS)
    np.testing.assert_array_equal(picture[:height, :width], source.rgb)
    assert picture.shape[1] > width


@pytest.mark.parametrize(("height", "width"), [size for size in SIZES if min(size) > 30])
def test_the_heat_map_stays_inside_the_scan_area(height: int, width: int) -> None:
    source = frame(height, width)
    area = ScanArea(width // 4, height // 4, width // 2, height // 2, "user")
    hot = assessment(source, scan_area=area, attention=np.ones((50, 60), np.float32))
    picture = draw(source, hot, OverlayStyle(opacity=1), LABELS)[:height, :width]
    changed = (picture != source.rgb).any(axis=2)
    inside = np.zeros((height, width), bool)
    inside[area.pixels] = True
    np.testing.assert_array_equal(changed, inside)


@pytest.mark.parametrize("cell", [0, 1, 111, 222, 223])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (199, 150), (1, 1), (223, 40)])
def test_a_cell_smaller_than_a_pixel_colours_one_in_the_scan_area(height: int, width: int, cell: int) -> None:
    source = Frame(3, 0, 0.0, np.full((256, 256, 3), 128, np.uint8), "test")
    attention = np.zeros((224, 224), np.float32)
    attention[cell, cell] = 1
    area = ScanArea(256 - width, 256 - height, width, height, "user")
    picture = draw(source, assessment(source, scan_area=area, attention=attention), OverlayStyle(), LABELS)
    rows, columns = np.nonzero((picture[:256, :256] != source.rgb).any(axis=2))
    assert rows.size == 1
    assert abs(rows[0] - area.y_px - cell * height / 224) <= 1
    assert abs(columns[0] - area.x_px - cell * width / 224) <= 1
    assert rows[0] >= area.y_px
    assert columns[0] >= area.x_px


def test_the_heat_map_lies_where_the_attention_is() -> None:
    source = frame(640, 640)
    changed = draw(source, assessment(source), OverlayStyle(), LABELS)[:640, :640] != source.rgb
    rows, columns = np.nonzero(changed.any(axis=2))
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (200, 400, 200, 400)


@pytest.mark.parametrize("grey", [60, 128, 190])
def test_the_heat_map_colours_the_scan_and_leaves_its_brightness(grey: int) -> None:
    rgb = np.full((256, 256, 3), grey, np.uint8)
    source = Frame(3, 1, 0.0, rgb, "clip.mp4")
    whole = ScanArea(0, 0, 256, 256, "full")
    hot = assessment(source, scan_area=whole, attention=np.full((8, 8), 0.8, np.float32))
    shown = draw(source, hot, OverlayStyle(opacity=0.3), LABELS)[:256, :256]
    red, green, blue = shown[128, 128].astype(int)
    assert min(red, blue) - green > 20
    luma = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    assert np.abs(luma.astype(int) - grey).max() <= 2


def test_on_black_the_heat_map_has_the_hues_of_its_legend_and_is_the_brighter_the_stronger() -> None:
    source = Frame(3, 1, 0.0, np.zeros((256, 256, 3), np.uint8), "clip.mp4")
    whole = ScanArea(0, 0, 256, 256, "full")
    drawn = []
    for step in (140, 200, 255):
        hot = assessment(source, scan_area=whole, attention=np.full((8, 8), step / 255, np.float32))
        drawn.append(draw(source, hot, OverlayStyle(), LABELS)[128, 128].astype(int))
        assert list(drawn[-1].argsort()) == list(heat_colours()[step, 0].argsort())
    luma = [colour @ (0.299, 0.587, 0.114) for colour in drawn]
    assert luma == sorted(luma)


def test_from_one_half_on_the_colour_is_as_strong_as_the_opacity_says() -> None:
    source = Frame(3, 1, 0.0, np.full((256, 256, 3), 120, np.uint8), "clip.mp4")
    hot = assessment(source, attention=np.full((8, 8), 0.5, np.float32))
    full, half = (draw(source, hot, OverlayStyle(opacity=opacity), LABELS)[128, 128] for opacity in (1, 0.5))
    legend = np.asarray(heat_colours(), int)[128, 0]
    assert full[0] - 120 == pytest.approx(legend[0] - legend @ (0.299, 0.587, 0.114), abs=2)
    assert half[0] - 120 == pytest.approx((full[0] - 120) / 2, abs=2)


def test_without_attention_of_any_strength_nothing_glows() -> None:
    source = frame(256, 256)
    faint = assessment(source, attention=np.full((8, 8), 0.04, np.float32))
    np.testing.assert_array_equal(draw(source, faint, OverlayStyle(), LABELS)[:256, :256], source.rgb)


@pytest.mark.parametrize(
    ("style", "age_ms"), [(OverlayStyle(opacity=0), 10.0), (OverlayStyle(stale_after_s=0.2), 201.0)]
)
def test_a_hidden_or_stale_heat_map_is_not_drawn(style: OverlayStyle, age_ms: float) -> None:
    source = frame(256, 256)
    late = assessment(source, age_ms=age_ms)
    np.testing.assert_array_equal(draw(source, late, style, LABELS)[:256, :256], source.rgb)
    assert mapped_class(late, style, LABELS) is None


def test_a_live_picture_tells_which_frame_it_is_and_why_it_has_no_heat_map() -> None:
    source = frame(720, 1280, index=9471)
    soon, late = (
        read(np.ascontiguousarray(draw(source, assessment(source, age_ms=age_ms), OverlayStyle(), LABELS)[:, 1280:]))
        for age_ms in (12.0, 1234.0)
    )
    assert "frame 9471, age 12 ms" in soon
    assert "frame 9471, age 1234 ms" in late
    assert "too old" not in soon
    assert "no heat map: too old" in late


def test_in_replay_nothing_is_stale_and_two_runs_look_the_same() -> None:
    source = frame(256, 256)
    recorded = Labels(LABELS.class_names, live=False)
    soon, late = (draw(source, assessment(source, age_ms=age), OverlayStyle(), recorded) for age in (5.0, 5000.0))
    np.testing.assert_array_equal(soon, late)
    assert (soon[:256, :256] != source.rgb).any()


@pytest.mark.parametrize("live", [True, False])
def test_a_still_shows_no_time_and_no_age(live: bool) -> None:
    labels = Labels(LABELS.class_names, live=live, still=True)
    first, last = (replace(frame(256, 256), pts_s=pts_s) for pts_s in (0.5, 99.0))
    at_first, at_last = (
        draw(each, assessment(each, age_ms=age_ms), OverlayStyle(), labels)
        for each, age_ms in ((first, 5.0), (last, 5000.0))
    )
    np.testing.assert_array_equal(at_first, at_last)
    assert (at_first[:256, :256] != first.rgb).any()


def test_an_assessment_of_another_frame_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="assessment of frame 2 must not be drawn on frame 3"):
        draw(frame(64, 64), assessment(frame(64, 64, index=2)), OverlayStyle(), LABELS)


def test_nothing_found_never_reassures() -> None:
    source = frame(64, 64)
    assert headline(assessment(source, finding="normal")) == ("no lesion flagged", GREY)
    assert class_label("normal") == "no lesion"


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLEAR_FINDING])
def test_every_other_state_is_named(state: State) -> None:
    words, colour = headline(assessment(frame(64, 64), state=state, finding=None, reason="why"))
    assert words == state.value.replace("_", " ")
    assert colour in (GREY, AMBER)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.NOT_ANALYSED, "reason": "no picture", "finding": None},
        {"smoothed": np.array((0.7, 0.2, 0.1), np.float32)},
        {"age_ms": 99.0},
        {"finding": "benign"},
    ],
)
def test_the_panel_shows_state_probabilities_and_age(changes: dict[str, object]) -> None:
    source = frame(256, 256)
    before = draw(source, assessment(source), OverlayStyle(), LABELS)[:, 256:]
    after = draw(source, assessment(source, **changes), OverlayStyle(), LABELS)[:, 256:]
    assert (before != after).any()


def test_a_bar_is_as_long_as_the_smoothed_probability() -> None:
    source = frame(720, 1280)
    picture = draw(source, assessment(source), OverlayStyle(), LABELS)
    bar_px = (picture[:, 1280:] == CLASS_COLOURS["malignant"]).all(axis=2).sum(axis=1).max()
    assert bar_px == pytest.approx(0.7 * (PANEL_WIDTH - 2 * MARGIN), abs=3)  # a tick covers 2


def test_the_panel_names_the_class_of_the_heat_map_also_where_nothing_is_called() -> None:
    source = frame(256, 256)
    panels = [
        draw(
            source,
            assessment(source, state=State.INDETERMINATE, finding=None, attention_class=name),
            OverlayStyle(),
            LABELS,
        )[:, 256:]
        for name in ("benign", "malignant")
    ]
    assert (panels[0] != panels[1]).any()


def test_no_probability_is_said_where_nothing_was_judged() -> None:
    source = frame(720, 1280)
    empty = np.empty(0, np.float32)
    unjudged = assessment(
        source, state=State.NOT_ANALYSED, reason="why", finding=None, raw=empty, smoothed=empty, attention=None
    )
    panel = draw(source, unjudged, OverlayStyle(), LABELS)[:, 1280:]
    beside_the_first_class = panel[150:172, -40:-MARGIN]
    assert beside_the_first_class.max() > 100, "a dash"
    assert "%" not in read(np.ascontiguousarray(panel))


def test_certainty_is_not_what_rounding_made() -> None:
    source = frame(720, 1280)
    sure = assessment(source, smoothed=np.array((0.002, 0.9965, 0.0015), np.float32))
    words = read(np.ascontiguousarray(draw(source, sure, OverlayStyle(), LABELS)[:, 1280:]))
    assert ">99%" in words
    assert "100%" not in words


def test_the_legend_of_the_heat_map_says_which_end_is_which() -> None:
    source = frame(720, 1280)
    with_map, without = (
        read(np.ascontiguousarray(draw(source, assessment(source), OverlayStyle(opacity=opacity), LABELS)[:, 1280:]))
        for opacity in (0.5, 0)
    )
    assert with_map.index("weak") < with_map.index("strong")
    assert "strong" not in without


@pytest.mark.parametrize("height", [256, 720])
@pytest.mark.parametrize("point", ["balanced", "as_sensitive_as_can_be"])
def test_a_picture_says_by_itself_which_network_judged_it_at_which_operating_point(height: int, point: str) -> None:
    source = frame(height, height)
    spec = replace(SESSION.spec, weights_sha256="1234567890123456")
    run = replace(SESSION, spec=spec, config=StreamConfig(operating_point=point))
    top = draw(source, assessment(source), OverlayStyle(), Labels.of(run))[: height // 20 + 15, height:]
    words = " ".join(read(np.ascontiguousarray(top)).split())
    assert f"{point[:12]}, 12345678" in words
    assert "Live" in words


@pytest.mark.parametrize("height", [256, 720])
def test_the_notice_stands_at_the_bottom_of_the_panel(height: int) -> None:
    source = frame(height, height)
    bottom = draw(source, assessment(source), OverlayStyle(), LABELS)[-50:, height:]
    assert RESEARCH_NOTICE in " ".join(read(np.ascontiguousarray(bottom)).split())


def test_a_synthetic_source_is_labelled() -> None:
    source = frame(256, 256)
    real, synthetic = (
        draw(source, assessment(source), OverlayStyle(), Labels(LABELS.class_names, synthetic=said))[:, 256:]
        for said in (False, True)
    )
    assert not (real == AMBER).all(axis=2).any()
    assert (synthetic == AMBER).all(axis=2).any()


def test_threads_draw_the_same_picture() -> None:
    source = frame(256, 256)
    expected = draw(source, assessment(source), OverlayStyle(), LABELS)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(draw(source, assessment(source), OverlayStyle(), LABELS)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(picture, expected) for picture in found)
