"""The pretrained start where no model hub is reached: a folded EfficientNet in a safetensors file."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from rcdnet.model import RcdNet

_FILE_MEAN = 127 / 255
"""The file's network takes grey values 0..255 less 127, with its own scale folded into ``conv_stem``."""


def load_folded(model: RcdNet, path: Path) -> None:
    """Fill ``model.backbone`` (whose batch norm is folded away) from a file of folded convolutions, in place.

    The stem is summed over its three inputs (exact for grey pictures) and rescaled from the file's input scaling to
    the spec's mean and standard deviation (exact but for the padding ring). Raises ValueError if the shapes differ.
    """
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    stem = tensors["conv_stem.weight"].sum(dim=1, keepdim=True) * (255 * model.spec.std)
    shift = (model.spec.mean - _FILE_MEAN) / model.spec.std
    tensors["conv_stem.weight"] = stem
    tensors["conv_stem.bias"] = tensors["conv_stem.bias"] + stem.sum(dim=(1, 2, 3)) * shift
    state = model.backbone.state_dict()
    for name in state:
        source = tensors.get(name)
        if source is None or source.shape != state[name].shape:
            raise ValueError(f"{path} has no {name} of shape {list(state[name].shape)} for {model.spec.backbone}")
        state[name] = source
    with torch.no_grad():
        model.backbone.load_state_dict(state)
