"""Which engines exist, which run here, and which one is used? Engines are named as strings and imported when asked for,
so reading this list needs none of their runtimes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines import cache, nvidia, parity
from engines.base import Engine
from engines.errors import EngineError, EngineUnavailable, UnknownEngine, WeightsError, faults_of, one_line
from engines.weights import read_golden
from rcdnet.extras import install
from rcdnet.weights import SHIPPED


@dataclass(frozen=True)
class Candidate:
    """An engine by name, and what it needs. What imports ``packages`` is given as "module:name"."""

    target: str
    """Takes the folder of weights and returns the Engine."""
    packages: tuple[str, ...]
    """What ``target`` imports."""
    extra: str = ""
    """The extra of pyproject.toml that brings ``packages``."""
    gpu: bool = False
    """Whether it needs an NVIDIA GPU."""
    absent: Callable[[Path, str], str | None] | None = None
    """Takes the folder of weights and the engine's name. Returns why the engine cannot run although its packages are
    there, or None. It must be quick, and import none of them."""
    builder: str = ""
    """Makes what ``target`` loads from the folder of weights."""
    builder_packages: tuple[str, ...] = ()
    """What ``builder`` imports."""


ENGINES: dict[str, Candidate] = {
    "tensorrt_fp16": Candidate(
        "engines.tensorrt_fp16:TensorrtFp16",
        ("torch", "tensorrt"),
        "tensorrt",
        gpu=True,
        absent=cache.missing,
        builder="engines.tensorrt_build:build",
        builder_packages=("torch", "timm", "safetensors", "tensorrt", "torch_tensorrt"),
    ),
    "cuda_graph": Candidate("engines.cuda_graph:CudaGraph", ("torch", "timm", "safetensors"), "train", gpu=True),
    "openvino_cpu": Candidate("engines.openvino_cpu:fastest", ("openvino",)),
    "onnx_cpu": Candidate("engines.onnx_cpu:OnnxCpu", ("onnxruntime",), "onnx"),
    "torch_reference": Candidate("engines.torch_reference:TorchReference", ("torch", "timm", "safetensors"), "train"),
}
"""In the order in which ``auto`` tries them."""

FAKE = "fake"
"""For tests: never chosen by ``auto``, and not verified against the golden set, as it computes no network."""

FAILING = "failing"
"""For demonstrations: the best engine that runs here, until it fails on purpose. Never chosen by ``auto``."""

log = logging.getLogger(__name__)


def choices() -> list[str]:
    """Every name that ``open_engine`` takes."""
    return ["auto", *ENGINES, FAKE, FAILING]


def expected(*words: str) -> str:
    """What may be named, for whoever named something else: an engine of ENGINES, or one of these ``words``."""
    return f"Expected one of: {', '.join([*words, *ENGINES])}."


def missing(name: str, weights: Path = SHIPPED) -> str | None:
    """Why an engine of ENGINES cannot run here and how to fix that, or None if it can. Quick: loads no runtime."""
    candidate = ENGINES[name]
    reason = _lacks(candidate, candidate.packages)
    if reason is None and candidate.absent is not None:
        reason = candidate.absent(weights, name)
    return reason


def build_artefact(name: str, weights: Path = SHIPPED) -> Path:
    """Build what an engine loads, on this machine and for it, which takes minutes. Returns where it is.

    Raises UnknownEngine for one that needs no building, EngineUnavailable, WeightsError or EngineError.
    """
    buildable = [each for each, candidate in ENGINES.items() if candidate.builder]
    if name not in buildable:
        raise UnknownEngine(f"nothing is built for '{name}'. Expected one of: {', '.join(buildable)}.")
    reason = _lacks(ENGINES[name], ENGINES[name].builder_packages)
    if reason is not None:
        raise EngineUnavailable(f"{name}: {reason}")
    with _runtime(name):
        folder: Path = _import_named(ENGINES[name].builder)(weights)
    return folder


def _lacks(candidate: Candidate, packages: Sequence[str]) -> str | None:
    """What a candidate lacks, the GPU first: nobody should install gigabytes only to learn that there is none."""
    reason = nvidia.absent() if candidate.gpu else None
    for package in packages:
        if reason is None and find_spec(package) is None:
            reason = f"{package} is not installed: it comes with {install(candidate.extra)}"
    return reason


def open_engine(name: str = "auto", weights: Path = SHIPPED, batched: bool = False) -> Engine:
    """Load the network in ``weights`` and verify it against the golden set there; the numbers are in ``info.parity``.

    This is done one picture at a time and, if ``batched``, also ``info.batch`` at a time, as a replay calls it.
    ``auto`` takes the first engine that runs here and passes. Raises UnknownEngine, EngineUnavailable, WeightsError,
    ParityError, or EngineError if it fails.
    """
    if name == FAKE:
        if weights != SHIPPED:
            raise UnknownEngine(f"{FAKE} computes no network, so it takes no weights. {expected('auto')}")
        from engines.fake import FakeEngine

        return FakeEngine()
    if name == FAILING:
        from engines.failing import FailingEngine

        return FailingEngine(open_first(list(ENGINES), weights, batched))
    if name == "auto":
        return open_first(list(ENGINES), weights, batched)
    engine = load(name, weights)
    try:
        batches = (1, engine.info.batch) if batched else (1,)
        with faults_of(name):
            engine.info = replace(engine.info, parity=parity.require(engine, read_golden(weights), batches))
    except EngineError:
        engine.close()
        raise
    return engine


def open_first(names: Sequence[str], weights: Path = SHIPPED, batched: bool = False) -> Engine:
    """The first of these engines that runs here and passes; the log says which, and why not the others. Raises
    EngineUnavailable, or WeightsError: damaged weights are not worked around."""
    refusals = []
    for name in names:
        try:
            engine = open_engine(name, weights, batched)
        except WeightsError:
            raise
        except EngineError as error:
            refusals.append(str(error))
            log.info("engine %s is not used: %s", name, str(error).removeprefix(f"{name}: "))
        else:
            info = engine.info
            log.info("engine %s is used, in %s on %s: %s", name, info.precision, info.device, info.parity)
            return engine
    raise EngineUnavailable("no engine runs here: " + "; ".join(refusals))


def load(name: str, weights: Path = SHIPPED) -> Engine:
    """Load one engine of ENGINES without verifying it against the golden set. Raises as ``open_engine`` does."""
    if name not in ENGINES:
        raise UnknownEngine(f"no engine '{name}'. {expected('auto')}")
    reason = missing(name, weights)
    if reason is not None:
        raise EngineUnavailable(f"{name}: {reason}")
    with _runtime(name):
        engine: Engine = _import_named(ENGINES[name].target)(weights)
    return engine


@contextmanager
def _runtime(name: str) -> Iterator[None]:
    """Raise EngineError for what a runtime raises, EngineUnavailable if it cannot even be loaded.

    A GPU's libraries may raise anything then: AssertionError without CUDA, AttributeError with another version,
    Exception itself. None of it may end a program that has other engines.
    """
    unloadable = Exception if ENGINES[name].gpu else (ImportError, OSError)
    try:
        with faults_of(name):
            yield
    except EngineError:
        raise
    except unloadable as error:
        raise EngineUnavailable(f"{name}: its runtime is installed but cannot be loaded: {one_line(error)}") from error


def _import_named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
