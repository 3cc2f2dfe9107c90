"""A live source that is opened again whenever it ends, breaks or falls silent, for as long as anybody wants frames."""

import atexit
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from threading import Event, Thread

from stream.errors import SourceError
from stream.sources.base import Source
from stream.types import Frame

SILENCE_S = 2.0
"""A connection that gives no frame for this long, not even a damaged one, counts as dead. The screen says NO SIGNAL
long before that."""

FIRST_S = 10.0
"""How long the first frame may take, and as much longer while damaged ones come. A network stream can be decoded only
from its next key frame on, which whoever gives up too early never sees."""

WATCH_S = 0.2
"""How often the watchdog looks."""

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 4.0
"""The pause between two attempts grows from the first to the second. Not longer: an attempt costs little, and whoever
switches a scanner on waits for its picture."""

JITTER = 0.2
"""Share by which a wait is shortened at random: many viewers of one sender must not come back at the same moment."""

STORM, STORM_S = 50, 60.0
"""After STORM recoveries within STORM_S, each attempt waits for LONGEST_WAIT_S: a source that opens and dies again and
again has not recovered."""

LAST_S = 2.0
"""How long the program, when it ends, waits for an attempt that is under way."""

log = logging.getLogger(__name__)


def backoff_s(attempt: int, chance: float) -> float:
    """Seconds before an attempt, the first of which is 1; ``chance`` 0..1 of JITTER comes off."""
    longest = min(FIRST_WAIT_S * 2.0 ** min(attempt - 1, 10), LONGEST_WAIT_S)
    return max(FIRST_WAIT_S, longest * (1 - JITTER * chance))


class SupervisedSource(Source):
    """``connect()`` opens the source, now and after each break; ``index`` and ``pts_s`` grow over all connections.

    The first opening is strict: it raises as ``connect`` does, or SourceError once ``given_up`` is set. Later ones are
    tried until one succeeds, and ``trouble`` says meanwhile why nothing comes. ``frames`` ends when this source is
    closed, never by itself.

    ``before`` is the same source of a run that this one goes on with, closed: what its sender is like is known, so that
    the first opening is tried like a later one.
    """

    def __init__(
        self, connect: Callable[[], Source], given_up: Event | None = None, before: Source | None = None
    ) -> None:
        super().__init__()
        self._connect = connect
        self._lost_s: float | None = None  # since when
        self._attempts = 0  # since then
        try:
            first = self._opened(given_up or self._closed)
        except SourceError as error:
            if before is None:
                raise
            first, self.trouble, self._lost_s = before, str(error), time.monotonic()
        if first is None:
            raise SourceError("given up before it was open")
        self._take(first)
        self.name, self.live, self.synthetic, self.looped = first.name, first.live, first.synthetic, first.looped
        self._damaged_before = -first.damaged  # before anything came
        self._due_s = math.inf  # by when the next frame must come, monotonic; for the watchdog
        self._next_index, self._last_pts_s = 0, 0.0
        self._start_ns: int | None = None  # when the first frame was captured
        Thread(target=self._watch, name="source watchdog", daemon=True).start()

    @property
    def damaged(self) -> int:  # type: ignore[override]  # counted, not set
        """Of all connections together."""
        return self._damaged_before + self._inner.damaged

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``. ``pts_s`` jumps by the length of an outage."""
        with self:
            recoveries_s: deque[float] = deque(maxlen=STORM)
            if self.trouble is not None:
                self._open_again()
            while not self._closed.is_set():
                try:
                    with self._inner:
                        yield from self._connection()
                    trouble = f"{self.name} ended"
                except SourceError as error:
                    trouble = str(error)
                if self._closed.is_set():  # which is no trouble
                    return
                self.trouble = trouble
                now_s = time.monotonic()
                self._lost_s = now_s if self._lost_s is None else self._lost_s
                storm = len(recoveries_s) == STORM and now_s - recoveries_s[0] < STORM_S
                recoveries_s.append(now_s)
                self._open_again(LONGEST_WAIT_S if storm else 0.0)

    def close(self) -> None:
        """End ``frames``, also while it waits for the next attempt."""
        super().close()
        self._inner.close()

    def _connection(self) -> Iterator[Frame]:
        """The frames of one connection, counted on from the last one's. Raises SourceError, also after a silence."""
        first_index, shift_s, patience_s = self._next_index, None, FIRST_S
        frames = self._inner.frames()
        while (frame := self._next(frames, patience_s)) is not None:
            patience_s = SILENCE_S
            if shift_s is None:
                self._note_return()
                self._start_ns = frame.captured_ns if self._start_ns is None else self._start_ns
                shift_s = max((frame.captured_ns - self._start_ns) / 1e9, self._last_pts_s) - frame.pts_s
            index, self._last_pts_s = first_index + frame.index, shift_s + frame.pts_s
            self._next_index = index + 1
            yield replace(frame, index=index, pts_s=self._last_pts_s, source=self.name)

    def _next(self, frames: Iterator[Frame], patience_s: float) -> Frame | None:
        """The next frame, None at the end. Raises SourceError if the connection was closed as none came in time."""
        asked_s = time.monotonic()
        self._due_s = asked_s + patience_s
        try:
            frame = next(frames, None)
        finally:
            self._due_s = math.inf
        waited_s = time.monotonic() - asked_s
        if frame is None and waited_s >= patience_s:
            raise SourceError(f"{self.name} sent no whole picture for {waited_s:.0f} s")
        return frame

    def _note_return(self) -> None:
        self.trouble = None
        if self._lost_s is not None:
            log.info("%s is back after %.0f s", self.name, time.monotonic() - self._lost_s)
            self._lost_s, self._attempts = None, 0

    def _open_again(self, least_s: float = 0.0) -> None:
        """Try until it opens or this source is closed, each time after ``least_s`` or more. Until a frame comes, the
        log has attempts 1, 2, 4, 8 and so on: 15 lines for a day without a sender."""
        while True:
            self._attempts += 1
            pause_s = max(backoff_s(self._attempts, random.random()), least_s)
            if self._attempts.bit_count() == 1:
                log.warning("trying again in %.0f s: %s", pause_s, self.trouble)
            if self._closed.wait(pause_s):
                return
            try:
                inner = self._opened(self._closed)
            except SourceError as error:
                self.trouble = str(error)
                continue
            if inner is None:
                return
            self._damaged_before += self._inner.damaged
            self._take(inner)
            self.reopened += 1
            if self._closed.is_set():  # while it was being opened
                self._inner.close()
            return

    def _take(self, inner: Source) -> None:
        self._inner, self.fps, self.scan_area = inner, inner.fps, inner.scan_area

    def _opened(self, given_up: Event) -> Source | None:
        """What ``connect`` opens, or None if ``given_up`` is set meanwhile. Raises as ``connect`` does.

        It can take FFmpeg ten seconds to see that nobody answers, and nothing can interrupt it. So it has a thread of
        its own, for which neither ``given_up`` nor Ctrl-C wait; what it opens too late is closed.
        """
        opening: Future[Source] = Future()
        opener = Thread(target=_open_into, args=(opening, self._connect), name="source opening", daemon=True)
        atexit.register(opener.join, LAST_S)  # Python that ends while a daemon thread is in OpenCV aborts
        opening.add_done_callback(lambda _: atexit.unregister(opener.join))
        opener.start()
        try:
            while not given_up.is_set():
                if wait([opening], WATCH_S).done:
                    return opening.result()
        except KeyboardInterrupt:
            opening.add_done_callback(_close_opened)
            raise
        opening.add_done_callback(_close_opened)
        return None

    def _watch(self) -> None:
        """Close a connection whose next frame is overdue; while damaged ones come, only once it is so by FIRST_S."""
        damaged, alive_s = 0, -math.inf
        while not self._closed.wait(WATCH_S):
            now_s, due_s = time.monotonic(), self._due_s
            if damaged != self.damaged:
                damaged, alive_s = self.damaged, now_s
            spared_s = min(alive_s + SILENCE_S, due_s + FIRST_S)  # until then, for damaged ones came
            if now_s >= max(due_s, spared_s):
                self._inner.close()


def _open_into(opening: Future[Source], connect: Callable[[], Source]) -> None:
    try:
        opening.set_result(connect())
    except BaseException as error:  # noqa: BLE001  raised where it is waited for
        opening.set_exception(error)


def _close_opened(opening: Future[Source]) -> None:
    if opening.exception() is None:
        opening.result().close()
