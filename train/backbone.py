"""Pretrained weights without timm's hub: an EfficientNet, its batch norm folded, in a safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet

_FILE_MEAN = 127 / 255
"""The network in the file takes grey values 0..255 minus 127; the division by its standard deviation is folded into
``conv_stem``."""


def load_folded(model: RcdNet, path: Path) -> None:
    """Load ``model.backbone``, in which the batch norm is folded too, from a file of folded convolutions, in place.

    The stem's weights are summed over the three input channels, which is exact for grey pictures. They are also
    rescaled from the file's input scaling to the mean and standard deviation of the spec, which is exact except where
    the stem sees the padding. Raises CheckpointError if the file is not such a file, or of another backbone.
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
