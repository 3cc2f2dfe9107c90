"""``fit``: every run of a recipe, resumable, each into a folder of its own.

RUN/config.json      the recipe, the data, the versions and the machine
RUN/metrics.csv      a row an epoch; curves.png is drawn from it
RUN/state.pt         the last whole epoch, to resume from; removed when the run is done
RUN/model.safetensors, RUN/spec.json, RUN/held_out.json (its numbers) and RUN/predictions.csv mark a finished run
"""

import csv
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import timm
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from rcdnet import checkpoint
from rcdnet.glance import Judgement
from rcdnet.model import RcdNet
from rcdnet.spec import ModelSpec
from train import backbone, datasets, splits
from train.augment import training_view
from train.datasets import Sample
from train.duplicates import groups_of
from train.evaluate import evaluate
from train.losses import pointing_loss, soft_cross_entropy
from train.peers import Peer
from train.predict import predict
from train.recipes import Recipe

mpl.use("Agg")


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
        return
    samples = splits.without_conflicts(samples, groups)
    if recipe.protocol == "folds":
        parts = [(f"fold{i}", *part) for i, part in enumerate(splits.folds(samples, groups, seed=seed), 1)]
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
    pretrained: Path | None,
    precision: str = "32-true",
    only: str = "",
) -> list[Path]:
    """Train every run of ``recipe`` whose name contains ``only``; finished runs are kept, broken ones resumed.

    ``pretrained`` is a file for ``backbone.load_folded``; without it timm's hub is asked. Returns the run folders.
    """
    folders = []
    for run in plan(recipe, data_root):
        folder = out / run.name
        folders.append(folder)
        if only in run.name and not (folder / "predictions.csv").exists():
            folder.mkdir(parents=True, exist_ok=True)
            _fit_run(recipe, run, folder, pretrained, precision)
    return folders


def _fit_run(recipe: Recipe, run: Run, folder: Path, pretrained: Path | None, precision: str) -> None:
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)
    fabric.seed_everything(run.seed, verbose=False)
    (folder / "config.json").write_text(json.dumps(_provenance(recipe, run, fabric), indent=1))
    model = _network(recipe, pretrained)
    body = _trainable_body(model, recipe.frozen_stages)
    views = _Views(run.train, recipe, run.seed)
    steps = math.ceil(len(views) / recipe.batch)
    optimizer = _optimizer(recipe, model, body)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(recipe, steps))
    average = ModelEmaV3(model, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
    rows = _resume(folder, model, optimizer, schedule, average)
    model.to(memory_format=torch.channels_last)
    network, optimizer = fabric.setup(model, optimizer)

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        for epoch in range(len(rows), recipe.epochs):
            views.epoch = epoch
            order = torch.Generator().manual_seed(run.seed * 1000 + epoch)
            loader = DataLoader(views, recipe.batch, shuffle=True, generator=order, num_workers=1)
            rng = np.random.default_rng([run.seed, epoch])
            losses, started = [], time.monotonic()
            task = progress.add_task(f"{run.name} epoch {epoch + 1}/{recipe.epochs}", total=steps)
            model.train()
            for images, lesion, labels in loader:
                images, lesion, labels = (fabric.to_device(t) for t in (images, lesion, labels))
                loss = _loss(network, images, lesion, labels, recipe, rng)
                optimizer.zero_grad(set_to_none=True)
                fabric.backward(loss)
                optimizer.step()
                schedule.step()
                if average is not None:
                    average.update(model, step=schedule.last_epoch)
                losses.append(loss.item())
                progress.advance(task)
            progress.remove_task(task)
            rate, seconds = schedule.get_last_lr()[0], time.monotonic() - started
            rows.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "lr_head": rate, "seconds": seconds})
            _write_rows(folder / "metrics.csv", rows)
            _save_state(folder, model, optimizer, schedule, average, rows)
            fabric.print(f"{run.name} epoch {epoch + 1}/{recipe.epochs}: loss {rows[-1]['loss']:.4f}, {seconds:.0f} s")

    final = average.module if average is not None else model
    spec = checkpoint.save(final, folder / "model.safetensors")
    (folder / "spec.json").write_text(spec.to_json() + "\n")
    _plot_curves(rows, folder / "curves.png")
    judgements = predict(final, [sample.grey() for sample in run.test])
    (folder / "held_out.json").write_text(json.dumps(_held_out(run, judgements, spec), indent=1) + "\n")
    names = recipe.class_names
    _write_rows(
        folder / "predictions.csv",
        [
            {"dataset": s.dataset, "name": s.name, "label": s.label, "patient": s.patient or ""}
            | {name: f"{value:.5f}" for name, value in zip(names, j.logits, strict=True)}
            for s, j in zip(run.test, judgements, strict=True)
        ],
        header=["dataset", "name", "label", "patient", *names],
    )
    (folder / "state.pt").unlink(missing_ok=True)


def _held_out(run: Run, judgements: list[Judgement], spec: ModelSpec) -> dict[str, object]:
    """Benign against malignant on the held-out pictures, by data set; without those of one side only."""
    numbers: dict[str, object] = {"leaked": run.leaked}
    for dataset in sorted({sample.dataset for sample in run.test}):
        pairs = [
            (s, j) for s, j in zip(run.test, judgements, strict=True) if s.dataset == dataset and s.label != "normal"
        ]
        if len({sample.label for sample, _ in pairs}) == 2:
            numbers[dataset] = evaluate([s for s, _ in pairs], [j for _, j in pairs], spec, "binary")
    return numbers


def _network(recipe: Recipe, pretrained: Path | None) -> RcdNet | Peer:
    if recipe.architecture == "peer":
        return Peer(recipe.spec(), pretrained=pretrained is None)
    model = RcdNet(recipe.spec(), pretrained=pretrained is None)
    if pretrained is not None:
        backbone.load_folded(model, pretrained)
    return model


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


def _trainable_body(model: RcdNet, frozen_stages: int) -> list[nn.Parameter]:
    """The backbone's parameters that learn; the stem and the first stages are switched off."""
    blocks = model.backbone.blocks
    if frozen_stages:
        frozen = [model.backbone.conv_stem, *blocks[:frozen_stages]]
        for parameter in (p for module in frozen for p in module.parameters()):
            parameter.requires_grad_(False)
    return [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]


def _optimizer(recipe: Recipe, model: RcdNet, body: list[nn.Parameter]) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
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
    part.replace(folder / "state.pt")  # a kill while writing leaves the last whole epoch


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


def _provenance(recipe: Recipe, run: Run, fabric: Fabric) -> dict[str, object]:
    return {
        "recipe": recipe.model_dump(mode="json"),
        "run": run.name,
        "n_train": len(run.train),
        "n_test": len(run.test),
        "n_test_leaked": run.leaked,
        "device": str(fabric.device),
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()},
    }


def _write_rows(path: Path, rows: list[dict[str, object]], header: list[str] | None = None) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _plot_curves(rows: list[dict[str, float]], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    axes.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], marker=".")
    axes.set(xlabel="epoch", ylabel="training loss", title=path.parent.name)
    figure.savefig(path, dpi=120)
    plt.close(figure)
