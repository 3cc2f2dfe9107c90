"""``figures``: what docs/results holds, made from run folders, the shipped weights and the data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rcdnet import checkpoint
from rcdnet.glance import Judgement
from rcdnet.model import Network, RcdNet
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.spec import ModelSpec
from train import compare, datasets, figures, loop, predictions, results
from train.datasets import DataError, Sample
from train.duplicates import bootstrap_groups
from train.evaluate import Judge, binary_metrics, malignant_share, select, subgroup_indices
from train.figures import Answers
from train.predict import predict
from train.results import Kind
from train.run_folder import config_of, recipe_of, start_and_teachers

RECIPES = ("joint", "twin", "grouped", "patient", "transfer", "paper", "shipped")

COLUMNS = """\
A row is about pictures that its networks were not trained on: all folds of a seed together, or one split.

- **n (leaked)**: pictures, and how many of them have a near copy among those that were trained on.
- **AUC (95 %)**: with a bootstrap interval over patients or, where none is named, over near copies.
- **AUC, each patient once**: each patient, or picture with its near copies, weighs the same.
- **accuracy**, sensitivity and specificity: with yes from 0.5 on.
- **ECE (by chance)**: expected calibration error; what a perfectly calibrated network would show on as many pictures.

Before any number here, each fold's answers are calibrated by those of the other folds; a single run's are not."""
"""What stands above the tables."""


def publish(runs: Path, data_root: Path, weights: Path, out: Path, *, pictures: bool = False) -> list[Path]:
    """Write tables.md and the figures of what is finished below RUNS; the files written.

    RUNS holds a folder for each recipe, or ``compare``, or both. Raises DataError if it holds no finished run.
    """
    compared, peers = (_compared(runs / "compare", kind) for kind in compare.KINDS)
    curves = sorted(path.parent for path in runs.glob("*/*/metrics.csv"))
    if not curves and not any((runs / "compare").glob("*/*/*/predictions.csv")):
        raise DataError(f"{runs} holds no runs: point at the folder above that of a recipe, or above compare")
    model = checkpoint.load(weights)
    external = select(datasets.load(data_root / compare.EXTERNAL), "binary")
    judgements = predict(model, [sample.grey() for sample in external])
    shipped = _answers("shipped, UDIAT", external, judgements, model.spec)

    write: dict[str, Callable[..., None]] = {
        "roc_external.png": partial(figures.roc, [*peers, shipped], title="UDIAT, benign / malignant"),
    }
    if compared:
        write["roc_compared.png"] = partial(figures.roc, compared, title="held out, benign / malignant")
    if curves:
        inside = [one for name in _recipes(runs) for one in _answers_below(runs / name)]
        calibrated = [*inside[:1], shipped]
        write |= {
            "training_curves.png": partial(figures.training_curves, curves),
            "roc_internal.png": partial(figures.roc, inside, title="held out, benign / malignant"),
            "reliability.png": partial(figures.reliability, calibrated),
            "selective.png": partial(figures.selective, calibrated, model.spec.operating_points["balanced"].malignant),
            "heat_maps.png": partial(figures.heat_maps, _examples(external), _networks(runs, model), pictures=pictures),
        }
    text = tables(runs, data_root)  # first: what it misses is told before anything is drawn
    links = [f"- [{Path(name).stem.replace('_', ' ')}]({name})\n" for name in write]
    text += "\n## Figures\n\n" + "".join(links)
    for name, draw in write.items():
        draw(path=out / name)
    (out / "tables.md").write_text(text, encoding="utf-8")
    return [out / "tables.md", *(out / name for name in write)]


def tables(runs: Path, data_root: Path) -> str:
    """Every finished protocol, its subgroups and the comparison below RUNS, in Markdown."""
    protocols = [
        row if row["recipe"] == name else row | {"recipe": f"{row['recipe']} ({name})"}  # a variant, by its --out
        for name in _recipes(runs)
        for answers in ("predictions", "external")
        for row in results.rows(results.of_recipe(runs / name, answers))
    ]
    parts = [
        "# Results",
        f"**{RESEARCH_NOTICE}** Made by `python -m train figures` from what `train fit` and `train compare` left.",
        COLUMNS,
    ]
    if protocols:
        parts += ["## Protocols", _markdown(protocols)]
    if held_out := _subgroups(runs / "joint", data_root):
        parts += [
            "## Subgroups of `joint`, held out, benign / malignant",
            "Sizes are thirds of a set's lesions, by their share of the picture.",
            _markdown(held_out),
        ]
    compared = compare.table(runs / "compare")
    if compared:
        parts += [
            "## RcdNet beside other networks",
            "Within a recipe and part all networks had the same data, epochs, input and kind of start, but not those "
            "of the protocols: read `start`, `epochs` and `px` first.",
            _markdown(compared),
        ]
    return "\n\n".join(parts) + "\n"


def _recipes(runs: Path) -> list[str]:
    """The names of the recipes that have runs, ours first and in their order."""
    found = {path.parent.parent.name for path in runs.glob("*/*/metrics.csv")}
    return [*(name for name in RECIPES if name in found), *sorted(found.difference(RECIPES))]


def _answers_below(folder: Path) -> Iterator[Answers]:
    """Held-out answers, benign against malignant, for each part of the first seed and each data set."""
    for part, files in results.parts(folder).items():
        if part.startswith("seed0"):
            for dataset, answers in _malignant(files):
                name = f"{folder.name}, {part.removeprefix('seed0-')}, {dataset}".replace(", seed0", "")
                yield replace(answers, name=name)


def _compared(folder: Path, kind: Kind) -> list[Answers]:
    """Every network's answers to the same pictures: of the first recipe and part that all of them have finished."""
    networks = [network for name in compare.NETWORKS if (network := folder / name).is_dir()]
    finished = [_finished(network, kind) for network in networks]
    if not (common := set.intersection(*map(set, finished)) if finished else None):
        return []
    recipe, part, _ = first = min(common)
    title = f"{recipe}, {part.removeprefix('seed0-')}".removesuffix(", seed0")
    return [
        replace(answers, name=f"{network.name} ({title}, {_how(its[first][0].parent)})")
        for network, its in zip(networks, finished, strict=True)
        for _, answers in _malignant(its[first])
    ]


def _finished(network: Path, kind: Kind) -> dict[tuple[str, str, tuple[str, ...]], list[Path]]:
    """The files of each recipe, part and runs: folds may still be missing."""
    return {
        (recipe.name, part, tuple(file.parent.name for file in files)): files
        for recipe in network.iterdir()
        for part, files in results.parts(recipe, kind).items()
    }


def _malignant(files: Sequence[Path]) -> Iterator[tuple[str, Answers]]:
    """Data set and answers to benign or malignant, calibrated by cross-fitting; without a name."""
    answers = results.cross_fitted(predictions.read(files))
    for dataset, question, asked in answers.questions():
        if question == "malignant":
            its = answers[asked]
            yield dataset, Answers("", its.positive(question), its.probability(question), its.patients.tolist())


def _how(run: Path) -> str:
    """What a reader must know before comparing: start, teachers, epochs and input of a run."""
    recipe = recipe_of(run)
    return f"{start_and_teachers(config_of(run))}, {recipe.epochs} epochs, {recipe.size_px} px"


def _answers(name: str, samples: Sequence[Sample], judgements: Sequence[Judgement], spec: ModelSpec) -> Answers:
    malignant = np.array([sample.label == "malignant" for sample in samples])
    return Answers(name, malignant, malignant_share(judgements, spec), bootstrap_groups(samples))


def _examples(samples: Sequence[Sample]) -> list[Sample]:
    """Two benign and two malignant lesions, at a third and two thirds of their order by size: nobody's choice."""
    chosen = []
    for label in ("benign", "malignant"):
        by_size = sorted((s for s in samples if s.label == label), key=lambda s: float(s.lesion().mean()))
        chosen += [by_size[len(by_size) // 3], by_size[2 * len(by_size) // 3]]
    return chosen


def _networks(runs: Path, model: RcdNet) -> list[tuple[str, Judge, ModelSpec]]:
    """The shipped network and the compared ones, each with what judges a picture by it."""
    found: list[tuple[str, Network]] = [("shipped", model)]
    for name in compare.NETWORKS:
        folder = runs / "compare" / name / "paper" / "seed0-random"
        if (folder / "model.safetensors").exists():
            found.append((f"{name} ({_how(folder)})", loop.load_trained(folder)))
    return [(name, partial(predict, network), network.spec) for name, network in found]


def _subgroups(folder: Path, data_root: Path) -> list[dict[str, str]]:
    """One row for each data set, attribute and value; a subgroup of one label has no AUC and is left out."""
    files = results.parts(folder).get("seed0", [])
    if not files:
        return []
    answers = predictions.read(files)
    share = results.cross_fitted(answers).malignant_share()
    known = answers.samples(data_root, recipe_of(files[0].parent).data)
    by_name = {(sample.dataset, sample.name): sample for sample in known}
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
                if positive.all() or not positive.any():
                    continue
                numbers = binary_metrics(share[part], positive, answers.patients[part].tolist())
                rows.append(
                    {
                        "data": dataset,
                        "subgroup": f"{attribute} {value}",
                        "n (malignant)": f"{len(part)} ({int(positive.sum())})",
                        "AUC (95 %)": results.auc_told(numbers),
                        "sensitivity": f"{numbers['sensitivity']:.3f}",
                        "specificity": f"{numbers['specificity']:.3f}",
                    }
                )
    return rows


def _markdown(rows: Sequence[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
