"""What is a source? What all of them share, and the clocks for those which have none of their own."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream.sources.uri import options, printable
from stream.types import Frame, ScanArea

log = logging.getLogger(__name__)

LATEST_S = 0.25
"""When the pace is behind by more, it starts afresh: to catch up would show the past at double speed."""

LEAST_STEP_S = 1e-6
"""By how much times grow from one frame to the next where both arrived together, or have the same time."""


class Source:
    """Where frames come from: opened by its constructor, closed by ``close`` or on leaving ``with``.

    ``frames`` is consumed by one thread; ``close`` may be called from any other, and ``frames`` then ends.
    """

    name: str
    """Label for people: a file's name, a device, "phantom (synthetic)". Never text from a picture or a header."""

    live: bool = False
    """True: comes in real time, the newest frame wins. False: a replay, every frame, as fast as it is consumed."""

    synthetic: bool = False
    """Made up by a computer (phantom, lavfi) and labelled so wherever it is shown."""

    fps: float | None = None
    """Nominal rate, or None where the source does not tell."""

    scan_area: ScanArea | None = None
    """Where the scan lies in the picture, if the source itself knows (origin "header"); names may lie outside."""

    damaged: int = 0
    """Frames that arrived but could not be decoded whole. Each used up a ``Frame.index`` and was not handed on."""

    still: bool = False
    """Pictures that need not move: a folder of them, or a single one."""

    looped: bool = False
    """A recording that starts again at its end: what is in it comes again and again."""

    trouble: str | None = None
    """Why nothing comes for now, where the source knows."""

    reopened: int = 0
    """How often the source was lost and found again."""

    def __init__(self) -> None:
        self._closed = Event()

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> "Source":
        """The source for a split URI; ``live`` and ``loop`` are those of ``stream.sources.open_source``."""
        raise NotImplementedError

    def frames(self) -> Iterator[Frame]:
        """Every frame in order of presentation; ``index`` and ``pts_s`` only grow, also when a clip is looped.

        Can be read once: the source is closed with its end, and a second call gives none. Raises SourceError when the
        source breaks off, after all frames that could be read.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End ``frames``, whose thread then lets go of the file or device. Safe to call twice and from any thread."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class RecordedPicture:
    """One picture of a recording: when it is shown, by the time since the start, and for how long. ``rgb`` is uint8
    [H, W, 3], or None if it is damaged. The rest is as in ``Frame``; ``source`` is by default the recording's name."""

    at_s: float
    lasts_s: float
    rgb: NDArray[np.uint8] | None
    source: str = ""
    mm_per_px: tuple[float, float] | None = None
    still: bool = False


class RecordedSource(Source):
    """A path: it has an end, and with ``loop`` begins again there. A subclass reads it once; ``fps`` is for what tells
    no times."""

    SCHEME: ClassVar[str]
    """Its key in ``stream.sources.SOURCES``."""

    def __init__(self, path: Path, *, fps: float | None = None, loop: bool = False) -> None:
        super().__init__()
        self.name = printable(path.name)
        self.fps = fps
        self._path, self._loop = path, loop

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        asked = options(cls.SCHEME, query)
        asked.expect("fps")
        return cls(Path(target), fps=asked.fps(), loop=loop)

    def frames(self) -> Iterator[Frame]:
        """See ``Source``. A loop goes on counting: ``pts_s`` is the time since the first start."""
        with self:
            index, start_s, end_s = 0, 0.0, 0.0
            while not self._closed.is_set():
                for picture in self._once():
                    if self._closed.is_set():
                        return
                    if picture.rgb is None:
                        self.damaged += 1
                    else:
                        pts_s, source = start_s + picture.at_s, picture.source or self.name
                        yield Frame(
                            index, time.perf_counter_ns(), pts_s, picture.rgb, source, picture.mm_per_px, picture.still
                        )
                    index += 1
                    end_s = start_s + picture.at_s + picture.lasts_s
                if not self._loop:
                    return
                start_s = end_s

    def _once(self) -> Iterator[RecordedPicture]:
        """All of it once, in order, at least one. Raises SourceError as ``frames`` does."""
        raise NotImplementedError


def warn_left_out(source_name: str, beside: Iterable[Path], why: str) -> None:
    """Log the files of a folder that its source does not read, if there are any."""
    if names := sorted(printable(path.name) for path in beside):
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        log.warning("%s: %s%s left out; %s", source_name, names[0], others, why)


class ArrivalClock:
    """Presentation times where only arrivals are known: seconds since the first one, always growing."""

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._last_s = -LEAST_STEP_S

    def pts_s(self, arrived_ns: int) -> float:
        """The time of the frame that arrived at ``arrived_ns``, monotonic."""
        self._first_ns = arrived_ns if self._first_ns is None else self._first_ns
        self._last_s = max((arrived_ns - self._first_ns) / 1e9, self._last_s + LEAST_STEP_S)
        return self._last_s


class Pace:
    """Holds frames back until they are due, as a probe in real time would deliver them."""

    def __init__(self, closed: Event, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._closed = closed
        self._clock_ns = clock_ns
        self._start_ns: int | None = None

    def wait(self, pts_s: float) -> bool:
        """Return True once ``pts_s`` (0 or more, growing) is due; False as soon as the source is closed."""
        due_ns, now_ns = round(pts_s * 1e9), self._clock_ns()
        if self._start_ns is None or now_ns - self._start_ns - due_ns > LATEST_S * 1e9:
            self._start_ns = now_ns - due_ns
        return not self._closed.wait(max(0, self._start_ns + due_ns - now_ns) / 1e9)
