"""``fit``: every run of a recipe, resumable, each into a folder of its own.

RUN/config.json      the recipe, the data, the versions and the machine
RUN/metrics.csv      a row an epoch; curves.png is drawn from it
RUN/state.pt         one of the last whole epochs, to resume from; removed when the run is done
RUN/model.safetensors, RUN/spec.json, RUN/predictions.csv (held out) and RUN/predictions_heat_maps.json mark a finished
run; RUN/external.csv and its heat maps are there if the recipe names an external set
"""

import csv
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from rcdnet import checkpoint
from rcdnet.model import Network, RcdNet, fold_batch_norm
from train import datasets, figures, predictions, splits
from train.augment import training_view
from train.datasets import Sample
from train.duplicates import drawn_together, groups_of
from train.evaluate import heat_map_quality, select
from train.losses import pointing_loss, soft_cross_entropy
from train.peers import Peer
from train.predict import predict
from train.recipes import Precision, Recipe, RecipeError
from train.start import Start, check, network, told

SAVING_PAUSE = 10
"""Between two saves, as a multiple of what the last one took: an epoch of seconds must not wait for the disk."""

OWN = ("about", "architecture", "backbone", "frozen_stages", "frozen_large_filters", "external")
"""Keys of a recipe in which networks that learn side by side may differ."""

FORK = "fork" if sys.platform == "linux" else None
"""Else every worker is sent a copy of all pictures, each epoch."""

MOST_WORKERS = 16
"""By default, at most."""


@dataclass(frozen=True)
class Run:
    """One network to train: its name, its seed, what it sees and what it is held out from.

    ``leaked`` counts test pictures with a near copy or their patient in training: 0 but for the paper's random split.
    """

    name: str
    seed: int
    train: list[Sample]
    test: list[Sample]
    leaked: int


def plan(recipe: Recipe, data_root: Path) -> list[Run]:
    """All runs of a recipe, each checked for leaks. Raises splits.LeakError, datasets.DataError."""
    samples = datasets.load_all([data_root / name for name in recipe.data])
    samples = [s for s in samples if s.label in recipe.class_names]
    test_samples = datasets.load_all([data_root / name for name in recipe.test_data])
    test_samples = [s for s in test_samples if s.label in recipe.class_names]
    groups = groups_of([*samples, *test_samples])
    runs = []
    for seed in recipe.seeds:
        for name, train, test in _parts(recipe, samples, test_samples, groups, seed):
            leaked = len(splits.leaked(train, test, groups))
            runs.append(Run(f"seed{seed}-{name}", seed, train, test, leaked))
    return runs


def _parts(
    recipe: Recipe, samples: list[Sample], test_samples: list[Sample], groups: splits.Groups, seed: int
) -> Iterator[tuple[str, list[Sample], list[Sample]]]:
    if recipe.protocol == "random":  # the paper's split; it leaks, and its runs say by how much
        train, test = splits.random_split(samples, 0.7, seed)
        splits.check(train, [], groups)
        yield "random", train, test
    samples = splits.without_conflicts(samples, groups)
    if recipe.protocol == "folds":
        parts = [(f"fold{i}", *part) for i, part in enumerate(splits.folds(samples, groups, seed=seed), 1)]
    elif recipe.protocol == "random":
        parts = [("by_group", *splits.group_split(samples, groups, 0.7, seed))]
    elif recipe.protocol == "transfer":
        parts = [("transfer", samples, test_samples)]
    else:
        parts = [("all", samples, [])]
    for name, train, test in parts:
        splits.check(train, test, groups)
        yield name, train, test


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
    precision: Precision = "32-true",
    only: str = "",
    workers: int | None = None,
) -> list[Path]:
    """Train every run of ``recipe`` whose name contains ``only``; finished runs are kept, broken ones resumed.

    ``workers`` processes draw the views, by default one, or beside a GPU one for each core up to MOST_WORKERS; how many
    changes nothing that is learnt. Returns the folders of these runs. Raises RecipeError if one of them was begun by
    another recipe or start, LeakError if ``start`` has seen what a run tests on.
    """
    return fit_together({out: recipe}, data_root, start=start, precision=precision, only=only, workers=workers)


def fit_together(
    recipes: Mapping[Path, Recipe],
    data_root: Path,
    *,
    start: Start,
    precision: Precision = "32-true",
    only: str = "",
    workers: int | None = None,
) -> list[Path]:
    """``fit`` for several networks at a time, each into its own folder. They learn from the same views, drawn once, in
    the same order. Returns and raises as ``fit``; RecipeError also if the recipes differ in more than OWN."""
    folders: list[Path] = []
    one = next(iter(recipes.values()))
    for recipe in recipes.values():
        if differ := [key for key, value in recipe if key not in OWN and value != getattr(one, key)]:
            raise RecipeError(f"networks that learn side by side share their recipe, but for {', '.join(differ)}")
    for run in plan(one, data_root):
        if only not in run.name:
            continue
        its = {out / run.name: recipe for out, recipe in recipes.items()}
        folders += its
        for folder, recipe in its.items():
            if (folder / "config.json").exists():
                _check_same(folder, recipe, start)
        if unfinished := [folder for folder in its if not (folder / "predictions.csv").exists()]:
            views = _Views(run.train, one, run.seed)
            trainings = [_Training(its[folder], run, folder, start, precision, len(views)) for folder in unfinished]
            _train(trainings, views, workers)
        for folder, recipe in its.items():
            if recipe.external and not (folder / "external.csv").exists():
                external = select(datasets.load_all([data_root / name for name in recipe.external]), "binary")
                _test(trained(folder), external, folder, "external")
    return folders


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a run folder, as it was run."""
    return Recipe.model_validate(json.loads((folder / "config.json").read_text())["recipe"])


def _check_same(folder: Path, recipe: Recipe, start: Start) -> None:
    """Raises RecipeError if the folder holds a run of another recipe or from another start."""
    before, began = recipe_of(folder), json.loads((folder / "config.json").read_text())["start"]
    differ = [key for key, value in recipe if key != "about" and value != getattr(before, key)]
    if told(start) != began:
        differ.append("start")
    if differ:
        raise RecipeError(f"{folder} holds a run with another {', '.join(differ)}. Choose another --out, or delete it.")


def trained(folder: Path) -> Network:
    """The network of a finished run folder."""
    if recipe_of(folder).architecture == "rcdnet":
        return checkpoint.load(folder / "model.safetensors")
    peer = Peer(checkpoint.read_spec(folder / "model.safetensors"))
    peer.load_state_dict(load_file(folder / "model.safetensors"))
    return peer.eval()


class _Training:
    """One network that learns: what it needs for a step, and what its folder keeps."""

    def __init__(self, recipe: Recipe, run: Run, folder: Path, start: Start, precision: Precision, views: int) -> None:
        check(start, run.test, run.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.run, self.folder, self.start = recipe, run, folder, start
        self.fabric = Fabric(accelerator="auto", devices=1, precision=precision)
        self.fabric.seed_everything(run.seed, verbose=False)
        provenance = _provenance(recipe, run, self.fabric, start) | {"precision": precision}
        (folder / "config.json").write_text(json.dumps(provenance, indent=1))
        self.model = network(recipe, start).to(self.fabric.device)
        self.optimizer = _optimizer(recipe, self.model, _trainable_body(self.model, recipe))
        schedule = _cosine(recipe, steps=math.ceil(views / recipe.batch))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, schedule)
        decay = recipe.ema_decay
        self.average = ModelEmaV3(self.model, decay=decay, use_warmup=True) if decay else None
        self.rows = _resume(folder, self.model, self.optimizer, self.schedule, self.average)
        self._saved_s, self._saving_s = -math.inf, 0.0
        self.model.to(memory_format=torch.channels_last)
        if self.fabric.device.type == "cpu":
            _spare_half_precision(self.model)
        self._wrapped, self._stepper = self.fabric.setup(self.model, self.optimizer)

    def begin(self, epoch: int) -> None:
        """An epoch: its own random numbers, whatever else is trained beside it."""
        self._rng = np.random.default_rng([self.run.seed, epoch])
        self._losses: list[Tensor] = []
        self.model.train()

    def step(self, views: Sequence[Tensor]) -> None:
        """One step down the gradient for images, lesion shares and labels of ``_Views``."""
        images, lesion, labels = (self.fabric.to_device(tensor) for tensor in views)
        loss = _loss(self._wrapped, images, lesion, labels, self.recipe, self._rng)
        self._stepper.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self._stepper.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model, step=self.schedule.last_epoch)
        self._losses.append(loss.detach())  # a number would wait for the GPU

    def loss(self) -> float:
        """Mean over the steps of this epoch."""
        return float(torch.stack(self._losses).mean())

    def end(self, epoch: int, loss: float, seconds: float) -> None:
        """Write down the epoch, which took ``seconds`` for all networks together, and now and then all it takes to
        resume."""
        rate = float(self.schedule.get_last_lr()[0])
        self.rows.append({"epoch": epoch + 1, "loss": loss, "lr_head": rate, "seconds": seconds})
        _write_rows(self.folder / "metrics.csv", self.rows)
        began = time.monotonic()
        if began - self._saved_s >= SAVING_PAUSE * self._saving_s:
            _save_state(self.folder, self.model, self.optimizer, self.schedule, self.average, self.rows)
            self._saved_s, self._saving_s = time.monotonic(), time.monotonic() - began
        self.fabric.print(f"{self.folder} epoch {epoch + 1}/{self.recipe.epochs}: loss {loss:.4f}, {seconds:.0f} s")

    def finish(self) -> None:
        """Weights, curves and what the network says of the pictures that it has not seen."""
        final: Network = self.average.module if self.average is not None else self.model
        if self.start == "scratch" and isinstance(final, RcdNet):
            fold_batch_norm(final.eval().backbone)
        spec = checkpoint.save(final, self.folder / "model.safetensors")
        (self.folder / "spec.json").write_text(spec.to_json() + "\n")
        figures.training_curves([self.folder], self.folder / "curves.png")
        _test(final, self.run.test, self.folder, "predictions")
        (self.folder / "state.pt").unlink(missing_ok=True)


def _train(trainings: Sequence[_Training], views: _Views, workers: int | None) -> None:
    """All epochs of networks that learn from the same views; those that are further on wait for the others."""
    recipe = views.recipe
    on_gpu = trainings[0].fabric.device.type == "cuda"
    workers = workers or (min(MOST_WORKERS, cores()) if on_gpu else 1)
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
            seconds = time.monotonic() - started
            for training, loss in zip(learning, losses, strict=True):
                training.end(epoch, loss, seconds)
    for training in trainings:
        training.finish()


def _test(model: Network, samples: list[Sample], folder: Path, name: str) -> None:
    judgements = predict(model, [sample.grey() for sample in samples])
    quality = heat_map_quality(samples, judgements, model.spec)
    (folder / f"{name}_heat_maps.json").write_text(json.dumps(quality, indent=1) + "\n")
    patients = drawn_together(samples)
    predictions.write(folder / f"{name}.csv", model.spec.class_names, samples, judgements, patients)


def _loss(
    network: nn.Module, images: Tensor, lesion: Tensor, labels: Tensor, recipe: Recipe, rng: np.random.Generator
) -> Tensor:
    """Classification on mixed pictures, plus pointing for both pictures of each mixture."""
    share = float(rng.beta(recipe.mixup_alpha, recipe.mixup_alpha)) if recipe.mixup_alpha else 1.0
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    mixed = (share * images.float() + (1 - share) * images[other].float()).round().to(torch.uint8)
    logits, maps = network(mixed)
    classes = F.one_hot(labels, len(recipe.class_names)).float()
    loss = soft_cross_entropy(logits, share * classes + (1 - share) * classes[other], recipe.label_smoothing)
    if recipe.pointing_weight:
        cells = F.adaptive_avg_pool2d(lesion, maps.shape[-2:])
        pointing = share * pointing_loss(maps, labels, cells)
        pointing = pointing + (1 - share) * pointing_loss(maps, labels[other], cells[other])
        loss = loss + recipe.pointing_weight * pointing
    return loss


def _trainable_body(model: Network, recipe: Recipe) -> list[nn.Parameter]:
    """The backbone's parameters that learn; what the recipe freezes is switched off."""
    if recipe.frozen_stages:
        frozen = [model.backbone.conv_stem, *model.backbone.blocks[: recipe.frozen_stages]]
        for parameter in (p for module in frozen for p in module.parameters()):
            parameter.requires_grad_(False)
    if recipe.frozen_large_filters:
        for convolution in _depthwise(model.backbone):
            convolution.weight.requires_grad_(convolution.kernel_size == (3, 3) and convolution.weight.requires_grad)
    return [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]


def _depthwise(model: nn.Module) -> Iterator[nn.Conv2d]:
    return (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1)


def _spare_half_precision(model: nn.Module) -> None:
    """Under autocast, let those depthwise convolutions compute in FP32 whose bfloat16 backward is slow on CPUs.

    Measured with torch 2.15: the weight gradient 3 times, the input gradient of a strided one 7 to 80 times.
    """
    for convolution in _depthwise(model):
        if convolution.weight.requires_grad or convolution.stride != (1, 1):
            convolution.forward = partial(_in_float32, convolution.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def _optimizer(recipe: Recipe, model: Network, body: list[nn.Parameter]) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    inside = {id(parameter) for parameter in model.backbone.parameters()}
    head = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    parts = [{"params": head, "lr": recipe.lr_head}, {"params": body, "lr": recipe.lr_body}]
    return kind(parts, weight_decay=recipe.weight_decay)


def _cosine(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts)."""
    warm, total = recipe.warmup_epochs * steps, recipe.epochs * steps

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return factor


def _save_state(folder, model, optimizer, schedule, average, rows) -> None:  # type: ignore[no-untyped-def]
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "average": average.module.state_dict() if average is not None else None,
        "rows": rows,
    }
    part = folder / "state.part"
    torch.save(state, part)
    part.replace(folder / "state.pt")  # a kill while writing leaves the one saved before


def _resume(folder, model, optimizer, schedule, average) -> list[dict[str, float]]:  # type: ignore[no-untyped-def]
    """Fill everything from ``state.pt`` if there is one; the rows of the epochs that are done."""
    if not (folder / "state.pt").exists():
        return []
    state = torch.load(folder / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    if average is not None:
        average.module.load_state_dict(state["average"])
    rows: list[dict[str, float]] = state["rows"]
    return rows


def _provenance(recipe: Recipe, run: Run, fabric: Fabric, start: Start) -> dict[str, object]:
    return {
        "recipe": recipe.model_dump(mode="json"),
        "run": run.name,
        "n_train": len(run.train),
        "n_test": len(run.test),
        "n_test_leaked": run.leaked,
        "start": told(start),
        "device": torch.cuda.get_device_name() if fabric.device.type == "cuda" else str(fabric.device),
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()},
    }


def _write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
