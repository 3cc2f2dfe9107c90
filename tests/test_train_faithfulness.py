import numpy as np
import pytest

from rcdnet.preprocess import prepare, to_pixels
from rcdnet.spec import ModelSpec
from train.faithfulness import SHARES, deletion_curve, to_cells, with_cells_blurred

SPEC = ModelSpec(("normal", "benign", "malignant"), 56, 56, 0.485, 0.229, "tf_efficientnet_lite0")


BLIND = np.zeros((56, 56), np.float32)


def textured_lesion(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    picture = np.full((56, 56), 90, np.uint8)
    picture[8:24, 28:44] = random.choice([0, 255], (16, 16))
    return picture


def looker(sees: int):
    """A network whose malignant score is the contrast in each cell, but whose map is that contrast times ``sees``."""

    def run(images):
        cells = images.reshape(len(images), 14, 4, 14, 4).astype(np.float32).std(axis=(2, 4)) / 8
        maps = np.zeros((len(images), 3, 14, 14), np.float32)
        maps[:, 2] = sees * cells
        logits = np.zeros((len(images), 3), np.float32)
        logits[:, 2] = cells.mean(axis=(1, 2))
        return logits, maps

    return run


def test_a_map_that_marks_what_is_used_falls_faster_than_chance():
    curve = deletion_curve([textured_lesion(seed) for seed in range(4)], [BLIND] * 4, SPEC, looker(1))
    assert curve.advantage > 0.02
    assert curve.hottest[0] == pytest.approx(curve.random[0])


def test_a_map_that_marks_the_opposite_falls_slower():
    curve = deletion_curve([textured_lesion(seed) for seed in range(4)], [BLIND] * 4, SPEC, looker(-1))
    assert curve.advantage < -0.02


def test_a_map_that_knows_as_much_without_looking_leaves_no_advantage():
    knowing = BLIND.copy()
    knowing[8:24, 28:44] = 1
    curve = deletion_curve([textured_lesion(seed) for seed in range(4)], [knowing] * 4, SPEC, looker(1))
    assert curve.advantage_over_blind == pytest.approx(0, abs=curve.advantage / 10)


def test_a_blind_map_lies_in_the_input_where_its_picture_does():
    ramp = np.tile(np.linspace(0, 1, 84, dtype=np.float32), (56, 1))  # the input has padding above and below
    at = prepare(np.zeros((56, 84), np.uint8), SPEC)[1]
    cells = to_cells(ramp, at, (14, 14))
    assert not cells[[0, -1]].any()
    np.testing.assert_allclose(to_pixels(cells, at)[20:36, 6:-6], ramp[20:36, 6:-6], atol=0.01)


def test_what_lies_in_the_padding_counts_for_nothing():
    wide = [np.hstack([textured_lesion(seed)] * 2)[:, :84] for seed in range(4)]  # a third of the input is padding

    def padded(images):  # hottest of all
        logits, maps = looker(1)(images)
        maps[:, 2, :2] = maps[:, 2, -2:] = 9
        return logits, maps

    curve, padded_curve = (deletion_curve(wide, [BLIND] * 4, SPEC, run) for run in (looker(1), padded))
    assert padded_curve.advantage == pytest.approx(curve.advantage)


def test_only_the_chosen_share_of_cells_changes():
    image = textured_lesion(0)
    pictures = with_cells_blurred(image, np.arange(14 * 14), (14, 14))
    assert pictures.shape == (len(SHARES), 56, 56)
    assert np.array_equal(pictures[0], image)
    assert np.array_equal(pictures[-1][28:], image[28:])
    assert not np.array_equal(pictures[-1][:28], image[:28])
