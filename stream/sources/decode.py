"""What FFmpeg delivers, as pictures: the part that files, devices and network streams share."""

import math
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.stream import Disposition
from av.video.frame import PictureType
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import Source
from stream.sources.damage import Breaks, Losses
from stream.sources.geometry import Matrix, check_size, square_px, upright
from stream.sources.uri import SIZE_LIMIT_PX
from stream.types import Frame

OPEN_ERRORS = (av.FFmpegError, OSError, ValueError)
"""What PyAV raises for a broken header; text that is no UTF-8 comes as UnicodeDecodeError, which is a ValueError."""

LIMITS = {"max_pixels": str(SIZE_LIMIT_PX**2)}
"""Codec options that keep a broken header from asking for gigabytes."""

REFUSED = (av.InvalidDataError, av.ArgumentError)
"""What a decoder says of a damaged picture, and of one beyond LIMITS."""

MOST_WAITING = 4
"""Pictures that ``settled`` holds back: as many B-frames as encoders usually put in a row, and 100 MB of 4K."""

IDLE_S = 0.002
"""Pause before a device without a new picture is asked again: it adds half of this to the latency."""


@dataclass
class PacketTally:
    """What was read of a stream, to be held against what its header promised.

    ``packets`` counts those that arrived whole, ``shown`` those that must each give a picture. ``end_s`` is when the
    last one ends, by the stream's own clock; one that does not say how long it lasts counts as ``step_s`` long.
    """

    step_s: float = 0.0
    packets: int = 0
    shown: int = 0
    end_s: float = 0.0

    def add(self, packet: "av.Packet[av.VideoStream]") -> None:
        """Take in the next packet that is not empty."""
        self.packets += not packet.is_corrupt
        self.shown += not packet.is_discard
        begins = packet.dts if packet.pts is None else packet.pts
        if begins is not None and packet.time_base is not None:
            lasts_s = float(packet.duration * packet.time_base) if packet.duration else self.step_s
            self.end_s = max(self.end_s, float(begins * packet.time_base) + lasts_s)


class Decoder:
    """FFmpeg's decoder of a stream, which invents what is missing in a picture, and most often says so.

    A picture counts as damaged if FFmpeg had to invent part of it or refuses it, as one that breaks LIMITS, and if
    anything was lost or damaged since the last key frame. Of what is streamed, only MPEG-TS tells of a loss.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        codec = stream.codec_context
        self._each_alone, self._is_mjpeg = stream.codec.intra_only, codec.name == "mjpeg"
        self._losses, self._breaks = Losses(), Breaks()
        codec.options = codec.options | LIMITS  # those of ``av.open`` end with it
        if self._is_mjpeg:  # it fills up what was cut off, and tells nobody unless it is to give up there
            codec.options = codec.options | {"err_detect": "explode"}

    def decode(self, packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame] | None:
        """The pictures that come out once this packet went in; None if one is damaged, and does not come."""
        if packet.is_corrupt and self._each_alone:  # such decoders fill up what was cut off without a word
            return None
        self._losses.add(packet)
        self._breaks.add(packet)
        try:
            return packet.decode()
        except REFUSED:
            if self._is_mjpeg:  # or what comes next goes in the place of the second field that was cut
                with suppress(*REFUSED):
                    packet.decode()
            if not self._each_alone:
                self._breaks.refused()
            return None

    def spoilt(self, picture: av.VideoFrame) -> bool:
        """Whether a picture that came out is damaged. Ask once for each, in order."""
        return any([self._losses.spoil(picture), self._breaks.spoil(picture)])


class PixelShape:
    """How wide pixels are: as the container says, to the end, or as each part of the stream does."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._codec, self._aspect = stream.codec_context, stream.sample_aspect_ratio
        self._told_by_codec = self._codec.sample_aspect_ratio == self._aspect

    def aspect(self, picture: av.VideoFrame) -> float:
        """How many times as wide as high the pixels of this picture are. Ask for each, in order."""
        if self._told_by_codec and (picture.width, picture.height) == (self._codec.width, self._codec.height):
            self._aspect = self._codec.sample_aspect_ratio  # else the picture is older than what the codec tells
        return float(self._aspect or 1)


@dataclass(frozen=True)
class Arrival:
    """A picture, uint8 [H, W, 3], with its own time if it has one, and when its packet arrived, monotonic. ``rgb`` is
    None if it is damaged. ``between``: a B-frame, made from pictures on both sides of it."""

    arrived_ns: int
    time_s: float | None = None
    rgb: NDArray[np.uint8] | None = None
    between: bool = False


def video_streams(container: InputContainer) -> list[av.VideoStream]:
    """All but the covers of sound recordings."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def video_stream(container: InputContainer, name: str) -> av.VideoStream:
    """The first video stream. Raises SourceError if there is none, if it is a tile of a picture, or if its header asks
    for an absurd size."""
    streams = video_streams(container)
    if not streams:
        raise SourceError(f"{name} contains no video. Expected a clip or stream with pictures.")
    stream = streams[0]
    if stream.disposition & Disposition.dependent:
        raise SourceError(f"{name} is a picture in tiles, as HEIC files are. Save it as PNG or JPEG.")
    if stream.codec_context is None:
        raise SourceError(f"{name} contains video that cannot be decoded. Expected one like H.264 in MP4 or MPEG-TS.")
    check_size(stream.codec_context.width, stream.codec_context.height, name)
    return stream


def decode_pictures(
    container: InputContainer, stream: av.VideoStream, name: str, closed: Event, tally: PacketTally | None = None
) -> Iterator[Arrival]:
    """What comes, also what is damaged; until ``closed``. Raises SourceError if a picture is larger than any scanner's.

    Pictures are upright and their pixels square, as the header wants them shown: "taller than wide" is a finding.
    Those whose colours FFmpeg cannot tell count as damaged too.
    """
    decoder, shape, is_avi = Decoder(stream), PixelShape(stream), container.format.name == "avi"
    for packet in _packets(container, stream, closed):
        arrived_ns = time.perf_counter_ns()
        if tally is not None and packet.size:
            tally.add(packet)
        pictures = decoder.decode(packet)
        if pictures is None:
            yield Arrival(arrived_ns)
        for picture in pictures or ():
            aspect = shape.aspect(picture)
            rgb = None if decoder.spoilt(picture) else _to_rgb(picture, aspect, name)
            time_s = _decoded_s(picture) if is_avi else picture.time
            between = picture.pict_type == PictureType.B
            yield Arrival(arrived_ns) if rgb is None else Arrival(arrived_ns, time_s, rgb, between)


def settled(arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    """The same, but each B-frame waits for the next picture that is none, and counts as damaged if that one is, from
    which it is made. For recordings: a live picture would come late by as long as it waits."""
    waiting: list[Arrival] = []
    try:
        for arrival in arrivals:
            if arrival.between and len(waiting) < MOST_WAITING:
                waiting.append(arrival)
                continue
            yield from (Arrival(each.arrived_ns) if arrival.rgb is None else each for each in waiting)
            waiting.clear()
            yield arrival
    except Exception:
        yield from waiting
        raise
    yield from waiting


def _decoded_s(picture: av.VideoFrame) -> float | None:
    """The time of a picture in AVI, which stores only when each is decoded; FFmpeg guesses when it is shown, wrongly
    for H.264 with B-frames. Pictures come out in order, one for each packet, so all these times are late by the same.
    None for the last picture."""
    return None if picture.dts is None or picture.time_base is None else float(picture.dts * picture.time_base)


class Receiver(Source):
    """A source that FFmpeg receives in real time, and can be read once. A subclass opens the container and
    makes frames of what arrives.

    While a thread is in ``frames`` the container is its own: FFmpeg must not lose it while it reads.
    """

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
            stream = video_stream(container, self.name)
            # threads that share out frames add a frame of delay each; those that share out slices hide damage in H.264
            stream.codec_context.thread_count = 1
            yield from self._received(decode_pictures(container, stream, self.name, self._closed))

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


def _to_rgb(picture: av.VideoFrame, aspect: float, name: str) -> NDArray[np.uint8] | None:
    """uint8 [H, W, 3]; any pixel format, 16 bits included, through FFmpeg's own conversion. None if it refuses."""
    width_px, height_px = square_px(picture.width, picture.height, aspect)
    check_size(width_px, height_px, name)  # it may change in mid-stream
    try:
        # one thread: sharing out half a millisecond of work takes more processor time than the work itself
        rgb = np.asarray(picture.to_ndarray(format="rgb24", width=width_px, height=height_px, threads=1), np.uint8)
    except av.OSError:  # colours of a kind that does not exist: damage in the header of a sequence
        return None
    if picture.format.name == "rgb24":  # nothing was converted: these are the device's own buffers, gone when it closes
        rgb = rgb.copy()
    matrix = _display_matrix(picture)
    return rgb if matrix is None else upright(rgb, matrix)


def _display_matrix(picture: av.VideoFrame) -> Matrix | None:
    """How to turn and mirror the picture; None if it is to be shown as it is."""
    try:
        # Not picture.side_data: picture and side data then keep each other, megabytes until Python looks for cycles.
        # PyAV's stubs know neither of the one nor of the other.
        carried = cast(Mapping[str, Buffer], SideDataContainer(picture))  # type: ignore[call-arg]
        a, b, _, c, d, *_ = struct.unpack("9i", carried["DISPLAYMATRIX"])
    except KeyError:
        return None
    except ValueError:  # PyAV 18 has no name for all that a picture may carry, as Exif data; but it tells the angle
        angle = math.radians(picture.rotation)
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    return a, b, c, d


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
