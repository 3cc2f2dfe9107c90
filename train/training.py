"""The training of one network, step by step, and the folder in which it is kept. ``train.loop`` says what each file
is."""

import csv
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from lightning_fabric import Fabric
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from rcdnet import checkpoint
from rcdnet.files import written_whole
from rcdnet.model import Network, RcdNet, fold_batch_norm
from train import figures, predictions
from train.datasets import Sample
from train.duplicates import bootstrap_groups
from train.evaluate import heat_map_quality
from train.losses import pointing_loss
from train.plan import TrainingRun
from train.predict import predict
from train.recipes import Precision, Recipe, RecipeError
from train.run_folder import config_of, differing, recipe_of
from train.start import Start, network, require_unseen, start_name, start_sha256, with_data_sets_of
from train.teachers import Teachers, teacher_name

SAVING_PAUSE = 10
"""The state is saved again after at least this many times as long as the last save took, so that short epochs do not
wait for the disk."""

STATE = "state.pt"


@dataclass(frozen=True)
class Setup:
    """What a training needs beside a recipe and pictures."""

    start: Start
    teachers: Sequence[Path]
    precision: Precision

    def require_unseen(self, tested: Sequence[Sample], run: str) -> None:
        """Raises LeakError if the start or a teacher was trained on pictures that ``run`` tests on."""
        for weights in (self.start, *self.teachers):
            require_unseen(tested, weights, run)

    def recorded(self) -> dict[str, Any]:
        """What config.json says of it."""
        return {
            "start": start_name(self.start),
            "start_sha256": start_sha256(self.start),
            "teachers": [teacher_name(path) for path in self.teachers],
            "precision": self.precision,
        }


class Training:
    """One network in training: ``begin`` each epoch, ``step`` through its batches, ``end`` it; finally ``finish``.

    ``rows`` holds a row of metrics.csv for each epoch that is done. It is not empty at the start if the folder holds
    the state of an interrupted run. Raises LeakError, RecipeError and CheckpointError as ``train.start`` does.
    """

    def __init__(self, recipe: Recipe, run: TrainingRun, folder: Path, setup: Setup, n_views: int) -> None:
        setup.require_unseen(run.test, run.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.run, self.folder, self.start = recipe, run, folder, setup.start
        self.fabric = Fabric(accelerator="auto", devices=1, precision=setup.precision)
        self.fabric.seed_everything(run.seed, verbose=False)
        self.model = network(recipe, setup.start).to(self.fabric.device)
        for path in setup.teachers:
            self.model.spec = with_data_sets_of(self.model.spec, path)
        self.optimizer = _optimizer(recipe, self.model, _trainable_body(self.model, recipe))
        factor = _warmup_cosine(recipe, steps_per_epoch=math.ceil(n_views / recipe.batch))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        decay = recipe.ema_decay
        self.ema = ModelEmaV3(self.model, decay=decay, use_warmup=True) if decay else None
        self.rows: list[dict[str, float]] = []
        self._resume()
        self._saved_at_s, self._save_took_s = -math.inf, 0.0
        self.model.to(memory_format=torch.channels_last)
        if self.fabric.device.type == "cpu":
            _keep_slow_layers_in_float32(self.model)
        self._fabric_model, self._fabric_optimizer = self.fabric.setup(self.model, self.optimizer)
        self._teachers = self.fabric.setup(Teachers(setup.teachers, self.model.spec)) if setup.teachers else None
        with written_whole(folder / "config.json") as part:
            part.write_text(json.dumps(_provenance(recipe, run, setup, self.fabric), indent=1))

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.rows)

    def begin(self) -> None:
        """Start an epoch. Its random numbers do not depend on what was trained before it or beside it."""
        self._rng = np.random.default_rng([self.run.seed, self.epoch])
        self._losses: list[Tensor] = []
        self.model.train()

    def step(self, views: Sequence[Tensor]) -> None:
        """One step of gradient descent on a batch of ``loop.Views``: images, lesion shares and labels."""
        images, lesion, labels = (self.fabric.to_device(tensor) for tensor in views)
        loss = _loss(self._fabric_model, self._teachers, images, lesion, labels, self.recipe, self._rng)
        self._fabric_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self._fabric_optimizer.step()
        self.schedule.step()
        if self.ema is not None:
            self.ema.update(self.model, step=self.schedule.last_epoch)
        self._losses.append(loss.detach())  # kept as a tensor: float() would wait for the GPU in each step

    def loss(self) -> float:
        """The mean loss over the steps of this epoch. Raises RecipeError if it is not finite."""
        loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(loss):
            raise RecipeError(
                f"epoch {self.epoch + 1} of {self.recipe.name} has a loss that is not finite: it has diverged. Lower "
                f"lr_head ({self.recipe.lr_head:g}) and lr_body ({self.recipe.lr_body:g}), into a new --out"
            )
        return loss

    def end(self, loss: float, seconds: float) -> None:
        """Write the epoch's row, in which ``seconds`` is the time of all networks trained together. From time to time,
        save the state to resume from."""
        lr_head = float(self.schedule.get_last_lr()[0])
        self.rows.append({"epoch": self.epoch + 1, "loss": loss, "lr_head": lr_head, "seconds": seconds})
        _write_rows(self.folder / "metrics.csv", self.rows)
        now_s = time.monotonic()
        if now_s - self._saved_at_s >= SAVING_PAUSE * self._save_took_s:
            self._save()
            self._saved_at_s = time.monotonic()
            self._save_took_s = self._saved_at_s - now_s
        self.fabric.print(f"{self.folder} epoch {self.epoch}/{self.recipe.epochs}: loss {loss:.4f}, {seconds:.0f} s")

    def finish(self) -> None:
        """Write the weights, the curve of the loss, and the answers to the pictures that were held out."""
        final: Network = self.ema.module if self.ema is not None else self.model
        if self.start == "scratch" and isinstance(final, RcdNet):
            fold_batch_norm(final.eval().backbone)
        spec = checkpoint.save(final, self.folder / "model.safetensors")
        (self.folder / "spec.json").write_text(spec.to_json() + "\n")
        figures.training_curves([self.folder], self.folder / "curves.png")
        write_answers(final, self.run.test, self.folder, "predictions")
        (self.folder / STATE).unlink(missing_ok=True)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.ema.module.state_dict() if self.ema is not None else None,
            "rows": self.rows,
        }
        with written_whole(self.folder / STATE) as part:  # if killed while writing, the state saved before is kept
            torch.save(state, part)

    def _resume(self) -> None:
        """Load the saved state, if there is one."""
        if not (self.folder / STATE).exists():
            return
        state = torch.load(self.folder / STATE, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["average"])
        self.rows = state["rows"]


def write_answers(model: Network, samples: list[Sample], folder: Path, name: str) -> None:
    """Write a network's answers to pictures that it has not seen as FOLDER/NAME.csv, and how well its heat maps match
    their masks as FOLDER/NAME_heat_maps.json."""
    judgements = predict(model, [sample.grey() for sample in samples])
    quality = heat_map_quality(samples, judgements, model.spec)
    (folder / f"{name}_heat_maps.json").write_text(json.dumps(quality, indent=1) + "\n")
    patients = bootstrap_groups(samples)
    predictions.write(folder / f"{name}.csv", model.spec.class_names, samples, judgements, patients)


def _loss(
    network: nn.Module,
    teachers: nn.Module | None,
    images: Tensor,
    lesion: Tensor,
    labels: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Tensor:
    """Cross entropy of pictures mixed by mixup, with their labels and with the teachers' answers, plus the pointing
    loss of both pictures in each mixture.

    ``images`` uint8 [N, H, W], ``lesion`` [N, H, W] 0..1, ``labels`` int [N].
    """
    share = float(rng.beta(recipe.mixup_alpha, recipe.mixup_alpha)) if recipe.mixup_alpha else 1.0
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    mixed = (share * images.float() + (1 - share) * images[other].float()).round().to(torch.uint8)
    logits, maps = network(mixed)
    one_hot = F.one_hot(labels, len(recipe.class_names)).float()
    target = share * one_hot + (1 - share) * one_hot[other]
    loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
    if teachers is not None:
        distillation = F.cross_entropy(logits, teachers(mixed))
        loss = (1 - recipe.teacher_weight) * loss + recipe.teacher_weight * distillation
    if recipe.pointing_weight:
        cells = F.adaptive_avg_pool2d(lesion, maps.shape[-2:])
        pointing = share * pointing_loss(maps, labels, cells)
        pointing = pointing + (1 - share) * pointing_loss(maps, labels[other], cells[other])
        loss = loss + recipe.pointing_weight * pointing
    return loss


def _trainable_body(model: Network, recipe: Recipe) -> list[nn.Parameter]:
    """Freeze what the recipe asks for, and return the other parameters of the backbone. Raises RecipeError if the
    stages of this backbone are not known."""
    if recipe.frozen_stages:
        if not hasattr(model.backbone, "conv_stem"):  # EfficientNets and MobileNets have it, and ``blocks``
            raise RecipeError(
                f"{recipe.name}: which stages of {recipe.backbone} come first is not known: --set frozen_stages=0"
            )
        frozen = [model.backbone.conv_stem, *model.backbone.blocks[: recipe.frozen_stages]]
        for parameter in (p for module in frozen for p in module.parameters()):
            parameter.requires_grad_(False)
    if recipe.frozen_large_filters:
        for convolution in _depthwise(model.backbone):
            convolution.weight.requires_grad_(convolution.kernel_size == (3, 3) and convolution.weight.requires_grad)
    return [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]


def _depthwise(model: nn.Module) -> Iterator[nn.Conv2d]:
    return (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1)


def _keep_slow_layers_in_float32(model: nn.Module) -> None:
    """Let those depthwise convolutions compute in float32 under autocast whose backward pass is slow in bfloat16 on a
    CPU: with torch 2.15 the gradient of the weights takes 3 times as long, that of a strided one's input 7 to 80 times.
    """
    for convolution in _depthwise(model):
        if convolution.weight.requires_grad or convolution.stride != (1, 1):
            convolution.forward = partial(_in_float32, convolution.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def _optimizer(recipe: Recipe, model: Network, body: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimizer, with a learning rate for the head (all but the backbone) and one for the ``body``."""
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    head = [parameter for parameter in model.parameters() if id(parameter) not in of_backbone]
    groups = [{"params": head, "lr": recipe.lr_head}, {"params": body, "lr": recipe.lr_body}]
    optimizer = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return optimizer(groups, weight_decay=recipe.weight_decay)


def _warmup_cosine(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor of the learning rate in each step: a linear warm-up, then half a cosine to zero (Loshchilov and Hutter
    2017, arXiv:1608.03983, without restarts)."""
    warm, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return factor


def _provenance(recipe: Recipe, run: TrainingRun, setup: Setup, fabric: Fabric) -> dict[str, Any]:
    """What config.json holds."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "run": run.name,
        "n_train": len(run.train),
        "n_test": len(run.test),
        "data_sha256": run.data_sha256,
        "n_test_leaked": run.leaked,
        **setup.recorded(),
        "device": torch.cuda.get_device_name() if fabric.device.type == "cuda" else str(fabric.device),
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()},
    }


def require_same(folder: Path, recipe: Recipe, run: TrainingRun, setup: Setup) -> None:
    """Raises RecipeError if the folder holds a run of another recipe, data or setup. What a folder does not record
    (before 2026-11-27) is not compared."""
    if not (folder / "config.json").exists():
        return
    asked = {"data_sha256": run.data_sha256, **setup.recorded()}
    held = asked | {"teachers": []} | config_of(folder)
    differ = differing(recipe.model_dump(), recipe_of(folder).model_dump())
    if held["data_sha256"] != asked["data_sha256"]:  # it may have trained on what is held out now
        differ.append("data set")
    if held["start"] != asked["start"] or held["start_sha256"] not in (asked["start_sha256"], ""):
        differ.append("start")
    if sorted(held["teachers"]) != sorted(asked["teachers"]):
        differ.append("teacher")
    if held["precision"] != asked["precision"]:
        differ.append("precision")
    if differ:
        raise RecipeError(f"{folder} holds a run with another {', '.join(differ)}. Choose another --out, or delete it.")


def _write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
