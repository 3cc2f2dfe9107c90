import numpy as np
import pytest

from tests.answers import CLASSES, logits_of, run
from train import calibrate, predictions, results
from train.errors import DataError


@pytest.fixture
def folds(tmp_path):
    random = np.random.default_rng(0)
    labels = list(random.choice(CLASSES, 60))
    for seed in (0, 1):
        for fold in (1, 2):
            run(tmp_path / f"seed{seed}-fold{fold}", labels, logits_of(labels, random))
    return tmp_path


def test_the_folds_of_a_seed_are_pooled_and_the_seeds_are_kept_apart(folds):
    found = results.of_recipe(folds)
    assert [(r.part, r.question) for r in found] == [
        (f"seed{seed}, 2 folds", question) for seed in (0, 1) for question in ("malignant", "lesion")
    ]
    assert found[1].numbers["n"] == 120


def test_folds_of_different_recipes_are_not_pooled(folds):
    """What is said about them, which seeds were asked for, and keys that came later may differ."""
    pair = ["benign", "malignant"]
    run(folds / "seed0-fold3", pair, np.eye(3)[1:], about="more", seeds=[0, 1], teacher_weight=0.7)
    results.of_recipe(folds)
    run(folds / "seed0-fold3", pair, np.eye(3)[1:], epochs=1)
    with pytest.raises(DataError, match=r"fold3 was trained with another epochs than .*fold1"):
        results.of_recipe(folds)


def test_a_damaged_run_folder_is_told_in_words(folds):
    (folds / "seed1-fold2" / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"seed1-fold2.config\.json is damaged"):
        results.of_recipe(folds)


def test_the_mean_over_the_seeds_is_told(folds):
    found = results.of_recipe(folds)
    last = results.rows(found)[-1]
    assert last["part"] == "mean of 2 seeds"
    mean = np.mean([r.numbers["auc"] for r in found if r.question == "malignant"])
    assert last["AUC (95 %)"].startswith(f"{mean:.3f} ")


def test_each_split_of_several_seeds_has_a_mean_of_its_own(tmp_path):
    for seed, leaked in enumerate((5, 7)):
        for split, leaks in (("random", leaked), ("by_group", 0)):
            run(tmp_path / f"seed{seed}-{split}", ["benign", "malignant"], np.eye(3)[1:], leaked=leaks)
    means = [line for line in results.rows(results.of_recipe(tmp_path)) if "mean" in line["part"]]
    assert [(line["part"], line["n (leaked)"]) for line in means] == [
        ("mean of 2 seeds, by_group", "2 (0)"),
        ("mean of 2 seeds, random", "2 (5-7)"),
    ]


def test_a_question_that_the_data_do_not_ask_is_left_out(tmp_path):
    run(tmp_path / "seed0-fold1", ["benign", "malignant"], np.eye(3)[1:])
    assert [r.question for r in results.of_recipe(tmp_path)] == ["malignant"]


def test_a_network_trained_on_everything_has_no_results(tmp_path):
    run(tmp_path / "seed0-all", [], np.zeros((0, 3)))
    assert results.of_recipe(tmp_path) == []


def test_the_leak_of_a_split_stands_beside_its_numbers(tmp_path):
    run(tmp_path / "seed0-random", ["benign", "malignant"], np.eye(3)[1:], leaked=55)
    (result,) = results.of_recipe(tmp_path)
    assert result.row()["n (leaked)"] == "2 (55)"


def test_answers_to_the_external_set_stay_with_their_network(tmp_path):
    for fold in (1, 2):
        run(
            tmp_path / f"seed0-fold{fold}",
            ["benign", "malignant"],
            np.eye(3)[1:],
            answers="external",
            dataset="udiat",
            leaked=3,
        )
    found = results.of_recipe(tmp_path, "external")
    assert [(r.part, r.leaked) for r in found] == [("seed0-fold1", 0), ("seed0-fold2", 0)]


def test_no_answer_helps_to_choose_its_own_calibration(tmp_path):
    random = np.random.default_rng(1)
    labels = list(random.choice(CLASSES, 400))
    calm = logits_of(labels, random, signal=1.0)
    run(tmp_path / "seed0-fold1", labels, calm)
    run(tmp_path / "seed0-fold2", labels, 4 * calm)
    answers = predictions.read(sorted(tmp_path.glob("*/predictions.csv")))
    found = results.cross_fitted(answers)
    ours, other = (answers[answers.runs == f"seed0-fold{fold}"] for fold in (1, 2))
    expected = ours.calibrated(*calibrate.fit_calibration(other))
    np.testing.assert_allclose(found[answers.runs == "seed0-fold1"].logits, expected.logits)
    assert not np.allclose(expected.logits, ours.calibrated(*calibrate.fit_calibration(ours)).logits)


def test_a_run_on_its_own_is_told_as_it_answered(tmp_path):
    run(tmp_path / "seed0-random", ["benign", "malignant"], np.eye(3)[1:])
    answers = predictions.read([tmp_path / "seed0-random" / "predictions.csv"])
    np.testing.assert_array_equal(results.cross_fitted(answers).logits, answers.logits)
