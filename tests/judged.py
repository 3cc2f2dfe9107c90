"""A labelled data set of speckle, and what a network could say of its pictures."""

from pathlib import Path

import cv2
import numpy as np

from rcdnet.box import Box
from rcdnet.glance import Judgement
from rcdnet.preprocess import place
from rcdnet.spec import ModelSpec, OperatingPoint
from train import datasets
from train.datasets import Sample

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
