"""What is a source? What all of them share, and those that are recordings."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from stream.sources.uri import last_name, options, printable
from stream.types import Frame, ScanArea

log = logging.getLogger(__name__)


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

    left_out: str = ""
    """How much is there as well and gives no frames, and why, in words."""

    def __init__(self) -> None:
        self._closed = Event()

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], "Source"]:
        """What opens the source of a split URI; ``live`` and ``loop`` are those of ``stream.sources.open_source``.
        Raises UsageError for what makes no sense, which takes no look at the source itself."""
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
        self.name = last_name(path)
        self.fps = fps
        self._path, self._loop = path, loop

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``Source``."""
        asked = options(cls.SCHEME, query)
        asked.expect("fps")
        return partial(cls, Path(target), fps=asked.fps(), loop=loop)

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

    def _leave_out(self, names: Iterable[str], why: str) -> None:
        """Log what is left out, if anything is. Its names go no further: they may be of patients."""
        if printed := sorted(map(printable, names)):
            more = f" and {len(printed) - 1} more" if len(printed) > 1 else ""
            log.warning("%s: %s%s left out; %s", self.name, printed[0], more, why)
            self.left_out = f"{len(printed)} left out; {why}"

    def _once(self) -> Iterator[RecordedPicture]:
        """All of it once, in order, at least one. Raises SourceError as ``frames`` does."""
        raise NotImplementedError
