import json
import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import pytest
from typer.testing import CliRunner

from rcdnet import checkpoint
from tests.judged import ANSWERS, SPEC, data_set, judged
from tests.outputs import documented, written
from train import evaluate, tables
from train.__main__ import app
from train.errors import DataError

pytestmark = pytest.mark.usefixtures("few_rounds")


def test_right_answers_get_full_marks(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")
    result = evaluate.evaluate(samples, [judged(ANSWERS[s.label]) for s in samples], SPEC, "binary")
    assert result["n"] == 12
    assert result["n_positive"] == 6
    for key in ("auc", "accuracy", "sensitivity", "specificity", "precision", "recall", "f1"):
        assert result[key] == 1, key
    assert result["confusion_matrix"] == [[6, 0], [0, 6]]


def test_the_operating_point_decides_the_calls_but_not_the_auc(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")
    judgements = [judged(ANSWERS[s.label]) for s in samples]
    result = evaluate.evaluate(samples, judgements, SPEC, "binary", operating_point="sensitive")
    assert (result["auc"], result["sensitivity"], result["specificity"]) == (1, 1, 0)
    assert result["threshold"] == 0.1


def test_three_classes_are_scored_on_lesions_against_normal(tmp_path):
    samples = data_set(tmp_path)
    answers = ANSWERS | {"malignant": ANSWERS["benign"]}
    result = evaluate.evaluate(samples, [judged(answers[s.label]) for s in samples], SPEC, "three-class")
    assert (result["n"], result["auc"], result["sensitivity"], result["specificity"]) == (18, 1, 1, 1)
    assert result["confusion_matrix"] == [[6, 0, 0], [0, 6, 0], [0, 6, 0]]
    assert result["accuracy"] == pytest.approx(2 / 3)


def test_without_masks_there_is_no_heat_map_figure(tmp_path, capsys):
    samples = [replace(s, masks=()) for s in evaluate.select(data_set(tmp_path), "binary")]
    result = evaluate.evaluate(samples, [judged(ANSWERS[s.label]) for s in samples], SPEC, "binary")
    assert result["pointing_game"] is None
    assert result["n_masks"] == 0
    tables.print_result(result | {"data": "ours"}, "binary")
    assert re.search("pointing_game .* not measured", capsys.readouterr().out)


@pytest.mark.parametrize(("task", "labels"), [("binary", {"benign"}), ("three-class", {"benign", "malignant"})])
def test_data_with_one_side_only_is_refused_in_words(tmp_path, task, labels):
    samples = [s for s in data_set(tmp_path) if s.label in labels]
    with pytest.raises(DataError, match=f"{task} needs .* only: benign"):
        evaluate.evaluate(samples, [judged(ANSWERS[s.label]) for s in samples], SPEC, task)


def test_no_picture_is_refused_in_words():
    with pytest.raises(DataError, match="no picture for the task binary"):
        evaluate.evaluate([], [], SPEC, "binary")


def test_what_cannot_be_asked_is_told_before_a_picture_is_judged(tmp_path):
    benign = [sample for sample in data_set(tmp_path) if sample.label == "benign"]
    cannot_judge = SimpleNamespace(spec=SPEC)
    with pytest.raises(DataError, match="binary needs benign and malignant"):
        evaluate.report(
            cannot_judge, benign, "binary", operating_point="balanced", by=None, in_paint=False, faithfulness=False
        )


def test_a_model_without_a_normal_class_cannot_be_asked_for_three(tmp_path):
    samples = data_set(tmp_path)
    spec = replace(SPEC, class_names=("benign", "malignant"))
    with pytest.raises(DataError, match="knows normal"):
        evaluate.evaluate(samples, [judged(ANSWERS[s.label]) for s in samples], spec, "three-class")


def test_painting_markers_away_counts_moves_and_flips(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")
    before = [judged(ANSWERS["benign"]) for _ in samples]

    def always_malignant(greys):
        return [judged(ANSWERS["malignant"]) for _ in greys]

    none = evaluate.effect_of_markers(samples, before, always_malignant, SPEC)
    assert none == {"n_marked": 0}
    for sample in samples[:7]:
        marked = cv2.drawMarker(sample.grey(), (60, 45), 255, cv2.MARKER_CROSS, 9, 1)
        assert cv2.imwrite(str(sample.image), marked)
    moved = evaluate.effect_of_markers(samples, before, always_malignant, SPEC)
    assert moved["n_marked"] == 7
    assert moved["median_dp"] == pytest.approx(7 / 9 - 3 / 9)
    assert moved["flips"] == 1


def test_numbers_of_what_was_learnt_from_are_said_to_flatter(tmp_path, untrained):
    model = checkpoint.load(untrained / "rcdnet.safetensors")
    model.spec = replace(model.spec, trained_on="busi + busbra")
    checkpoint.save(model, tmp_path / "w.safetensors")
    for name, flatter in (("busi", True), ("ours", False)):
        data_set(tmp_path / name, 1)
        arguments = ["evaluate", "--weights", str(tmp_path / "w.safetensors"), "--data", str(tmp_path / name)]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert ("its numbers flatter" in done.stderr) is flatter


@pytest.mark.parametrize(("patients", "told"), [("", "4 of 4 pictures"), (",1", ""), (", ", "4 of 4 pictures")])
def test_an_interval_that_knows_no_patients_is_said_to_be_too_narrow(tmp_path, untrained, patients, told):
    samples = [sample for sample in data_set(tmp_path / "busi", 2) if sample.label != "normal"]
    (tmp_path / "ours" / "original").mkdir(parents=True)
    for sample in samples:
        sample.image.rename(tmp_path / "ours" / "original" / sample.image.name)
    rows = [f"{sample.name},{sample.label}{patients}" for sample in samples]
    header = "image,pathology,patient" if patients else "image,pathology"
    (tmp_path / "ours" / "labels.csv").write_text("\n".join([header, *rows]))
    arguments = ["evaluate", "--weights", str(untrained / "rcdnet.safetensors"), "--data", str(tmp_path / "ours")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.stderr.strip().startswith(f"warning: {told}" if told else "")
    assert ("too narrow" in done.stderr) is bool(told)


def test_the_command_prints_and_writes_every_number(tmp_path, untrained):
    data_set(tmp_path / "busi", 3)
    arguments = ["evaluate", "--weights", str(untrained / "rcdnet.safetensors"), "--data", str(tmp_path / "busi")]
    extra = ["--json", str(tmp_path / "out.json"), "--by", "size", "--in-paint", "--faithfulness"]
    done = CliRunner().invoke(app, [*arguments, *extra], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads((tmp_path / "out.json").read_text())
    told = documented("## train evaluate --json")
    assert set(written(result, told)) == set(told)
    assert result["n"] == 6
    assert 0 <= result["auc_ci"][0] <= result["auc"] <= result["auc_ci"][1] <= 1
    assert "AUC (95 % bootstrap)" in done.stdout
    assert f"heat map, hottest cells blurred: advantage {result['faithfulness']['advantage']:.3f}, adv" in done.stdout
    assert f"markers painted away: n_marked {result['in_paint']['n_marked']}" in done.stdout
    assert "Research use only" in done.stdout


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--data", "nowhere"], 3, "nowhere is not a folder"),
        (["--weights", "none.safetensors"], 4, "none.safetensors cannot be read"),
        (["--operating-point", "bold"], 2, "name one of balanced"),
        (["--task", "four-class"], 2, "four-class"),
        (["--json", "/dev/null/told.json"], 2, "/dev/null"),
        (["--by", "sise"], 3, "no picture has the attribute sise. Expected one of size."),
    ],
    ids=["data", "weights", "operating point", "task", "json", "by"],
)
def test_wrong_use_is_one_line_and_a_code(tmp_path, untrained, change, code, message):
    data_set(tmp_path / "busi", 1)
    arguments = ["evaluate", "--weights", str(untrained / "rcdnet.safetensors"), "--data", str(tmp_path / "busi")]
    done = CliRunner().invoke(app, [*arguments, *change])
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout  # it is told before anything is computed
