"""``fit``: train every run of a recipe, resumably, each into a folder of its own (``train.run_folder``)."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
from lightning_fabric import Fabric
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from rcdnet import checkpoint
from rcdnet.model import Network
from train.peers import kind_of
from train.plan import plan, samples_of
from train.provenance import Setup, require_same
from train.recipes import Precision, Recipe, RecipeError
from train.run_folder import recipe_of
from train.start import Start
from train.training import Training, write_answers
from train.views import Views, batches_of

OWN = ("about", "architecture", "backbone", "frozen_stages", "frozen_large_filters")
"""Keys of a recipe in which networks that are trained together may differ."""

MOST_WORKERS = 16
"""On a GPU there are as many workers as cores, but no more than this by default."""


def fit(
    recipes: Mapping[Path, Recipe],
    data_root: Path,
    *,
    start: Start,
    teachers: Sequence[Path] = (),
    precision: Precision = "32-true",
    only: Sequence[str] = (),
    workers: int | None = None,
) -> list[Path]:
    """Train every run of the recipes, or those whose name contains one of ``only``, each into a folder below that of
    its recipe. Finished runs are kept, interrupted ones resumed. Returns the folders of these runs.

    Several recipes differ in OWN alone: their networks are trained together, on the same views, drawn once, in the same
    order. ``workers`` processes draw them, by default one, or with a GPU one per core up to MOST_WORKERS; their number
    does not change the result.

    Raises RecipeError if the recipes differ in more, if a folder holds a run of another recipe, data or setup, or if
    the loss is not finite; LeakError if ``start`` or a teacher was trained on what a run tests on, or if a run would
    train on a picture of an external set.
    """
    common, setup = _common(list(recipes.values())), Setup(start, teachers, precision)
    external = [replace(sample, external=True) for sample in samples_of(common, common.external, data_root)]
    setup.require_unseen(external, common.name)
    runs = [run for run in plan(common, data_root, external) if not only or any(part in run.name for part in only)]
    for run in runs:  # all before the first is trained, which may take hours
        setup.require_unseen(run.test, run.name)
        for out, recipe in recipes.items():
            require_same(out / run.name, recipe, run, setup)
    folders: list[Path] = []
    for run in runs:
        recipe_in = {out / run.name: recipe for out, recipe in recipes.items()}
        if unfinished := [folder for folder in recipe_in if not (folder / "predictions.csv").exists()]:
            views = Views(run.train, common, run.seed)
            trainings = [Training(recipe_in[folder], run, folder, setup, len(views)) for folder in unfinished]
            _train(trainings, views, workers)
        for folder in recipe_in:
            if external and not (folder / "external.csv").exists():
                model = load_trained(folder).to(Fabric(accelerator="auto", devices=1).device)
                write_answers(model, external, folder, "external")
        folders.extend(recipe_in)
    return folders


def _common(recipes: Sequence[Recipe]) -> Recipe:
    """What they say of everything but OWN. Raises RecipeError if they differ in that."""
    for recipe in recipes:
        if differ := [key for key, value in recipe if key not in OWN and value != getattr(recipes[0], key)]:
            raise RecipeError(f"networks trained together need one recipe: these differ in {', '.join(differ)}")
    return recipes[0]


def load_trained(folder: Path) -> Network:
    """The network of a finished run, in evaluation mode. Raises DataError, CheckpointError."""
    return checkpoint.load_as(kind_of(recipe_of(folder)), folder / "model.safetensors")


def _train(trainings: Sequence[Training], views: Views, workers: int | None) -> None:
    """Train networks on the same views to the end. If some were interrupted later than others, they wait for these."""
    epochs = views.recipe.epochs
    on_gpu = trainings[0].fabric.device.type == "cuda"
    workers = workers or (min(MOST_WORKERS, joblib.cpu_count()) if on_gpu else 1)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        for epoch in range(min(training.epoch for training in trainings), epochs):
            task = progress.add_task(f"epoch {epoch + 1}/{epochs}")
            learning = [training for training in trainings if training.epoch == epoch]
            _learn(learning, progress.track(batches_of(views, epoch, workers), task_id=task))
            progress.remove_task(task)
    for training in trainings:
        training.finish()


def _learn(trainings: Sequence[Training], batches: Iterable[Sequence[Tensor]]) -> None:
    """One epoch of networks that see the same batches."""
    started = time.monotonic()
    for training in trainings:
        training.begin()
    for batch in batches:
        for training in trainings:
            training.step(batch)
    losses = [training.loss() for training in trainings]  # waits for the GPU, so before the time is taken
    seconds = time.monotonic() - started
    for training, loss in zip(trainings, losses, strict=True):
        training.end(loss, seconds)
