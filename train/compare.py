"""RcdNet beside the networks of the paper's tables: same data, same recipe, same epochs, same kind of start."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from rcdnet.model import RcdNet
from train import loop, results
from train.peers import PEERS, Peer, macs
from train.recipes import Precision, Recipe, RecipeError
from train.results import Kind
from train.run_folder import read_json, recipe_of
from train.start import Start

NETWORKS = ("RcdNet", *PEERS)
EXTERNAL = "udiat"
KINDS = get_args(Kind)


def recipe_for(network: str, recipe: Recipe) -> Recipe:
    """``recipe`` with this network in it, tested on the external set too, and nothing frozen: which layers of a peer
    could keep their start is not known, and a start at random must not be kept at all.
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
    """Train the networks side by side, by each recipe, into OUT/NETWORK/RECIPE, resumably; the table of what is
    finished."""
    trained = []
    for recipe in recipes:
        inside = {out / network / recipe.name: recipe_for(network, recipe) for network in networks}
        trained += loop.fit_together(inside, data_root, start=start, precision=precision, only=only, workers=workers)
    if not trained:
        raise RecipeError(f"no recipe has a run whose name contains {' or '.join(only)}")
    return table(out)


def table(out: Path) -> list[dict[str, str]]:
    """One row for each network, recipe, part and data set that is finished below OUT; the networks of several folds
    answer the external set each by itself, and one row has their mean."""
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
                    line = results.mean(group, "folds") if len(group) > 1 else group[0].row()
                    runs = [run for result in group for run in result.runs]
                    rows.append({"network": network, **size, **line, **_heat_map(runs, kind)})
    return rows


def _heat_map(runs: Sequence[Path], kind: Kind) -> dict[str, str]:
    """Pointing game and energy ratio, the mean over the pictures with a mask that the runs were asked about."""
    keys = ("pointing_game", "energy_ratio")
    qualities = [read_json(run / f"{kind}_heat_maps.json", "n_masks", *keys) for run in runs]
    told = [quality for quality in qualities if quality["n_masks"]]
    counts = [quality["n_masks"] for quality in told]
    return {
        key.replace("_", " "): f"{np.average([quality[key] for quality in told], weights=counts):.3f}" if told else ""
        for key in keys
    }


def _size(folder: Path) -> dict[str, str]:
    """Of the network that a recipe trains; its weights need not be there."""
    finished = next(folder.glob("*/predictions.csv"), None)
    if finished is None:
        return {}
    recipe = recipe_of(finished.parent)
    network = Peer(recipe.spec()) if recipe.architecture == "peer" else RcdNet(recipe.spec())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"M parameters": f"{parameters / 1e6:.2f}", "GMAC": f"{macs(network) / 1e9:.2f}"}
