"""Several sinks as one; each may fail by itself."""

import logging
from collections.abc import Callable, Sequence

from stream.session import Session
from stream.sinks.base import Sink
from stream.stage import Caught, explain, unforeseen
from stream.status import Board, Recording, Status
from stream.types import View

log = logging.getLogger(__name__)


class SinkGroup:
    """Sinks on one thread. If one fails, as on a full disk, the ``board`` is told, and the run goes on without it; only
    ``close`` reaches it again."""

    def __init__(self, sinks: Sequence[Sink], session: Session, board: Board) -> None:
        self.sinks = tuple(sinks)
        self.working = list(sinks)
        self._session = session
        self._board = board

    def open(self) -> None:
        """See ``stream.sinks.base.Sink``."""
        self._each(self.working, lambda sink: sink.open(self._session))

    def write(self, view: View) -> None:
        """See ``stream.sinks.base.Sink``."""
        self._each(self.working, lambda sink: sink.write(view))

    def close(self, status: Callable[[], Status]) -> None:
        """See ``stream.sinks.base.Sink``. In order, as the report says how those before it ended."""
        self._each(self.sinks, lambda sink: sink.close(status()))

    def _each(self, sinks: Sequence[Sink], step: Callable[[Sink], None]) -> None:
        self.working = [sink for sink in sinks if self._took(sink, step)]

    def _took(self, sink: Sink, step: Callable[[Sink], None]) -> bool:
        with Caught() as caught:
            step(sink)
        if caught.error is None:
            return True
        reason, fault = explain(caught.error), unforeseen(caught.error)
        if sink.on_disk:
            self._board.recording(Recording.FAILED, reason)
        else:
            self._board.not_sent(reason)
        lost = "recorded" if sink.on_disk else f"sent by {type(sink).__name__}"
        if self._session.live:  # a replay ends with it
            log.warning("the run continues, but is no longer %s: %s", lost, reason, exc_info=fault)
        elif fault is not None:
            log.error("nothing more is %s", lost, exc_info=fault)
        return False
