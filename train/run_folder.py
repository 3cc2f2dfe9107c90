"""The folder of a run, as ``train fit`` leaves it, and what its JSON files say about the training:

RUN/config.json       the recipe, the data, the versions and the machine
RUN/metrics.csv       a row per epoch; RUN/curves.png is drawn from it
RUN/state.pt          the state after one of the last epochs, to resume from; deleted when the run is finished

A finished run also has:

RUN/model.safetensors, RUN/spec.json                         the trained network
RUN/predictions.csv, RUN/predictions_heat_maps.json          its answers to the pictures that were held out
RUN/external.csv, RUN/external_heat_maps.json                its answers to the external set, if the recipe names one
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from train.errors import DataError
from train.recipes import Recipe

FREE = ("about", "seeds")
"""Keys of a recipe that may differ between two runs of it: ``about`` is only words, ``seeds`` lists the other runs."""


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON file of a run folder. Raises DataError if it cannot be read, or lacks one of these keys."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if missing := set(keys) - set(content):
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
    except (OSError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return content


def config_of(folder: Path) -> dict[str, Any]:
    """The recipe, data, start, versions and machine that ``train.provenance`` wrote down. Raises DataError."""
    return read_json(folder / "config.json", "recipe", "start", "n_test_leaked")


def recipe_of(folder: Path) -> Recipe:
    """The recipe by which a run was trained. Raises DataError."""
    try:
        return Recipe.model_validate(config_of(folder)["recipe"])
    except ValidationError as error:
        raise _damaged(folder / "config.json", error) from error


def seed_and_split(run: str) -> tuple[str, str]:
    """The two parts of a run's name: of "seed0-fold1", "seed0" and "fold1"."""
    seed, _, split = run.partition("-")
    return seed, split


def differing(recipe: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys in which two recipes differ, each as a config.json holds it. Those of FREE do not count, nor does one
    that is in only one of the two: recipes got it after the other run."""
    return sorted(key for key in recipe.keys() & other.keys() - set(FREE) if recipe[key] != other[key])


def start_and_teachers(config: Mapping[str, Any]) -> str:
    """The start of a run and the number of its teachers, in a few words, from its ``config_of``."""
    count = len(config.get("teachers", []))  # the key was added on 2026-11-26
    return str(config["start"]) + (f", {count} teacher{'s' if count > 1 else ''}" if count else "")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is damaged, or of another version: {error}. Train that run again: into another --out, or once its "
        "folder is deleted."
    )
