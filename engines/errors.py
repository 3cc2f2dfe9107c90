"""EngineError               exit code
├── UnknownEngine         2   no engine of that name
├── EngineUnavailable     4   its runtime or device is not on this machine
├── WeightsError          4   the weights are missing, altered, or of another network
└── ParityError           4   the engine does not compute what the golden set says
"""


class EngineError(Exception):
    """No engine, with the reason and the mend in its message."""

    exit_code = 4


class UnknownEngine(EngineError):
    """No engine of that name."""

    exit_code = 2


class EngineUnavailable(EngineError):
    """Its runtime or device is not on this machine."""


class WeightsError(EngineError):
    """The weights are missing, altered, or of another network."""


class ParityError(EngineError):
    """The engine does not compute what the golden set says."""
