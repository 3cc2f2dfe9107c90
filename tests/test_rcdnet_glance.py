from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rcdnet.box import Box
from rcdnet.glance import (
    answer_maps,
    calibrated,
    judge,
    judge_batch,
    lesion_class,
    locate,
    scaled_rise,
    softmax,
    square_around,
)
from rcdnet.preprocess import place, to_pixels
from rcdnet.spec import ModelSpec, Preprocessing

Floats = NDArray[np.float32]
PLAIN = Preprocessing(median_px=1, clahe_clip=0)
GLANCE = ModelSpec(("normal", "benign", "malignant"), 96, 128, 0.5, 0.25, "none", preprocessing=PLAIN)
LOOK = ModelSpec(("normal", "benign", "malignant"), 96, 128, 0.5, 0.25, "none", preprocessing=PLAIN, second_look=1.5)
FINE_PX = 4
"""Of the answer's map, in the model input."""
side = st.integers(1, 300)


def brightness(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """A network whose malignant map is the picture's brightness in 8 px cells."""
    cells = images.reshape(len(images), 12, 8, 16, 8).mean(axis=(2, 4)).astype(np.float32) / 64
    maps = np.stack([np.zeros_like(cells), np.full_like(cells, 0.5), cells], 1)
    return maps.mean(axis=(2, 3)), maps


def with_spot(height: int, width: int, x: int, y: int, radius: int) -> NDArray[np.uint8]:
    down, across = np.mgrid[:height, :width]
    return np.where((across - x) ** 2 + (down - y) ** 2 <= radius**2, 255, 30).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(side, side, st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**31))
@example(1, 1, 0, 0, 0)
@example(300, 1, 0, 0, 0)
@example(1, 300, 3, 3, 0)
def test_the_second_look_stays_inside_the_box(width: int, height: int, x: int, y: int, seed: int) -> None:
    box = Box(x, y, width, height)
    maps = np.random.default_rng(seed).normal(size=(3, 6, 8)).astype(np.float32)
    crop = locate(maps, maps.mean(axis=(1, 2)), place(box, LOOK), LOOK)
    assert box.x_px <= crop.x_px
    assert box.y_px <= crop.y_px
    assert crop.x_px + crop.width_px <= box.x_px + box.width_px
    assert crop.y_px + crop.height_px <= box.y_px + box.height_px


@given(st.floats(-50, 350), st.floats(-50, 350), st.floats(0, 500), st.builds(Box, side, side, side, side))
def test_a_square_anywhere_stays_inside(middle_x: float, middle_y: float, length: float, within: Box) -> None:
    middle_x = min(max(middle_x, within.x_px), within.x_px + within.width_px)
    middle_y = min(max(middle_y, within.y_px), within.y_px + within.height_px)
    crop = square_around(middle_x, middle_y, length, within)
    assert within.x_px <= crop.x_px
    assert within.y_px <= crop.y_px
    assert crop.x_px + crop.width_px <= within.x_px + within.width_px
    assert crop.y_px + crop.height_px <= within.y_px + within.height_px


@pytest.mark.parametrize(("x", "y", "radius"), [(300, 150, 40), (80, 210, 30), (320, 60, 25)])
def test_the_second_look_is_around_the_lesion(x: int, y: int, radius: int) -> None:
    look = judge(with_spot(300, 400, x, y, radius), LOOK, brightness).look
    assert look is not None
    assert look.x_px <= x - radius * 0.7
    assert x + radius * 0.7 <= look.x_px + look.width_px
    assert look.y_px <= y - radius * 0.7
    assert y + radius * 0.7 <= look.y_px + look.height_px
    assert max(look.width_px, look.height_px) < 300


def test_the_second_look_of_a_box_is_in_pixels_of_the_picture() -> None:
    look = judge(with_spot(300, 700, 500, 180, 30), LOOK, brightness, Box(300, 20, 400, 280)).look
    assert look is not None
    assert abs(look.x_px + look.width_px / 2 - 500) < 15
    assert abs(look.y_px + look.height_px / 2 - 180) < 15


@pytest.mark.parametrize("margin", [1.5, 3.0])
def test_the_second_look_is_as_many_times_as_long_as_the_lesion_s_longer_side(margin: float) -> None:
    bar = np.full((300, 400), 30, np.uint8)
    bar[140:160, 150:250] = 255
    look = judge(bar, replace(LOOK, second_look=margin), brightness).look
    assert look is not None
    assert look.width_px == pytest.approx(margin * 100, rel=0.15)


def test_what_lies_in_the_padding_is_no_lesion() -> None:
    at = place(Box(0, 0, 400, 100), LOOK)  # rows 36 to 60 of 96
    maps = np.zeros((3, 12, 16), np.float32)
    maps[2, 6, 3] = 5
    maps[2, 10, 12] = 9
    look = locate(maps, maps.mean(axis=(1, 2)), at, LOOK)
    assert look.x_px < 75 < look.x_px + look.width_px < 200


def test_tissue_that_is_brighter_than_the_padding_is_no_lesion() -> None:
    at = place(Box(0, 0, 400, 100), LOOK)
    maps = np.zeros((3, 12, 16), np.float32)
    maps[2, 4:8] = 3
    maps[2, 6, 3] = 6
    assert locate(maps, maps.mean(axis=(1, 2)), at, LOOK).width_px < 200


def test_a_small_lesion_s_second_look_is_a_quarter_of_the_longer_side() -> None:
    assert square_around(200, 50, 4, Box(0, 0, 400, 100)) == Box(150, 0, 100, 100)


def test_in_the_answer_s_map_glance_and_look_weigh_as_in_the_answer() -> None:
    at = place(Box(0, 0, 128, 96), LOOK)
    flat, risen = np.zeros((3, 12, 16), np.float32), np.zeros((3, 12, 16), np.float32)
    risen[2, 4:8, 4:8] = 3
    assert answer_maps(risen, at, flat, at).max() == pytest.approx(1)
    assert answer_maps(flat, at, risen, at).max() == pytest.approx(2)


def test_glance_and_look_are_averaged_on_log_odds_the_look_twice_as_heavy() -> None:
    grey = with_spot(300, 400, 200, 150, 40)
    found = judge(grey, LOOK, brightness)
    assert found.look is not None
    glance = judge(grey, GLANCE, brightness)
    closer = judge(grey, GLANCE, brightness, found.look)
    together = np.log(glance.probabilities / glance.probabilities[0]) + 2 * np.log(
        closer.probabilities / closer.probabilities[0]
    )
    np.testing.assert_allclose(np.log(found.probabilities / found.probabilities[0]), together / 3, atol=1e-5)


@settings(deadline=None)
@given(st.builds(Box, st.integers(0, 40), st.integers(0, 40), st.integers(60, 300), st.integers(60, 300)), st.data())
def test_what_the_look_sees_is_marked_where_it_is_in_the_picture(box: Box, data: st.DataObject) -> None:
    """One hot cell of the look, in a crop anywhere in the box, and large enough that no cell falls between two."""
    width, height = (data.draw(st.integers(-(-side // 2), side)) for side in (box.width_px, box.height_px))
    left, top = data.draw(st.integers(0, box.width_px - width)), data.draw(st.integers(0, box.height_px - height))
    crop = Box(box.x_px + left, box.y_px + top, width, height)
    at, look_at = place(box, LOOK), place(crop, LOOK)
    cell_px = 8
    column, row = data.draw(st.integers(0, 15)), data.draw(st.integers(0, 11))
    in_crop_x = (column + 0.5) * cell_px - look_at.left_px
    in_crop_y = (row + 0.5) * cell_px - look_at.top_px
    look = np.zeros((3, 12, 16), np.float32)
    look[2, row, column] = 5
    found = to_pixels(answer_maps(np.zeros_like(look), at, look, look_at)[2], at)
    if not (0 <= in_crop_x < look_at.width_px and 0 <= in_crop_y < look_at.height_px):
        assert not found.any()  # padding
        return
    x = left + in_crop_x * width / look_at.width_px
    y = top + in_crop_y * height / look_at.height_px
    found_y, found_x = np.unravel_index(found.argmax(), found.shape)
    reach_px = 0.5 * FINE_PX * box.width_px / at.width_px + cell_px * width / look_at.width_px
    assert abs(found_x - x) <= reach_px
    assert abs(found_y - y) <= reach_px


def test_the_map_rises_at_the_lesion_and_not_beside_the_crop() -> None:
    found = judge(with_spot(300, 400, 300, 150, 30), LOOK, brightness)
    assert found.look is not None
    shown = to_pixels(found.class_maps[2], found.placement)
    assert shown[150, 300] > 0.9 * shown.max()
    np.testing.assert_allclose(shown[20:-20, 20 : found.look.x_px - 40], 0, atol=1e-4)


def test_a_batch_is_judged_like_one_at_a_time() -> None:
    greys = [with_spot(300, 400, 100, 100, 30), with_spot(90, 61, 30, 40, 12)]
    for together, alone in zip(
        judge_batch(greys, LOOK, brightness), [judge(grey, LOOK, brightness) for grey in greys], strict=True
    ):
        np.testing.assert_array_equal(together.probabilities, alone.probabilities)
        assert together.look == alone.look


def test_the_glance_alone_is_one_call() -> None:
    calls = []

    def counted(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        calls.append(len(images))
        return brightness(images)

    assert judge(with_spot(60, 60, 30, 30, 9), GLANCE, counted).look is None
    judge(with_spot(60, 60, 30, 30, 9), LOOK, counted)
    assert calls == [1, 1, 1]


logits = st.lists(st.floats(-80, 80, width=32), min_size=3, max_size=3)


@given(logits)
def test_softmax_is_the_textbooks(values: list[float]) -> None:
    found = softmax(np.array(values, np.float32))
    z = np.array(values, np.float64)
    expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(logits)
def test_without_calibration_the_answer_is_the_softmax(values: list[float]) -> None:
    found = np.exp(calibrated(np.array(values, np.float32), GLANCE.class_names))
    np.testing.assert_allclose(found, softmax(np.array(values, np.float32)), atol=1e-5)


def sharpened(z: float, temperature: float, cubic: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(z / temperature + cubic * z**3, -700, 700))))


@given(logits, st.floats(0.2, 5), st.floats(0, 0.25))
def test_lesion_or_none_is_calibrated_by_itself(values: list[float], temperature: float, cubic: float) -> None:
    normal = np.exp(calibrated(np.array(values, np.float32), GLANCE.class_names, temperature, cubic))[0]
    z = np.array(values, np.float64)
    assert 1 - normal == pytest.approx(sharpened(np.logaddexp(z[1], z[2]) - z[0], temperature, cubic), abs=1e-4)


@given(logits, st.floats(0.2, 5), st.floats(0, 0.25))
def test_benign_or_malignant_is_calibrated_by_itself(values: list[float], temperature: float, cubic: float) -> None:
    _, benign, malignant = calibrated(np.array(values, np.float32), GLANCE.class_names, temperature, cubic)
    share = 1 / (1 + np.exp(np.clip(float(benign) - float(malignant), -700, 700)))
    assert share == pytest.approx(sharpened(values[2] - values[1], temperature, cubic), abs=1e-3)


def test_what_is_judged_is_calibrated_as_the_spec_says() -> None:
    spec = replace(LOOK, temperature=2.0, cubic=0.1)
    found = judge(with_spot(60, 60, 30, 30, 9), spec, brightness)
    expected = np.exp(calibrated(found.logits, spec.class_names, 2.0, 0.1))
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-6)


def test_a_network_that_knows_no_normal_tissue_is_calibrated_too() -> None:
    found = np.exp(calibrated(np.array([[1.0, 3.0]], np.float32), ("benign", "malignant"), 2.0, 0.1))
    np.testing.assert_allclose(found[0, 1], 1 / (1 + np.exp(-(2 / 2 + 0.1 * 2**3))), rtol=1e-5)


def test_a_flat_map_stays_dark_and_a_peak_shines() -> None:
    assert not scaled_rise(np.full((6, 8), 3.0, np.float32)).any()
    peaked = np.full((6, 8), 3.0, np.float32)
    peaked[2, 5] = 11
    found = scaled_rise(peaked)
    assert found[2, 5] == 1
    assert found.sum() == 1


def test_padding_is_no_background() -> None:
    at = place(Box(0, 0, 400, 100), GLANCE)  # a quarter of the model input
    tissue = np.zeros((12, 16), np.float32)
    tissue[5:7] = 3.0
    assert not scaled_rise(tissue, at)[5:7].any()
    assert scaled_rise(tissue)[5:7].all()


def test_the_likeliest_lesion_is_never_normal() -> None:
    assert lesion_class(np.array([9, 1, 2], np.float32), GLANCE) == 2
