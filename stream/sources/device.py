"""What FFmpeg captures in real time: a V4L2, DirectShow or AVFoundation device, or a lavfi test source."""

import errno
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import av
from av.container import InputContainer

from stream.errors import SourceError, UsageError
from stream.sources.clocks import DeviceClock, Pace
from stream.sources.decode import LIMITS, OPEN_ERRORS, Arrival, Receiver, reason, video_stream
from stream.sources.uri import Size, options, printable
from stream.sources.v4l2_list import v4l2_devices
from stream.types import Frame

OPEN_TIMEOUT_S = 5.0
"""A card without a cable may never deliver the first picture that opening waits for."""

NONBLOCK = {"fflags": "+4"}
"""AVFMT_FLAG_NONBLOCK, as the ffmpeg command sets it: a silent device must not hold up the thread that closes it."""

FALLBACK_FPS = 25.0
"""Where a device tells neither times nor a rate."""

LIST = "`python -m stream devices` lists what is attached."

MENDS = {
    errno.EACCES: "Add yourself to the group 'video'.",
    errno.EBUSY: "Close the other program that uses it.",
    errno.EINVAL: "It may not know the size, rate or format asked for; leave them out.",
    errno.ENOTTY: f"It is not a capture device. {LIST}",
    errno.ETIMEDOUT: "No picture came: is the scanner on and the cable in?",
}
"""errno -> how to mend it."""


class DeviceSource(Receiver):
    """A capture device: ``v4l2:/dev/video0?size=1920x1080&fps=60&format=mjpeg``.

    Raises SourceError if it is missing or busy, or delivers another size than the one asked for.
    """

    FORMAT: ClassVar[str] = "v4l2"
    PIXEL_FORMAT: ClassVar[str] = "input_format"
    """What FFmpeg calls the option ``format`` of this kind."""
    AHEAD_S: ClassVar[float] = 1.0
    """By which times may run ahead of the arrivals; beyond, the device's clock has jumped."""
    live = True

    def __init__(
        self, target: str, size_px: Size | None = None, fps: float | None = None, pixel_format: str | None = None
    ) -> None:
        super().__init__()
        self.name = self._label(target)
        wanted = {
            "video_size": None if size_px is None else f"{size_px[0]}x{size_px[1]}",
            "framerate": None if fps is None else f"{fps:g}",
            self.PIXEL_FORMAT: pixel_format,
        }
        asked = {key: value for key, value in wanted.items() if value is not None}
        self._container = self._connect(target, asked)
        try:
            stream = video_stream(self._container, self.name)
            got = stream.codec_context.width, stream.codec_context.height
            if size_px is not None and got != size_px:
                raise SourceError(
                    f"{self.name} delivers {got[0]}x{got[1]}, not the {size_px[0]}x{size_px[1]} asked for. "
                    "Ask for that size, or leave size out."
                )
        except SourceError:
            self._container.close()
            raise
        self.fps = float(stream.average_rate) if stream.average_rate else fps

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``; a device is always live and has no end to loop from."""
        asked = options(cls.FORMAT, query)
        asked.expect("size", "fps", "format")
        if not target:
            raise UsageError(f"v4l2: names no device. Expected v4l2:/dev/video0. {LIST}")
        return partial(cls, target, asked.size_px(), asked.fps(), asked.word("format"))

    def _received(self, arrivals: Iterator[Arrival]) -> Iterator[Frame]:
        step_s = 1 / (self.fps or FALLBACK_FPS)
        index, clock = 0, DeviceClock(step_s, self.AHEAD_S)
        try:
            for arrival in arrivals:
                if arrival.rgb is None:
                    self.damaged += 1
                    index += 1
                    continue
                told_s = arrival.time_s if arrival.time_s is not None else index * step_s
                pts_s = clock.since_first(told_s, arrival.arrived_ns)
                yield Frame(index, arrival.arrived_ns, pts_s, arrival.rgb, self.name)
                index += 1
        except OPEN_ERRORS as error:
            if not self._closed.is_set():
                how = f"Was it unplugged? {LIST}" if index else mend(error)
                raise SourceError(f"{self.name} broke off after {index} frames ({reason(error)}). {how}") from error

    def _label(self, target: str) -> str:
        return printable(target)

    def _connect(self, target: str, asked: dict[str, str]) -> InputContainer:
        if not self._attached(target):
            raise SourceError(f"{printable(target)} is not there. {LIST}")
        try:
            return av.open(target, format=self.FORMAT, options=NONBLOCK | LIMITS | asked, timeout=OPEN_TIMEOUT_S)
        except OPEN_ERRORS as error:
            raise SourceError(f"{printable(target)} cannot be opened ({reason(error)}). {mend(error)}") from error

    def _attached(self, target: str) -> bool:
        """False if it is known not to be there."""
        return Path(target).exists()


class NamedDevice(DeviceSource):
    """A device that has a name and no path. Written by FFmpeg's documentation, not yet run on Windows or macOS."""

    PIXEL_FORMAT: ClassVar[str] = "pixel_format"
    PREFIX: ClassVar[str] = ""
    """What FFmpeg wants before the name."""

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``. A name may hold ``?`` and ``=`` itself: what follows the last ``?`` is
        options if there is a ``=`` in it, else a part of the name.
        """
        whole = f"{target}?{query}" if query else target
        name, mark, asked = whole.rpartition("?")
        if not mark or "=" not in asked:
            name, asked = whole, ""
        kind = cls.FORMAT
        if not name.startswith(cls.PREFIX) or not name.removeprefix(cls.PREFIX):
            raise UsageError(f"{kind}: names no device. Expected {kind}:{cls.PREFIX}NAME. {LIST}")
        if ":" in name:
            raise UsageError(f"{kind}: FFmpeg takes what follows a colon for a sound device. {LIST}")
        if not ffmpeg_has(kind):
            raise UsageError(f"{kind}: PyAV's FFmpeg has no such input on this system. {LIST}")
        return super().opener(name, asked, live, loop)

    def _attached(self, target: str) -> bool:
        return True  # whoever opens it will tell


class DshowSource(NamedDevice):
    """A card on Windows, ``dshow:video=NAME?size=1920x1080&fps=60&format=yuyv422``; the format is one of pixels."""

    FORMAT = "dshow"
    PREFIX = "video="


class AvfoundationSource(NamedDevice):
    """A card on macOS by name or number, ``avfoundation:0?size=1920x1080&fps=60``."""

    FORMAT = "avfoundation"


class LavfiSource(DeviceSource):
    """FFmpeg's test sources, ``lavfi:testsrc2=size=640x480:rate=30``: a capture device without a card.

    In real time unless ``live`` is False. Raises SourceError if FFmpeg cannot make sense of the filter graph.
    """

    FORMAT: ClassVar[str] = "lavfi"
    AHEAD_S: ClassVar[float] = math.inf  # pictures come as fast as they are read
    synthetic = True

    def __init__(self, graph: str, *, live: bool = True) -> None:
        super().__init__(graph)
        self.live = live

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``; the whole text after the colon is FFmpeg's filter graph."""
        graph = f"{target}?{query}" if query else target
        if not graph:
            raise UsageError("lavfi: names no filter graph. Expected one like lavfi:testsrc2=size=640x480:rate=30")
        return partial(cls, graph, live=live is not False)

    def _received(self, arrivals: Iterator[Arrival]) -> Iterator[Frame]:
        """In real time, each picture is held back until its time has come."""
        pace = Pace(self._closed)
        for frame in super()._received(arrivals):
            if not self.live:
                yield frame
            elif pace.wait(frame.pts_s):  # else it was closed, and nothing more arrives
                yield replace(frame, captured_ns=time.perf_counter_ns())

    def _label(self, target: str) -> str:
        return f"lavfi {printable(target)}"

    def _connect(self, target: str, asked: dict[str, str]) -> InputContainer:
        try:
            return av.open(target, format=self.FORMAT, options=LIMITS)
        except OPEN_ERRORS as error:
            raise SourceError(
                f"lavfi: FFmpeg cannot run the filter graph {target[:80]!r} ({reason(error)}). "
                "Expected one like testsrc2=size=640x480:rate=30"
            ) from error


def devices() -> dict[str, str]:
    """URI -> name of every capture device of this machine, in order; empty where there is none."""
    dshow = {f"dshow:video={name}": title for name, title in named_devices("dshow")}
    cards = named_devices("avfoundation")
    titles = [title for _, title in cards]
    macos = {f"avfoundation:{title if names_one_device(title, titles) else number}": title for number, title in cards}
    return v4l2_devices() | dshow | macos


def mend(error: BaseException) -> str:
    """What to do about a device that FFmpeg cannot open or read."""
    return MENDS.get(getattr(error, "errno", None) or 0, LIST)


def ffmpeg_has(kind: str) -> bool:
    """Whether PyAV's FFmpeg has this input on this system."""
    try:
        return bool(av.ContainerFormat(kind, "r"))
    except ValueError:
        return False


def named_devices(kind: str) -> list[tuple[str, str]]:
    """Name for FFmpeg and name for people of each device with a picture."""
    if not ffmpeg_has(kind):
        return []
    try:
        found = av.enumerate_input_devices(kind)
    except av.FFmpegError:  # what DirectShow says where there is none
        return []
    return [(device.name, printable(device.description)) for device in found if "video" in device.media_types]


def names_one_device(title: str, titles: list[str]) -> bool:
    """Whether AVFoundation finds one device by ``title``: FFmpeg takes the first one that begins so, a leading digit
    for a number and a colon for the end.
    """
    fit = title[:1].isalpha() and ":" not in title and title not in ("default", "none")
    return fit and sum(other.startswith(title) for other in titles) == 1
