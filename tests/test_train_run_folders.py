"""Which run folders of `train fit` are finished or gone on with, and which are left alone."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.tiny_training import recipe, teacher_that_says
from train import loop
from train.errors import DataError
from train.recipes import RecipeError


def test_a_finished_run_is_not_trained_again(data, start, finished):
    folder, _ = finished
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert loop.fit({folder.parent: recipe()}, data, start=start) == finished
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_in_another_precision_is_left_alone(data, start, finished):
    with pytest.raises(RecipeError, match="another precision"):
        loop.fit({finished[0].parent: recipe()}, data, start=start, precision="bf16-mixed", only=["random"])


def test_a_run_from_other_weights_of_the_same_data_is_left_alone(data, start, finished, tmp_path):
    (second,) = loop.fit({tmp_path / "second": recipe(lr_head=0.01)}, data, start=start, only=["random"])
    loop.fit({tmp_path / "third": recipe()}, data, start=finished[0] / "model.safetensors", only=["random"])
    with pytest.raises(RecipeError, match="another start"):
        loop.fit({tmp_path / "third": recipe()}, data, start=second / "model.safetensors", only=["random"])


def test_a_folder_of_other_teachers_is_left_alone(data, start, finished, tmp_path):
    teacher = teacher_that_says("malignant", tmp_path)
    with pytest.raises(RecipeError, match="another teacher"):
        loop.fit({finished[0].parent: recipe()}, data, start=start, teachers=[teacher], only=["random"])


@pytest.mark.parametrize(("changes", "what"), [({"label_smoothing": 0.0}, "label_smoothing"), ({}, "start")])
def test_a_folder_of_another_recipe_or_start_is_left_alone(data, start, finished, changes, what):
    start = start if changes else "scratch"
    with pytest.raises(RecipeError, match=f"another {what}"):
        loop.fit({finished[0].parent: recipe(**changes)}, data, start=start, only=["random"])


def test_a_seed_is_added_to_finished_runs(data, start, finished, tmp_path):
    runs = shutil.copytree(finished[0].parent, tmp_path / "runs")
    folders = loop.fit({runs: recipe(seeds=(0, 1))}, data, start=start, only=["random"])
    assert [folder.name for folder in folders] == ["seed0-random", "seed1-random"]


def test_another_backbone_file_of_the_same_name_is_another_start(data, start, finished, tmp_path):
    """A folder of an earlier commit tells no hash, and is taken on."""
    folder = shutil.copytree(finished[0], tmp_path / finished[0].name)
    other = tmp_path / start.name
    save_file({name: tensor + 1 for name, tensor in load_file(start).items()}, other)
    with pytest.raises(RecipeError, match="another start"):
        loop.fit({tmp_path: recipe()}, data, start=other, only=["random"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"start_sha256": ""}))
    assert loop.fit({tmp_path: recipe()}, data, start=other, only=["random"]) == [folder]


@pytest.mark.parametrize("config", ["", "[]", '{"start": "hub"}', '{"recipe": {}, "start": "hub", "n_test_leaked": 0}'])
def test_a_damaged_run_folder_is_told_in_words(data, start, tmp_path, config):
    (tmp_path / "seed0-random").mkdir()
    (tmp_path / "seed0-random" / "config.json").write_text(config)
    with pytest.raises(DataError, match=r"config\.json is damaged"):
        loop.fit({tmp_path: recipe()}, data, start=start, only=["random"])


def test_a_run_on_other_data_is_left_alone(data, start, finished, tmp_path):
    changed = shutil.copytree(data, tmp_path / "data")
    shutil.copy(changed / "tiny/benign/benign (1).png", changed / "tiny/benign/benign (0).png")
    with pytest.raises(RecipeError, match="another data set"):
        loop.fit({finished[0].parent: recipe()}, changed, start=start, only=["random"])
