import json

import numpy as np
import pytest

from tests.answers import CLASSES, logits_of, run
from train.contrast import contrast
from train.errors import DataError

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture
def recipe(tmp_path):
    random = np.random.default_rng(0)
    labels = list(random.choice(CLASSES, 90))
    logits = logits_of(labels, random)
    for fold in ("fold1", "fold2"):
        run(tmp_path / "recipe" / f"seed0-{fold}", labels, logits)
        run(tmp_path / "same" / f"seed0-{fold}", labels[::-1], logits[::-1])
        run(tmp_path / "worse" / f"seed0-{fold}", labels, logits_of(labels, random, signal=0.0))
    return tmp_path / "recipe"


def test_a_variant_that_lost_something_is_worse_beyond_its_interval(recipe):
    for row in contrast(recipe, [recipe.parent / "worse"]):
        assert row["of"] == "2 runs"
        assert row["difference (95 %)"].split(" to ")[1].startswith("-")


def test_what_else_was_changed_is_told_beside_the_difference(recipe):
    """``--set mixup_alpha=0.0`` without the ``--pretrained`` of the recipe is another start, which weighs more."""
    for path in (recipe.parent / "worse").glob("*/config.json"):
        config = json.loads(path.read_text())
        recipe_there = config["recipe"] | {"epochs": 1, "about": "other words"}
        path.write_text(json.dumps(config | {"recipe": recipe_there, "start": "trained on busbra"}))
    assert {row["changed"] for row in contrast(recipe, [recipe.parent / "worse"])} == {"epochs, start"}
    assert {row["changed"] for row in contrast(recipe, [recipe.parent / "same"])} == {""}


def test_folders_of_the_same_name_are_told_apart(recipe, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe").symlink_to(tmp_path / "worse")
    found = {row["runs"] for row in contrast(recipe, [recipe, tmp_path / "other" / "recipe"])}
    assert found == {str(recipe), str(tmp_path / "other" / "recipe")}


def test_only_runs_that_both_have_count(recipe):
    (recipe.parent / "worse" / "seed0-fold2" / "predictions.csv").unlink()
    rows = contrast(recipe, [recipe.parent / "worse"])
    assert {row["of"] for row in rows} == {"seed0-fold1"}
    assert [row["n"] for row in rows if row["question"] == "normal / lesion"] == ["90"]


def test_the_leaking_split_and_its_twin_are_not_pooled(recipe):
    for folder in ("recipe", "worse"):
        for name in ("seed0-random", "seed0-by_group"):
            (recipe.parent / folder / name).symlink_to(recipe.parent / folder / "seed0-fold1")
    rows = contrast(recipe, [recipe.parent / "worse"])
    assert {row["of"] for row in rows} == {"2 runs", "seed0-random", "seed0-by_group"}


def test_folders_without_a_run_in_common_say_so(recipe, tmp_path):
    with pytest.raises(DataError, match="no finished run in common: name two --out of `train fit`"):
        contrast(recipe, [tmp_path / "absent"])


def test_other_pictures_are_not_compared(recipe):
    run(recipe.parent / "other" / "seed0-fold1", ["benign"] * 5 + ["malignant"], np.zeros((6, 3)))
    with pytest.raises(DataError, match="did not hold out the same pictures"):
        contrast(recipe, [recipe.parent / "other"])
