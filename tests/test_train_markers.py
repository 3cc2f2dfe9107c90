import cv2
import numpy as np
import pytest

from train.markers import inpaint_markers, marker_mask


def tissue(seed: int = 0) -> np.ndarray:
    """Speckle and a bright ligament across it, no ink."""
    random = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(random.normal(80, 60, (240, 320)).astype(np.float32), (0, 0), 1.5)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    cv2.line(picture, (0, 60), (319, 90), 230, 3)
    return picture


def cross(picture):
    cv2.drawMarker(picture, (150, 150), 255, cv2.MARKER_CROSS, 11, 1)


def tilted_cross(picture):
    cv2.drawMarker(picture, (150, 150), 255, cv2.MARKER_TILTED_CROSS, 11, 1)


def text(picture):
    cv2.putText(picture, "RT 3", (120, 160), cv2.FONT_HERSHEY_PLAIN, 1, 255)


@pytest.mark.parametrize("seed", range(3))
def test_tissue_carries_no_ink(seed):
    assert not marker_mask(tissue(seed)).any()


@pytest.mark.parametrize("draw", [cross, tilted_cross, text])
def test_ink_is_covered_and_nothing_far_from_it(draw):
    clean = tissue()
    marked = clean.copy()
    draw(marked)
    ink, found = marked != clean, marker_mask(marked)
    assert found[ink].mean() > 0.8
    near = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not found[~near].any()


def test_a_picture_of_twice_the_size_carries_the_same_ink():
    marked = tissue()
    cross(marked)
    large = cv2.resize(marked, (640, 480), interpolation=cv2.INTER_NEAREST)
    found = marker_mask(large)
    assert found.shape == (480, 640)
    assert np.array_equal(found[::2, ::2], marker_mask(marked))


def test_a_blank_picture_carries_no_ink():
    assert not marker_mask(np.zeros((50, 60), np.uint8)).any()


def test_painting_over_the_mask_brings_the_tissue_back():
    clean = tissue()
    marked = clean.copy()
    cross(marked)
    painted = inpaint_markers(marked)
    ink = marked != clean
    before, after = (np.abs(p.astype(float) - clean)[ink].mean() for p in (marked, painted))
    assert after < before / 3
