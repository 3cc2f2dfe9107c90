"""From which weights does a training start, and which pictures have they seen before?"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import timm
import torch

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.model import Network, RcdNet
from rcdnet.spec import ModelSpec
from train import backbone, predictions
from train.datasets import Sample
from train.errors import LeakError
from train.peers import Peer
from train.recipes import Recipe, RecipeError
from train.run_folder import read_json

Start = Path | Literal["hub", "scratch"]
"""The initial weights: a file (one of our checkpoints, or a backbone for ``backbone.load_folded``), timm's hub, or
random weights."""

N = TypeVar("N", bound=Network)


def network(recipe: Recipe, start: Start = "scratch") -> Network:
    """The network of a recipe, with its initial weights. Its spec also names the data that these were trained on.

    From a checkpoint for other classes, all layers but the last are used. Raises RecipeError if the recipe cannot have
    this backbone or this start, and CheckpointError if the file is neither a checkpoint of ours nor a folded backbone,
    or does not fit.
    """
    _require_possible(recipe, start)
    if recipe.architecture == "peer":
        peer = partial(Peer, recipe.spec())
        return _from_hub(peer, "") if start == "hub" else peer()
    model = _rcdnet(recipe, start)
    if isinstance(start, Path):
        if _spec(start) is None:
            backbone.load_folded(model, start)
        else:
            _load_checkpoint(model, start)
    return model


def _require_possible(recipe: Recipe, start: Start) -> None:
    """Raises RecipeError if timm does not know the backbone or has no weights of it, if random filters would be frozen,
    or if a peer is to start from a file."""
    if not timm.is_model(recipe.backbone):
        raise RecipeError(f"{recipe.name}: timm has no {recipe.backbone!r}. timm.list_models() lists what it has.")
    if start == "hub" and not timm.is_model_pretrained(recipe.backbone):
        raise RecipeError(f"{recipe.name}: timm's hub has no weights of {recipe.backbone}. Start --from-scratch.")
    if start == "scratch" and (recipe.frozen_stages or recipe.frozen_large_filters):
        raise RecipeError(
            f"{recipe.name} keeps filters of its start, and from scratch these are random: "
            "--set frozen_stages=0 --set frozen_large_filters=false"
        )
    if recipe.architecture == "peer" and isinstance(start, Path):
        raise RecipeError(f"{start}: a network to compare with begins from timm's hub or from scratch, not a file")


def _rcdnet(recipe: Recipe, start: Start) -> RcdNet:
    """RcdNet with its backbone from the hub, or with random weights. From scratch its batch norm is not folded yet, as
    it must be trained first. Raises RecipeError for a backbone that cannot be folded."""
    spec = recipe.spec()
    try:
        if start == "scratch":
            with torch.random.fork_rng(devices=()):  # so that the next line does not change the weights that are drawn
                RcdNet(spec)  # raises now, not after the training, if the batch norm cannot be folded
            return RcdNet(spec, fold=False)
        make = partial(RcdNet, spec)
        return _from_hub(make, "`train fit --pretrained FILE`, or ") if start == "hub" else make()
    except (TypeError, RuntimeError) as error:
        raise RecipeError(
            f"{recipe.name}: {recipe.backbone} cannot be RcdNet's backbone ({error}). Take one such as "
            "tf_efficientnet_lite0, or --set 'architecture=\"peer\"'"
        ) from error


def _load_checkpoint(model: RcdNet, path: Path) -> None:
    """Fill a network from one of our checkpoints, in place; a last layer for other classes is left as it is. Raises
    CheckpointError if it does not fit."""
    before = checkpoint.load(path)
    layers = before.state_dict()
    if before.spec.class_names != model.spec.class_names:
        layers |= {name: x for name, x in model.state_dict().items() if name.startswith("classifier.")}
    try:
        model.load_state_dict(layers)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is of a {before.spec.backbone}, which does not fit {model.spec.backbone}"
        ) from error
    model.spec = with_data_sets_of(model.spec, path)


def _from_hub(make: Callable[..., N], instead: str) -> N:
    """``make(pretrained=True)``. Raises RecipeError, which says what to do ``instead``, if timm's hub cannot be reached
    or its weights cannot be stored."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its dozens of attempts
    try:
        return make(pretrained=True)
    except OSError as error:
        raise RecipeError(
            f"timm's hub cannot be reached, or its ImageNet weights not be kept ({type(error).__name__}). Start with "
            f"{instead}--from-scratch."
        ) from error


def require_unseen(tested: Sequence[Sample], weights: Start, run: str) -> None:
    """Raises LeakError if the ``weights`` of a start or a teacher were trained on pictures that ``run`` tests on.

    They are assumed to have seen all pictures of the data sets that their spec names, by the names of their folders:
    a renamed set is another one. If they still lie in the folder of the run that trained them, the pictures that it
    held out are exempt.
    """
    spec = _spec(weights)
    if not tested or not isinstance(weights, Path) or spec is None:
        return
    seen = spec.data_sets
    held_out: set[tuple[str, str]] = set()
    if _made_here(weights) and predictions.has_rows(answers := weights.parent / "predictions.csv"):
        held_out = predictions.read([answers]).pictures()
    leaked = [s for s in tested if s.dataset in seen and (s.dataset, s.name) not in held_out]
    if leaked:
        raise LeakError(
            f"{weights} was trained on {len(leaked)} pictures that {run} tests on, such as "
            f"{leaked[0].dataset}/{leaked[0].name}. Data sets are told apart by their folders' names alone"
        )


def with_data_sets_of(spec: ModelSpec, weights: Path) -> ModelSpec:
    """``spec`` with the data sets of a start or a teacher added to those that it was trained on."""
    both = (*checkpoint.read_spec(weights).data_sets, *spec.data_sets)
    return replace(spec, trained_on=" + ".join(dict.fromkeys(both)))


def start_name(start: Start) -> str:
    """The start in a few words, as run folders and tables name it."""
    if not isinstance(start, Path):
        return start
    spec = _spec(start)
    return start.stem if spec is None else f"trained on {spec.trained_on}"


def start_sha256(start: Start) -> str:
    """The hash of a checkpoint's weights, or of any other file; empty for the hub and for random weights."""
    if not isinstance(start, Path):
        return ""
    spec = _spec(start)
    return hashlib.sha256(start.read_bytes()).hexdigest() if spec is None else spec.weights_sha256


def _spec(start: Start) -> ModelSpec | None:
    """The spec of one of our checkpoints; None of any other start."""
    try:
        return checkpoint.read_spec(start) if isinstance(start, Path) else None
    except CheckpointError:
        return None


def _made_here(weights: Path) -> bool:
    """Whether a checkpoint lies in the run folder of its own training."""
    made = weights.parent / "spec.json"
    return made.is_file() and read_json(made, "weights_sha256")["weights_sha256"] == start_sha256(weights)
