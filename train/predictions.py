"""The answers of networks to pictures that they were not trained on: written into run folders, and read back."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rcdnet.files import written_whole
from rcdnet.glance import Judgement, calibrated, softmax
from train.datasets import Sample, load_all, read_table
from train.errors import DataError, LeakError
from train.metrics import has_both
from train.run_folder import config_of, seed_and_split

_KEYS = ("dataset", "name", "label", "patient", "external")

Question = Literal["malignant", "lesion"]
QUESTIONS: dict[Question, str] = {"malignant": "benign / malignant", "lesion": "normal / lesion"}


@dataclass(frozen=True)
class Predictions:
    """N answers: ``logits`` float32 [N, K], before any calibration, with ``truth`` int [N], an index into
    ``class_names``.

    ``datasets`` and ``names`` [N] say which picture each is about. ``patients`` [N] are its
    ``duplicates.bootstrap_groups``, ``runs`` [N] the names of the run folders that answered. ``external`` bool [N]
    marks pictures on which nothing may be tuned.
    """

    class_names: tuple[str, ...]
    logits: NDArray[np.float32]
    truth: NDArray[np.intp]
    datasets: NDArray[np.str_]
    names: NDArray[np.str_]
    patients: NDArray[np.str_]
    runs: NDArray[np.str_]
    external: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Predictions":
        return replace(self, **{name: getattr(self, name)[chosen] for name in _PER_PICTURE})

    def calibrated(self, temperature: float, cubic: float) -> "Predictions":
        """The same answers with calibrated log-probabilities as their logits (``rcdnet.glance.calibrated``)."""
        return replace(self, logits=calibrated(self.logits, self.class_names, temperature, cubic))

    def pictures(self) -> set[tuple[str, str]]:
        """Data set and name of each."""
        return set(zip(self.datasets.tolist(), self.names.tolist(), strict=True))

    def samples(self, data_root: Path, folders: Sequence[str]) -> list[Sample]:
        """The pictures themselves, each once, in the order of the data sets in ``folders`` below ``data_root``. Raises
        DataError if one is gone."""
        asked = self.pictures()
        found = [s for s in load_all([data_root / name for name in folders]) if (s.dataset, s.name) in asked]
        if missing := asked - {(s.dataset, s.name) for s in found}:
            dataset, name = min(missing)
            run = self.runs[(self.datasets == dataset) & (self.names == name)][0]
            raise DataError(f"{data_root} no longer has {dataset}/{name}, which {run} answered")
        return found

    def is_label(self, name: str) -> NDArray[np.bool_]:
        """Where the truth is this class, bool [N]; nowhere, if the model has no such class."""
        return np.asarray(self.truth == (self.class_names.index(name) if name in self.class_names else -1))

    def questions(self) -> Iterator[tuple[str, Question, NDArray[np.bool_]]]:
        """For each data set the questions that can be evaluated on it, each with the answers bool [N] to evaluate.

        "malignant" is about lesions only. A question needs pictures on both sides.
        """
        for dataset in sorted(set(self.datasets.tolist())):
            for question in QUESTIONS:
                asked = self.datasets == dataset
                if question == "malignant":
                    asked &= ~self.is_label("normal")
                if has_both(self.positive(question)[asked]):
                    yield dataset, question, asked

    def positive(self, question: Question) -> NDArray[np.bool_]:
        """Where the true answer to a question is yes, bool [N]."""
        return self.is_label("malignant") if question == "malignant" else ~self.is_label("normal")

    def probability(self, question: Question) -> NDArray[np.float32]:
        """The probability of yes, float32 [N]: p(malignant | lesion) or p(lesion)."""
        return self.malignant_share() if question == "malignant" else self.lesion_probability()

    def malignant_share(self) -> NDArray[np.float32]:
        """p(malignant) / (p(benign) + p(malignant)), float32 [N]."""
        pair = [self.class_names.index(name) for name in ("benign", "malignant")]
        return softmax(self.logits[:, pair])[:, 1]

    def lesion_probability(self) -> NDArray[np.float32]:
        """1 - p(normal), float32 [N]. Raises ValueError if the model has no class for normal."""
        return np.asarray(1 - softmax(self.logits)[:, self.class_names.index("normal")], np.float32)


_PER_PICTURE = [field.name for field in fields(Predictions) if field.name != "class_names"]


def write(
    path: Path,
    class_names: Sequence[str],
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    patients: Sequence[str],
) -> None:
    """Write a row per picture; ``patients`` are the ``duplicates.bootstrap_groups``. The file appears once it is
    complete."""
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*_KEYS, *class_names])
        for sample, judgement, patient in zip(samples, judgements, patients, strict=True):
            keys = sample.dataset, sample.name, sample.label, patient, "yes" if sample.external else ""
            rows.writerow([*keys, *(f"{value:.5f}" for value in judgement.logits)])


def has_rows(path: Path) -> bool:
    """Whether a file of answers exists and holds any: that of a run on all data has only a header."""
    return path.is_file() and len(path.read_text(encoding="utf-8").splitlines()) > 1


def require_held_out(paths: Sequence[Path]) -> None:
    """Raises LeakError if pictures in one of these files have near copies among those that its network trained on, as
    its run folder says."""
    for path in paths:
        if (path.parent / "config.json").is_file() and (leaked := config_of(path.parent)["n_test_leaked"]):
            raise LeakError(f"{path}: {leaked} of its pictures have a near copy among what its network learned from")


def read(paths: Sequence[Path]) -> Predictions:
    """The answers in the files of several runs, one after the other.

    Raises DataError if a file is missing or not a table of answers, if it has other classes than the files before it,
    or if a picture is answered twice for one seed: in the folds of one recipe each picture is held out once.
    """
    found = [(path, answers) for path in paths if len(answers := _read_one(path))]
    if not found:
        raise DataError("no predictions: a network that is trained on everything holds out nothing")
    class_names = found[0][1].class_names
    for path, answers in found:
        if answers.class_names != class_names:
            raise DataError(
                f"{path} answers {', '.join(answers.class_names)}; the files before it {', '.join(class_names)}"
            )
    together = {name: np.concatenate([getattr(answers, name) for _, answers in found]) for name in _PER_PICTURE}
    return _each_once(Predictions(class_names, **together))


def _read_one(path: Path) -> Predictions:
    """The answers in one file. Raises DataError as ``read``."""
    if not path.is_file():
        raise DataError(f"{path} is a folder: name the predictions.csv in it" if path.is_dir() else f"no {path}")
    rows = read_table(path, "dataset", "name", "label", "patient")
    class_names = tuple(key for key in rows[0] if key not in _KEYS) if rows else ()
    try:
        logits = [[float(row[name]) for name in class_names] for row in rows]
        truth = [class_names.index(row["label"]) for row in rows]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of answers as `train fit` writes it: {error}") from error
    return Predictions(
        class_names=class_names,
        logits=np.array(logits, np.float32),
        truth=np.array(truth),
        datasets=np.array([row["dataset"] for row in rows]),
        names=np.array([row["name"] for row in rows]),
        patients=np.array([row["patient"] or row["name"] for row in rows]),
        runs=np.array([path.parent.name] * len(rows)),
        external=np.array([bool(row.get("external")) for row in rows]),
    )


def _each_once(answers: Predictions) -> Predictions:
    """The same. Raises DataError as ``read``."""
    pictures = zip(answers.runs.tolist(), answers.datasets.tolist(), answers.names.tolist(), strict=True)
    counts = Counter((seed_and_split(run)[0], dataset, name) for run, dataset, name in pictures)
    if twice := [picture for picture, count in counts.items() if count > 1]:
        seed, dataset, name = twice[0]
        raise DataError(
            f"{len(twice)} pictures are answered more than once for one seed, such as {dataset}/{name} for {seed}. "
            "Expected each file once, and folds of one recipe on the same data."
        )
    return answers
