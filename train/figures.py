"""Draw figures: training curves, ROC, calibration, selective prediction, heat maps."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from rcdnet.glance import lesion_class, scaled_rise
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.preprocess import to_pixels
from rcdnet.spec import ModelSpec
from train import metrics
from train.datasets import Sample
from train.predict import Judge

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

DPI = 110
BINS = 10
"""Bins of equal width in a reliability diagram."""


@dataclass(frozen=True)
class Answers:
    """One network's answers to benign or malignant: its malignant ``share`` [N], 0..1, with the truth, ``malignant``
    bool [N]. ``name`` is for the legend, ``patients`` [N] are the ``duplicates.bootstrap_groups``.
    """

    name: str
    malignant: NDArray[np.bool_]
    share: NDArray[np.floating]
    patients: Sequence[str]


def training_curves(runs: Sequence[Path], path: Path) -> None:
    """The training loss of every run folder over its epochs; the runs of a recipe have one colour."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    colours: dict[str, str] = {}
    for run in runs:
        with (run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        recipe = run.parent.name
        label = None if recipe in colours else recipe
        colour = colours.setdefault(recipe, f"C{len(colours)}")
        epochs, losses = ([float(row[key]) for row in rows] for key in ("epoch", "loss"))
        axes.plot(epochs, losses, color=colour, label=label, linewidth=1)
    axes.set(xlabel="epoch", ylabel="training loss")
    axes.legend(fontsize=8)
    _save(figure, path)


def roc(answers: Sequence[Answers], path: Path, title: str) -> None:
    """ROC curves of malignant against benign, each with its AUC, interval and n."""
    figure, axes = plt.subplots(figsize=(5.6, 6.0 + 0.17 * len(answers)), layout="constrained")
    for one in answers:
        interval = metrics.auc_interval(one.malignant, one.share, one.patients)
        false_positive, true_positive, _ = roc_curve(one.malignant, one.share)
        label = f"{one.name}: {interval}, n {len(one.share)}"
        axes.plot(false_positive, true_positive, linewidth=1.2, label=label)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.6, linestyle=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=title, box_aspect=1)
    figure.legend(fontsize=7, loc="outside lower center")
    _save(figure, path)


def reliability(answers: Sequence[Answers], path: Path) -> None:
    """Reliability diagram: in each bin, the share that is malignant over the mean probability. On the diagonal they are
    equal; a dot's area shows how many answers are in the bin."""
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.6, linestyle=":")
    for one in answers:
        bin_of = np.minimum((one.share * BINS).astype(int), BINS - 1)
        bins = [bin_of == number for number in np.unique(bin_of)]
        mean = [float(one.share[inside].mean()) for inside in bins]
        true = [float(one.malignant[inside].mean()) for inside in bins]
        sizes = [600 * float(inside.mean()) for inside in bins]
        error = metrics.expected_calibration_error(one.share, one.malignant)
        by_chance = metrics.by_chance(metrics.expected_calibration_error, one.share).mean
        label = f"{one.name}: ECE {error:.3f} (by chance {by_chance:.3f}), n {len(one.share)}"
        (line,) = axes.plot(mean, true, linewidth=1, label=label)
        axes.scatter(mean, true, sizes, color=line.get_color(), alpha=0.5)
    axes.set(xlabel="mean probability of malignancy", ylabel="share that is malignant", aspect="equal")
    axes.legend(fontsize=7, loc="upper left")
    _save(figure, path)


def selective(answers: Sequence[Answers], threshold: float, path: Path) -> None:
    """Risk-coverage curves (``metrics.selective_risk``): the share of the calls that is wrong, if only a share of the
    lesions, the surest ones, is called."""
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for one in answers:
        _, risk = metrics.selective_risk(one.share, one.malignant, threshold)
        axes.plot(np.arange(1, len(risk) + 1) / len(risk), risk, linewidth=1.2, label=f"{one.name}, n {len(one.share)}")
    axes.set(xlabel="share of lesions that are called", ylabel="share of calls that are wrong", ylim=(0, None))
    axes.legend(fontsize=8)
    _save(figure, path)


def heat_maps(
    samples: Sequence[Sample],
    maps: Sequence[tuple[str, Judge, ModelSpec]],
    path: Path,
    *,
    pictures: bool,
) -> None:
    """A row for each sample and a column for each network: the heat map of the likeliest lesion class, with the outline
    of the lesion.

    Unless ``pictures`` is set, the scan itself is left out: the data sets are not ours to publish.
    """
    greys = [sample.grey() for sample in samples]
    figure, grid = plt.subplots(
        len(samples), len(maps), figsize=(2.2 * len(maps), 1.9 * len(samples)), layout="constrained", squeeze=False
    )
    for column, (name, judge, spec) in zip(grid.T, maps, strict=True):
        for axes, sample, grey, judgement in zip(column, samples, greys, judge(greys), strict=True):
            called = lesion_class(judgement.logits, spec)
            heat = to_pixels(scaled_rise(judgement.class_maps[called], judgement.placement), judgement.placement)
            axes.imshow(grey if pictures else np.zeros_like(grey), cmap="gray", vmin=0, vmax=255)
            axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.5 * heat if pictures else None)
            outlines, _ = cv2.findContours(sample.lesion().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            for outline in outlines:
                axes.plot(*np.vstack([outline, outline[:1]])[:, 0].T, color="cyan", linewidth=1)
            axes.set_title(f"{sample.label}: {spec.class_names[called]}", fontsize=7)
            axes.set(xticks=[], yticks=[])
        column[0].set_title(f"{name.replace(' (', chr(10) + '(')}\n{column[0].get_title()}", fontsize=6)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.suptitle(RESEARCH_NOTICE, fontsize=8)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
