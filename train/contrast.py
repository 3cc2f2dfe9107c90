"""What did a training choice change? Two recipes' held-out answers to the same pictures, paired picture by picture."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train import metrics, predictions
from train.datasets import DataError
from train.predictions import QUESTIONS, Predictions
from train.run_folder import config_of, differing, start_and_teachers


def contrast(first: Path, others: Sequence[Path]) -> list[dict[str, str]]:
    """One row for each of ``others``, split, data set and question: AUC there, and its difference to ``first`` (95 %).
    ``changed`` names the keys of the recipe, and the start, in which they differ; which of several did it is not told.

    Folders of run folders, as ``train fit --out`` leaves them; only the runs that both have count, folds and seeds
    pooled. Raises DataError if they have none in common, or held out other pictures.
    """
    return [row for other in others for names in _common(first, other) for row in _rows(first, other, names)]


def _common(first: Path, other: Path) -> list[list[str]]:
    """The runs that both have, by split: all folds are one, and the leaking split is not its twin."""
    names = sorted({file.parent.name for file in first.glob("*/predictions.csv")})
    splits: dict[str, list[str]] = {}
    for name in names:
        if (other / name / "predictions.csv").is_file():
            splits.setdefault(re.sub(r"\d+$", "", name.partition("-")[2]), []).append(name)
    if not splits:
        raise DataError(f"{first} and {other} have no finished run in common")
    return list(splits.values())


def _rows(first: Path, other: Path, names: Sequence[str]) -> list[dict[str, str]]:
    one, two = (_ordered(predictions.read([f / name / "predictions.csv" for name in names])) for f in (first, other))
    if len(one) != len(two) or (one.names != two.names).any() or (one.datasets != two.datasets).any():
        raise DataError(f"{first} and {other} did not hold out the same pictures")
    changed = sorted({key for name in names for key in _changed(config_of(first / name), config_of(other / name))})
    rows = []
    for dataset, question, asked in one.questions():
        positive = one.positive(question)[asked]
        before, after = one.probability(question)[asked], two.probability(question)[asked]
        difference = metrics.auc_difference(positive, after, before, one.patients[asked].tolist())
        rows.append(
            {
                "runs": str(other),
                "changed": ", ".join(changed),
                "of": names[0] if len(names) == 1 else f"{len(names)} runs",
                "data": dataset,
                "question": QUESTIONS[question],
                "n": str(len(positive)),
                "AUC": f"{metrics.auc(positive, after):.3f}",
                "difference (95 %)": difference.signed(),
            }
        )
    return rows


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    start = [(start_and_teachers(config), config.get("start_sha256")) for config in (one, other)]
    elsewhere = start[0] != start[1] if all(sha for _, sha in start) else start[0][0] != start[1][0]
    return differing(one["recipe"], other["recipe"]) + ["start"] * elsewhere


def _ordered(found: Predictions) -> Predictions:
    return found[np.lexsort((found.runs, found.names, found.datasets))]
