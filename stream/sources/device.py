"""What FFmpeg captures in real time: a V4L2 device, or a lavfi test source through the same code."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import av

from stream.errors import SourceError
from stream.sources.base import Closing, Pace
from stream.sources.decode import OPEN_ERRORS, reason, to_rgb, video_stream
from stream.sources.uri import Options, options
from stream.types import Frame, ScanArea

SYSFS = Path("/sys/class/video4linux")


class DeviceSource(Closing):
    """A capture device: ``v4l2:/dev/video0?size=1920x1080&fps=60``.

    Raises SourceError if it is missing, busy, or cannot deliver the size and rate that were asked for.
    """

    FORMAT: ClassVar[str] = "v4l2"
    synthetic = False
    live = True
    scan_area: ScanArea | None = None

    def __init__(self, target: str, size_px: tuple[int, int] | None = None, fps: float | None = None) -> None:
        super().__init__()
        self.name, self.damaged = target, 0
        wanted = {} if size_px is None else {"video_size": f"{size_px[0]}x{size_px[1]}"}
        wanted |= {} if fps is None else {"framerate": f"{fps:g}"}
        self._check(target)
        try:
            self._container = av.open(target, format=self.FORMAT, options=wanted, timeout=5.0)
        except OPEN_ERRORS as error:
            raise SourceError(
                f"{self.name} cannot be opened ({reason(error)}). It may be busy in another program, or not know "
                "the size or rate asked for. `python -m stream devices` lists what is attached."
            ) from error
        try:
            stream = video_stream(self._container, self.name)
        except SourceError:
            self._container.close()
            raise
        self.fps = float(stream.average_rate) if stream.average_rate else fps
        got = stream.codec_context.width, stream.codec_context.height
        if size_px is not None and got != size_px:
            self._container.close()
            raise SourceError(
                f"{self.name} delivers {got[0]}x{got[1]}, not the {size_px[0]}x{size_px[1]} asked for. "
                "Ask for that size, or leave size out."
            )

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``; a device is always live and has no end to loop from."""
        asked: Options = options(cls.FORMAT, query)
        asked.expect("size", "fps")
        return cls(target, asked.size_px(), asked.fps())

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``. Must be called once."""
        index, pace, origin_s = 0, Pace(self._closed), None
        try:
            with self._container:
                stream = self._container.streams.video[0]
                stream.thread_type = "SLICE"  # whole-frame threads would add a frame of delay each
                for picture in self._container.decode(stream):
                    pts_s = picture.time if picture.time is not None else index / (self.fps or 25.0)
                    origin_s = pts_s if origin_s is None else origin_s
                    if self._closed.is_set() or not self._due(pace, pts_s - origin_s):
                        return
                    if picture.is_corrupt:
                        self.damaged += 1
                    else:
                        yield Frame(index, time.monotonic_ns(), pts_s - origin_s, to_rgb(picture), self.name)
                    index += 1
        except OPEN_ERRORS as error:
            if not self._closed.is_set():
                raise SourceError(
                    f"{self.name} broke off after {index} frames ({reason(error)}). Was it unplugged?"
                ) from error

    def _check(self, target: str) -> None:
        if not Path(target).exists():
            raise SourceError(f"{target} is not there. `python -m stream devices` lists what is attached.")

    def _due(self, pace: Pace, pts_s: float) -> bool:
        """A device sets the pace itself."""
        return True


class LavfiSource(DeviceSource):
    """FFmpeg's test sources, ``lavfi:testsrc2=size=640x480:rate=30``: a capture device without a card."""

    FORMAT: ClassVar[str] = "lavfi"
    synthetic = True

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``; the whole text after the colon is FFmpeg's filter graph."""
        return cls(f"{target}?{query}" if query else target)

    def _check(self, target: str) -> None:
        """Nothing lies on disk."""

    def _due(self, pace: Pace, pts_s: float) -> bool:
        """lavfi delivers as fast as it is read, so it is held to its own times."""
        return pace.wait(pts_s)


def devices(sysfs: Path = SYSFS) -> dict[str, str]:
    """URI -> name of every capture device that the kernel knows, in order."""
    found = sorted(sysfs.glob("video*"), key=lambda path: int(path.name[5:] or 0)) if sysfs.is_dir() else []
    return {f"v4l2:/dev/{path.name}": (path / "name").read_text().strip() for path in found}
