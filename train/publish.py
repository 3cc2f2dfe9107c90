"""``train figures``: the tables and figures of docs/results, from run folders, the shipped weights and the data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rcdnet import checkpoint
from rcdnet.model import Network, RcdNet
from rcdnet.spec import ModelSpec
from train import compare, datasets, figures, loop, predictions, results
from train.datasets import Sample
from train.duplicates import bootstrap_groups
from train.errors import DataError
from train.evaluate import malignant_share, select
from train.figures import Answers
from train.markdown import recipes_below, tables
from train.predict import Judge, predict
from train.results import Kind
from train.run_folder import config_of, recipe_of, seed_and_split, start_and_teachers


def publish(runs: Path, data_root: Path, weights: Path, out: Path, *, pictures: bool = False) -> list[Path]:
    """Write tables.md and the figures of all that is finished below RUNS. Returns the files.

    RUNS holds a folder for each recipe, or ``compare``, or both. Raises DataError if it holds no finished run.
    """
    compared_held_out, compared_external = (_compared(runs / "compare", kind) for kind in results.KINDS)
    curves = sorted(path.parent for path in runs.glob("*/*/metrics.csv"))
    if not curves and not any((runs / "compare").glob("*/*/*/predictions.csv")):
        raise DataError(f"{runs} contains no runs: point at the folder above that of a recipe, or above compare")
    model = checkpoint.load(weights)
    external = select(datasets.load(data_root / compare.EXTERNAL), "binary")
    share = malignant_share(predict(model, [sample.grey() for sample in external]), model.spec)
    malignant = np.array([sample.label == "malignant" for sample in external])
    shipped = Answers("shipped, UDIAT", malignant, share, bootstrap_groups(external))

    drawing: dict[str, Callable[..., None]] = {
        "roc_external.png": partial(figures.roc, [*compared_external, shipped], title="UDIAT, benign / malignant"),
    }
    if compared_held_out:
        drawing["roc_compared.png"] = partial(figures.roc, compared_held_out, title="held out, benign / malignant")
    if curves:
        held_out = [answers for name in recipes_below(runs) for answers in _held_out(runs / name)]
        calibrated = [*held_out[:1], shipped]
        drawing["training_curves.png"] = partial(figures.training_curves, curves)
        if held_out:
            drawing["roc_internal.png"] = partial(figures.roc, held_out, title="held out, benign / malignant")
        drawing |= {
            "reliability.png": partial(figures.reliability, calibrated),
            "selective.png": partial(figures.selective, calibrated, model.spec.operating_points["balanced"].malignant),
            "heat_maps.png": partial(figures.heat_maps, _examples(external), _networks(runs, model), pictures=pictures),
        }
    text = tables(runs, data_root)  # before anything is drawn, so that a damaged run is reported at once
    links = [f"- [{Path(name).stem.replace('_', ' ')}]({name})\n" for name in drawing]
    text += "\n## Figures\n\n" + "".join(links)
    for name, draw in drawing.items():
        draw(path=out / name)
    (out / "tables.md").write_text(text, encoding="utf-8")
    return [out / "tables.md", *(out / name for name in drawing)]


def _held_out(folder: Path) -> Iterator[Answers]:
    """The held-out answers of a recipe, benign or malignant, for each part of the first seed and each data set."""
    for part, files in results.files_by_part(folder).items():
        if seed_and_split(part)[0] == "seed0":
            for dataset, answers in _malignant(files):
                yield replace(answers, name=f"{_title(folder.name, part)}, {dataset}")


def _compared(folder: Path, kind: Kind) -> list[Answers]:
    """Every network's answers to the same pictures: of the first recipe and part that all of them have finished."""
    networks = [network for name in compare.NETWORKS if (network := folder / name).is_dir()]
    finished = [_finished(network, kind) for network in networks]
    common = set.intersection(*map(set, finished)) if finished else set()
    if not common:
        return []
    recipe, part, _ = first = min(common)
    title = _title(recipe, part)
    return [
        replace(answers, name=f"{network.name} ({title}, {_conditions(files[first][0].parent)})")
        for network, files in zip(networks, finished, strict=True)
        for _, answers in _malignant(files[first])
    ]


def _title(recipe: str, part: str) -> str:
    """How a legend names a part of a recipe's runs: by the recipe alone, if it is all folds of seed 0."""
    split = part.removeprefix("seed0").removeprefix("-")
    return f"{recipe}, {split}" if split else recipe


def _finished(network: Path, kind: Kind) -> dict[tuple[str, str, tuple[str, ...]], list[Path]]:
    """The files of a network's answers, by recipe, part and the names of its runs, as some folds may be missing."""
    return {
        (recipe.name, part, tuple(file.parent.name for file in files)): files
        for recipe in network.iterdir()
        for part, files in results.files_by_part(recipe, kind).items()
    }


def _malignant(files: Sequence[Path]) -> Iterator[tuple[str, Answers]]:
    """For each data set the answers to benign or malignant, calibrated by cross-fitting; without a name."""
    answers = results.cross_fitted(predictions.read(files))
    for dataset, question, asked in answers.questions():
        if question == "malignant":
            part = answers[asked]
            yield dataset, Answers("", part.positive(question), part.probability(question), part.patients.tolist())


def _conditions(run: Path) -> str:
    """What a reader must know before comparing: start, teachers, epochs and input of a run."""
    recipe = recipe_of(run)
    return f"{start_and_teachers(config_of(run))}, {recipe.epochs} epochs, {recipe.size_px} px"


def _examples(samples: Sequence[Sample]) -> list[Sample]:
    """Two benign and two malignant lesions: of each kind, ordered by size, those at a third and at two thirds, so that
    nobody chooses them."""
    chosen = []
    for label in ("benign", "malignant"):
        by_size = sorted((s for s in samples if s.label == label), key=lambda s: float(s.lesion().mean()))
        chosen += [by_size[len(by_size) // 3], by_size[2 * len(by_size) // 3]]
    return chosen


def _networks(runs: Path, model: RcdNet) -> list[tuple[str, Judge, ModelSpec]]:
    """The shipped network and the compared ones: name, function that judges pictures, spec."""
    networks: list[tuple[str, Network]] = [("shipped", model)]
    for name in compare.NETWORKS:
        folder = runs / "compare" / name / "paper" / "seed0-random"
        if (folder / "model.safetensors").exists():
            networks.append((f"{name} ({_conditions(folder)})", loop.load_trained(folder)))
    return [(name, partial(predict, network), network.spec) for name, network in networks]
