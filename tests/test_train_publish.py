"""Train, compare and publish on a small set laid out like the real ones."""

import json
import shutil

import cv2
import pytest
from typer.testing import CliRunner

from rcdnet.errors import CheckpointError
from tests.screens import read
from tests.tiny_training import like_udiat, pictures
from train import ablation, compare, datasets, markdown, publish
from train.__main__ import app
from train.errors import DataError
from train.recipes import FOLDER, load
from train.tables import print_rows

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """``busi``, and other pictures as ``udiat``."""
    root = pictures(tmp_path_factory.mktemp("data"), "busi")
    others = pictures(tmp_path_factory.mktemp("others"), each=4, seed=1)
    like_udiat(datasets.load(others / "tiny"), root / "udiat")
    return root


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Run folders of a comparison of two networks by the paper's recipe, in small."""
    out = tmp_path_factory.mktemp("runs")
    recipe = load("paper").model_copy(update={"size_px": 64, "epochs": 1})
    two = ("RcdNet", "MobileNetV2")
    compare.compare(
        [recipe], data, out / "compare", start="scratch", precision="32-true", networks=two, only=["random"]
    )
    (out / "paper").symlink_to(out / "compare" / "RcdNet" / "paper")
    return out


@pytest.fixture
def folds(runs, tmp_path):
    """The same as two folds, by another recipe; the pictures of the second are called otherwise."""
    out = tmp_path / "folds"
    for network in ("RcdNet", "MobileNetV2"):
        for fold in (1, 2):
            here = out / network / f"grouped/seed0-fold{fold}"
            shutil.copytree(runs / "compare" / network / "paper/seed0-random", here)
        (here / "predictions.csv").write_text((here / "predictions.csv").read_text().replace(" (", " (2"))
    return out


@pytest.fixture(scope="module")
def table(runs):
    """Of that comparison."""
    return compare.table(runs / "compare")


@pytest.fixture(scope="module")
def published(runs, data, tmp_path_factory):
    """The folder with its figures and tables."""
    out = tmp_path_factory.mktemp("published")
    weights = runs / "paper" / "seed0-random" / "model.safetensors"
    arguments = ["figures", str(runs), "--data", str(data), "--weights", str(weights), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out


def test_the_table_says_size_split_and_start_of_every_network(table):
    assert [(row["network"], row["data"], row["n (leaked)"]) for row in table] == [
        ("RcdNet", "busi", "8 (0)"),
        ("RcdNet", "udiat", "8 (0)"),
        ("MobileNetV2", "busi", "8 (0)"),
        ("MobileNetV2", "udiat", "8 (0)"),
    ]
    assert {row["M parameters"] for row in table} == {"3.06", "2.23"}
    assert {row["start"] for row in table} == {"scratch"}


def test_a_comparison_stopped_before_the_external_set_is_told_as_far_as_it_came(runs, tmp_path):
    shutil.copytree(runs / "compare", tmp_path, dirs_exist_ok=True)
    (tmp_path / "RcdNet/paper/seed0-random/external.csv").unlink()
    (tmp_path / "MobileNetV2/paper/seed0-random/external.csv").unlink()
    (tmp_path / "MobileNetV2/paper/seed0-random/predictions.csv").unlink()
    assert [(row["network"], row["data"]) for row in compare.table(tmp_path)] == [("RcdNet", "busi")]


def test_a_network_that_is_gone_is_told_before_anything_is_computed(folds, data, tmp_path, monkeypatch):
    (tmp_path / "joint").symlink_to(folds / "RcdNet/grouped")
    shutil.copy(folds / "RcdNet/grouped/seed0-fold1/predictions.csv", folds / "RcdNet/grouped/seed0-fold2")
    (folds / "RcdNet/grouped/seed0-fold2/model.safetensors").unlink()
    monkeypatch.setattr(ablation, "glance_and_looks", None)
    with pytest.raises(CheckpointError, match=r"fold2.model\.safetensors cannot be read"):
        ablation.ablate(tmp_path / "joint", data)


def test_heat_map_figures_that_are_damaged_are_told_in_words(folds):
    (folds / "RcdNet/grouped/seed0-fold2/predictions_heat_maps.json").write_text("{")
    with pytest.raises(DataError, match=r"fold2.predictions_heat_maps\.json is damaged"):
        compare.table(folds)


def test_the_table_needs_no_weights(runs, table, tmp_path):
    """They stay behind on the machine that trained."""
    shutil.copytree(runs / "compare", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    assert compare.table(tmp_path) == table


def test_every_network_is_trained_by_the_same_recipe():
    recipe = load("paper")
    changed = [compare.recipe_for(name, recipe).model_dump() for name in ("RcdNet", "ViT")]
    differing = {key for key in changed[0] if changed[0][key] != changed[1][key]}
    assert differing == {"architecture", "backbone"}


def test_figures_and_tables_come_from_the_run_folders(published):
    names = ("training_curves", "roc_internal", "roc_compared", "roc_external", "reliability", "selective", "heat_maps")
    assert {file.stem for file in published.glob("*.png")} == set(names)
    tops = [cv2.imread(str(published / f"{name}.png"))[:100] for name in names]
    assert all("Research use only" in read(top) for top in tops)
    text = (published / "tables.md").read_text()
    assert "Research use only" in text
    assert "| MobileNetV2 |" in text
    assert all(f"({name}.png)" in text for name in names)


def test_tables_say_first_what_their_columns_mean(published):
    before, head, _ = (published / "tables.md").read_text().split("\n| ", 2)
    for name in ("n (leaked)", "AUC (95 %)", "AUC, each patient once", "accuracy", "ECE (by chance)"):
        assert f"| {name} |" in head
        assert f"**{name}**" in before


def test_a_comparison_alone_is_published_without_what_it_does_not_tell(runs, data, tmp_path):
    shutil.copytree(runs / "compare", tmp_path / "compare", ignore=shutil.ignore_patterns("*.safetensors"))
    weights = runs / "paper" / "seed0-random" / "model.safetensors"
    written = publish.publish(tmp_path, data, weights, tmp_path / "out")
    assert {file.name for file in written} == {"tables.md", "roc_compared.png", "roc_external.png"}
    assert "## Protocols" not in (tmp_path / "out/tables.md").read_text()


def test_a_run_that_held_out_nothing_is_published_without_a_curve_of_held_out_answers(runs, data, tmp_path):
    shutil.copytree(runs / "paper" / "seed0-random", tmp_path / "runs/shipped/seed0-all")
    answers = tmp_path / "runs/shipped/seed0-all/predictions.csv"
    answers.write_text(answers.read_text().splitlines()[0] + "\n")
    weights = runs / "paper" / "seed0-random" / "model.safetensors"
    names = {file.name for file in publish.publish(tmp_path / "runs", data, weights, tmp_path / "out")}
    assert "training_curves.png" in names
    assert "roc_internal.png" not in names


def test_networks_are_drawn_beside_each_other_where_all_answered_the_same(folds):
    """MobileNetV2 lacks a fold of ``grouped``, so that pooled folds are not the same pictures."""
    assert [one.name.split(" (")[0] for one in publish._compared(folds, "predictions")] == ["RcdNet", "MobileNetV2"]
    assert all("(grouped, scratch, " in one.name for one in publish._compared(folds, "predictions"))
    shutil.rmtree(folds / "MobileNetV2/grouped/seed0-fold2")
    assert publish._compared(folds, "predictions") == []
    assert all("(grouped, fold1, " in one.name for one in publish._compared(folds, "external"))


def test_folds_that_each_answered_the_external_set_are_told_by_their_mean(folds):
    """Of the AUC by network, of the heat maps by picture. The second network says the opposite of the first."""
    for fold, (n_masks, pointing) in {"1": (8, 0.75), "2": (24, 0.25)}.items():
        quality = {"n_masks": n_masks, "pointing_game": pointing, "energy_ratio": 2.0}
        (folds / f"RcdNet/grouped/seed0-fold{fold}/external_heat_maps.json").write_text(json.dumps(quality))
    answers = folds / "RcdNet/grouped/seed0-fold2/external.csv"
    head, *lines = answers.read_text().splitlines()
    opposite = {"benign": "malignant", "malignant": "benign"}
    cells = [line.split(",") for line in lines]
    at = head.split(",").index("label")
    swapped = [",".join([*row[:at], opposite[row[at]], *row[at + 1 :]]) for row in cells]
    answers.write_text("\n".join([head, *swapped]) + "\n")
    row = next(row for row in compare.table(folds) if row["data"] == "udiat")
    assert row["part"] == "mean of 2 folds"
    assert row["AUC (95 %)"].startswith("0.500 (folds ")
    assert row["pointing game"] == "0.375"


def test_a_picture_that_is_gone_is_told_before_anything_is_computed(folds, data, tmp_path, monkeypatch):
    """No set has those of the second fold."""
    (tmp_path / "joint").symlink_to(folds / "RcdNet/grouped")
    with pytest.raises(DataError, match=r"no longer has busi/.*, which seed0-fold2 answered"):
        markdown.tables(tmp_path, data)
    monkeypatch.setattr(ablation.loop, "load_trained", None)  # no network is asked before it is told
    with pytest.raises(DataError, match=r"no longer has busi/.*, which seed0-fold2 answered"):
        ablation.ablate(tmp_path / "joint", data)


def test_sizes_are_told_where_there_are_masks(runs, data, tmp_path):
    shutil.copytree(runs / "compare/RcdNet/paper/seed0-random", tmp_path / "runs/joint/seed0-fold1")
    shutil.copytree(data / "busi", tmp_path / "busi", ignore=shutil.ignore_patterns("*_mask.png"))
    assert "| busi | size " in markdown.tables(tmp_path / "runs", data)
    assert "Subgroups" not in markdown.tables(tmp_path / "runs", tmp_path)


def test_a_folder_without_runs_is_an_error_that_says_so(data, tmp_path):
    arguments = ["figures", str(tmp_path), "--data", str(data), "--weights", "none", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3
    assert "contains no runs" in result.output.replace("\n", " ")


def test_runs_of_a_recipe_of_one_s_own_are_in_the_tables(runs, data, tmp_path):
    for name in ("paper", "mine"):
        (tmp_path / name).symlink_to(runs / "paper")
    rows = markdown.tables(tmp_path, data)
    assert "| paper | seed0-random |" in rows  # as the recipe calls itself
    assert "| paper (mine) | seed0-random |" in rows  # a variant, which nothing else may tell from the recipe


def test_the_recipes_that_are_published_exist():
    assert set(markdown.RECIPES) == {file.stem for file in FOLDER.glob("*.toml")}


def test_two_starts_at_once_are_wrong_use(data, tmp_path):
    (tmp_path / "start.safetensors").touch()
    arguments = ["fit", "grouped", "--data", str(data), "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(
        app, [*arguments, "--from-scratch", "--pretrained", str(tmp_path / "start.safetensors")]
    )
    assert result.exit_code == 2
    assert "exclude each other" in result.output
    assert not (tmp_path / "runs").exists()


def test_an_unknown_network_is_wrong_use(data, tmp_path):
    arguments = ["compare", "--data", str(data), "--out", str(tmp_path), "--network", "AlexNet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "name some of RcdNet" in result.output


def test_a_value_that_no_network_can_be_compared_at_is_wrong_use(data, tmp_path):
    arguments = ["compare", "--data", str(data), "--out", str(tmp_path), "--set", "epochs=0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "with epochs=0 does not hold: epochs" in result.stderr


def test_a_table_is_printed_whole_with_what_its_rows_share_above_it(capsys):
    rows = [{"recipe": "grouped", "network": name, **{f"column {i}": name * 3 for i in range(9)}} for name in "ab"]
    print_rows(rows)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.strip() == "recipe grouped"
    assert all(f"column {i}" in lines[1] for i in range(9))
    assert any(line.count("aaa") == 9 for line in lines)


def test_a_comparison_without_such_a_run_is_wrong_use(data, tmp_path):
    arguments = ["compare", "--data", str(data), "--out", str(tmp_path), "--from-scratch"]
    arguments += ["--only", "typo", "--only", "slip"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "no recipe has a run whose name contains typo or slip" in done.stderr
