"""If an engine fails while it runs, the next one in the order takes over.

This holds even for an engine that was asked for by name: the user is watching a patient, not a benchmark, and is told.
Only at the start is a name strict: if that engine does not run, none does (``catalog.open_engine``).
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import catalog
from engines.base import Engine, EngineOutput, require_images
from engines.errors import FAULTS, EngineError, one_line
from rcdnet.weights import SHIPPED

log = logging.getLogger(__name__)


def open_with_failover(name: str = "auto", weights: Path = SHIPPED, *, wait: bool = False) -> Engine:
    """``catalog.open_engine``, with the engines after it in the order to take over. ``wait`` is for replay: see
    Failover; the engine is then verified in batches too, as replay calls it."""
    engine = catalog.open_engine(name, weights, batched=wait)
    return Failover(engine, successors(engine.info.name), weights, wait=wait)


def successors(name: str) -> list[str]:
    """Which engines may follow one: those after it in the order, all after the one that fails on purpose, none after
    the fake, whose answers mean nothing."""
    order = list(catalog.ENGINES)
    if name in order:
        return order[order.index(name) + 1 :]
    return order if name == catalog.FAILING else []


class Failover(Engine):
    """``info`` is of the engine in use, and its ``replaced`` names those that failed before it.

    When a call fails, the next engine is loaded on a thread of its own. Until it is ready calls raise EngineError (a
    live view goes on and says so) or, with ``wait``, wait and are then answered by it (a replay loses no frame). If no
    other engine runs either, the one in use stays, and is tried again with the next call.
    """

    def __init__(self, engine: Engine, names: Sequence[str], weights: Path = SHIPPED, *, wait: bool = False) -> None:
        self._engine = engine
        self._names = list(names)
        self._weights = weights
        self._wait = wait
        self._loader = ThreadPoolExecutor(1, "engine-loader")
        self._next: Future[Engine] | None = None
        self._failure = ""
        self.spec = engine.spec
        self.info = engine.info

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        if self._next is not None:
            self._take_over(self._next)
        try:
            return self._engine.run(images)
        except (EngineError, *FAULTS) as error:
            if not self._names:
                raise
            self._failure = one_line(error)
            log.warning("engine %s failed: %s", self.info.name, self._failure)
            self._next = self._loader.submit(catalog.open_first, self._names, self._weights, self._wait)
            if not self._wait:
                raise EngineError(self._loading()) from error
        return self.run(images)

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._loader.shutdown()
        if self._next is not None and self._next.exception() is None:
            self._next.result().close()
        self._next = None
        self._engine.close()

    def _loading(self) -> str:
        return f"{self._failure}; the next engine is being loaded"

    def _take_over(self, coming: "Future[Engine]") -> None:
        if not self._wait and not coming.done():
            raise EngineError(self._loading())
        self._next = None
        try:
            engine = coming.result()
        except EngineError as error:
            self._names = []
            raise EngineError(f"{self._failure}; {error}") from error
        with suppress(EngineError, *FAULTS):  # a lost device may refuse even this
            self._engine.close()
        log.warning("engine %s takes over, in %s on %s", engine.info.name, engine.info.precision, engine.info.device)
        failed = f"{self.info.name} failed: {self._failure}"
        self._engine, self._names = engine, successors(engine.info.name)
        self.info = replace(engine.info, replaced=(*self.info.replaced, failed))
