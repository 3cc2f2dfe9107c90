"""tables.md: Markdown tables of all that is finished below a folder of run folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcdnet.notice import RESEARCH_NOTICE
from train import compare, metrics, predictions, results
from train.run_folder import recipe_of
from train.subgroups import subgroup_indices

RECIPES = ("joint", "twin", "grouped", "patient", "transfer", "paper", "shipped")

COLUMNS = """\
Each row is of pictures that its networks were not trained on: all folds of a seed together, or one split.

- **n (leaked)**: pictures, and how many of them have a near copy in the training set.
- **AUC (95 %)**: bootstrap interval over patients or, where patients are unknown, over groups of near copies.
- **AUC, each patient once**: each patient, or picture with its near copies, has the same weight.
- **accuracy**, sensitivity and specificity: at a threshold of 0.5.
- **ECE (by chance)**: expected calibration error (that of a perfectly calibrated network on as many pictures).

Each fold's answers are first calibrated on those of the other folds; a single run's are not calibrated."""
"""The text above the tables."""


def tables(runs: Path, data_root: Path) -> str:
    """Markdown tables of all that is finished below RUNS: the protocols, the subgroups of ``joint``, the comparison."""
    protocols = [
        row if row["recipe"] == name else row | {"recipe": f"{row['recipe']} ({name})"}  # a variant, by its --out
        for name in recipes_below(runs)
        for kind in results.KINDS
        for row in results.rows(results.of_recipe(runs / name, kind))
    ]
    parts = [
        "# Results",
        f"**{RESEARCH_NOTICE}** Made by `python -m train figures` from what `train fit` and `train compare` left.",
        COLUMNS,
    ]
    if protocols:
        parts += ["## Protocols", _markdown(protocols)]
    if subgroups := _subgroups(runs / "joint", data_root):
        parts += [
            "## Subgroups of `joint`, held out, benign / malignant",
            "Sizes are thirds of a set's lesions, by their share of the picture.",
            _markdown(subgroups),
        ]
    if compared := compare.table(runs / "compare"):
        parts += [
            "## RcdNet beside other networks",
            "Within a recipe and part all networks had the same data, epochs, input and kind of start, but not those "
            "of the protocols: read `start`, `epochs` and `px` first.",
            _markdown(compared),
        ]
    return "\n\n".join(parts) + "\n"


def recipes_below(runs: Path) -> list[str]:
    """The folders below RUNS that hold runs of a recipe: first those of RECIPES, in that order, then the others."""
    found = {path.parent.parent.name for path in runs.glob("*/*/metrics.csv")}
    return [*(name for name in RECIPES if name in found), *sorted(found.difference(RECIPES))]


def _subgroups(folder: Path, data_root: Path) -> list[dict[str, str]]:
    """One row for each data set, attribute and value. A subgroup that is all benign or all malignant has no AUC and is
    left out."""
    files = results.files_by_part(folder).get("seed0", [])
    if not files:
        return []
    answers = predictions.read(files)
    share = results.cross_fitted(answers).malignant_share()
    answered = answers.samples(data_root, recipe_of(files[0].parent).data)
    by_name = {(sample.dataset, sample.name): sample for sample in answered}
    rows = []
    for dataset in sorted(set(answers.datasets.tolist())):
        index = np.flatnonzero((answers.datasets == dataset) & ~answers.is_label("normal"))
        samples = [by_name[dataset, name] for name in answers.names[index].tolist()]
        attributes = dict.fromkeys(name for sample in samples for name in sample.attributes)
        sizes = ["size"] if any(sample.masks for sample in samples) else []
        for attribute in (*sizes, *attributes):
            for value, inside in subgroup_indices(samples, attribute).items():
                part = index[inside]
                positive = answers.is_label("malignant")[part]
                if not metrics.has_both(positive):
                    continue
                numbers = metrics.binary_metrics(share[part], positive, answers.patients[part].tolist())
                rows.append(
                    {
                        "data": dataset,
                        "subgroup": f"{attribute} {value}",
                        "n (malignant)": f"{len(part)} ({int(positive.sum())})",
                        "AUC (95 %)": results.auc_text(numbers),
                        "sensitivity": f"{numbers['sensitivity']:.3f}",
                        "specificity": f"{numbers['specificity']:.3f}",
                    }
                )
    return rows


def _markdown(rows: Sequence[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
