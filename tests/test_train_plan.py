import shutil
import tomllib

import cv2
import numpy as np
import pytest

from train.augment import Augmentation
from train.datasets import load
from train.errors import DataError, LeakError
from train.plan import plan
from train.recipes import Recipe

RECIPE = Recipe(name="tiny", about="", data=("tiny",), protocol="all")


@pytest.fixture
def data(tmp_path):
    """A set of two benign and two malignant pictures, each with its mask."""
    random = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (tmp_path / "tiny" / label).mkdir(parents=True)
        for name in ("a", "b"):
            picture = cv2.resize(random.integers(0, 255, (8, 8), dtype=np.uint8), (64, 64))
            cv2.imwrite(str(tmp_path / "tiny" / label / f"{name}.png"), picture)
            mask = cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 10, 255, -1)
            cv2.imwrite(str(tmp_path / "tiny" / label / f"{name}_mask.png"), mask)
    return tmp_path


def test_an_external_set_whose_pictures_are_trained_on_is_refused(data):
    shutil.copytree(data / "tiny", data / "copied")
    with pytest.raises(LeakError, match="4 test pictures have a near copy"):
        plan(RECIPE, data, load(data / "copied"))


def test_without_masks_there_are_no_crops_to_learn_normal_from(data):
    assert plan(RECIPE, data)
    for mask in data.glob("tiny/*/*_mask.png"):
        mask.unlink()
    with pytest.raises(DataError, match=r"no picture to learn normal from.*--set '(.*)'") as told:
        plan(RECIPE, data)
    change = str(told.value).split("'")[1]
    assert plan(RECIPE.model_copy(update={"class_names": tuple(tomllib.loads(change)["class_names"])}), data)


def test_black_masks_are_none(data):
    for mask in data.glob("tiny/*/*_mask.png"):
        cv2.imwrite(str(mask), np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match="no picture to learn normal from"):
        plan(RECIPE, data)


def test_masks_of_which_no_lesion_free_picture_is_made_teach_no_normal(data):
    with pytest.raises(DataError, match="no picture to learn normal from"):
        plan(RECIPE.model_copy(update={"augmentation": Augmentation(lesion_free=0.0)}), data)
    assert plan(RECIPE.model_copy(update={"augmentation": Augmentation(lesion_free=0.0, covered=0.3)}), data)


def test_pictures_that_are_left_out_for_a_near_copy_of_another_label_are_told_once(data, caplog):
    shutil.copy(data / "tiny" / "benign" / "a.png", data / "tiny" / "malignant" / "c.png")
    runs = plan(RECIPE.model_copy(update={"seeds": (0, 1)}), data)
    assert [len(run.train) for run in runs] == [3, 3]
    assert [record.message for record in caplog.records] == [
        "left out: 2 pictures, near copies with two labels and their patients' others. `train audit` names the copies"
    ]
