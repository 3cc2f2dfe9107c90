"""The phantom shows what its truth says, the same every time, and no name inside the scan."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import UsageError
from stream.scan_area import blank_outside
from stream.sources import open_source
from stream.sources.phantom import PhantomSource, place_scan
from stream.sources.phantom_tissue import DEPTH_MM, WIDTH_MM

FPS = 30
CYCLES = range(0, 18 * FPS)
"""Three lesions, one after another."""


@pytest.fixture(scope="module")
def phantom() -> PhantomSource:
    return PhantomSource((640, 360), FPS)


def test_a_frame_depends_on_seed_and_index_alone(phantom: PhantomSource) -> None:
    again = PhantomSource((640, 360), FPS)
    again.picture(500)
    assert np.array_equal(phantom.picture(90), again.picture(90))
    assert not np.array_equal(phantom.picture(90), phantom.picture(91))
    assert not np.array_equal(phantom.picture(90), PhantomSource((640, 360), FPS, seed=2).picture(90))


def test_lesions_of_both_kinds_come_and_go(phantom: PhantomSource) -> None:
    kinds = [truth.kind if truth else None for truth in map(phantom.truth, CYCLES)]
    assert set(kinds) == {None, "benign", "malignant"}
    changes = sum(a != b for a, b in pairwise(kinds))
    assert changes == 6


def test_the_lesion_is_dark_where_the_truth_says(phantom: PhantomSource) -> None:
    for index in CYCLES[:: FPS // 2]:
        truth = phantom.truth(index)
        if truth is None or truth.right_px - truth.left_px < 20:
            continue
        picture = phantom.picture(index)[..., 0].astype(float)
        x, y = (truth.left_px + truth.right_px) // 2, (truth.top_px + truth.bottom_px) // 2
        half_x, half_y = (truth.right_px - truth.left_px) // 4, (truth.bottom_px - truth.top_px) // 4
        inside = picture[y - half_y : y + half_y, x - half_x : x + half_x].mean()
        beside = picture[y - half_y : y + half_y, truth.right_px + half_x : truth.right_px + 3 * half_x].mean()
        assert inside < 0.7 * beside


@cache
def made(seed: int) -> PhantomSource:
    return PhantomSource((640, 360), FPS, seed)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2), index=st.integers(0, 3000), size=st.tuples(st.integers(160, 2000), st.integers(160, 2000))
)
def test_the_truth_lies_in_the_scan_and_the_scan_in_the_picture(seed: int, index: int, size: tuple[int, int]) -> None:
    area = place_scan(*size)
    assert area.x_px + area.width_px <= size[0]
    assert area.y_px + area.height_px <= size[1]
    assert area.width_px / area.height_px == pytest.approx(WIDTH_MM / DEPTH_MM, rel=0.02)
    truth = made(seed).truth(index)
    if truth is not None:
        shown = place_scan(640, 360)
        assert shown.x_px <= truth.left_px < truth.right_px <= shown.x_px + shown.width_px
        assert shown.y_px <= truth.top_px < truth.bottom_px <= shown.y_px + shown.height_px


def test_everything_outside_the_scan_can_be_blanked(phantom: PhantomSource) -> None:
    frame = next(PhantomSource((640, 360), FPS).frames())
    area = phantom.scan_area
    name = frame.rgb[: area.y_px]
    assert name.max() > 150
    blanked = blank_outside(frame, area).rgb
    assert blanked[: area.y_px].max() == 0
    assert blanked[:, area.x_px + area.width_px :].max() == 0


def test_speckle_is_rayleigh_before_it_is_compressed() -> None:
    from stream.sources.phantom_tissue import speckle

    rng = np.random.default_rng(0)
    amplitude = np.hypot(speckle(rng, 400), speckle(rng, 400))
    assert amplitude.mean() / amplitude.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)


def test_pixels_have_their_size_in_millimetres(phantom: PhantomSource) -> None:
    frame = next(PhantomSource((640, 360), FPS).frames())
    assert frame.mm_per_px is not None
    assert frame.mm_per_px[0] * phantom.scan_area.height_px == pytest.approx(DEPTH_MM)


@pytest.mark.parametrize("size", ["160x160", "161x333", "641x359"])
def test_any_size_is_drawn(size: str) -> None:
    with open_source(f"phantom:?size={size}&frames=1", live=False) as source:
        (frame,) = source.frames()
    width, height = size.split("x")
    assert frame.rgb.shape == (int(height), int(width), 3)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?size=abc", "option size='abc' makes no sense. Expected WIDTHxHEIGHT"),
        ("?size=20x20", "160 to 8192"),
        ("?fps=0", "option fps='0'"),
        ("?fps=nan", "option fps='nan'"),
        ("?seed=-1", "option seed='-1' makes no sense. Expected a whole number"),
        ("?frames=x", "option frames='x'"),
        ("?colour=1", "unknown option 'colour'. Accepted: size, fps, seed, frames"),
        ("?size", "cannot read the options"),
        ("big", "nothing before its options"),
    ],
)
def test_nonsense_is_refused_with_what_is_accepted(query: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_source(f"phantom:{query}")
