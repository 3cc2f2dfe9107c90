import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from train import metrics


def scored(seed: int, count: int = 200, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.4
    return positive, 1 / (1 + np.exp(-(skill * (positive - 0.5) + random.normal(0, 1, count))))


@given(st.integers(0, 50))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed):
    positive, score = scored(seed, 60)
    above = score[positive][:, None] - score[~positive][None]
    assert metrics.auc(positive, score) == pytest.approx(float((above > 0).mean()))


def test_the_interval_holds_the_value_and_narrows_with_more_pictures():
    widths = []
    for count in (60, 600):
        positive, score = scored(1, count)
        interval = metrics.auc_interval(positive, score, range(count))
        assert interval.low < interval.value < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2


def test_the_interval_agrees_with_hanley_and_mcneil():
    positive, score = scored(2, 400)
    interval = metrics.auc_interval(positive, score, range(400))
    a, n, m = interval.value, positive.sum(), (~positive).sum()
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m))
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_drawing_patients_widens_the_interval_of_repeated_pictures():
    positive, score = (np.repeat(values, 8) for values in scored(3, 40))
    patients = [str(i // 8) for i in range(len(positive))]

    by_picture = metrics.auc_interval(positive, score, range(len(positive)))
    by_patient = metrics.auc_interval(positive, score, patients)
    assert by_patient.high - by_patient.low > 1.5 * (by_picture.high - by_picture.low)


def test_a_difference_is_paired_picture_by_picture():
    random = np.random.default_rng(0)
    positive = np.arange(200) >= 100
    score = (positive + random.normal(0, 1, 200)).astype(np.float32)
    names = [str(i) for i in range(200)]
    same = metrics.auc_difference(positive, score, score, names)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    worse = metrics.auc_difference(positive, random.normal(0, 1, 200).astype(np.float32), score, names)
    assert worse.high < 0


@given(st.integers(0, 99), st.integers(1, 5))
def test_copies_of_a_picture_change_nothing_where_each_counts_once(seed, copies):
    random = np.random.default_rng(seed)
    positive, score = np.arange(20) % 3 == 0, random.random(20)
    names = [str(index) for index in range(20)]
    again = np.r_[np.arange(20), np.repeat(random.integers(20, size=3), copies)]
    value = metrics.auc_each_once(positive[again], score[again], np.array(names)[again].tolist())
    assert value == pytest.approx(metrics.auc(positive, score))


def test_the_interval_is_the_same_each_time():
    positive, score = scored(4)
    one, two = (metrics.auc_interval(positive, score, range(len(positive))) for _ in range(2))
    assert one == two


def test_classification_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, answer = random.integers(0, 3, 100), random.integers(0, 3, 100)
    ours = metrics.classification(truth, answer, 3)
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(truth, answer))
    assert ours["f1"] == pytest.approx(reference.f1_score(truth, answer, average="macro"))
    assert ours["precision"] == pytest.approx(reference.precision_score(truth, answer, average="macro"))
    assert ours["recall"] == pytest.approx(reference.recall_score(truth, answer, average="macro"))
    assert ours["confusion_matrix"][0][1] == int(((truth == 0) & (answer == 1)).sum())


def test_the_macro_figures_of_a_published_confusion_matrix():
    """605 of 647 lesions right, the composition that the paper's external row (accuracy 0.9351) fits."""
    truth = np.r_[np.zeros(437, int), np.ones(210, int)]
    answer = truth.copy()
    answer[:33] = 1
    answer[-9:] = 0
    ours = metrics.classification(truth, answer, 2)
    assert ours["accuracy"] == pytest.approx(605 / 647)
    assert ours["recall"] == pytest.approx((404 / 437 + 201 / 210) / 2)


def test_a_class_that_is_never_answered_counts_as_zero():
    assert metrics.classification(np.array([0, 1]), np.array([0, 1]), 3)["f1"] == 1  # of a class that nobody has
    assert metrics.classification(np.array([0, 1, 2]), np.array([0, 1, 1]), 3)["recall"] == pytest.approx(2 / 3)


def test_a_class_that_is_nowhere_has_its_row_and_column():
    found = metrics.classification(np.array([0, 1]), np.array([1, 1]), 3)
    assert found["confusion_matrix"] == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_the_calibration_error_is_over_fifteen_bins_from_one_half_to_one():
    answers = np.array([0.54, 0.58])  # of two bins: what one lacks the other does not make up for
    assert metrics.expected_calibration_error(answers, np.array([True, False])) == pytest.approx((0.46 + 0.58) / 2)


def test_calibrated_answers_have_little_error_and_overconfident_ones_have_theirs():
    random = np.random.default_rng(0)
    probability = random.random(20000)
    positive = random.random(20000) < probability
    assert metrics.expected_calibration_error(probability, positive) < 0.02
    overconfident = np.where(probability > 0.5, 0.99, 0.01)
    assert metrics.expected_calibration_error(overconfident, positive) == pytest.approx(0.24, abs=0.02)


def test_the_error_of_perfectly_calibrated_answers_is_what_chance_gives():
    random = np.random.default_rng(1)
    probability = random.beta(0.5, 0.5, 150)
    errors = [metrics.expected_calibration_error(probability, random.random(150) < probability) for _ in range(400)]
    chance = metrics.by_chance(metrics.expected_calibration_error, probability)
    assert chance.mean == pytest.approx(np.mean(errors), rel=0.05)
    assert chance.most == pytest.approx(np.quantile(errors, 0.95), rel=0.05)


def test_chance_gives_less_the_more_pictures_there_are():
    few, many = (
        metrics.by_chance(metrics.expected_calibration_error, np.linspace(0, 1, count)).mean for count in (100, 10000)
    )
    assert many < few / 5


def test_the_risk_falls_where_the_sure_calls_are_right():
    share, malignant = np.array([0.99, 0.01, 0.4, 0.3]), np.array([True, False, True, False])
    distance, risk = metrics.selective_risk(share, malignant, 0.5)
    np.testing.assert_allclose(distance, np.log([99, 99, 7 / 3, 3 / 2]))
    np.testing.assert_allclose(risk, [0, 0, 0, 0.25])


def test_what_lies_at_the_threshold_is_called_malignant():
    _, risk = metrics.selective_risk(np.array([0.5]), np.array([True]), 0.5)
    assert risk.tolist() == [0]


def test_brier_of_the_know_nothing():
    assert metrics.brier(np.full(4, 0.5), np.array([True, False, True, False])) == pytest.approx(0.25)


def lesion_at(rows: slice, columns: slice) -> np.ndarray:
    lesion = np.zeros((20, 30), bool)
    lesion[rows, columns] = True
    return lesion


@pytest.mark.parametrize(("row", "column", "hit"), [(5, 5, True), (9, 9, True), (10, 9, False), (0, 29, False)])
def test_pointing_hits_inside_the_lesion_only(row, column, hit):
    heat = np.zeros((20, 30), np.float32)
    heat[row, column] = 1
    assert metrics.pointing_hit(heat, lesion_at(slice(5, 10), slice(5, 10))) is hit


def test_energy_ratio_is_one_for_a_flat_map_and_the_inverse_area_for_a_perfect_one():
    lesion = lesion_at(slice(0, 10), slice(0, 15))
    assert metrics.energy_ratio(np.ones((20, 30)), lesion) == pytest.approx(1)
    assert metrics.energy_ratio(lesion.astype(float), lesion) == pytest.approx(4)
    assert metrics.energy_ratio((~lesion).astype(float), lesion) == 0


def test_energy_ratio_of_a_dark_map_is_zero():
    assert metrics.energy_ratio(np.zeros((20, 30)), lesion_at(slice(0, 5), slice(0, 5))) == 0


def test_probabilities_that_are_too_low_on_both_sides_are_told_by_their_mean_and_not_by_the_ece():
    said = np.repeat([0.3, 0.7], 1000)
    positive = np.tile(np.arange(1000), 2) < np.repeat([400, 800], 1000)  # each 0.1 more often than was said
    numbers = metrics.binary_metrics(said, positive, [str(index) for index in range(2000)])
    assert numbers["ece"] == pytest.approx(0)
    assert (numbers["mean_probability"], numbers["share_positive"]) == pytest.approx((0.5, 0.6))
