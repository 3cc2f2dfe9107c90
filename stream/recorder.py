"""One recording: its sinks on a thread of their own, as the disk must not hold up what is seen."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Thread

from stream.handover import EveryFrame
from stream.session import Session
from stream.sink_group import SinkGroup
from stream.sinks.base import Sink
from stream.stage import Stage, explain, received
from stream.status import Board, Recording, Status
from stream.types import View

AHEAD = 30
"""Views that may wait for the disk in live use: a second of video. Any more are not recorded."""

AHEAD_BYTES = 420_000_000
"""Of the pictures of these views at most: a second of 1080p, a quarter of 4K."""

log = logging.getLogger(__name__)


class Recorder:
    """From ``start`` to ``finish``, which tells the sinks what was counted since the recorder was made. Without sinks
    it is ``idle``.
    """

    def __init__(self, sinks: Sequence[Sink], session: Session, board: Board, status: Callable[[], Status]) -> None:
        self.idle = not sinks
        self._sinks = SinkGroup(sinks, session, board)
        self._live = session.live
        self._board = board
        self._status, self._begin = status, status()
        self._views: EveryFrame[View] = EveryFrame(AHEAD) if session.live else EveryFrame()
        self._thread = Thread(target=self._run, name="record", daemon=True)

    def start(self) -> None:
        """Begin to write what waits, and what will come."""
        if not self.idle:
            self._thread.start()

    def put(self, view: View) -> None:
        """Hand a view on to the disk. In a replay this waits for it; live, the view is lost if the disk is too slow."""
        if self.idle:
            return
        if self._live and self._views.waiting >= most_ahead(view):
            self._board.not_recorded()
        else:
            self._views.put(view)

    def finish(self, end: Status) -> str | None:
        """Write what waits, and close the sinks; ``end`` is the last status that counts. Returns why the recording is
        incomplete, if it is."""
        self._views.close()
        if not self.idle:
            self._thread.join()

        def told() -> Status:
            now = self._status()
            return replace(end.since(self._begin), recording=now.recording, recording_error=now.recording_error)

        self._sinks.close(told)
        return self._status().recording_error

    def _run(self) -> None:
        with Stage(self._views, None) as stage:
            self._sinks.open()
            if self._sinks.working:
                self._board.recording(Recording.ON)
            for view in received(self._views):
                if view is not None:
                    with self._board.stages.measure("recording"):
                        self._sinks.write(view)
        if stage.error is not None:  # a fault of ours
            log.error("nothing more is recorded", exc_info=stage.error)
            self._board.recording(Recording.FAILED, explain(stage.error))


def most_ahead(view: View) -> int:
    """How many views of this size may wait."""
    return max(1, min(AHEAD, AHEAD_BYTES // (view.frame.rgb.nbytes + view.picture.nbytes)))
