"""The pretrained start where no model hub is reached: a folded EfficientNet in a safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rcdnet.checkpoint import CheckpointError
from rcdnet.model import RcdNet

_FILE_MEAN = 127 / 255
"""The file's network takes grey values 0..255 less 127, with its own scale folded into ``conv_stem``."""


def load_folded(model: RcdNet, path: Path) -> None:
    """Fill ``model.backbone`` (whose batch norm is folded away) from a file of folded convolutions, in place.

    The stem is summed over its three inputs (exact for grey pictures) and rescaled from the file's input scaling to
    the spec's mean and standard deviation (exact but for the padding ring). Raises CheckpointError if the file is none,
    or of another backbone.
    """
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    wanted = model.backbone.state_dict()
    for name, tensor in wanted.items():
        shape = [tensor.shape[0], 3, *tensor.shape[2:]] if name == "conv_stem.weight" else list(tensor.shape)
        if name not in tensors or list(tensors[name].shape) != shape:
            raise CheckpointError(
                f"{path} has no {name} of shape {shape}. Expected one of our checkpoints, or {model.spec.backbone} "
                "with its batch norm folded into weights and biases."
            )
    stem = tensors["conv_stem.weight"].sum(dim=1, keepdim=True) * (255 * model.spec.std)
    shift = (model.spec.mean - _FILE_MEAN) / model.spec.std
    tensors["conv_stem.weight"] = stem
    tensors["conv_stem.bias"] = tensors["conv_stem.bias"] + stem.sum(dim=(1, 2, 3)) * shift
    with torch.no_grad():
        model.backbone.load_state_dict({name: tensors[name] for name in wanted})
