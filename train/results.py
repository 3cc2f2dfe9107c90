"""From run folders to numbers: folds pooled by seed, each question with its n and interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from train import predictions
from train.calibrate import fit_calibration
from train.datasets import DataError
from train.evaluate import binary_metrics
from train.predictions import QUESTIONS, Predictions, Question
from train.run_folder import config_of, differing, start_and_teachers

Kind = Literal["predictions", "external"]
"""Answers to held-out pictures, or to the external set."""


@dataclass(frozen=True)
class Result:
    """The answers of some runs of a recipe to one question about one data set: all folds of a seed, or one split.

    ``part`` names these runs for people, and ``runs`` are their folders. ``start`` is as of
    ``run_folder.start_and_teachers``, ``leaked`` as of ``plan.Run``, ``numbers`` as of ``evaluate.binary_metrics``.
    """

    recipe: str
    part: str
    dataset: str
    question: Question
    epochs: int
    size_px: int
    start: str
    leaked: int
    numbers: dict[str, Any]
    runs: tuple[Path, ...]

    def row(self) -> dict[str, str]:
        """As a line of a table."""
        return {
            "recipe": self.recipe,
            "part": self.part,
            "start": self.start,
            "epochs": str(self.epochs),
            "px": str(self.size_px),
            "data": self.dataset,
            "question": QUESTIONS[self.question],
            "n (leaked)": f"{self.numbers['n']} ({self.leaked})",
            "AUC (95 %)": auc_told(self.numbers),
            "AUC, each patient once": f"{self.numbers['auc_each_once']:.3f}",
            "accuracy": f"{self.numbers['accuracy']:.3f}",
            "ECE (by chance)": f"{self.numbers['ece']:.3f} ({self.numbers['ece_by_chance'].mean:.3f})",
        }


def of_recipe(folder: Path, kind: Kind = "predictions") -> list[Result]:
    """The results of all finished runs below a recipe's folder, as ``train fit --out`` left them.

    Held-out answers of the folds of one seed are pooled; answers to the external set stay with their network.
    """
    return [result for part, files in parts(folder, kind).items() for result in _of_part(part, files)]


def rows(found: Sequence[Result]) -> list[dict[str, str]]:
    """A line for each result, and one more for the mean over the seeds where there are several."""
    lines = [result.row() for result in found]
    alike: dict[tuple[str, Question, str], list[Result]] = {}
    for result in found:
        split = "" if "folds" in result.part else f", {result.part.partition('-')[2]}"
        alike.setdefault((result.dataset, result.question, split), []).append(result)
    for (_, _, split), seeds in sorted(alike.items()):
        if len(seeds) > 1:
            lines.append(mean(seeds, "seeds", split))
    return lines


def mean(found: Sequence[Result], of: str, split: str = "") -> dict[str, str]:
    """One line for several networks that answered the same question: what they have on average, and the AUC's range."""
    keys = ("auc", "auc_each_once", "accuracy", "ece")
    aucs, each_once, accuracies, errors = (np.array([r.numbers[key] for r in found]) for key in keys)
    by_chance = np.mean([r.numbers["ece_by_chance"].mean for r in found])
    return found[0].row() | {
        "part": f"mean of {len(found)} {of}{split}",
        "n (leaked)": f"{_span([r.numbers['n'] for r in found])} ({_span([r.leaked for r in found])})",
        "AUC (95 %)": f"{aucs.mean():.3f} ({of} {aucs.min():.3f}-{aucs.max():.3f})",
        "AUC, each patient once": f"{each_once.mean():.3f}",
        "accuracy": f"{accuracies.mean():.3f}",
        "ECE (by chance)": f"{errors.mean():.3f} ({by_chance:.3f})",
    }


def auc_told(numbers: Mapping[str, Any]) -> str:
    """The AUC with its interval, of ``evaluate.binary_metrics``."""
    low, high = numbers["auc_ci"]
    return f"{numbers['auc']:.3f} ({low:.3f}-{high:.3f})"


def _span(counts: Sequence[int]) -> str:
    return "-".join(str(count) for count in sorted({min(counts), max(counts)}))


def parts(folder: Path, kind: Kind = "predictions") -> dict[str, list[Path]]:
    """The answers that belong together, by seed (the folds) or by run (anything else); none of a run on everything."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob(f"*/{kind}.csv")):
        if not predictions.holds_some(file):
            continue
        seed, _, name = file.parent.name.partition("-")
        pooled = name.startswith("fold") and kind == "predictions"
        found.setdefault(seed if pooled else file.parent.name, []).append(file)
    return found


def _of_part(part: str, files: list[Path]) -> Iterator[Result]:
    runs = [file.parent for file in files]
    configs = [config_of(run) for run in runs]
    recipe = configs[0]["recipe"]
    for run, config in zip(runs, configs, strict=True):
        if differ := differing(recipe, config["recipe"]):
            raise DataError(
                f"{run} was trained with another {', '.join(differ)} than {runs[0]}: folds of one recipe are pooled. "
                "Train each variant into an --out of its own"
            )
    answers = predictions.read(files)
    calibrated = cross_fitted(answers)
    title = runs[0].name if len(runs) == 1 else f"{part}, {len(runs)} folds"
    for dataset, question, asked in answers.questions():
        chosen = calibrated[asked]
        numbers = binary_metrics(chosen.probability(question), chosen.positive(question), chosen.patients.tolist())
        yield Result(
            recipe["name"],
            title,
            dataset,
            question,
            recipe["epochs"],
            recipe["size_px"],
            " / ".join(sorted({start_and_teachers(config) for config in configs})),
            0 if dataset in recipe["external"] else sum(config["n_test_leaked"] for config in configs),
            numbers,
            tuple(runs),
        )


def cross_fitted(answers: Predictions) -> Predictions:
    """Every answer calibrated as the other runs' answers ask for; of a run on its own, as they are."""
    logits = answers.logits.copy()
    for run in set(answers.runs.tolist()):
        its = answers.runs == run
        if not its.all():
            logits[its] = answers[its].calibrated(*fit_calibration(answers[~its])).logits
    return replace(answers, logits=logits)
