"""EngineError               exit code
├── UnknownEngine         2   no engine of that name, or none that takes weights
├── EngineUnavailable     4   its runtime or device is not on this machine
├── WeightsError          4   a file of the weights is missing, altered, or of another network
│   └── NoWeights         2   the folder has none of their files, or does not exist
└── ParityError           4   the engine does not compute what the golden set says
"""

from collections.abc import Iterator
from contextlib import contextmanager

FAULTS = (RuntimeError, ValueError, ArithmeticError, MemoryError)
"""What runtimes raise when they fail: a lost device, too little memory, a graph that they cannot compile."""

LONGEST = 400
"""Characters that a runtime's account of what went wrong may have."""


class EngineError(Exception):
    """No engine; the message says why and how to fix it."""

    exit_code = 4


class UnknownEngine(EngineError):
    """No engine of that name, or none that takes weights."""

    exit_code = 2


class EngineUnavailable(EngineError):
    """Its runtime or device is not on this machine."""


class WeightsError(EngineError):
    """A file of the weights is missing, altered, or of another network."""


class NoWeights(WeightsError):
    """The folder has none of their files, or does not exist."""

    exit_code = 2


class ParityError(EngineError):
    """The engine does not compute what the golden set says."""


@contextmanager
def faults_of(what: str, faults: tuple[type[Exception], ...] = FAULTS) -> Iterator[None]:
    """Raise EngineError, "``what``: why", in place of ``faults``."""
    try:
        yield
    except faults as error:
        raise EngineError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An error's message on one line, or its kind if it has none. OpenVINO begins with two lines of code locations."""
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__
