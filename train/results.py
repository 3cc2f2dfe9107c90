"""From run folders to rows of numbers: the folds of a seed are pooled, and each question has its n and interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from train import metrics, predictions
from train.calibrate import fit_calibration
from train.errors import DataError
from train.predictions import QUESTIONS, Predictions, Question
from train.run_folder import config_of, differing, seed_and_split, start_and_teachers

Kind = Literal["predictions", "external"]
"""Which answers of a run: to held-out pictures (predictions.csv), or to the external set (external.csv)."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Result:
    """The answers of some runs of a recipe to one question about one data set: all folds of a seed, or one split.

    ``part`` is their displayed name, and ``runs`` are their folders. ``start`` is as in
    ``run_folder.start_and_teachers``, ``leaked`` as in ``plan.TrainingRun``, ``numbers`` as in
    ``metrics.binary_metrics``.
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
        """The cells of a table by column."""
        return {
            "recipe": self.recipe,
            "part": self.part,
            "start": self.start,
            "epochs": str(self.epochs),
            "px": str(self.size_px),
            "data": self.dataset,
            "question": QUESTIONS[self.question],
            "n (leaked)": f"{self.numbers['n']} ({self.leaked})",
            "AUC (95 %)": auc_text(self.numbers),
            "AUC, each patient once": f"{self.numbers['auc_each_once']:.3f}",
            "accuracy": f"{self.numbers['accuracy']:.3f}",
            "ECE (by chance)": f"{self.numbers['ece']:.3f} ({self.numbers['ece_by_chance'].mean:.3f})",
        }


def of_recipe(folder: Path, kind: Kind = "predictions") -> list[Result]:
    """The results of all finished runs below a recipe's folder, as ``train fit --out`` left them, part by part.

    Raises DataError if runs that belong together were trained by different recipes, or if a file is damaged.
    """
    return [result for part, files in files_by_part(folder, kind).items() for result in _of_part(part, files, kind)]


def rows(results: Sequence[Result]) -> list[dict[str, str]]:
    """A row for each result, then one for the mean over the seeds of what several seeds answered."""
    table = [result.row() for result in results]
    groups: dict[tuple[str, Question, str], list[Result]] = {}
    for result in results:
        split = "" if "folds" in result.part else f", {seed_and_split(result.part)[1]}"
        groups.setdefault((result.dataset, result.question, split), []).append(result)
    for (_, _, split), seeds in sorted(groups.items()):
        if len(seeds) > 1:
            table.append(mean_row(seeds, "seeds", split))
    return table


def mean_row(results: Sequence[Result], of: str, split: str = "") -> dict[str, str]:
    """One row for several networks (``of`` says what they are: seeds, folds) that answered the same question: the means
    of their numbers, and the range of their AUCs."""
    keys = ("auc", "auc_each_once", "accuracy", "ece")
    aucs, each_once, accuracies, errors = (np.array([r.numbers[key] for r in results]) for key in keys)
    by_chance = np.mean([r.numbers["ece_by_chance"].mean for r in results])
    return results[0].row() | {
        "part": f"mean of {len(results)} {of}{split}",
        "n (leaked)": f"{_range([r.numbers['n'] for r in results])} ({_range([r.leaked for r in results])})",
        "AUC (95 %)": f"{aucs.mean():.3f} ({of} {aucs.min():.3f}-{aucs.max():.3f})",
        "AUC, each patient once": f"{each_once.mean():.3f}",
        "accuracy": f"{accuracies.mean():.3f}",
        "ECE (by chance)": f"{errors.mean():.3f} ({by_chance:.3f})",
    }


def auc_text(numbers: Mapping[str, Any]) -> str:
    """The AUC of ``metrics.binary_metrics`` with its interval."""
    low, high = numbers["auc_ci"]
    return f"{numbers['auc']:.3f} ({low:.3f}-{high:.3f})"


def _range(counts: Sequence[int]) -> str:
    return "-".join(str(count) for count in sorted({min(counts), max(counts)}))


def files_by_part(folder: Path, kind: Kind = "predictions") -> dict[str, list[Path]]:
    """The files of answers below a recipe's folder, grouped into parts that are evaluated together.

    Held-out answers of the folds of one seed are one part, named after the seed. Everything else is a part by itself,
    named after its run: the folds' answers to the external set are those of different networks to the same pictures.
    A run on all data, which held out nothing, is left out.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob(f"*/{kind}.csv")):
        if not predictions.has_rows(file):
            continue
        run = file.parent.name
        seed, split = seed_and_split(run)
        pooled = split.startswith("fold") and kind == "predictions"
        found.setdefault(seed if pooled else run, []).append(file)
    return found


def _of_part(part: str, files: list[Path], kind: Kind) -> Iterator[Result]:
    """A result for each data set and question of one part."""
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
    for dataset, question, asked in answers.questions():
        chosen = calibrated[asked]
        numbers = metrics.binary_metrics(
            chosen.probability(question), chosen.positive(question), chosen.patients.tolist()
        )
        yield Result(
            recipe=recipe["name"],
            part=runs[0].name if len(runs) == 1 else f"{part}, {len(runs)} folds",
            dataset=dataset,
            question=question,
            epochs=recipe["epochs"],
            size_px=recipe["size_px"],
            start=" / ".join(sorted({start_and_teachers(config) for config in configs})),
            leaked=0 if kind == "external" else sum(config["n_test_leaked"] for config in configs),
            numbers=numbers,
            runs=tuple(runs),
        )


def cross_fitted(answers: Predictions) -> Predictions:
    """The answers of each run (fold), calibrated by a fit to those of the other runs, so that no picture calibrates
    itself. The answers of a single run are left as they are."""
    logits = answers.logits.copy()
    for run in set(answers.runs.tolist()):
        of_run = answers.runs == run
        if not of_run.all():
            logits[of_run] = answers[of_run].calibrated(*fit_calibration(answers[~of_run])).logits
    return replace(answers, logits=logits)
