"""Train RcdNet and the networks of the paper's tables alike: the same data, recipe, epochs and kind of start."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train import loop, results
from train.peers import PEERS, kind_of, macs
from train.recipes import Precision, Recipe, RecipeError
from train.results import KINDS, Kind
from train.run_folder import read_json, recipe_of
from train.start import Start

NETWORKS = ("RcdNet", *PEERS)
EXTERNAL = "udiat"


def recipe_for(network: str, recipe: Recipe) -> Recipe:
    """``recipe`` for one of NETWORKS, to be tested on the EXTERNAL set too.

    Nothing is frozen: which layers of the other networks could be is not known, and random weights must not be.
    """
    changes: dict[str, object] = {"frozen_stages": 0, "frozen_large_filters": False, "external": (EXTERNAL,)}
    if network != "RcdNet":
        changes |= {"architecture": "peer", "backbone": PEERS[network]}
    return recipe.model_copy(update=changes)


def compare(
    recipes: Sequence[Recipe],
    data_root: Path,
    out: Path,
    *,
    start: Start,
    precision: Precision,
    networks: Sequence[str] = NETWORKS,
    only: Sequence[str] = (),
    workers: int | None = None,
) -> list[dict[str, str]]:
    """Train the networks together by each recipe, resumably, into OUT/NETWORK/RECIPE. Returns the ``table`` of all that
    is finished. Raises as ``loop.fit``, RecipeError also if no run is in ``only``."""
    trained = []
    for recipe in recipes:
        recipe_in = {out / network / recipe.name: recipe_for(network, recipe) for network in networks}
        trained += loop.fit(recipe_in, data_root, start=start, precision=precision, only=only, workers=workers)
    if not trained:
        raise RecipeError(f"no recipe has a run whose name contains {' or '.join(only)}")
    return table(out)


def table(out: Path) -> list[dict[str, str]]:
    """One row for each network, recipe, part and data set that is finished below OUT. The networks of several folds all
    answer the whole external set, and one row has their mean."""
    rows = []
    for network in NETWORKS:
        for folder in sorted((out / network).glob("*")):
            size = _size(folder)
            for kind in KINDS:
                groups: dict[tuple[str, str], list[results.Result]] = {}
                for result in results.of_recipe(folder, kind):
                    if result.question == "malignant":
                        part = re.sub("-fold.*", "", result.part) if kind == "external" else result.part
                        groups.setdefault((result.dataset, part), []).append(result)
                for group in groups.values():
                    numbers = results.mean_row(group, "folds") if len(group) > 1 else group[0].row()
                    runs = [run for result in group for run in result.runs]
                    rows.append({"network": network, **size, **numbers, **_heat_map_quality(runs, kind)})
    return rows


def _heat_map_quality(runs: Sequence[Path], kind: Kind) -> dict[str, str]:
    """Pointing game and energy ratio as table cells: the means over all pictures with a mask that the runs answered."""
    keys = ("pointing_game", "energy_ratio")
    qualities = [read_json(run / f"{kind}_heat_maps.json", "n_masks", *keys) for run in runs]
    with_masks = [quality for quality in qualities if quality["n_masks"]]
    weights = [quality["n_masks"] for quality in with_masks]
    means = {key: np.average([q[key] for q in with_masks], weights=weights) if with_masks else None for key in keys}
    return {key.replace("_", " "): "" if mean is None else f"{mean:.3f}" for key, mean in means.items()}


def _size(folder: Path) -> dict[str, str]:
    """The size of the network that a recipe trains, as table cells. Its weights need not be there."""
    finished = next(folder.glob("*/predictions.csv"), None)
    if finished is None:
        return {}
    recipe = recipe_of(finished.parent)
    network = kind_of(recipe)(recipe.spec())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"M parameters": f"{parameters / 1e6:.2f}", "GMAC": f"{macs(network) / 1e9:.2f}"}
