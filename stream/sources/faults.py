"""A source that fails by script: ``faults:die@5+3,freeze@12+2/phantom:?fps=30``, for demonstrations and tests.

Before the slash stand events, ``kind@start+length`` in seconds since the first frame; after it any source, live.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from stream.errors import SourceError, UsageError
from stream.sources import open_source, opener
from stream.sources.base import Source
from stream.sources.supervised import SupervisedSource
from stream.types import Frame

KINDS = {
    "delay": "frames come half a second late; those that wait at its end come all at once",
    "die": "the source breaks off, and cannot be opened before the end of the event",
    "drop": "no frames",
    "freeze": "the first picture of the event again and again, with new times",
    "repeat": "the last four pictures in a circle, as a grabber without input does",
    "size": "pictures of half the size",
    "truncate": "every frame arrives damaged",
}

DELAY_S = 0.5
"""By which "delay" holds a frame back."""

BUFFERS = 4
"""Pictures that "repeat" goes through: as many as a V4L2 grabber has."""

EXPECTED = f"faults:KIND@START+SECONDS,.../SOURCE with KIND one of {', '.join(KINDS)}, like faults:die@5+3/phantom:"

EVENT = re.compile(r"(?P<kind>[a-z]+)@(?P<start_s>\d{1,6}(\.\d{1,3})?)\+(?P<length_s>\d{1,6}(\.\d{1,3})?)")


@dataclass(frozen=True)
class Fault:
    """An event of the script: ``kind`` of KINDS, from ``start_s`` for ``length_s`` seconds (half-open)."""

    kind: str
    start_s: float
    length_s: float

    def covers(self, time_s: float) -> bool:
        """Whether it is on at this time."""
        return self.start_s <= time_s < self.start_s + self.length_s


class Script:
    """Events over all connections; their time starts with the first frame, however long the source takes to open."""

    def __init__(self, events: tuple[Fault, ...]) -> None:
        self._events = events
        self._start_ns: int | None = None

    def note_frame(self, now_ns: int) -> None:
        """A frame came; the first one starts the time of the events."""
        self._start_ns = now_ns if self._start_ns is None else self._start_ns

    def on(self, kind: str, now_ns: int) -> bool:
        """Whether an event of this kind is on at this monotonic time; none before the first frame."""
        if self._start_ns is None:
            return False
        time_s = (now_ns - self._start_ns) / 1e9
        return any(event.kind == kind and event.covers(time_s) for event in self._events)


def parse(text: str) -> tuple[Fault, ...]:
    """``"die@5+3,freeze@12+2"``. Raises UsageError."""
    events = []
    for part in text.split(","):
        found = EVENT.fullmatch(part)
        if found is None or found["kind"] not in KINDS:
            raise UsageError(f"faults: event {part[:40]!r} makes no sense. Expected {EXPECTED}")
        events.append(Fault(found["kind"], float(found["start_s"]), float(found["length_s"])))
    return tuple(events)


class FaultySource(Source):
    """One connection to what ``inner_uri`` names, with the faults of ``script``.

    Raises SourceError while an event says that the source is dead.
    """

    def __init__(self, script: Script, inner_uri: str) -> None:
        super().__init__()
        self._script = script
        self._die(time.perf_counter_ns())
        self._inner = open_source(inner_uri, live=True, loop=True)
        self.name = f"{self._inner.name}, with faults"
        self.live, self.synthetic, self.fps = True, self._inner.synthetic, self._inner.fps
        self.scan_area, self.looped = self._inner.scan_area, self._inner.looped
        self._truncated = 0

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Source]:
        """See ``stream.sources.base.Source``. Always live, and opened again when the script lets it."""
        events, _, inner_uri = (f"{target}?{query}" if query else target).partition("/")
        script = Script(parse(events))
        opener(inner_uri)  # raises if it makes no sense
        return lambda: SupervisedSource(lambda: cls(script, inner_uri))

    @property
    def damaged(self) -> int:  # type: ignore[override]  # counted, not set
        """See ``stream.sources.base.Source``."""
        return self._truncated + self._inner.damaged

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        with self:
            late: deque[Frame] = deque()
            recent: deque[Frame] = deque(maxlen=BUFFERS)
            for frame in self._inner.frames():
                self._script.note_frame(frame.captured_ns)
                self._die(frame.captured_ns)
                late.append(frame)
                held_ns = round(DELAY_S * 1e9) if self._script.on("delay", frame.captured_ns) else 0
                while late and frame.captured_ns - late[0].captured_ns >= held_ns:
                    shown = self._spoil(late.popleft(), recent)
                    if shown is not None:
                        yield shown

    def close(self) -> None:
        """See ``stream.sources.base.Source``."""
        super().close()
        self._inner.close()

    def _spoil(self, frame: Frame, recent: deque[Frame]) -> Frame | None:
        """The frame as it arrives, or None; ``recent`` holds the last pictures before a freeze or a repetition."""
        now_ns = frame.captured_ns
        if self._script.on("drop", now_ns):
            return None
        if self._script.on("truncate", now_ns):
            self._truncated += 1
            return None
        if self._script.on("freeze", now_ns) and recent:
            return replace(frame, rgb=recent[-1].rgb)
        if self._script.on("repeat", now_ns) and recent:
            recent.rotate(-1)
            return replace(frame, rgb=recent[-1].rgb)
        recent.append(frame)
        if self._script.on("size", now_ns):
            half = cv2.resize(frame.rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            return replace(frame, rgb=np.asarray(half, np.uint8))
        return frame

    def _die(self, now_ns: int) -> None:
        if self._script.on("die", now_ns):
            raise SourceError("the source died, as its script says")
