import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rcdnet import checkpoint
from rcdnet.glance import softmax
from rcdnet.spec import ModelSpec
from rcdnet.weights import SHIPPED
from train import calibrate, predictions
from train.errors import DataError, LeakError
from train.metrics import expected_calibration_error
from train.predictions import Predictions

SPEC = ModelSpec(("normal", "benign", "malignant"), 224, 224, 0.485, 0.229, "tf_efficientnet_lite0")


def answers_of(class_names, logits, truth, external=False):
    count = len(truth)
    names, sets, runs = np.array([str(index) for index in range(count)]), np.full(count, "busi"), np.full(count, "run")
    return Predictions(class_names, logits, truth, sets, names, names, runs, np.full(count, external))


def held_out(sharpness: float, count: int = 3000) -> Predictions:
    """Answers that are calibrated at ``sharpness`` 1, and too sure of themselves above."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (count, 3)).astype(np.float32)
    chance = softmax(logits)
    truth = np.array([random.choice(3, p=row / row.sum()) for row in chance.astype(np.float64)])
    return answers_of(SPEC.class_names, sharpness * logits, truth)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_a_known_sharpness_is_undone(sharpness):
    calm = held_out(1.0)
    found = held_out(sharpness).calibrated(*calibrate.fit_calibration(held_out(sharpness)))
    np.testing.assert_allclose(found.malignant_share(), calm.malignant_share(), atol=0.02)


def held_out_lesions_wrong(share: float, seed: int = 0, sureness: float = 1.0) -> Predictions:
    """Answers of which this share of the lesions' is wrong, all among the least sure part of this size; normal pictures
    are told rightly.
    """
    random, count = np.random.default_rng(seed), 3000
    truth, lesion_sure = random.integers(0, 3, count), random.uniform(0.5, 3, count)
    wrong = (lesion_sure < 0.5 + 2.5 * sureness) & (random.random(count) < share / sureness)
    said = np.where((truth > 0) & wrong, 3 - truth, truth)
    logits = np.zeros((count, 3), np.float32)
    logits[:, 0] = np.where(truth == 0, 3, -3)
    logits[np.arange(count), said] += lesion_sure
    return answers_of(SPEC.class_names, logits, truth)


def held_back(count: int) -> Predictions:
    """Answers that are less sure than they should be, the more so the surer they are."""
    random = np.random.default_rng(0)
    said = random.uniform(-3, 3, count)
    truth = 1 + (random.random(count) < 1 / (1 + np.exp(-(said / 1.6 + 0.08 * said**3))))
    logits = np.stack([np.full(count, -5.0), -said / 2, said / 2], axis=1).astype(np.float32)
    return answers_of(SPEC.class_names, logits, truth)


def test_what_holds_back_the_certain_more_than_the_others_is_undone():
    assert calibrate.fit_calibration(held_back(20_000)) == pytest.approx((1.6, 0.08), rel=0.12)


def test_a_few_answers_do_not_tell_a_cubic_term():
    assert calibrate.fit_calibration(held_back(100))[1] < 0.02


def test_answers_that_are_all_right_are_sharpened_within_bounds():
    answers = answers_of(SPEC.class_names, np.array([[0, 0.3, 0], [0, 0, 0.3]], np.float32), np.array([1, 2]))
    assert calibrate.fit_calibration(answers)[0] == pytest.approx(calibrate.LEAST_TEMPERATURE)


def test_answers_that_are_all_wrong_are_flattened_within_bounds():
    answers = answers_of(SPEC.class_names, np.array([[0, 0.3, 0], [0, 0, 0.3]], np.float32), np.array([2, 1]))
    assert calibrate.fit_calibration(answers) == pytest.approx((calibrate.MOST_TEMPERATURE, 0))


def test_without_a_lesion_nothing_is_calibrated():
    assert calibrate.fit_calibration(answers_of(SPEC.class_names, np.eye(3, dtype=np.float32), np.zeros(3, int))) == (
        1,
        0,
    )


def test_how_surely_normal_pictures_are_told_apart_does_not_sharpen_what_is_said_of_lesions():
    answers = held_out(1.0)
    sure = answers.logits.copy()
    sure[:, 0] = np.where(answers.is_label("normal"), 20, -20)
    changed = answers_of(SPEC.class_names, sure, answers.truth)
    assert calibrate.fit_calibration(changed) == pytest.approx(calibrate.fit_calibration(answers))


@pytest.mark.parametrize(("question", "most"), [("lesion", 0.03), ("malignant", 0.035)])  # by chance 0.019 and 0.030
def test_calibration_lowers_the_calibration_error(question, most):
    answers = held_out(2.5)
    spec = calibrate.calibrated_spec(SPEC, answers)
    asked = answers.truth >= (question == "malignant")
    before, after = (
        expected_calibration_error(said[asked].probability(question), said[asked].positive(question))
        for said in (answers, answers.calibrated(spec.temperature, spec.cubic))
    )
    assert after < most < before
    assert after < before / 3


def test_operating_points_keep_what_their_names_promise():
    answers = held_out(1.0)
    spec = calibrate.calibrated_spec(SPEC, answers)
    share, truth = answers.calibrated(spec.temperature, spec.cubic).malignant_share(), answers.truth
    points = spec.operating_points
    assert (share >= points["sensitive"].malignant)[truth == 2].mean() >= 0.95
    assert (share < points["specific"].malignant)[truth == 1].mean() >= 0.95
    for which in ("lesion", "malignant"):
        low, middle, high = (getattr(points[name], which) for name in ("sensitive", "balanced", "specific"))
        assert low < middle < high


def answered() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    positive = random.random(300) < 0.4
    return positive, np.clip(0.3 * positive + random.random(300) * 0.6, 0, 1)


def test_without_an_aim_the_threshold_has_the_best_youden_index():
    positive, score = answered()
    chosen = calibrate.threshold(positive, score)

    def youden(at):
        called = score >= at
        return called[positive].mean() - called[~positive].mean()

    assert youden(chosen) == pytest.approx(max(youden(at) for at in score))


@pytest.mark.parametrize("aim", [0.8, 0.95, 1.0])
def test_a_threshold_reaches_the_sensitivity_asked_for_and_is_the_highest_that_does(aim):
    positive, score = answered()
    chosen = calibrate.threshold(positive, score, sensitivity=aim)
    assert (score >= chosen)[positive].mean() >= aim
    assert (score > chosen)[positive].mean() < aim


@pytest.mark.parametrize("aim", [0.8, 0.95])
def test_a_threshold_reaches_the_specificity_asked_for_and_is_the_lowest_that_does(aim):
    positive, score = answered()
    chosen = calibrate.threshold(positive, score, specificity=aim)
    assert (score < chosen)[~positive].mean() >= aim
    lower = score[score < chosen].max()
    assert (score < lower)[~positive].mean() < aim


def test_outside_the_band_few_calls_are_wrong():
    random = np.random.default_rng(2)
    share = random.beta(0.15, 0.15, 4000)
    malignant = random.random(4000) < share
    low, high = calibrate.indeterminate_band(share, malignant, 0.5)
    assert low < 0.5 < high
    sure = (share < low) | (share > high)
    assert ((share >= 0.5) != malignant)[sure].mean() <= calibrate.LARGEST_RISK + 0.005
    assert sure.mean() >= 1 - calibrate.LARGEST_ABSTENTION - 0.01


def test_a_model_that_never_errs_has_no_band():
    malignant = np.arange(100) >= 50
    assert calibrate.indeterminate_band(np.where(malignant, 0.9, 0.1), malignant, 0.5) == (0.5, 0.5)


def test_the_band_never_swallows_most_lesions():
    random = np.random.default_rng(3)
    share, malignant = random.random(1000), random.random(1000) < 0.5
    low, high = calibrate.indeterminate_band(share, malignant, 0.5)
    assert ((share >= low) & (share < high)).mean() <= calibrate.LARGEST_ABSTENTION + 0.01


def test_nothing_is_tuned_on_the_external_set():
    answers = answers_of(SPEC.class_names, np.zeros((3, 3), np.float32), np.arange(3), external=True)
    with pytest.raises(LeakError, match="busi is external"):
        calibrate.calibrated_spec(SPEC, answers)
    answers.external[1:] = False  # a single one is one too many
    with pytest.raises(LeakError, match="busi is external"):
        calibrate.calibrated_spec(SPEC, answers)


def test_that_a_set_is_external_is_told_before_what_else_it_lacks():
    lesions = answers_of(SPEC.class_names, np.zeros((2, 3), np.float32), np.array([1, 2]), external=True)
    with pytest.raises(LeakError, match="busi is external"):
        calibrate.calibrated_spec(SPEC, lesions)


def test_a_model_that_knows_no_normal_is_refused():
    two = replace(SPEC, class_names=("benign", "malignant"))
    answers = answers_of(two.class_names, np.eye(2, dtype=np.float32), np.array([0, 1]))
    with pytest.raises(DataError, match="only a model that knows normal"):
        calibrate.calibrated_spec(two, answers)


def test_a_model_of_other_classes_is_refused():
    answers = answers_of(("benign", "malignant"), np.zeros((2, 2), np.float32), np.array([0, 1]))
    with pytest.raises(DataError, match="predictions of benign, malignant cannot calibrate"):
        calibrate.calibrated_spec(SPEC, answers)


def test_a_calibration_by_a_few_pictures_is_doubted():
    few = held_out(1.0, 30)
    assert "too few to rely on" in calibrate.doubts(calibrate.calibrated_spec(SPEC, few), few)[0]
    enough = answers_of(SPEC.class_names, np.eye(3, dtype=np.float32)[np.arange(60) % 3], np.arange(60) % 3)
    assert not any("too few to rely on" in doubt for doubt in calibrate.doubts(SPEC, enough))  # 20 of each
    many = held_out(1.0)
    assert not any(
        "too few to rely on" in doubt for doubt in calibrate.doubts(calibrate.calibrated_spec(SPEC, many), many)
    )


def test_the_band_ends_below_its_upper_edge():
    spec = replace(SPEC, indeterminate=(0.25, 0.5))
    answers = answers_of(SPEC.class_names, np.zeros((2, 3), np.float32), np.array([1, 2]))  # shares of one half
    assert calibrate.risk_and_abstention(spec, answers) == (0.5, 0)


def test_a_band_that_leaves_more_wrong_calls_than_it_should_is_doubted():
    good, bad = (held_out_lesions_wrong(share) for share in (0.02, 0.3))
    assert calibrate.doubts(calibrate.calibrated_spec(SPEC, good), good) == []
    (doubt,) = calibrate.doubts(calibrate.calibrated_spec(SPEC, bad), bad)
    assert re.search(r"outside the indeterminate band (2|3)\d\.\d% of the calls are wrong, not 5%: it holds 15%", doubt)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_band_that_stops_where_few_calls_are_wrong_is_not_doubted(seed: int):
    answers = held_out_lesions_wrong(0.07, seed, sureness=0.2)
    spec = calibrate.calibrated_spec(SPEC, answers)
    _, abstained = calibrate.risk_and_abstention(spec, answers)
    assume(abstained < 0.14)  # some of these answers ask for all that may be held back
    assert abstained > 0
    assert not any("band" in doubt for doubt in calibrate.doubts(spec, answers))


def test_answers_that_miss_a_class_are_refused():
    answers = answers_of(SPEC.class_names, np.zeros((4, 3), np.float32), np.array([1, 2, 1, 2]))
    with pytest.raises(DataError, match="no held-out picture is normal"):
        calibrate.calibrated_spec(SPEC, answers)


def test_the_shipped_calibration_is_what_the_kept_answers_ask_for():
    kept = sorted((Path(__file__).parents[1] / "docs/results/protocols/twin").glob("*/predictions.csv"))
    shipped = checkpoint.read_spec(SHIPPED / "rcdnet.safetensors")
    assert calibrate.calibrated_spec(shipped, predictions.read(kept)) == shipped
