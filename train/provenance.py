"""What made a run: its recipe, data, start, teachers, precision and machine. ``RUN/config.json`` records it."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from rcdnet.files import written_whole
from train.datasets import Sample
from train.plan import TrainingRun
from train.recipes import Precision, Recipe, RecipeError
from train.run_folder import config_of, differing, recipe_of
from train.start import Start, require_unseen, start_name, start_sha256
from train.teachers import teacher_name


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


def write_config(folder: Path, recipe: Recipe, run: TrainingRun, setup: Setup, device: torch.device) -> None:
    """Write config.json. The file appears once it is complete."""
    config = {
        "recipe": recipe.model_dump(mode="json"),
        "run": run.name,
        "n_train": len(run.train),
        "n_test": len(run.test),
        "data_sha256": run.data_sha256,
        "n_test_leaked": run.leaked,
        **setup.recorded(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()},
    }
    with written_whole(folder / "config.json") as part:
        part.write_text(json.dumps(config, indent=1))


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
