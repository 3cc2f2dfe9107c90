import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rcdnet import checkpoint
from rcdnet.box import Box
from rcdnet.glance import Judgement
from rcdnet.preprocess import place
from rcdnet.spec import ModelSpec, OperatingPoint
from tests.outputs import documented, written
from train import datasets, evaluate, heat_maps, tables
from train.__main__ import app
from train.datasets import Sample
from train.errors import DataError
from train.subgroups import subgroup_indices

pytestmark = pytest.mark.usefixtures("few_rounds")

SPEC = ModelSpec(
    ("normal", "benign", "malignant"),
    96,
    96,
    0.485,
    0.229,
    "tf_efficientnet_lite0",
    operating_points={"balanced": OperatingPoint(0.5, 0.5), "sensitive": OperatingPoint(0.2, 0.1)},
)


def data_set(root: Path, count: int = 6) -> list[Sample]:
    """BUSI's layout, ``count`` a class: speckle, and a dark lesion that grows with the number, top left."""
    random = np.random.default_rng(0)
    for label in datasets.CLASS_NAMES:
        (root / label).mkdir(parents=True)
        for number in range(1, count + 1):
            picture = random.integers(60, 140, (72, 96), np.uint8)
            if label != "normal":
                mask = np.zeros_like(picture)
                mask[4 : 10 + 4 * number, 4 : 10 + 4 * number] = 255
                picture[mask > 0] //= 4
                assert cv2.imwrite(str(root / label / f"{label} ({number})_mask.png"), mask)
            assert cv2.imwrite(str(root / label / f"{label} ({number}).png"), picture)
    return datasets.load(root)


def judged(probabilities: tuple[float, float, float], hot: tuple[int, int] = (5, 2)) -> Judgement:
    """Given probabilities, and a benign and a malignant map with one hot cell of 14x14."""
    p = np.array(probabilities, np.float32)
    maps = np.zeros((3, 14, 14), np.float32)
    maps[1:, hot[0], hot[1]] = 5
    return Judgement(p, np.log(p), maps, place(Box(0, 0, 96, 72), SPEC), None)


ANSWERS = {"normal": (0.8, 0.1, 0.1), "benign": (0.1, 0.6, 0.3), "malignant": (0.1, 0.2, 0.7)}


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


def test_the_heat_map_is_held_against_the_masks(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")
    on = heat_maps.heat_map_quality(samples, [judged(ANSWERS[s.label], (3, 1)) for s in samples], SPEC)
    off = heat_maps.heat_map_quality(samples, [judged(ANSWERS[s.label], (9, 12)) for s in samples], SPEC)
    assert (on["n_masks"], on["pointing_game"]) == (12, 1)
    assert on["energy_ratio"] > 3
    assert (off["pointing_game"], off["energy_ratio"]) == (0, 0)


def test_beside_the_heat_map_stands_one_that_never_sees_the_picture(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")  # all lesions lie top left
    quality = heat_maps.heat_map_quality(samples, [judged(ANSWERS[s.label], (9, 12)) for s in samples], SPEC)
    assert (quality["pointing_game"], quality["pointing_game_blind"]) == (0, 1)
    assert quality["energy_ratio_blind"] > 3


def test_where_a_lesion_usually_lies_is_not_told_by_a_single_one(tmp_path):
    (sample, *_) = evaluate.select(data_set(tmp_path), "binary")
    quality = heat_maps.heat_map_quality([sample], [judged(ANSWERS[sample.label])], SPEC)
    assert (quality["n_masks"], quality["pointing_game_blind"], quality["energy_ratio_blind"]) == (1, None, None)


def test_the_usual_place_of_a_lesion_is_where_the_others_lie():
    left, right, none = np.zeros((64, 64), bool), np.zeros((32, 48), bool), np.zeros((20, 20), bool)
    left[:, :32], right[:, 24:] = True, True
    of_left, of_right, of_none = heat_maps.location_prior([left, right, none])
    assert (of_left.shape, of_right.shape, of_none.shape) == ((64, 64), (32, 48), (20, 20))
    assert (of_left[:, :28].max(), of_left[:, 36:].min()) == (0, 1)
    assert (of_right[:, :21].min(), of_right[:, 27:].max()) == (1, 0)
    np.testing.assert_allclose(of_none, 0.5, atol=1e-6)


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


def test_size_terciles_and_attributes_part_the_samples(tmp_path):
    samples = evaluate.select(data_set(tmp_path), "binary")
    parts = subgroup_indices(samples, "size")
    assert {name: len(indices) for name, indices in parts.items()} == {"large": 4, "medium": 4, "small": 4}
    parts = subgroup_indices(data_set(tmp_path / "with normal"), "size")
    assert {name: len(indices) for name, indices in parts.items()} == {"large": 10, "medium": 10, "small": 10}
    with pytest.raises(DataError, match="no lesion has a mask"):
        subgroup_indices([replace(s, masks=()) for s in samples], "size")
    samples = [replace(s, attributes={"birads": "4" if i < 5 else "5"}) for i, s in enumerate(samples)]
    assert subgroup_indices(samples, "birads") == {"4": [0, 1, 2, 3, 4], "5": [5, 6, 7, 8, 9, 10, 11]}


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
