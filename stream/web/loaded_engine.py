"""Which engine is loaded? One at a time, as a GPU may not hold two; it stays from run to run."""

import logging
from pathlib import Path

from engines.base import Engine
from engines.errors import EngineError
from engines.failover import open_with_failover

log = logging.getLogger(__name__)


class LoadedEngine:
    """Holds the engine that was asked for last, with the network in the folder ``weights``. For one thread at a time,
    but ``engine`` may be read by any."""

    engine: Engine | None = None

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._name = ""

    def load(self, name: str) -> Engine:
        """The engine of this name: the one that is loaded, if it is that. Where another only stands in for it, as it
        failed, it is tried again. Raises EngineError; then none is loaded.
        """
        if name != self._name:
            self.close()
            self._name = name
        if self.engine is None:
            self.engine = open_with_failover(name, self._weights)
        elif self.engine.info.replaced:
            try:
                again = open_with_failover(name, self._weights)
            except EngineError as error:
                log.warning("engine %s is still not available: %s", name, error)
            else:
                self.close()
                self.engine = again
        return self.engine

    def close(self) -> None:
        """Give the engine back. Safe to call twice."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None
