import re
from pathlib import Path

import pytest

from train import recipes


@pytest.mark.parametrize("path", sorted(recipes.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_holds_and_is_called_like_its_file(path):
    recipe = recipes.load(str(path))
    assert recipe.name == path.stem
    assert recipe.spec().class_names == recipe.class_names


def test_the_recipe_that_the_manual_gives_for_own_pictures_holds(tmp_path):
    manual = Path(__file__).parents[1] / "docs" / "training.md"
    (tmp_path / "mine.toml").write_text(
        re.findall(r"```toml\n(.*?)```", manual.read_text(encoding="utf-8"), re.DOTALL)[0]
    )
    recipe = recipes.load(tmp_path / "mine.toml")
    assert (recipe.data, recipe.protocol) == (("mine",), "folds")
    assert recipes.load(tmp_path / "mine.toml", ['protocol="all"']).protocol == "all"


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(recipes.RecipeError, match="shipped"):
        recipes.load("nonsense")


def test_wrong_key_is_named(tmp_path):
    path = tmp_path / "typo.toml"
    path.write_text('name = "typo"\nabout = ""\ndata = ["busi"]\nprotocol = "all"\nepocs = 3\n')
    with pytest.raises(recipes.RecipeError, match="epocs"):
        recipes.load(str(path))


def test_a_byte_order_mark_is_no_key(tmp_path):
    shipped = recipes.FOLDER / "joint.toml"
    (tmp_path / "own.toml").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert recipes.load(tmp_path / "own.toml") == recipes.load("joint")


def test_a_file_of_another_encoding_is_told(tmp_path):
    (tmp_path / "own.toml").write_text('about = "für uns"', encoding="latin-1")
    with pytest.raises(recipes.RecipeError, match=r"own\.toml is not TOML: 'utf-8' codec"):
        recipes.load(str(tmp_path / "own.toml"))


def test_what_is_set_replaces_what_the_recipe_says():
    assert recipes.load("grouped", ["mixup_alpha = 0.0", "seeds = [3]"]).seeds == (3,)
    with pytest.raises(recipes.RecipeError, match=r"^mixup_alpha is not TOML"):
        recipes.load("grouped", ["mixup_alpha"])
    with pytest.raises(recipes.RecipeError, match=r"^data=\[busi\] is not TOML.*: --set 'data=\[\"busi\"\]'$"):
        recipes.load("grouped", ["data=[busi]"])  # what a shell leaves of data=["busi"]


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("mixup = 0", "mixup_alpha"),
        ("augmentation.gain = 1", "flip, .*, patched"),
        ("preprocessing.pad = 1", "median_px"),
    ],
)
def test_a_key_that_no_recipe_has_is_told_with_those_that_there_are(change, known):
    key = change.split()[0]
    with pytest.raises(recipes.RecipeError, match=rf"does not hold: {key}: there is no such key\. .*\b{known}\b"):
        recipes.load("grouped", [change])


@pytest.mark.parametrize(
    "change",
    [
        "epochs = 0",
        "batch = 0",
        "seeds = []",
        "seeds = [-1]",
        "second_look = 0.5",
        "augmentation = {covered = 3.5}",
        'class_names = ["normal", "malignant"]',
        'class_names = ["benign", "malignant", "benign"]',
    ],
)
def test_a_value_that_no_training_can_take_is_refused(change):
    with pytest.raises(recipes.RecipeError, match=f"does not hold: {change.split()[0]}"):
        recipes.load("grouped", [change])


def test_a_table_keeps_what_is_not_set(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\nabout = ""\ndata = ["busi"]\nprotocol = "all"\nepochs = 1\n'
        "[augmentation]\nflip = 0.0\nmachine = 0.1\n"
    )
    augmentation = recipes.load(str(path), ["augmentation.covered = 0.35"]).augmentation
    assert (augmentation.flip, augmentation.machine, augmentation.covered) == (0.0, 0.1, 0.35)


@pytest.mark.parametrize("folder", [".", "..", "a/..", "busi + busbra", ""])
def test_a_folder_whose_name_says_nothing_of_what_was_seen_is_refused(folder):
    with pytest.raises(recipes.RecipeError, match="name"):
        recipes.load("shipped", [f'data = ["{folder}"]'])


@pytest.mark.parametrize("change", ['data = ["busi", "old/busi"]', 'test_data = ["busi"]', 'external = ["new/busi"]'])
def test_two_sets_of_one_name_are_refused(change):
    with pytest.raises(recipes.RecipeError, match="name busi more than once"):
        recipes.load("grouped", [change])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("grouped", 'test_data = ["busbra"]', "test_data is what the protocol transfer tests on"),
        ("transfer", "test_data = []", "test_data is what the protocol transfer tests on"),
        ("grouped", "seeds = [0, 0]", r"seeds \[0, 0\] name one more than once"),
    ],
)
def test_what_would_have_no_effect_is_refused(name, change, message):
    with pytest.raises(recipes.RecipeError, match=message):
        recipes.load(name, [change])
