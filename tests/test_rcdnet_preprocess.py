import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rcdnet.box import Box
from rcdnet.preprocess import Placement, place, prepare, to_grey, to_pixels, too_dark
from rcdnet.spec import ModelSpec, Preprocessing

PLAIN = Preprocessing(median_px=1, clahe_clip=0, pad_value=7)
SPEC = ModelSpec(("a", "b"), 96, 128, 0.5, 0.25, "none", preprocessing=PLAIN)
side = st.integers(1, 400)


def average(grey: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Mean over the exact footprint of each output pixel, by cumulative sums: area averaging without OpenCV."""
    for axis, size in ((0, height), (1, width)):
        total = np.insert(np.cumsum(grey, axis=axis, dtype=np.float64), 0, 0, axis=axis)
        edges = np.linspace(0, grey.shape[axis], size + 1)
        floor = np.minimum(edges.astype(int), grey.shape[axis] - 1)
        part = np.expand_dims(edges - floor, 1 - axis)
        at_edges = np.take(total, floor, axis) * (1 - part) + np.take(total, floor + 1, axis) * part
        grey = np.diff(at_edges, axis=axis) * size / grey.shape[axis]  # type: ignore[assignment]
    return np.asarray(grey, np.float64)


@given(side, side, st.integers(0, 50), st.integers(0, 50))
@example(1, 1, 0, 0)
@example(400, 1, 0, 0)
@example(1, 400, 0, 0)
def test_a_box_is_centred_with_its_aspect_ratio(width: int, height: int, x: int, y: int) -> None:
    at = place(Box(x, y, width, height), SPEC)
    assert 0 <= at.left_px <= at.left_px + at.width_px <= 128
    assert 0 <= at.top_px <= at.top_px + at.height_px <= 96
    assert at.width_px == 128 or at.height_px == 96
    assert abs((128 - at.width_px) - 2 * at.left_px) <= 1
    assert abs((96 - at.height_px) - 2 * at.top_px) <= 1
    scale = min(128 / width, 96 / height)
    assert at.width_px == pytest.approx(max(1, width * scale), abs=0.5)
    assert at.height_px == pytest.approx(max(1, height * scale), abs=0.5)


@settings(deadline=None, max_examples=40)
@given(side, side, st.integers(0, 2**31))
@example(1, 1, 0)
@example(399, 1, 0)
def test_any_size_gives_the_models_input(width: int, height: int, seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    spec = ModelSpec(("a", "b"), 96, 128, 0.5, 0.25, "none")
    image, at = prepare(grey, spec)
    assert image.shape == (96, 128)
    assert image.dtype == np.uint8
    assert not image[: at.top_px].any()
    assert not image[:, : at.left_px].any()
    assert not image[at.top_px + at.height_px :].any()
    assert not image[:, at.left_px + at.width_px :].any()


@pytest.mark.parametrize(("height", "width"), [(300, 400), (301, 517), (191, 255), (480, 129)])
def test_shrinking_is_area_averaging(height: int, width: int) -> None:
    grey = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    image, at = prepare(grey, SPEC)
    expected = average(grey, at.height_px, at.width_px)
    inside = image[at.pixels]
    np.testing.assert_allclose(inside, expected, atol=1.01)  # rounding; OpenCV's own weights are float32
    assert (image == 7).sum() >= 128 * 96 - inside.size


def test_only_the_box_is_seen() -> None:
    grey = np.random.default_rng(4).integers(0, 256, (200, 300), np.uint8)
    box = Box(20, 30, 140, 110)
    elsewhere = np.zeros_like(grey)
    elsewhere[30:140, 20:160] = grey[30:140, 20:160]
    np.testing.assert_array_equal(prepare(grey, SPEC, box)[0], prepare(elsewhere, SPEC, box)[0])


@pytest.mark.parametrize(("width_px", "height_px"), [(0, 5), (5, 0), (-1, 5)])
def test_a_box_holds_at_least_one_pixel(width_px: int, height_px: int) -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Box(0, 0, width_px, height_px)


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, 0, 301, 5), Box(0, 196, 5, 5)])
def test_a_box_that_leaves_the_picture_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="leaves the 300x200 picture"):
        prepare(np.zeros((200, 300), np.uint8), SPEC, box)


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_grey_picture_is_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected a grey picture"):
        prepare(picture, SPEC)


def test_a_single_bad_pixel_is_denoised_and_faint_contrast_raised() -> None:
    spec = ModelSpec(("a", "b"), 128, 128, 0.5, 0.25, "none")
    plain = ModelSpec(("a", "b"), 128, 128, 0.5, 0.25, "none", preprocessing=PLAIN)
    grey = np.full((128, 128), 100, np.uint8)
    grey[:, ::8] = 104
    grey[:, 1::8] = 104
    speck = grey.copy()
    speck[60, 60] = 255
    np.testing.assert_array_equal(prepare(speck, spec)[0], prepare(grey, spec)[0])
    assert np.ptp(prepare(grey, spec)[0]) > np.ptp(prepare(grey, plain)[0])


def test_grey_is_bt601_luma() -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (9, 7, 3), np.uint8)
    np.testing.assert_allclose(to_grey(rgb), rgb @ np.array([0.299, 0.587, 0.114]), atol=1)


@pytest.mark.parametrize(("brightest", "dark"), [(0, False), (1, True), (4095, True), (4096, False)])
def test_a_picture_of_twelve_bits_is_too_dark_and_a_black_one_is_not(brightest: int, dark: bool) -> None:
    assert too_dark(np.array([[0, brightest]], np.uint16)) is dark


def lookup(cells: NDArray[np.float32], at: Placement) -> NDArray[np.float64]:
    """Where each box pixel's centre lies in the map, bilinear, by plain arithmetic."""
    rows, columns = cells.shape
    y = ((np.arange(at.box.height_px) + 0.5) * at.height_px / at.box.height_px + at.top_px) * rows / at.input_height_px
    x = ((np.arange(at.box.width_px) + 0.5) * at.width_px / at.box.width_px + at.left_px) * columns / at.input_width_px
    y, x = np.clip(y - 0.5, 0, rows - 1), np.clip(x - 0.5, 0, columns - 1)
    down = np.stack([np.interp(y, np.arange(rows), column) for column in cells.T], 1)
    return np.stack([np.interp(x, np.arange(columns), row) for row in down])


@settings(deadline=None, max_examples=40)
@given(side, side, st.integers(0, 2**31))
@example(1, 1, 0)
@example(1, 333, 0)
def test_a_map_lands_on_the_pixels_it_came_from(width: int, height: int, seed: int) -> None:
    cells = np.random.default_rng(seed).random((6, 8), np.float32)
    at = place(Box(5, 9, width, height), SPEC)
    found = to_pixels(cells, at)
    assert found.shape == (height, width)
    np.testing.assert_allclose(found, lookup(cells, at), atol=0.04)  # OpenCV interpolates at 1/32 of a cell


@settings(deadline=None, max_examples=40)
@given(st.integers(60, 400), st.integers(60, 400), st.floats(0.2, 0.8), st.floats(0.2, 0.8))
def test_a_bright_spot_comes_back_where_it_was(width: int, height: int, across: float, down: float) -> None:
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-(((x - across * width) ** 2 + (y - down * height) ** 2) / (2 * (0.06 * max(width, height)) ** 2)))
    image, at = prepare(np.asarray(255 * spot, np.uint8), SPEC)
    cells = np.asarray(image, np.float32).reshape(24, 4, 32, 4).mean(axis=(1, 3))
    back = to_pixels(cells, at)
    peak_y, peak_x = np.unravel_index(int(back.argmax()), back.shape)
    cell_px = 4 * max(width / at.width_px, height / at.height_px)
    assert abs(peak_x - across * width) <= cell_px
    assert abs(peak_y - down * height) <= cell_px
