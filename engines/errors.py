"""EngineError
├── UnknownEngine        no engine of that name
├── EngineUnavailable    its runtime or device is not on this machine
├── WeightsError         the weights are missing, altered, or of another network
└── ParityError          the engine does not compute what the golden set says
"""


class EngineError(Exception):
    """No engine, with the reason and the mend in its message. Exit code 4."""


class UnknownEngine(EngineError):
    """No engine of that name."""


class EngineUnavailable(EngineError):
    """Its runtime or device is not on this machine."""


class WeightsError(EngineError):
    """The weights are missing, altered, or of another network."""


class ParityError(EngineError):
    """The engine does not compute what the golden set says."""
