"""Which engines are there, which run here, and which one is taken? Engines are named as strings and imported when asked
for, so that nobody who only reads this list needs their runtimes."""

import logging
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from engines import parity
from engines.base import Engine
from engines.errors import EngineError, EngineUnavailable, ParityError, UnknownEngine, WeightsError
from rcdnet.golden import Golden, GoldenError
from rcdnet.weights import SHIPPED

ENGINES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "openvino_cpu": ("engines.openvino_cpu:OpenvinoCpu", "openvino", ("bf16", "f32")),
    "torch_reference": ("engines.torch_reference:TorchReference", "timm", ("f32",)),
}
"""Name -> module:Class, the package it needs, and the precisions to try; in the order in which ``auto`` tries them."""

FAKE = "fake"
"""Never chosen by itself and held against nothing: it knows nothing."""

log = logging.getLogger(__name__)


def choices() -> list[str]:
    """Every name that ``open_engine`` takes."""
    return ["auto", *ENGINES, FAKE]


def missing(name: str) -> str | None:
    """Why an engine of ENGINES cannot run here, with the mend, or None if it can."""
    package = ENGINES[name][1]
    if find_spec(package) is None:
        return f"{package} is not installed: make test installs it"
    return None


def open_engine(name: str = "auto", weights: Path = SHIPPED) -> Engine:
    """Load the network in ``weights`` and hold it against the golden set there.

    ``auto`` takes the first engine that runs here and holds; each refusal is logged with its numbers. Raises
    UnknownEngine, EngineUnavailable, WeightsError or ParityError.
    """
    if name == FAKE:
        from engines.fake import FakeEngine

        return FakeEngine()
    if name != "auto" and name not in ENGINES:
        raise UnknownEngine(f"no engine '{name}'. Expected one of: {', '.join(choices())}.")
    golden = _golden(weights)
    refusals = []
    for candidate in ENGINES if name == "auto" else [name]:
        try:
            return _open_one(candidate, weights, golden)
        except (EngineUnavailable, ParityError) as error:
            refusals.append(error)
            if name == "auto":
                log.warning("engine %s is not used: %s", candidate, error)
    if name != "auto":
        raise refusals[0]
    raise EngineUnavailable("no engine runs here: " + "; ".join(str(error) for error in refusals))


def open_all(weights: Path = SHIPPED) -> Iterator[tuple[str, Engine | EngineError]]:
    """Every real engine by name, one at a time: opened and held against the golden set, or why not."""
    for name in ENGINES:
        try:
            yield name, open_engine(name, weights)
        except EngineError as error:
            yield name, error


def _open_one(name: str, weights: Path, golden: Golden) -> Engine:
    reason = missing(name)
    if reason is not None:
        raise EngineUnavailable(f"{name}: {reason}")
    target, _, precisions = ENGINES[name]
    module, _, class_name = target.partition(":")
    build = getattr(import_module(module), class_name)
    for precision in precisions:
        engine: Engine = build(weights, precision)
        if engine.info.precision != precision:
            engine.close()  # the processor computes it as something else; that is tried under its own name
            continue
        try:
            parity.require(engine, golden)
        except EngineError as error:
            engine.close()
            if precision == precisions[-1]:
                raise
            log.warning("%s in %s is not used: %s", name, precision, error)
        else:
            return engine
    raise EngineUnavailable(f"{name}: none of {', '.join(precisions)} is computed by this processor")


def _golden(weights: Path) -> Golden:
    try:
        return Golden.load(weights / "golden.npz")
    except GoldenError as error:
        raise WeightsError(str(error)) from error
