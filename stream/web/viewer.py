"""How does one picture reach many screens? Encoded once, on a thread; one slot per viewer, the newest picture wins."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread

import cv2

from stream.jpeg import as_jpeg
from stream.timing import Percentiles, Summary
from stream.types import Assessment, View

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """An annotated frame as JPEG bytes, with what is said about it; ``captured_ns`` and ``encoded_ns`` are monotonic,
    ``size_px`` is the frame's own, without the panel, and ``heat_map`` the class whose heat map is drawn.

    ``repeated``: an old frame shown again because no new one comes, which says nothing about latency.
    """

    index: int
    repeated: bool
    captured_ns: int
    encoded_ns: int
    size_px: tuple[int, int]
    jpeg: bytes
    assessment: Assessment
    heat_map: str | None


@dataclass(frozen=True)
class Audience:
    """This run's viewers: ``skipped`` counts pictures that one did not take because a newer one came first.

    ``painted_ms`` is from capture to painted, over all screens that acknowledge.
    """

    viewers: int
    skipped: int
    painted_ms: Summary | None


class Viewer:
    """One screen: an async iterator of pictures, newest only. Lives in the event loop that joined it."""

    def __init__(self, broadcast: "Broadcast") -> None:
        self._broadcast = broadcast
        self._loop = asyncio.get_running_loop()
        self._slot: Picture | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self._taken: Picture | None = None
        self._joined_ns = time.perf_counter_ns()

    def __aiter__(self) -> AsyncIterator[Picture]:
        return self

    async def __anext__(self) -> Picture:
        while self._slot is None:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        self._taken, self._slot = self._slot, None
        return self._taken

    def painted(self) -> None:
        """The screen says that the picture it took last is painted. Timed here, so the way back is included."""
        taken, self._taken = self._taken, None
        if taken is None or taken.repeated:
            return
        if taken.encoded_ns >= self._joined_ns and taken.captured_ns >= self._broadcast.begun_ns:  # not from before
            self._broadcast.count_painted(time.perf_counter_ns() - taken.captured_ns)

    def offer(self, picture: Picture | None) -> None:
        """Put a picture into the slot, or end with None. From any thread."""
        self._loop.call_soon_threadsafe(self._put, picture)

    def _put(self, picture: Picture | None) -> None:
        if picture is None:
            self._ended = True
        elif self._slot is not None:
            self._broadcast.count_skipped()
        self._slot = picture
        self._changed.set()


class Broadcast:
    """Pictures for any number of viewers. A slow or dead one costs the others, and the pipeline, nothing.

    Nothing is encoded while nobody watches. ``jpeg_quality`` is 1..100; this run began at ``begun_ns``, monotonic.
    """

    def __init__(self, jpeg_quality: int) -> None:
        self._jpeg_quality = jpeg_quality
        self._guard = Condition()
        self._waiting: View | None = None
        self._last: Picture | None = None
        self._viewers: list[Viewer] = []
        self.begun_ns = 0
        self._skipped = 0
        self._painted = Percentiles()
        self._closed = False
        self._thread = Thread(target=self._encode_all, name="jpeg", daemon=True)
        self._thread.start()

    def publish(self, view: View) -> None:
        """Show this next. Returns at once, from any thread."""
        with self._guard:
            self._skipped += self._waiting is not None and bool(self._viewers)
            self._waiting = view
            if not self._viewers:
                self._last = None  # whoever joins gets this view, not the one that was last watched
            self._guard.notify()

    @contextmanager
    def join(self) -> Iterator[Viewer]:
        """A viewer, from inside an event loop, for as long as the ``with`` block lasts.

        It gets the last picture at once, so that a pause does not look like a fault.
        """
        viewer = Viewer(self)
        with self._guard:
            self._viewers.append(viewer)
            if self._closed or self._last is not None:
                viewer.offer(None if self._closed else self._last)
            self._guard.notify()
        try:
            yield viewer
        finally:
            with self._guard:
                self._viewers.remove(viewer)

    def audience(self) -> Audience:
        """Who watches, and how late they see it."""
        with self._guard:
            return Audience(len(self._viewers), self._skipped, self._painted.summary())

    def close(self) -> None:
        """End every viewer and the encoder. Safe to call twice."""
        with self._guard:
            self._closed = True
            for viewer in self._viewers:
                viewer.offer(None)
            self._guard.notify()
        self._thread.join()

    def begin(self) -> None:
        """Another run: count from zero."""
        with self._guard:
            self.begun_ns = time.perf_counter_ns()
            self._skipped, self._painted = 0, Percentiles()

    def count_painted(self, latency_ns: int) -> None:
        """Count a picture as painted on a screen, at most this long after its capture."""
        self._painted.add(latency_ns)

    def count_skipped(self) -> None:
        """Count a picture that a viewer had not taken when a newer one came."""
        with self._guard:
            self._skipped += 1

    def _encode_all(self) -> None:
        while True:
            with self._guard:
                self._guard.wait_for(lambda: self._closed or (self._waiting is not None and self._viewers))
                view, self._waiting = self._waiting, None
                if self._closed or view is None:
                    return
            try:
                picture = encode(view, self._jpeg_quality)
            except cv2.error as error:
                log.error("frame %d could not be encoded as JPEG: %s", view.frame.index, error)
                continue
            with self._guard:
                self._last = picture
                for viewer in self._viewers:
                    viewer.offer(picture)


def encode(view: View, jpeg_quality: int) -> Picture:
    """The view's RGB picture as JPEG of ``jpeg_quality`` 1..100. Raises cv2.error."""
    jpeg = as_jpeg(view.picture, jpeg_quality)
    return Picture(
        index=view.frame.index,
        repeated=view.repeated,
        captured_ns=view.frame.captured_ns,
        encoded_ns=time.perf_counter_ns(),
        size_px=view.frame.size_px,
        jpeg=jpeg,
        assessment=view.assessment,
        heat_map=view.heat_map,
    )
