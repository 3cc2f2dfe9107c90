import json

import numpy as np
import pytest

from rcdnet.box import Box
from rcdnet.glance import Judgement
from rcdnet.preprocess import Placement
from train import predictions
from train.datasets import Sample
from train.errors import DataError, LeakError

CLASSES = ("normal", "benign", "malignant")


def sample(dataset, name, label, patient=None):
    return Sample(dataset, name, None, (), label, patient=patient)


def judged(logits):
    at = Placement(Box(0, 0, 1, 1), 0, 0, 1, 1, 1, 1)
    logits = np.array(logits, np.float32)
    return Judgement(np.exp(logits), logits, np.zeros((3, 1, 1), np.float32), at, None)


@pytest.fixture
def two_runs(tmp_path):
    first, second = tmp_path / "seed0-fold1" / "p.csv", tmp_path / "seed0-fold2" / "p.csv"
    for path in (first, second):
        path.parent.mkdir()
    predictions.write(first, CLASSES, [sample("busi", "a", "benign")], [judged([-2.0, -0.2, -3.0])], ["a"])
    predictions.write(second, CLASSES, [sample("busbra", "b", "malignant", "7")], [judged([-3.0, -2.0, -0.1])], ["7"])
    return [first, second]


def test_the_answers_of_several_runs_are_read_one_after_the_other(two_runs):
    answers = predictions.read(two_runs)
    assert answers.class_names == CLASSES
    assert answers.truth.tolist() == [1, 2]
    np.testing.assert_allclose(answers.logits, [[-2.0, -0.2, -3.0], [-3.0, -2.0, -0.1]])
    assert answers.datasets.tolist() == ["busi", "busbra"]
    assert answers.names.tolist() == ["a", "b"]
    assert answers.patients.tolist() == ["a", "7"]
    assert answers.runs.tolist() == ["seed0-fold1", "seed0-fold2"]


def test_pictures_of_any_name_are_written_and_read_where_the_system_s_letters_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr("io.text_encoding", lambda encoding, *_: encoding or "cp1252")  # as on Windows
    table = tmp_path / "p.csv"
    predictions.write(table, CLASSES, [sample("Übersicht", "超声", "benign")], [judged([-2.0, -0.2, -3.0])], ["a"])
    assert predictions.has_rows(table)
    answers = predictions.read([table])
    assert (answers.datasets.tolist(), answers.names.tolist()) == (["Übersicht"], ["超声"])


def test_a_table_that_could_not_be_written_whole_is_not_there(tmp_path):
    samples, judgements = [sample("busi", "a", "benign")] * 2, [judged([-2.0, -0.2, -3.0])]  # one answer is missing
    with pytest.raises(ValueError, match="zip"):
        predictions.write(tmp_path / "p.csv", CLASSES, samples, judgements, ["a", "a"])
    assert not (tmp_path / "p.csv").exists()


def test_answers_of_a_split_that_leaks_are_not_held_out(two_runs):
    predictions.require_held_out(two_runs)  # a table on its own says nothing
    (two_runs[1].parent / "config.json").write_text(json.dumps({"recipe": {}, "start": "hub", "n_test_leaked": 55}))
    with pytest.raises(LeakError, match=r"fold2.*: 55 of its pictures"):
        predictions.require_held_out(two_runs)
    (two_runs[1].parent / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"fold2.config\.json is damaged"):
        predictions.require_held_out(two_runs)


def test_the_share_and_the_lesion_probability_are_those_of_the_softmax(two_runs):
    answers = predictions.read(two_runs)
    p = np.exp(answers.logits) / np.exp(answers.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.malignant_share(), p[:, 2] / (p[:, 1] + p[:, 2]), rtol=1e-5)
    np.testing.assert_allclose(answers.lesion_probability(), 1 - p[:, 0], rtol=1e-5)


def test_what_is_external_stays_it(tmp_path):
    outside = Sample("udiat", "a", None, (), "benign", external=True)
    inside = sample("busi", "b", "malignant")
    answers = [judged([-2.0, -0.2, -3.0])] * 2
    predictions.write(tmp_path / "p.csv", CLASSES, [outside, inside], answers, ["a", "b"])
    assert predictions.read([tmp_path / "p.csv"]).external.tolist() == [True, False]


def test_malignant_or_not_is_asked_of_lesions_alone(tmp_path):
    samples = [sample("busi", label, label) for label in CLASSES]
    predictions.write(tmp_path / "p.csv", CLASSES, samples, [judged([-1.0, -1.0, -1.0])] * 3, CLASSES)
    asked = {question: chosen.tolist() for _, question, chosen in predictions.read([tmp_path / "p.csv"]).questions()}
    assert asked == {"malignant": [False, True, True], "lesion": [True, True, True]}


def test_a_temperature_flattens_the_share(two_runs):
    answers = predictions.read(two_runs)
    calm = answers.calibrated(3.0, 0.0)
    assert (np.abs(calm.malignant_share() - 0.5) < np.abs(answers.malignant_share() - 0.5)).all()


def test_runs_of_other_classes_are_refused(two_runs, tmp_path):
    (tmp_path / "x.csv").write_text("dataset,name,label,patient,external,normal,benign\nbusi,a,benign,a,,0,1\n")
    with pytest.raises(DataError, match="answers normal, benign; the files before it"):
        predictions.read([*two_runs, tmp_path / "x.csv"])


def test_a_file_that_is_given_twice_is_refused(two_runs):
    with pytest.raises(DataError, match="Expected each file once"):
        predictions.read([*two_runs, two_runs[0]])


def test_a_picture_that_two_runs_of_one_seed_answered_is_refused(two_runs, tmp_path):
    """Of another seed, it is answered anew."""
    (tmp_path / "seed1-fold1").mkdir()
    again = two_runs[0].rename(tmp_path / "seed1-fold1" / "p.csv")
    two_runs[0].write_text(again.read_text())
    assert len(predictions.read([*two_runs, again])) == 3
    two_runs[1].write_text(again.read_text())
    with pytest.raises(
        DataError, match="1 pictures are answered more than once for one seed, such as busi/a for seed0"
    ):
        predictions.read(two_runs)


def test_a_run_without_predictions_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no .*predictions\.csv"):
        predictions.read([tmp_path / "predictions.csv"])
    with pytest.raises(DataError, match="is a folder"):
        predictions.read([tmp_path])


def test_a_network_trained_on_everything_has_nothing_held_out(tmp_path):
    predictions.write(tmp_path / "p.csv", CLASSES, [], [], [])
    with pytest.raises(DataError, match="holds out nothing"):
        predictions.read([tmp_path / "p.csv"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"epoch,loss\n1,0.5\n", "metrics.csv has no column dataset, label, name, patient"),
        (b"label,benign\nbenign,1\n", "metrics.csv has no column dataset, name, patient"),
        (b"dataset,name,label,patient,benign\nbusi,a,benign,,x\n", "metrics.csv: not a table of answers"),
        (b"dataset,name,label,patient\nbusi,a,benign,\n", "metrics.csv: not a table of answers"),
        (b"\x89PNG", "metrics.csv is not UTF-8"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, table, said):
    (tmp_path / "metrics.csv").write_bytes(table)
    with pytest.raises(DataError, match=said):
        predictions.read([tmp_path / "metrics.csv"])
