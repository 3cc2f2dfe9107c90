"""Where do the weights of a network begin, and which pictures have they seen before?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rcdnet import checkpoint
from rcdnet.checkpoint import CheckpointError
from rcdnet.model import Network, RcdNet
from train import backbone, predictions
from train.datasets import Sample
from train.peers import Peer
from train.recipes import Recipe, RecipeError
from train.splits import LeakError

Start = Path | Literal["hub", "scratch"]
"""A checkpoint of ours or a file for ``backbone.load_folded``, timm's hub, or random weights."""


def network(recipe: Recipe, start: Start = "scratch") -> Network:
    """The network of a recipe before training. Its spec names the data that its start was trained on as well.

    Raises CheckpointError if the file is of neither kind or does not fit, RecipeError for a peer, which takes none.
    """
    if recipe.architecture == "peer":
        if isinstance(start, Path):
            raise RecipeError(f"{start}: a network to compare with begins from timm's hub or from scratch, not a file")
        return Peer(recipe.spec(), pretrained=start == "hub")
    model = RcdNet(recipe.spec(), pretrained=start == "hub", fold=start != "scratch")
    if isinstance(start, Path) and checkpoint.is_checkpoint(start):
        before = checkpoint.load(start)
        fits = before.spec.class_names == recipe.class_names
        layers = {name: x for name, x in before.state_dict().items() if fits or not name.startswith("classifier.")}
        try:
            model.load_state_dict(layers, strict=fits)
        except RuntimeError as error:
            raise CheckpointError(
                f"{start} is of a {before.spec.backbone}, which does not fit {recipe.backbone}"
            ) from error
        model.spec = replace(model.spec, trained_on=_joined(before.spec.trained_on, model.spec.trained_on))
    elif isinstance(start, Path):
        backbone.load_folded(model, start)
    return model


def check(start: Start, tested: Sequence[Sample], run: str) -> None:
    """Raises LeakError if ``start`` was trained on pictures that ``run`` tests on.

    It was on all of its data sets but what its run folder says was held out.
    """
    if not tested or not isinstance(start, Path) or not checkpoint.is_checkpoint(start):
        return
    seen = _parts(checkpoint.read_spec(start).trained_on)
    held_out: set[tuple[str, str]] = set()
    if predictions.holds_some(answers := start.parent / "predictions.csv"):
        held_out = predictions.read([answers]).pictures()
    leaked = [s for s in tested if s.dataset in seen and (s.dataset, s.name) not in held_out]
    if leaked:
        raise LeakError(
            f"{start} was trained on {len(leaked)} pictures that {run} tests on, such as "
            f"{leaked[0].dataset}/{leaked[0].name}"
        )


def told(start: Start) -> str:
    """In a few words, for run folders and tables."""
    if not isinstance(start, Path):
        return start
    return f"trained on {checkpoint.read_spec(start).trained_on}" if checkpoint.is_checkpoint(start) else start.stem


def _parts(trained_on: str) -> list[str]:
    return trained_on.split(" + ") if trained_on else []


def _joined(before: str, now: str) -> str:
    """Each data set once, the earlier first."""
    return " + ".join(dict.fromkeys([*_parts(before), *_parts(now)]))
