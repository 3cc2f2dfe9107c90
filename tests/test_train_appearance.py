import numpy as np

from rcdnet.box import Box
from rcdnet.preprocess import prepare
from rcdnet.spec import ModelSpec
from train.appearance import other_machine, paint_markers

SPEC = ModelSpec(("normal", "benign", "malignant"), 64, 64, 0.485, 0.229, "tf_efficientnet_lite0")


def picture():
    return np.random.default_rng(0).integers(20, 200, (90, 120), dtype=np.uint8)


def test_painted_markers_are_as_visible_on_a_large_picture():
    changed = []
    for size in (320, 1280):
        grey = np.full((size, size), 60, np.uint8)
        lesion = Box(size // 3, size // 3, size // 6, size // 6)
        plain = prepare(grey, SPEC)[0].astype(int)
        views = [prepare(paint_markers(grey, lesion, np.random.default_rng(seed)), SPEC)[0] for seed in range(20)]
        changed.append(np.mean([(np.abs(view - plain) > 20).mean() for view in views]))
    assert 0.5 < changed[1] / changed[0] < 2


def test_markers_are_bright_and_leave_the_original_alone():
    grey = picture()
    before = grey.copy()
    marked = paint_markers(grey, Box(40, 30, 30, 20), np.random.default_rng(2))
    np.testing.assert_array_equal(grey, before)
    assert marked[marked != grey].min() >= 180


def test_other_machine_keeps_size_and_changes_the_picture():
    grey = picture()
    changed = other_machine(grey, np.random.default_rng(3))
    assert changed.shape == grey.shape
    assert changed.dtype == np.uint8
    assert (changed != grey).any()
