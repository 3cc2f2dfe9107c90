"""The training of one network, step by step, and the folder in which it is kept (``train.run_folder``)."""

import csv
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from timm.utils import ModelEmaV3
from torch import Tensor

from rcdnet import checkpoint
from rcdnet.files import written_whole
from rcdnet.model import Network, RcdNet, fold_batch_norm
from train import figures, predictions
from train.datasets import Sample
from train.duplicates import bootstrap_groups
from train.heat_maps import heat_map_quality
from train.losses import training_loss
from train.optimizer import freeze, keep_slow_layers_in_float32, make_optimizer, warmup_cosine
from train.plan import TrainingRun
from train.predict import predict
from train.provenance import Setup, write_config
from train.recipes import Recipe, RecipeError
from train.start import network, with_data_sets_of
from train.teachers import Teachers

SAVING_PAUSE = 10
"""The state is saved again after at least this many times as long as the last save took, so that short epochs do not
wait for the disk."""

STATE = "state.pt"


class Training:
    """One network in training: ``begin`` each epoch, ``step`` through its batches, ``end`` it; finally ``finish``.

    ``rows`` holds a row of metrics.csv for each epoch that is done. It is not empty at the start if the folder holds
    the state of an interrupted run. Raises RecipeError and CheckpointError as ``train.start`` does.
    """

    def __init__(self, recipe: Recipe, run: TrainingRun, folder: Path, setup: Setup, n_views: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.run, self.folder, self.start = recipe, run, folder, setup.start
        self.fabric = Fabric(accelerator="auto", devices=1, precision=setup.precision)
        self.fabric.seed_everything(run.seed, verbose=False)
        self.model = network(recipe, setup.start).to(self.fabric.device)
        for path in setup.teachers:
            self.model.spec = with_data_sets_of(self.model.spec, path)
        freeze(self.model, recipe)
        self.optimizer = make_optimizer(self.model, recipe)
        self.schedule = warmup_cosine(self.optimizer, recipe, steps_per_epoch=math.ceil(n_views / recipe.batch))
        decay = recipe.ema_decay
        self.ema = ModelEmaV3(self.model, decay=decay, use_warmup=True) if decay else None
        self.rows: list[dict[str, float]] = []
        self._resume()
        self._saved_at_s, self._save_took_s = -math.inf, 0.0
        self.model.to(memory_format=torch.channels_last)
        if self.fabric.device.type == "cpu":
            keep_slow_layers_in_float32(self.model)
        self._fabric_model, self._fabric_optimizer = self.fabric.setup(self.model, self.optimizer)
        self._teachers = self.fabric.setup(Teachers(setup.teachers, self.model.spec)) if setup.teachers else None
        write_config(folder, recipe, run, setup, self.fabric.device)

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
        """One step of gradient descent on a batch of ``views.Views``: images, lesion shares and labels."""
        images, lesion, labels = (self.fabric.to_device(tensor) for tensor in views)
        loss = training_loss(self._fabric_model, self._teachers, images, lesion, labels, self.recipe, self._rng)
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


def _write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    with written_whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
