import numpy as np

from tests.judged import ANSWERS, SPEC, data_set, judged
from train.evaluate import select
from train.heat_maps import heat_map_quality, location_prior


def test_the_heat_map_is_held_against_the_masks(tmp_path):
    samples = select(data_set(tmp_path), "binary")
    on = heat_map_quality(samples, [judged(ANSWERS[s.label], (3, 1)) for s in samples], SPEC)
    off = heat_map_quality(samples, [judged(ANSWERS[s.label], (9, 12)) for s in samples], SPEC)
    assert (on["n_masks"], on["pointing_game"]) == (12, 1)
    assert on["energy_ratio"] > 3
    assert (off["pointing_game"], off["energy_ratio"]) == (0, 0)


def test_beside_the_heat_map_stands_one_that_never_sees_the_picture(tmp_path):
    samples = select(data_set(tmp_path), "binary")  # all lesions lie top left
    quality = heat_map_quality(samples, [judged(ANSWERS[s.label], (9, 12)) for s in samples], SPEC)
    assert (quality["pointing_game"], quality["pointing_game_blind"]) == (0, 1)
    assert quality["energy_ratio_blind"] > 3


def test_where_a_lesion_usually_lies_is_not_told_by_a_single_one(tmp_path):
    (sample, *_) = select(data_set(tmp_path), "binary")
    quality = heat_map_quality([sample], [judged(ANSWERS[sample.label])], SPEC)
    assert (quality["n_masks"], quality["pointing_game_blind"], quality["energy_ratio_blind"]) == (1, None, None)


def test_the_usual_place_of_a_lesion_is_where_the_others_lie():
    left, right, none = np.zeros((64, 64), bool), np.zeros((32, 48), bool), np.zeros((20, 20), bool)
    left[:, :32], right[:, 24:] = True, True
    of_left, of_right, of_none = location_prior([left, right, none])
    assert (of_left.shape, of_right.shape, of_none.shape) == ((64, 64), (32, 48), (20, 20))
    assert (of_left[:, :28].max(), of_left[:, 36:].min()) == (0, 1)
    assert (of_right[:, :21].min(), of_right[:, 27:].max()) == (1, 0)
    np.testing.assert_allclose(of_none, 0.5, atol=1e-6)
