"""Run folders of trainings that were never done, with answers at random."""

import json

import numpy as np

from rcdnet.box import Box
from rcdnet.glance import Judgement
from rcdnet.preprocess import Placement
from train import predictions
from train.datasets import Sample

CLASSES = ("normal", "benign", "malignant")
AT = Placement(Box(0, 0, 1, 1), 0, 0, 1, 1, 1, 1)


def run(folder, labels, logits, *, leaked=0, answers="predictions", dataset="busi", **changes):
    """A run folder as the loop leaves it, as far as results are read from it."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"name": "tiny", "about": "", "seeds": [0], "epochs": 3, "size_px": 224, **changes}
    (folder / "config.json").write_text(json.dumps({"recipe": recipe, "n_test_leaked": leaked, "start": "hub"}))
    samples = [Sample(dataset, f"{folder.name} {i}", None, (), label) for i, label in enumerate(labels)]
    maps = np.zeros((3, 1, 1), np.float32)
    judged = [Judgement(np.exp(z), z, maps, AT, None) for z in np.array(logits, np.float32)]
    predictions.write(folder / f"{answers}.csv", CLASSES, samples, judged, [s.patient or s.name for s in samples])


def logits_of(labels, random, signal=2.0):
    rows = random.normal(size=(len(labels), 3))
    rows[np.arange(len(labels)), [CLASSES.index(label) for label in labels]] += signal
    return rows
