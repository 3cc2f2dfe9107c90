"""``fit``: every run of a recipe, resumable, each into a folder of its own.

RUN/config.json      the recipe, the data, the versions and the machine
RUN/metrics.csv      a row an epoch; curves.png is drawn from it
RUN/state.pt         one of the last whole epochs, to resume from; removed when the run is done
RUN/model.safetensors, RUN/spec.json, RUN/predictions.csv (held out) and RUN/predictions_heat_maps.json mark a finished
run; RUN/external.csv and its heat maps are there if the recipe names an external set
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from rcdnet import checkpoint
from rcdnet.model import Network
from train import datasets
from train.augment import training_view
from train.datasets import Sample
from train.evaluate import select
from train.peers import Peer
from train.plan import Run, plan
from train.recipes import Precision, Recipe, RecipeError
from train.run_folder import config_of, differing, recipe_of
from train.start import Start, require_unseen, start_name, start_sha256
from train.teachers import teacher_name
from train.training import Training, examine

OWN = ("about", "architecture", "backbone", "frozen_stages", "frozen_large_filters", "external")
"""Keys of a recipe in which networks that learn side by side may differ."""

FORK = "fork" if sys.platform == "linux" else None
"""Else every worker is sent a copy of all pictures, each epoch."""

MOST_WORKERS = 16
"""By default, at most."""


class _Views(Dataset[tuple[NDArray[np.uint8], NDArray[np.float32], int]]):
    """Augmented views of the samples, pictures kept in memory; a new seed for every epoch and picture."""

    def __init__(self, samples: list[Sample], recipe: Recipe, seed: int) -> None:
        self.recipe, self.spec, self.seed, self.epoch = recipe, recipe.spec(), seed, 0
        pictures = [(sample.grey(), sample.lesion(), sample.label) for sample in samples]
        self.pictures = [p for p in pictures for _ in range(recipe.normal_repeat if p[2] == "normal" else 1)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        grey, lesion, label = self.pictures[index]
        image, share, label = training_view(grey, lesion, label, self.spec, self.recipe.augmentation, rng)
        return image, share, self.spec.index(label)


def fit(
    recipe: Recipe,
    data_root: Path,
    out: Path,
    *,
    start: Start,
    teachers: Sequence[Path] = (),
    precision: Precision = "32-true",
    only: Sequence[str] = (),
    workers: int | None = None,
) -> list[Path]:
    """Train every run of ``recipe``, or those whose name contains one of ``only``; finished runs are kept, broken ones
    resumed.

    ``workers`` processes draw the views, by default one, or beside a GPU one for each core up to MOST_WORKERS; how many
    changes nothing that is learnt. Returns the folders of these runs. Raises RecipeError if one of them was begun by
    another recipe, data, start or teachers, LeakError if ``start`` or a teacher has seen what a run tests on,
    or anything that the runs train on is in an external set.
    """
    return fit_together(
        {out: recipe}, data_root, start=start, teachers=teachers, precision=precision, only=only, workers=workers
    )


def fit_together(
    recipes: Mapping[Path, Recipe],
    data_root: Path,
    *,
    start: Start,
    teachers: Sequence[Path] = (),
    precision: Precision = "32-true",
    only: Sequence[str] = (),
    workers: int | None = None,
) -> list[Path]:
    """``fit`` for several networks at a time, each into its own folder. They learn from the same views, drawn once, in
    the same order. Returns and raises as ``fit``; RecipeError also if the recipes differ in more than OWN."""
    folders: list[Path] = []
    one = next(iter(recipes.values()))
    external = {name for recipe in recipes.values() for name in recipe.external}
    # read first: a set that is missing is told before hours of training
    samples = {name: select(datasets.load(data_root / name), "binary") for name in sorted(external)}
    for recipe in recipes.values():
        if differ := [key for key, value in recipe if key not in OWN and value != getattr(one, key)]:
            raise RecipeError(f"networks that learn side by side share their recipe, but for {', '.join(differ)}")
    outside = [sample for name in samples for sample in samples[name]]
    for weights in (start, *teachers):
        require_unseen(outside, weights, one.name)
    for run in plan(one, data_root, outside):
        if only and not any(part in run.name for part in only):
            continue
        its = {out / run.name: recipe for out, recipe in recipes.items()}
        folders += its
        for folder, recipe in its.items():
            if (folder / "config.json").exists():
                _check_same(folder, recipe, run, start, teachers, precision)
        if unfinished := [folder for folder in its if not (folder / "predictions.csv").exists()]:
            views = _Views(run.train, one, run.seed)
            trainings = [
                Training(its[folder], run, folder, start, precision, len(views), teachers) for folder in unfinished
            ]
            _train(trainings, views, workers)
        for folder, recipe in its.items():
            if recipe.external and not (folder / "external.csv").exists():
                model = trained(folder).to(Fabric(accelerator="auto", devices=1).device)
                examine(model, [sample for name in recipe.external for sample in samples[name]], folder, "external")
    return folders


def _check_same(
    folder: Path, recipe: Recipe, run: Run, start: Start, teachers: Sequence[Path], precision: Precision
) -> None:
    """Raises RecipeError if the folder holds a run of another recipe, on other data, from another start, of other
    teachers or in another precision. Folders of before 2026-11-27 do not tell all of it."""
    before, config = recipe_of(folder), config_of(folder)
    differ = differing(recipe.model_dump(), before.model_dump())
    if run.data_sha256 != config.get("data_sha256", run.data_sha256):  # what was held out may have been learnt from
        differ.append("data set")
    if start_name(start) != config["start"] or start_sha256(start) != (
        config.get("start_sha256") or start_sha256(start)
    ):
        differ.append("start")
    if sorted(teacher_name(path) for path in teachers) != sorted(config.get("teachers", [])):
        differ.append("teacher")
    if precision != config.get("precision", precision):
        differ.append("precision")
    if differ:
        raise RecipeError(f"{folder} holds a run with another {', '.join(differ)}. Choose another --out, or delete it.")


def trained(folder: Path) -> Network:
    """The network of a finished run folder."""
    if recipe_of(folder).architecture == "rcdnet":
        return checkpoint.load(folder / "model.safetensors")
    peer = Peer(checkpoint.read_spec(folder / "model.safetensors"))
    peer.load_state_dict(load_file(folder / "model.safetensors"))
    return peer.eval()


def _train(trainings: Sequence[Training], views: _Views, workers: int | None) -> None:
    """All epochs of networks that learn from the same views; those that are further on wait for the others."""
    recipe = views.recipe
    on_gpu = trainings[0].fabric.device.type == "cuda"
    workers = workers or (min(MOST_WORKERS, joblib.cpu_count()) if on_gpu else 1)
    cv2.setNumThreads(1)  # before the workers are forked, each of which would start one a core
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        for epoch in range(min(len(training.rows) for training in trainings), recipe.epochs):
            learning = [training for training in trainings if len(training.rows) == epoch]
            views.epoch = epoch
            order = torch.Generator().manual_seed(views.seed * 1000 + epoch)
            loader = DataLoader(
                views, recipe.batch, shuffle=True, generator=order, num_workers=workers, multiprocessing_context=FORK
            )
            task = progress.add_task(f"epoch {epoch + 1}/{recipe.epochs}", total=len(loader))
            started = time.monotonic()
            for training in learning:
                training.begin(epoch)
            for batch in loader:
                for training in learning:
                    training.step(batch)
                progress.advance(task)
            progress.remove_task(task)
            losses = [training.loss() for training in learning]  # which waits for the GPU
            if not all(math.isfinite(loss) for loss in losses):
                raise RecipeError(
                    f"epoch {epoch + 1} of {recipe.name} has a loss that is not finite: it has diverged. Lower "
                    f"lr_head ({recipe.lr_head:g}) and lr_body ({recipe.lr_body:g}), into a new --out"
                )
            seconds = time.monotonic() - started
            for training, loss in zip(learning, losses, strict=True):
                training.end(epoch, loss, seconds)
    for training in trainings:
        training.finish()
