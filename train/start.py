"""Where do the weights of a network begin, and which pictures have they seen before?"""

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
from rcdnet.checkpoint import CheckpointError
from rcdnet.model import Network, RcdNet
from rcdnet.spec import ModelSpec
from train import backbone, predictions
from train.datasets import Sample
from train.peers import Peer
from train.recipes import Recipe, RecipeError
from train.run_folder import read_json
from train.splits import LeakError

Start = Path | Literal["hub", "scratch"]
"""A checkpoint of ours or a file for ``backbone.load_folded``, timm's hub, or random weights."""

N = TypeVar("N", bound=Network)


def network(recipe: Recipe, start: Start = "scratch") -> Network:
    """The network of a recipe before training. Its spec names the data that its start was trained on as well.

    A start that knows other classes gives all but the last layer. Raises CheckpointError if the file is of neither kind
    or does not fit; RecipeError for a peer, which takes none, for a backbone that timm's hub has no weights of or whose
    batch norms cannot be folded, and if the recipe would keep random filters as they are.
    """
    spec = recipe.spec()
    if not timm.is_model(recipe.backbone):
        raise RecipeError(f"{recipe.name}: timm has no {recipe.backbone!r}. timm.list_models() names what it has.")
    if start == "hub" and not timm.is_model_pretrained(recipe.backbone):
        raise RecipeError(f"{recipe.name}: timm's hub has no weights of {recipe.backbone}. Start --from-scratch.")
    if start == "scratch" and (recipe.frozen_stages or recipe.frozen_large_filters):
        raise RecipeError(
            f"{recipe.name} keeps filters of its start, and from scratch these are random: "
            "--set frozen_stages=0 --set frozen_large_filters=false"
        )
    if recipe.architecture == "peer":
        if isinstance(start, Path):
            raise RecipeError(f"{start}: a network to compare with begins from timm's hub or from scratch, not a file")
        return _from_hub(partial(Peer, spec), "") if start == "hub" else Peer(spec)
    try:
        if start == "scratch":
            with torch.random.fork_rng(devices=()):  # the network that is trained is drawn as if this had not been
                RcdNet(spec)  # what could not be folded once it is trained is told now
            return RcdNet(spec, fold=False)
        make = partial(RcdNet, spec)
        model = _from_hub(make, "`train fit --pretrained FILE`, or ") if start == "hub" else make()
    except (TypeError, RuntimeError) as error:
        raise RecipeError(
            f"{recipe.name}: {recipe.backbone} cannot be RcdNet's backbone ({error}). Take one such as "
            "tf_efficientnet_lite0, or --set 'architecture=\"peer\"'"
        ) from error
    if isinstance(start, Path) and _spec(start) is not None:
        before = checkpoint.load(start)
        layers = before.state_dict()
        if before.spec.class_names != recipe.class_names:
            layers |= {name: x for name, x in model.state_dict().items() if name.startswith("classifier.")}
        try:
            model.load_state_dict(layers)
        except RuntimeError as error:
            raise CheckpointError(
                f"{start} is of a {before.spec.backbone}, which does not fit {recipe.backbone}"
            ) from error
        model.spec = having_seen(model.spec, start)
    elif isinstance(start, Path):
        backbone.load_folded(model, start)
    return model


def _from_hub(make: Callable[..., N], instead: str) -> N:
    """Raises RecipeError, which names what to do ``instead``, where timm's hub does not give its weights."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it announces each of its dozens of attempts
    try:
        return make(pretrained=True)
    except OSError as error:
        raise RecipeError(
            f"timm's hub is not reached, or its ImageNet weights cannot be kept ({type(error).__name__}). Start with "
            f"{instead}--from-scratch."
        ) from error


def check(weights: Start, tested: Sequence[Sample], run: str) -> None:
    """Raises LeakError if a start or a teacher was trained on pictures that ``run`` tests on.

    It was on all of its data sets but what was held out, if it lies in the run folder that made it.
    """
    spec = _spec(weights)
    if not tested or not isinstance(weights, Path) or spec is None:
        return
    seen = spec.data_sets
    held_out: set[tuple[str, str]] = set()
    if _made_here(weights) and predictions.holds_some(answers := weights.parent / "predictions.csv"):
        held_out = predictions.read([answers]).pictures()
    leaked = [s for s in tested if s.dataset in seen and (s.dataset, s.name) not in held_out]
    if leaked:
        raise LeakError(
            f"{weights} was trained on {len(leaked)} pictures that {run} tests on, such as "
            f"{leaked[0].dataset}/{leaked[0].name}"
        )


def having_seen(spec: ModelSpec, weights: Path) -> ModelSpec:
    """``spec``, trained on what a start or a teacher was trained on as well."""
    both = (*checkpoint.read_spec(weights).data_sets, *spec.data_sets)
    return replace(spec, trained_on=" + ".join(dict.fromkeys(both)))


def told(start: Start) -> str:
    """In a few words, for run folders and tables."""
    if not isinstance(start, Path):
        return start
    spec = _spec(start)
    return start.stem if spec is None else f"trained on {spec.trained_on}"


def sha256(start: Start) -> str:
    """Of a checkpoint's weights, or of another file; empty of what is none."""
    if not isinstance(start, Path):
        return ""
    spec = _spec(start)
    return hashlib.sha256(start.read_bytes()).hexdigest() if spec is None else spec.weights_sha256


def _spec(start: Start) -> ModelSpec | None:
    """Of a checkpoint of ours; None of any other start."""
    try:
        return checkpoint.read_spec(start) if isinstance(start, Path) else None
    except CheckpointError:
        return None


def _made_here(weights: Path) -> bool:
    """Whether the run folder in which a checkpoint lies is that of its training."""
    made = weights.parent / "spec.json"
    return made.is_file() and read_json(made, "weights_sha256")["weights_sha256"] == sha256(weights)
