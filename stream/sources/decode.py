"""What FFmpeg delivers, as pictures: the part that files, devices and network streams share."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Lock

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import Closing
from stream.sources.uri import SIZE_LIMIT_PX
from stream.types import Frame

OPEN_ERRORS = (av.FFmpegError, OSError, UnicodeDecodeError, ValueError)
"""What PyAV raises for a broken header; corrupt MP4 metadata comes as UnicodeDecodeError."""

LIMITS = {"max_pixels": str(SIZE_LIMIT_PX**2)}
"""Codec options that keep a broken header from asking for gigabytes."""

IDLE_S = 0.002
"""Pause before a device without a new picture is asked again: it adds half of this to the latency."""


@dataclass
class Tally:
    """How many packets of the stream were read whole, and how many of all must each give a picture."""

    packets: int = 0
    shown: int = 0


@dataclass(frozen=True)
class Arrival:
    """When a packet arrived, monotonic ns; the time its picture tells and uint8 [H, W, 3], or no picture: damaged."""

    arrived_ns: int
    time_s: float | None = None
    rgb: NDArray[np.uint8] | None = None


def video_stream(container: InputContainer, name: str) -> av.VideoStream:
    """The first video stream. Raises SourceError if there is none, or if its header asks for an absurd size."""
    if not container.streams.video:
        raise SourceError(f"{name} holds no video. Expected a whole clip with a video stream.")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise SourceError(f"{name} holds video of a kind that cannot be decoded. Expected a clip like MP4 with H.264.")
    check_size(stream.codec_context.width, stream.codec_context.height, name)
    return stream


def check_size(width: int, height: int, name: str) -> None:
    """Raises SourceError if a picture is larger than any scanner's."""
    if max(width, height) > SIZE_LIMIT_PX:
        raise SourceError(
            f"{name} says that it is {width}x{height}. Expected at most {SIZE_LIMIT_PX} pixels a side: "
            "the header is broken, or the clip must be scaled down first."
        )


def pictures(
    container: InputContainer, stream: av.VideoStream, name: str, closed: Event, tally: Tally | None = None
) -> Iterator[Arrival]:
    """What comes, also what is damaged; until ``closed``. Raises SourceError if a picture is larger than any scanner's.

    A picture counts as damaged if FFmpeg had to invent part of it, or cannot tell its colours. What later pictures
    inherit from a damaged one, up to the next key frame, FFmpeg does not tell.
    """
    for packet in _packets(container, stream, closed):
        arrived_ns = time.monotonic_ns()
        if tally is not None and packet.size:
            tally.packets += not packet.is_corrupt
            tally.shown += not packet.is_discard
        if packet.is_corrupt and stream.codec.intra_only:  # such decoders fill up what was cut off without a word
            yield Arrival(arrived_ns)
            continue
        try:
            found = packet.decode()
        except av.InvalidDataError:
            yield Arrival(arrived_ns)
            continue
        for picture in found:
            rgb = None if picture.is_corrupt else _to_rgb(picture, name)
            yield Arrival(arrived_ns) if rgb is None else Arrival(arrived_ns, picture.time, rgb)


class Receiver(Closing):
    """A source that FFmpeg receives in real time, and can be read once. A subclass opens the container and
    makes frames of what arrives.

    While a thread is in ``frames`` the container is its own: FFmpeg must not lose it while it reads.
    """

    name: str
    _container: InputContainer

    def __init__(self) -> None:
        super().__init__()
        self._reading = False
        self._guard = Lock()

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        with self._guard:
            if self._closed.is_set() or self._reading:
                return
            self._reading = True
        with self, self._container as container:
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # whole-frame threads would add a frame of delay each
            yield from self._received(pictures(container, stream, self.name, self._closed))

    def close(self) -> None:
        """End ``frames``, which then lets go of what FFmpeg reads."""
        super().close()
        with self._guard:
            if not self._reading:
                self._container.close()

    def _received(self, arrivals: Iterator[Arrival]) -> Iterator[Frame]:
        raise NotImplementedError


def reason(error: BaseException) -> str:
    """What FFmpeg says went wrong, without its numbers and paths."""
    said: str | None = getattr(error, "strerror", None)
    return said or str(error) or type(error).__name__


def _to_rgb(picture: av.VideoFrame, name: str) -> NDArray[np.uint8] | None:
    """uint8 [H, W, 3]; any pixel format, 16 bits included, through FFmpeg's own conversion. None if it refuses."""
    check_size(picture.width, picture.height, name)  # it may change in mid-stream
    try:
        # one thread: sharing out half a millisecond of work takes more processor time than the work itself
        rgb = picture.to_ndarray(format="rgb24", threads=1)
    except av.OSError:  # colours of a kind that does not exist: damage in the header of a sequence
        return None
    if picture.format.name == "rgb24":  # nothing was converted: these are the device's own buffers, gone when it closes
        return np.array(rgb, np.uint8)
    return np.asarray(rgb, np.uint8)


def _packets(container: InputContainer, stream: av.VideoStream, closed: Event) -> Iterator["av.Packet[av.VideoStream]"]:
    while not closed.is_set():
        try:
            for packet in container.demux(stream):
                yield packet
                if closed.is_set():
                    return
            return
        except av.BlockingIOError:
            closed.wait(IDLE_S)
        except IndexError:  # PyAV at the end, flushing a stream that damage made up on the way; ours came before it
            return
