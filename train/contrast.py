"""What did a training choice change? Two trainings' held-out answers to the same pictures, compared one by one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import digits
from typing import Any

import numpy as np

from train import metrics, predictions
from train.errors import DataError
from train.predictions import QUESTIONS, Predictions
from train.run_folder import config_of, differing, seed_and_split, start_and_teachers


def contrast(first: Path, others: Sequence[Path]) -> list[dict[str, str]]:
    """One row for each of ``others``, and for each split, data set and question: its AUC, and by how much that differs
    from the AUC of ``first``, with a 95 % interval.

    All are folders of run folders, as ``train fit --out`` leaves them. Only runs that both have are compared, with
    their folds and seeds pooled. The column ``changed`` names the keys of the recipe, and the start, in which they
    differ; if there are several, the difference is of all of them together. Raises DataError if two have no run in
    common, or did not hold out the same pictures.
    """
    return [row for other in others for runs in _common_runs(first, other) for row in _rows(first, other, runs)]


def _common_runs(first: Path, other: Path) -> list[list[str]]:
    """The names of the runs that both folders have finished, one list for each kind of split. All folds are of one
    kind; the paper's random split and its leak-free twin are two."""
    kinds: dict[str, list[str]] = {}
    for run in sorted({file.parent.name for file in first.glob("*/predictions.csv")}):
        if (other / run / "predictions.csv").is_file():
            kinds.setdefault(seed_and_split(run)[1].rstrip(digits), []).append(run)
    if not kinds:
        raise DataError(f"{first} and {other} have no finished run in common: name two --out of `train fit`")
    return list(kinds.values())


def _rows(first: Path, other: Path, runs: Sequence[str]) -> list[dict[str, str]]:
    before, after = (_ordered(predictions.read([f / run / "predictions.csv" for run in runs])) for f in (first, other))
    same_size = len(before) == len(after)
    if not same_size or (before.names != after.names).any() or (before.datasets != after.datasets).any():
        raise DataError(f"{first} and {other} did not hold out the same pictures")
    changed = sorted({key for run in runs for key in _changed(config_of(first / run), config_of(other / run))})
    rows = []
    for dataset, question, asked in before.questions():
        positive, patients = before.positive(question)[asked], before.patients[asked].tolist()
        old, new = before.probability(question)[asked], after.probability(question)[asked]
        difference = metrics.auc_difference(positive, new, old, patients)
        rows.append(
            {
                "runs": str(other),
                "changed": ", ".join(changed),
                "of": runs[0] if len(runs) == 1 else f"{len(runs)} runs",
                "data": dataset,
                "question": QUESTIONS[question],
                "n": str(len(positive)),
                "AUC": f"{metrics.auc(positive, new):.3f}",
                "difference (95 %)": difference.signed(),
            }
        )
    return rows


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys of the recipe in which two runs differ, and "start" if that differs."""
    keys = differing(one["recipe"], other["recipe"])
    hashes = [config.get("start_sha256") for config in (one, other)]  # early runs recorded none
    if start_and_teachers(one) != start_and_teachers(other) or (all(hashes) and hashes[0] != hashes[1]):
        keys.append("start")
    return keys


def _ordered(answers: Predictions) -> Predictions:
    return answers[np.lexsort((answers.runs, answers.names, answers.datasets))]
