from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcdnet.box import Box
from rcdnet.preprocess import prepare
from rcdnet.spec import ModelSpec
from train.augment import Augmentation, bounding_box, training_view

SPEC = ModelSpec(("normal", "benign", "malignant"), 64, 64, 0.485, 0.229, "tf_efficientnet_lite0")

NONE = Augmentation(0, 0, 1, 0, 0, 0, 0, 0)
"""The picture as it is."""


def picture(height=90, width=120):
    grey = np.random.default_rng(0).integers(20, 200, (height, width), dtype=np.uint8)
    lesion = np.zeros((height, width), bool)
    lesion[30:50, 40:70] = True
    return grey, lesion


def test_no_augmentation_is_what_the_live_path_sees():
    grey, lesion = picture()
    image, share, label = training_view(grey, lesion, "benign", SPEC, NONE, np.random.default_rng(0))
    np.testing.assert_array_equal(image, prepare(grey, SPEC)[0])
    assert label == "benign"
    assert share.sum() / share.size == pytest.approx(lesion.mean() * 90 / 120, rel=0.05)  # padded to a square


def test_lesion_free_crop_is_normal_and_shows_no_lesion():
    grey, lesion = picture()
    how = replace(NONE, lesion_free=1)
    views = [training_view(grey, lesion, "malignant", SPEC, how, np.random.default_rng(seed)) for seed in range(20)]
    assert "normal" in {label for _, _, label in views}
    assert all((label == "normal") == (not share.any()) for _, share, label in views)


def test_covered_lesion_is_normal_and_the_whole_picture_is_shown():
    grey, lesion = picture()
    image, share, label = training_view(
        grey, lesion, "malignant", SPEC, replace(NONE, covered=1), np.random.default_rng(0)
    )
    plain = prepare(grey, SPEC)[0]
    assert label == "normal"
    assert not share.any()
    assert 0.3 < (image == plain).mean() < 0.9


def test_patched_tissue_leaves_label_and_lesion():
    grey, lesion = picture()
    image, share, label = training_view(
        grey, lesion, "malignant", SPEC, replace(NONE, patched=1), np.random.default_rng(0)
    )
    plain = prepare(grey, SPEC)[0]
    assert label == "malignant"
    np.testing.assert_array_equal(image[share == 1], plain[share == 1])
    assert (image != plain).any()


def test_two_class_model_gets_no_normal_views():
    spec = ModelSpec(("benign", "malignant"), 64, 64, 0.485, 0.229, "tf_efficientnet_lite0")
    grey, lesion = picture()
    how = replace(NONE, lesion_free=1, covered=1)
    labels = {training_view(grey, lesion, "benign", spec, how, np.random.default_rng(s))[2] for s in range(10)}
    assert labels == {"benign"}


def test_look_fills_more_of_the_input_with_the_lesion():
    grey, lesion = picture()
    rng = np.random.default_rng(1)
    _, glance, _ = training_view(grey, lesion, "benign", SPEC, NONE, rng)
    _, look, _ = training_view(grey, lesion, "benign", SPEC, replace(NONE, look=1), rng)
    assert look.mean() > 2 * glance.mean()


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 80), width=st.integers(1, 80), seed=st.integers(0, 2**32 - 1), marked=st.booleans(),
)  # fmt: skip
def test_any_picture_gives_a_valid_view(height, width, seed, marked):
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (height, width), dtype=np.uint8)
    lesion = rng.random((height, width)) > 0.7 if marked else np.zeros((height, width), bool)
    image, share, label = training_view(grey, lesion, "benign", SPEC, Augmentation(covered=0.35, patched=0.3), rng)
    assert image.shape == share.shape == (64, 64)
    assert image.dtype == np.uint8
    assert 0 <= share.min() <= share.max() <= 1
    assert label in SPEC.class_names


def test_without_a_mask_no_crop_can_miss_the_lesion():
    grey, _ = picture()
    how = replace(NONE, look=1, smallest_crop=0.3)
    for seed in range(10):
        view = training_view(grey, np.zeros(grey.shape, bool), "malignant", SPEC, how, np.random.default_rng(seed))
        np.testing.assert_array_equal(view[0], prepare(grey, SPEC)[0])


def test_bounding_box_is_tight():
    _, lesion = picture()
    assert bounding_box(lesion) == Box(40, 30, 30, 20)
    assert bounding_box(np.zeros((4, 4), bool)) is None


def test_burnt_in_markers_are_painted_away():
    grey = np.full((90, 120), 60, np.uint8)
    lesion = np.zeros((90, 120), bool)
    marked = cv2.drawMarker(grey.copy(), (60, 45), 255, cv2.MARKER_CROSS, 9, 1)
    how = Augmentation(0, 0, 1, 0, 0, 0, 0, cleaned=1)
    image, _, _ = training_view(marked, lesion, "benign", SPEC, how, np.random.default_rng(0))
    clean, _, _ = training_view(grey, lesion, "benign", SPEC, NONE, np.random.default_rng(0))
    np.testing.assert_allclose(image.astype(int), clean.astype(int), atol=8)
