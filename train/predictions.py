"""What networks answered to pictures they were not trained on: the tables in run folders, read back together."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Judgement, softmax
from train.datasets import DataError, Sample

_KEYS = ("dataset", "name", "label", "patient")


@dataclass(frozen=True)
class Predictions:
    """N answers: ``logits`` float32 [N, K] before any temperature, ``truth`` int [N] into ``class_names``.

    ``names`` are those of the pictures; ``patients`` repeat them where a data set names no patients; ``runs`` are the
    run folders that answered.
    """

    class_names: tuple[str, ...]
    logits: NDArray[np.float32]
    truth: NDArray[np.intp]
    datasets: NDArray[np.str_]
    names: NDArray[np.str_]
    patients: NDArray[np.str_]
    runs: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Predictions":
        parts = (self.logits, self.truth, self.datasets, self.names, self.patients, self.runs)
        return Predictions(self.class_names, *(part[chosen] for part in parts))

    def is_label(self, name: str) -> NDArray[np.bool_]:
        """Where the truth is this class; nowhere, if the model does not know it."""
        return self.truth == (self.class_names.index(name) if name in self.class_names else -1)

    def malignant_share(self, temperature: float = 1.0) -> NDArray[np.float32]:
        """p(malignant) over p(benign) + p(malignant), float32 [N]."""
        pair = [self.class_names.index(name) for name in ("benign", "malignant")]
        return softmax(self.logits[:, pair], temperature)[:, 1]

    def lesion_probability(self, temperature: float = 1.0) -> NDArray[np.float32]:
        """1 - p(normal), float32 [N]. Raises ValueError if the model knows no normal."""
        return np.asarray(1 - softmax(self.logits, temperature)[:, self.class_names.index("normal")], np.float32)


def write(path: Path, class_names: Sequence[str], samples: Sequence[Sample], judgements: Sequence[Judgement]) -> None:
    """One row a picture."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*_KEYS, *class_names])
        for s, j in zip(samples, judgements, strict=True):
            rows.writerow([s.dataset, s.name, s.label, s.patient or "", *(f"{value:.5f}" for value in j.logits)])


def read(paths: Sequence[Path]) -> Predictions:
    """The files of several runs, one after the other. Raises DataError if one is missing or names other classes."""
    rows, runs, names = [], [], None
    for path in paths:
        if not path.is_file():
            raise DataError(f"there is no {path}")
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            classes = tuple(key for key in reader.fieldnames or () if key not in _KEYS)
            found = list(reader)
        if names is not None and classes != names:
            raise DataError(f"{path} answers {', '.join(classes)}; the files before it {', '.join(names)}")
        names = classes
        rows += found
        runs += [path.parent.name] * len(found)
    if not rows or not names:
        raise DataError("no predictions: a network that is trained on everything holds out nothing")
    return Predictions(
        names,
        np.array([[float(row[name]) for name in names] for row in rows], np.float32),
        np.array([names.index(row["label"]) for row in rows]),
        np.array([row["dataset"] for row in rows]),
        np.array([row["name"] for row in rows]),
        np.array([row["patient"] or row["name"] for row in rows]),
        np.array(runs),
    )
