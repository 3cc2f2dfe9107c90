"""The only file that knows the order of the stages, and that owns the threads."""

from collections.abc import Callable, Sequence

from engines.base import Engine
from stream.config import OverlayStyle, StreamConfig
from stream.sinks.base import Sink
from stream.sources.base import Source
from stream.status import Status
from stream.types import View


class Pipeline:
    """capture -> analysis -> drawing -> recording, each on its own thread.

    The pipeline closes ``source`` and ``sinks``; the engine stays with the caller, for the next pipeline, and must not
    be closed before ``stop`` has returned. ``on_view`` is called on the drawing thread and should return at once.
    """

    style: OverlayStyle
    """How the next picture is drawn; assign a new one at any time, from any thread."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        config: StreamConfig,
        sinks: Sequence[Sink] = (),
        on_view: Callable[[View], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start the threads and return."""

    def stop(self) -> None:
        """End all threads and close source and sinks. Safe to call twice; what was recorded is on disk on return."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the source has ended or failed and everything drawn is recorded."""
        raise NotImplementedError

    def status(self) -> Status:
        """A snapshot, from any thread."""
        raise NotImplementedError
