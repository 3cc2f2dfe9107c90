"""What does a run folder say of its training? Its JSON files read back; what each is: ``train.loop``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from train.datasets import DataError
from train.recipes import Recipe

FREE = ("about", "seeds")
"""Keys of a recipe that change no run: what is said about it, and which other runs were asked for."""


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """One of its files, which must have these keys. Raises DataError."""
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        if missing := set(keys) - set(told):
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
    except (OSError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return told


def config_of(folder: Path) -> dict[str, Any]:
    """Recipe, data, start, versions and machine, as ``train.training`` wrote them down. Raises DataError."""
    return read_json(folder / "config.json", "recipe", "start", "n_test_leaked")


def recipe_of(folder: Path) -> Recipe:
    """The recipe, as it was run. Raises DataError."""
    try:
        return Recipe.model_validate(config_of(folder)["recipe"])
    except ValidationError as error:
        raise _damaged(folder / "config.json", error) from error


def differing(recipe: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys in which two recipes, as a config.json has them, differ, but for FREE. One that either lacks came
    later."""
    return sorted(key for key in recipe.keys() & other.keys() - set(FREE) if recipe[key] != other[key])


def began(config: Mapping[str, Any]) -> str:
    """Where a run began, and how many teachers it had."""
    count = len(config.get("teachers", []))  # which no run had before 2026-11-26
    return str(config["start"]) + (f", {count} teacher{'s' if count > 1 else ''}" if count else "")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is damaged, or of another version: {error}. Train that run again: into another --out, or once its "
        "folder is deleted."
    )
