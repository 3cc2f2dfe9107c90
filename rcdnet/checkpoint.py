"""Weights on disk: safetensors, with the ModelSpec in the file's metadata and a hash over the tensors."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from rcdnet.errors import CheckpointError
from rcdnet.files import written_whole
from rcdnet.model import Network, RcdNet
from rcdnet.spec import SPEC_KEY, ModelSpec

N = TypeVar("N", bound=Network)


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(model: Network, path: Path) -> ModelSpec:
    """Write weights as float16 (half the size; every reader computes in float32 from the same rounded values).

    Returns the spec as written, with ``weights_sha256`` filled in.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    spec = replace(model.spec, weights_sha256=tensors_sha256(tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written_whole(path) as part:  # `train calibrate` writes over the only copy there is
            part.write_bytes(serialized(tensors, {SPEC_KEY: spec.to_json()}))  # save_file's only its owner may read
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    return spec


def read_spec(path: Path) -> ModelSpec:
    """The spec alone, without building the network. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(SPEC_KEY)
    except (SafetensorError, OSError) as error:
        reason = "it is a folder, name the .safetensors in it" if path.is_dir() else error
        raise CheckpointError(f"{path} cannot be read as safetensors: {reason}") from error
    if text is None:
        raise CheckpointError(f"{path} has no {SPEC_KEY!r} in its metadata: it is not an RcdNet checkpoint")
    try:
        return ModelSpec.from_json(text)
    except ValueError as error:
        raise CheckpointError(f"{path} contains an invalid spec: {error}") from error


def load(path: Path) -> RcdNet:
    """The network of a checkpoint, in float32 and evaluation mode. Raises CheckpointError if the file was altered."""
    return load_as(RcdNet, path)


def load_as(kind: type[N], path: Path) -> N:
    """``load`` for any kind of Network that is made from a ModelSpec."""
    spec = read_spec(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no dict
    found = tensors_sha256(tensors)
    if found != spec.weights_sha256:
        raise CheckpointError(
            f"{path} is not the file that its spec describes: its tensors hash to {found[:12]}, not to "
            f"{spec.weights_sha256[:12]}. Restore the file from its origin."
        )
    try:
        model = kind(spec)
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit {kind.__name__} on {spec.backbone}: is it a plain network of `train compare`?"
        ) from error
    return model.eval()
