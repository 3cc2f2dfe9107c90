"""Average the weights of several networks: a model soup (Wortsman et al. 2022, arXiv:2203.05482).

The mean answers about as well as the ensemble of the networks, at the cost of one. This needs networks that started
from the same weights and were trained by the same recipe, so that there is no barrier of high loss between them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet


def average(paths: Sequence[Path]) -> RcdNet:
    """The uniform mean of checkpoints. Raises CheckpointError if there are none, or if their specs differ."""
    models = [checkpoint.load(path) for path in paths]
    if not models:
        raise CheckpointError("nothing to average: name at least one checkpoint")
    mean = models[0]
    for model, path in zip(models, paths, strict=True):
        if replace(model.spec, weights_sha256="") != replace(mean.spec, weights_sha256=""):
            raise CheckpointError(f"{path} and {paths[0]} have different specs: average networks of one recipe only")
    states = [model.state_dict() for model in models]
    mean.load_state_dict({name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]})
    return mean
