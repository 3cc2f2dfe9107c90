"""Several networks made one: the mean of their weights (model soup, Wortsman et al. 2022, arXiv:2203.05482).

It holds where the networks began from the same weights and took the same recipe: then the way from one to the other
crosses no hill of loss, and their mean answers about as their ensemble would, at the price of one network.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rcdnet import checkpoint
from rcdnet.checkpoint import CheckpointError
from rcdnet.model import RcdNet


def average(paths: Sequence[Path]) -> RcdNet:
    """The uniform mean of checkpoints of one kind. Raises CheckpointError if their specs differ, or without any."""
    models = [checkpoint.load(path) for path in paths]
    if not models:
        raise CheckpointError("nothing to average: name at least one checkpoint")
    mean = models[0]
    for model, path in zip(models, paths, strict=True):
        if replace(model.spec, weights_sha256="") != replace(mean.spec, weights_sha256=""):
            raise CheckpointError(f"{path} has another spec than {paths[0]}: only networks of one recipe average")
    states = [model.state_dict() for model in models]
    mean.load_state_dict({name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]})
    return mean
