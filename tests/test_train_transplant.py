import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rcdnet.box import Box
from train.transplant import covered, patched, without_lesion

LESION = Box(40, 30, 30, 20)


def layered(height=90, width=120):
    """Bright tissue in layers, darkest at the bottom, with a black lesion and its shadow."""
    tissue = np.repeat(np.linspace(220, 120, height)[:, None], width, axis=1).astype(np.uint8)
    tissue[30:, 40:70] = 0
    return tissue


def test_neither_lesion_nor_shadow_is_left():
    shown = without_lesion(layered(), LESION, np.random.default_rng(0))
    assert shown is not None
    assert shown.min() >= 119


def test_what_lies_aside_and_above_stays():
    grey = layered()
    shown = without_lesion(grey, LESION, np.random.default_rng(0))
    assert shown is not None
    np.testing.assert_array_equal(shown[:, :30], grey[:, :30])
    np.testing.assert_array_equal(shown[:, 80:], grey[:, 80:])
    np.testing.assert_array_equal(shown[:10], grey[:10])


def test_a_lesion_that_leaves_no_tissue_is_told():
    assert without_lesion(layered(), Box(2, 30, 116, 20), np.random.default_rng(0)) is None


def test_tissue_meets_its_mirror_image_at_the_edge():
    grey = np.tile(np.arange(100, dtype=np.uint8), (40, 1))
    shown = covered(grey, 60, 100, -20, np.random.default_rng(0))
    np.testing.assert_array_equal(shown[20, 60:70], np.arange(59, 49, -1))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), height=st.integers(1, 60), width=st.integers(1, 80), seed=st.integers(0, 2**32 - 1))
def test_any_lesion_in_any_picture(data, height, width, seed):
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (height, width), dtype=np.uint8)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    lesion = grey[box.pixels].copy()
    shown = without_lesion(grey, box, rng)
    assert shown is None or (shown.shape, shown.dtype) == (grey.shape, grey.dtype)
    beside = patched(grey, box, rng)
    assert beside.shape == grey.shape
    np.testing.assert_array_equal(beside[box.pixels], lesion)
