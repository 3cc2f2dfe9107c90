"""Built engines on disk: keyed by all that they depend on, private to one user, checked before anything reads them.

A built engine is a program for a GPU. It is made here, kept in a folder of mode 0700, and accepted only if the folder
and every file are this user's, nobody else may write them, the manifest names exactly this key, and each file hashes
to what the manifest says. The bytes that were hashed are the bytes that are used.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engines import nvidia
from engines.errors import EngineError, EngineUnavailable
from engines.weights import read_onnx
from rcdnet.extras import install
from rcdnet.spec import ModelSpec

MANIFEST = "manifest.json"

TENSORRT_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
"""The names under which TensorRT's Python package is installed."""

CODE = Path(__file__).parents[1]
RECIPE = ("engines/half.py", "engines/tensorrt_build.py", "rcdnet/blocks.py", "rcdnet/model.py")
"""What is built, and with which options; below CODE."""

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ArtefactError(EngineUnavailable):
    """There is no built engine that may be used; the message says why, and how to build one."""


@dataclass(frozen=True)
class Key:
    """What a built engine depends on. Two keys that differ in anything have different folders."""

    engine: str
    weights_sha256: str
    spec: str
    tensorrt: str
    torch_tensorrt: str
    driver: str
    gpu: str
    capability: str
    recipe: str

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, hexadecimal, as much of it as a folder's name needs."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Artefact:
    """``files`` by name, and ``precision`` as read from the engine when it was built."""

    files: Mapping[str, bytes]
    precision: str


def key_here(engine: str, spec: ModelSpec) -> Key:
    """The key of this machine. Raises EngineUnavailable where there is no GPU, no TensorRT or no Torch-TensorRT."""
    gpu = nvidia.gpu()
    return Key(
        engine=engine,
        weights_sha256=spec.weights_sha256,
        spec=_short_sha256(spec.to_json().encode()),  # the scaling of the input is in it, not in the tensors
        tensorrt=_version("TensorRT", TENSORRT_PACKAGES),
        torch_tensorrt=_version("Torch-TensorRT", ("torch-tensorrt",)),
        driver=gpu.driver,
        gpu=gpu.name,
        capability=gpu.capability,
        recipe=_short_sha256(b"".join((CODE / name).read_bytes() for name in RECIPE)),  # new code needs a new build
    )


def _short_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def missing(weights: Path, engine: str) -> str | None:
    """Why there is no usable build of this engine for these weights on this machine, or None if there is one."""
    try:
        _, spec = read_onnx(weights)
        read(key_here(engine, spec))
    except EngineError as error:
        return str(error)
    return None


def root() -> Path:
    """Where built engines are: $XDG_CACHE_HOME/rcdnet-live/engines, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rcdnet-live" / "engines"


def write(key: Key, artefact: Artefact) -> Path:
    """Keep a built engine, in place of an earlier one of the same key, and return its folder. All of it or nothing.

    Raises ArtefactError if the disk refuses.
    """
    folder = root()
    target = folder / key.digest
    manifest = {
        "key": asdict(key),
        "precision": artefact.precision,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in artefact.files.items()},
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as building:
            fresh = Path(building) / "whole"
            fresh.mkdir(mode=0o700)
            for name, data in {**artefact.files, MANIFEST: json.dumps(manifest, indent=2).encode()}.items():
                (fresh / name).touch(mode=0o600)
                (fresh / name).write_bytes(data)
            if target.exists():
                shutil.rmtree(target)
            fresh.rename(target)
    except OSError as error:
        raise ArtefactError(f"cannot keep a built engine in {folder}: {error.strerror or error}") from error
    return target


def read(key: Key) -> Artefact:
    """The built engine of exactly this key, checked. Raises ArtefactError."""
    folder = root()
    place = folder / key.digest
    try:
        facts = [(each, each.lstat()) for each in (folder, place)]
    except FileNotFoundError as error:
        raise ArtefactError(
            f"not built for {key.gpu}, driver {key.driver}, TensorRT {key.tensorrt} and weights "
            f"{key.weights_sha256[:12]}; {mend(key)}"
        ) from error
    except OSError as error:
        raise ArtefactError(f"{place} cannot be read ({error.strerror}); {mend(key)}") from error
    for each, told in facts:
        _require_private(each, told, stat.S_ISDIR, key)
    hashes, precision = _read_manifest(place, key)
    files = {name: _private_bytes(place / Path(name).name, key) for name in hashes}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ArtefactError(f"{place / name} was altered after it was built; {mend(key)}")
    return Artefact(files, precision)


def _read_manifest(place: Path, key: Key) -> tuple[dict[str, str], str]:
    """SHA-256 of each file by its name, and the precision. Raises ArtefactError if it was built for another key."""
    try:
        manifest = json.loads(_private_bytes(place / MANIFEST, key))
        found, hashes, precision = Key(**manifest["key"]), dict(manifest["sha256"]), str(manifest["precision"])
    except (ValueError, TypeError, KeyError) as error:
        raise ArtefactError(f"{place / MANIFEST} is damaged; {mend(key)}") from error
    if found != key:
        theirs, ours = asdict(found), asdict(key)
        differing = [f"{name} {theirs[name]} and not {ours[name]}" for name in ours if theirs[name] != ours[name]]
        raise ArtefactError(f"{place} was built for {', '.join(differing)}; {mend(key)}")
    return hashes, precision


def mend(key: Key) -> str:
    """What to do about a built engine that cannot be used."""
    return f"build it with: python -m engines build {key.engine}"


def _private_bytes(path: Path, key: Key) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123  Path.open follows links
            _require_private(path, os.fstat(file.fileno()), stat.S_ISREG, key)
            return file.read()
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error.strerror}); {mend(key)}") from error


def _require_private(path: Path, facts: os.stat_result, is_kind: Any, key: Key) -> None:
    if not is_kind(facts.st_mode):
        raise ArtefactError(f"{path} is a link or not of the expected kind; remove it, then {mend(key)}")
    if facts.st_uid != os.getuid():
        raise ArtefactError(f"{path} belongs to user {facts.st_uid}, not to {os.getuid()}; remove it, then {mend(key)}")
    if facts.st_mode & OTHERS_MAY_WRITE:
        raise ArtefactError(f"{path} may be written by others; remove it, then {mend(key)}")


def _version(library: str, packages: Sequence[str]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise EngineUnavailable(f"{library} is not installed: it comes with {install('tensorrt')}")
