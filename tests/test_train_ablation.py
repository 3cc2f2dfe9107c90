import cv2
import numpy as np
import pytest

from rcdnet.spec import ModelSpec
from train import ablation
from train.datasets import Sample
from train.errors import DataError

SPEC = ModelSpec(("normal", "benign", "malignant"), 64, 64, 0.485, 0.229, "none", second_look=1.3)


def by_brightness(images):
    """Malignant where the picture is bright, pointing at its brightest cells."""
    cells = images.reshape(len(images), 4, 16, 4, 16).mean(axis=(2, 4)) / 32
    maps = np.stack([np.zeros_like(cells), np.full_like(cells, 2.0), cells], axis=1).astype(np.float32)
    return maps.mean(axis=(2, 3)), maps


def test_the_look_sees_what_the_glance_is_led_to():
    picture = np.full((64, 64), 10, np.uint8)
    picture[24:56, 8:40] = 250
    parts = ablation.glance_and_looks([picture], SPEC, by_brightness)
    malignant = {name: float(np.exp(p[0, 2])) for name, p in parts.items()}
    assert malignant["look 1.3"] > malignant["look 1.7"] > malignant["look 2.4"] > malignant["glance"]


def test_what_ships_is_the_first_variant_and_lies_between_its_parts():
    parts = {name: np.full((1, 3), value, np.float32) for value, name in enumerate(("glance", "look 1.3"))}
    parts |= {"look 1.7": parts["glance"], "look 2.4": parts["glance"]}
    assert next(iter(ablation.variants(parts).values()))[0, 0] == pytest.approx(2 / 3)


def test_a_folder_without_finished_folds_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"contains no finished fold of seed 0, seed0-fold\*"):
        ablation.ablate(tmp_path, tmp_path)


def test_a_set_without_a_benign_lesion_has_no_row(tmp_path):
    samples = []
    for name, label in (("a", "malignant"), ("b", "malignant"), ("c", "benign")):
        picture = np.random.default_rng(ord(name)).integers(0, 255, (32, 32), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        samples.append(Sample("one-sided" if name == "a" else "both", name, tmp_path / f"{name}.png", (), label))
    scores = {"glance": np.array([1, 1, 0], np.float32)}
    assert ablation.rows_of("one-sided", samples, scores) == []
    assert [(row["n"], row["AUC"]) for row in ablation.rows_of("both", samples, scores)] == [("2", "1.000")]
