"""An RcdNet as ONNX: the ModelSpec in the file's metadata, and a seal over graph and spec so that damage shows.

The seal is a plain SHA-256: it finds a broken download, a wrong file or a careless edit, not a forger. No torch here.
"""

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from rcdnet.spec import SPEC_KEY, ModelSpec
from rcdnet.weights import how_made

SEAL_KEY = "rcdnet.seal"
"""The metadata key of the SHA-256, hexadecimal."""


class OnnxFileError(ValueError):
    """The file is not an RcdNet in ONNX, or not the one that it claims to be."""


def write(model: onnx.ModelProto, spec: ModelSpec, path: Path) -> None:
    """Write one file, with ``spec`` and the seal as its only metadata."""
    sealed = _bare(model)
    told = spec.to_json()
    onnx.helper.set_model_props(sealed, {SPEC_KEY: told, SEAL_KEY: seal(model, told)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sealed.SerializeToString(deterministic=True))


def read(path: Path) -> tuple[bytes, ModelSpec]:
    """The file's bytes, for a runtime to read, and its spec. Raises OnnxFileError if it is missing or was altered."""
    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
    except OSError as error:
        raise OnnxFileError(
            f"{path} cannot be read ({error.strerror}). Restore it, or {how_made(path.parent)}"
        ) from error
    except DecodeError as error:
        raise OnnxFileError(f"{path} is not ONNX, or only a part of it ({error}). Restore the file.") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if SPEC_KEY not in metadata or SEAL_KEY not in metadata:
        raise OnnxFileError(
            f"{path} has no {SPEC_KEY!r} and {SEAL_KEY!r} in its metadata: rcdnet.export did not write it"
        )
    found = seal(model, metadata[SPEC_KEY])
    if found != metadata[SEAL_KEY]:
        raise OnnxFileError(
            f"{path} was altered after export: it hashes to {found[:12]}, its seal says {metadata[SEAL_KEY][:12]}. "
            "Restore the file from its origin."
        )
    try:
        return data, ModelSpec.from_json(metadata[SPEC_KEY])
    except ValueError as error:
        raise OnnxFileError(f"{path} contains an invalid spec: {error}") from error


def seal(model: onnx.ModelProto, spec: str) -> str:
    """SHA-256 over the model without its metadata, then over the spec as it is written there."""
    digest = hashlib.sha256(_bare(model).SerializeToString(deterministic=True))
    digest.update(spec.encode())
    return digest.hexdigest()


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    return bare
