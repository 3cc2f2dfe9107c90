"""A recorded clip: every frame in order (replay), or paced by its own times, looped if asked (live)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import Closing, Pace
from stream.sources.decode import OPEN_ERRORS, reason, to_rgb, video_stream
from stream.sources.uri import options
from stream.types import Frame, ScanArea

FALLBACK_FPS = 25.0
"""Where a clip tells neither times nor a rate."""


class FileSource(Closing):
    """Raises SourceError if the file cannot be read as a video.

    Only local files are opened, so a hanging network is no danger here; a hostile file is FFmpeg's to withstand.
    """

    synthetic = False
    scan_area: ScanArea | None = None

    def __init__(self, path: Path, *, live: bool = False, loop: bool = False) -> None:
        super().__init__()
        self.name = path.name
        self.live = live
        self.damaged = 0
        self._path = path
        self._loop = loop
        with self._open() as container:
            rate = video_stream(container, self.name).average_rate
        self.fps = float(rate) if rate else None

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        options("file", query).expect()
        return cls(Path(target), live=bool(live), loop=loop)

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``. A loop goes on counting: ``pts_s`` is the time since the first start."""
        index, start_s, pace = 0, 0.0, Pace(self._closed)
        while not self._closed.is_set():
            first, end_s = index, start_s
            for pts_s, rgb in self._pass():
                if rgb is not None:
                    if self.live and not pace.wait(start_s + pts_s):
                        return
                    end_s = start_s + pts_s
                    yield Frame(index, time.monotonic_ns(), end_s, rgb, self.name)
                index += 1
                if self._closed.is_set():
                    return
            if index == first:
                raise SourceError(f"{self.name} holds no frame that can be decoded. Expected a video clip.")
            if not self._loop:
                return
            start_s = end_s + 1 / (self.fps or FALLBACK_FPS)

    def _pass(self) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
        """Seconds since the clip's first frame and its pixels, or None for a damaged one; once through the clip."""
        read, last_s, origin_s = 0, -1.0, None
        step_s = 1 / (self.fps or FALLBACK_FPS)
        try:
            with self._open() as container:
                stream = video_stream(container, self.name)
                # slices add no delay; whole frames in parallel decode a replay faster
                stream.thread_type = "SLICE" if self.live else "AUTO"
                for picture in container.decode(stream):
                    told_s: float | None = picture.time
                    if told_s is None:
                        pts_s = last_s + step_s if read else 0.0
                    else:
                        origin_s = told_s if origin_s is None else origin_s
                        pts_s = told_s - origin_s
                    last_s = max(pts_s, last_s)  # times that run backwards stand still
                    read += 1
                    if picture.is_corrupt:
                        self.damaged += 1
                        yield last_s, None
                    else:
                        yield last_s, to_rgb(picture)
                expected = stream.frames
        except OPEN_ERRORS as error:
            raise SourceError(f"{self.name} broke off after {read} frames ({reason(error)}).") from error
        if read < expected and read:
            raise SourceError(f"{self.name} is cut short: {read} of {expected} frames could be read.")

    def _open(self) -> av.container.InputContainer:
        if not self._path.is_file():
            raise SourceError(f"{self._path} is not there. Expected a video file.")
        try:
            return av.open(str(self._path), metadata_errors="replace")
        except OPEN_ERRORS as error:
            raise SourceError(
                f"{self.name} cannot be read as a video ({reason(error)}). Expected a clip like MP4, AVI or MKV."
            ) from error
