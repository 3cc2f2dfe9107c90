"""``fit``: train every run of a recipe, resumably, each into a folder of its own.

RUN/config.json       the recipe, the data, the versions and the machine
RUN/metrics.csv       a row per epoch; RUN/curves.png is drawn from it
RUN/state.pt          the state after one of the last epochs, to resume from; deleted when the run is finished

A finished run also has:

RUN/model.safetensors, RUN/spec.json                         the trained network
RUN/predictions.csv, RUN/predictions_heat_maps.json          its answers to the pictures that were held out
RUN/external.csv, RUN/external_heat_maps.json                its answers to the external set, if the recipe names one
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
from train.plan import TrainingRun, plan
from train.recipes import Precision, Recipe, RecipeError
from train.run_folder import config_of, differing, recipe_of
from train.start import Start, require_unseen, start_name, start_sha256
from train.teachers import teacher_name
from train.training import Training, write_answers

OWN = ("about", "architecture", "backbone", "frozen_stages", "frozen_large_filters", "external")
"""Keys of a recipe in which networks that are trained together may differ."""

FORK = "fork" if sys.platform == "linux" else None
"""How the workers of the data loader start: forked ones share the pictures, others get a copy of them each epoch."""

MOST_WORKERS = 16
"""On a GPU there are as many workers as cores, but no more than this by default."""


class Views(Dataset[tuple[NDArray[np.uint8], NDArray[np.float32], int]]):
    """Augmented views of the samples, which are kept in memory. Each item is a ``training_view``: image, lesion share
    and class index. Every epoch and picture has a seed of its own, so the views do not depend on the workers."""

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
    """Train every run of ``recipe``, or those whose name contains one of ``only``. Finished runs are kept, interrupted
    ones resumed. Returns the folders of these runs.

    ``workers`` processes draw the views: by default one, or with a GPU one per core up to MOST_WORKERS. Their number
    does not change the result.

    Raises RecipeError if a folder holds a run of another recipe, data, start, teachers or precision, or if the loss is
    not finite; LeakError if ``start`` or a teacher was trained on what a run tests on, or if a run would train on a
    picture of an external set.
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
    """``fit`` for several networks together, each into the folder of its recipe. They are trained on the same views,
    drawn once, in the same order. Returns and raises as ``fit``, RecipeError also if the recipes differ in keys other
    than OWN."""
    common = _common(list(recipes.values()))
    names = sorted({name for recipe in recipes.values() for name in recipe.external})
    external = {name: select(datasets.load(data_root / name), "binary") for name in names}  # now, as it may be missing
    all_external = [sample for samples in external.values() for sample in samples]
    for weights in (start, *teachers):
        require_unseen(all_external, weights, common.name)
    folders: list[Path] = []
    for run in plan(common, data_root, all_external):
        if only and not any(part in run.name for part in only):
            continue
        recipe_in = {out / run.name: recipe for out, recipe in recipes.items()}
        for folder, recipe in recipe_in.items():
            if (folder / "config.json").exists():
                _require_same(folder, recipe, run, start, teachers, precision)
        if unfinished := [folder for folder in recipe_in if not (folder / "predictions.csv").exists()]:
            views = Views(run.train, common, run.seed)
            trainings = [
                Training(recipe_in[folder], run, folder, start, precision, len(views), teachers)
                for folder in unfinished
            ]
            _train(trainings, views, workers)
        for folder, recipe in recipe_in.items():
            if recipe.external and not (folder / "external.csv").exists():
                model = load_trained(folder).to(Fabric(accelerator="auto", devices=1).device)
                write_answers(model, [s for name in recipe.external for s in external[name]], folder, "external")
        folders.extend(recipe_in)
    return folders


def _common(recipes: Sequence[Recipe]) -> Recipe:
    """What they say of everything but OWN. Raises RecipeError if they differ in that."""
    for recipe in recipes:
        if differ := [key for key, value in recipe if key not in OWN and value != getattr(recipes[0], key)]:
            raise RecipeError(f"networks trained together need one recipe: these differ in {', '.join(differ)}")
    return recipes[0]


def _require_same(
    folder: Path, recipe: Recipe, run: TrainingRun, start: Start, teachers: Sequence[Path], precision: Precision
) -> None:
    """Raises RecipeError if the folder holds a run of another recipe, data, start, teachers or precision. What a folder
    does not record (before 2026-11-27) is not compared."""
    config, sha256 = config_of(folder), start_sha256(start)
    differ = differing(recipe.model_dump(), recipe_of(folder).model_dump())
    if run.data_sha256 != config.get("data_sha256", run.data_sha256):  # it may have trained on what is held out now
        differ.append("data set")
    if start_name(start) != config["start"] or sha256 != (config.get("start_sha256") or sha256):
        differ.append("start")
    if sorted(teacher_name(path) for path in teachers) != sorted(config.get("teachers", [])):
        differ.append("teacher")
    if precision != config.get("precision", precision):
        differ.append("precision")
    if differ:
        raise RecipeError(f"{folder} holds a run with another {', '.join(differ)}. Choose another --out, or delete it.")


def load_trained(folder: Path) -> Network:
    """The network of a finished run, in evaluation mode. Raises DataError, CheckpointError."""
    if recipe_of(folder).architecture == "rcdnet":
        return checkpoint.load(folder / "model.safetensors")
    peer = Peer(checkpoint.read_spec(folder / "model.safetensors"))
    peer.load_state_dict(load_file(folder / "model.safetensors"))
    return peer.eval()


def _train(trainings: Sequence[Training], views: Views, workers: int | None) -> None:
    """Train networks on the same views to the end. If some were interrupted later than others, they wait for these."""
    recipe = views.recipe
    on_gpu = trainings[0].fabric.device.type == "cuda"
    workers = workers or (min(MOST_WORKERS, joblib.cpu_count()) if on_gpu else 1)
    cv2.setNumThreads(1)  # else each forked worker starts a thread per core
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
            losses = [training.loss() for training in learning]  # waits for the GPU, so before the time is taken
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
