"""A recorded clip: every frame in order, looped if asked."""

import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

import av
from av.container import InputContainer

from stream.errors import SourceError
from stream.sources.base import RecordedPicture, RecordedSource
from stream.sources.clocks import ClipClock
from stream.sources.decode import (
    LIMITS,
    OPEN_ERRORS,
    PacketTally,
    decode_pictures,
    reason,
    settled,
    video_stream,
    video_streams,
)
from stream.sources.uri import options, printable

FALLBACK_FPS = 25.0
"""Where a clip tells neither times nor a rate."""

SHORT_S = 0.5
"""A clip may be this much shorter than its header says, for headers round; a count of frames must be met exactly."""

AHEAD_S = {"mpeg": 10.0, "mpegts": 10.0}
"""By format: where times go forward by more, another recording begins, for files of these two can be joined byte by
byte. In others a jump is a pause."""

FORMATS = (
    "asf,av1,avi,dv,flv,gif,h264,hevc,ivf,matroska,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,webm,yuv4mpegpipe"
)
"""FFmpeg's names of what is a clip. Not its playlists, which reach into the network and can wait for ever, nor its raw
MPEG-4 (m4v), for which it takes libraries of programs and translations, nor its mjpeg, for which it takes documents
with a JPEG in them."""

JPEGS = frozenset({".mjpeg", ".mjpg"})
"""Suffixes of JPEGs one after the other, also with what a camera sends between them over HTTP. They are known by their
name, as FFmpeg takes most of them for something else."""

ASF_FACTS = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Begins the File Properties Object of a WMV or ASF (Advanced Systems Format, 3.2), which stands in its header."""

MOST_THREADS = 8
"""Threads that decode a clip. Each holds pictures: with FFmpeg's sixteen, a telephone's 4K video (HEVC of 10 bits)
would need more than ``isolated_child.MEMORY_LIMIT``."""

OPEN_TIMEOUT_S = 20.0
"""For FFmpeg to make sense of a header; a large damaged clip takes it a second."""


class FileSource(RecordedSource):
    """Raises SourceError if the file cannot be read as a video.

    Only regular local files in FORMATS are opened, so nothing waits for a network. A hostile file that keeps a decoder
    busy holds up the thread that reads; ``stream.sources.isolated`` ends it.
    """

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        super().__init__(path, loop=loop)
        with self._open() as container:
            stream = video_stream(container, self.name)
            rate = stream.average_rate
            self.still = holds_one_picture(container, stream)
            others = [f"video track {number}" for number in range(2, len(video_streams(container)) + 1)]
            why = "only the first video track is read; ffmpeg -i CLIP -map 0:v:1 -c copy OTHER.mkv extracts the second"
            self._leave_out(others, why)
        self.fps = float(rate) if rate else None
        self._step_s = 1 / (self.fps or FALLBACK_FPS)

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``."""
        options("file", query).expect()
        return partial(cls, Path(target), loop=loop)

    def _once(self) -> Iterator[RecordedPicture]:
        """Raises SourceError at the end if the clip is shorter than its header says, or was still being written."""
        read, whole, tally = 0, 0, PacketTally(self._step_s)
        size = size_bytes(self._path)
        av.logging.set_level(None)  # torchvision before 0.26 turns it on: a thread that logs as a clip is closed hangs
        try:
            with self._open() as container:
                stream = recorded_stream(container, self.name)
                clock = ClipClock(self._step_s, AHEAD_S.get(container.format.name, math.inf), begin_s(stream))
                for arrival in settled(decode_pictures(container, stream, self.name, self._closed, tally)):
                    read += 1
                    whole += arrival.rgb is not None
                    yield RecordedPicture(clock.since_first(arrival.time_s), self._step_s, arrival.rgb)
                promised = promise(container, stream)
        except OPEN_ERRORS as error:
            raise SourceError(f"{self.name} broke off after {read} frames ({reason(error)}).") from error
        if self._closed.is_set():
            return
        self.damaged += max(0, tally.shown - read)  # packets that the decoder passed over in silence
        if tally.packets < promised.exactly or tally.end_s + SHORT_S < promised.end_s:
            share = f"of {promised.frames} frames" if promised.frames else f"frames of {promised.end_s:.1f} s"
            raise SourceError(
                f"{self.name} is cut short or damaged: {whole} {share} could be read. Copy it again from its origin."
            )
        if not self._loop and size_bytes(self._path) > size:
            raise SourceError(f"{self.name} is still being written: {whole} frames so far. Read it again later.")
        if not whole:
            raise SourceError(f"{self.name} contains no picture: none of {read} could be decoded whole.")

    def _open(self) -> InputContainer:
        if self._path.is_char_device():
            device = printable(str(self._path))
            raise SourceError(f"{device} is a device, not a clip. If it is a capture card: v4l2:{device}")
        if not self._path.is_file():
            meant_for_a_card = self.name.isdecimal() or self._path.is_relative_to("/dev")  # as OpenCV takes them
            card = ", or the name of a capture card that `python -m stream devices` lists" if meant_for_a_card else ""
            raise SourceError(f"{self.name} does not exist, or is not a file. Expected a video{card}.")
        if not size_bytes(self._path):
            raise SourceError(f"{self.name} is empty: 0 bytes. Copy it again from its origin.")
        try:
            return opened(self._path)
        except OPEN_ERRORS as error:
            if lacks_index(self._path):
                raise SourceError(
                    f"{self.name} is incomplete: it lacks the index (moov), which is written last. If it is not being "
                    "recorded right now, copy it again; if its recording was cut off, untrunc may mend it, by another "
                    "clip of that recorder."
                ) from error
            other = "another kind of file; a picture is known by a name like scan.png"  # none of FORMATS
            why = other if isinstance(error, av.ArgumentError) else reason(error)
            raise SourceError(
                f"{self.name} cannot be read as a video ({why}). Expected a whole clip like MP4, AVI or MKV."
            ) from error


def opened(path: Path) -> InputContainer:
    """The file as one of FORMATS, or else, if its name is one of JPEGS, as these. Raises OPEN_ERRORS."""

    def opened_as(format_name: str | None, known: str) -> InputContainer:
        return av.open(
            str(path.absolute()),  # as FFmpeg takes "name:rest" for a protocol
            format=format_name,
            options=LIMITS | {"protocol_whitelist": "file", "format_whitelist": known},
            metadata_errors="replace",
            timeout=(OPEN_TIMEOUT_S, None),
        )

    try:
        return opened_as(None, FORMATS)
    except OPEN_ERRORS:
        if path.suffix.lower() not in JPEGS:
            raise
        return opened_as("mjpeg", "mjpeg")


def size_bytes(path: Path) -> int:
    """Of a file; 0 if it is not there, or no more."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def lacks_index(path: Path) -> bool:
    """Whether a file is an MP4 or MOV without a box ``moov`` (ISO 14496-12), which FFmpeg merely calls invalid. Where
    ``meta`` is in its place, it is a HEIC or AVIF."""
    boxes: list[bytes] = []
    at, end = 0, size_bytes(path)
    with path.open("rb") as file:
        while at < end and len(head := file.read(16)) == 16 and (boxes or head[4:8] == b"ftyp"):
            size, kind, large = struct.unpack(">I4sQ", head)
            boxes.append(kind)
            at += (large if size == 1 else size) or end  # 0 is up to the end
            file.seek(min(at, end))
    return bool(boxes) and not {b"moov", b"meta"}.intersection(boxes)


def recorded_stream(container: InputContainer, name: str) -> av.VideoStream:
    """``video_stream``, set up to be read fast: several frames at a time, where the decoder can. So it also tells of
    damage inside an H.264 picture, of which it says nothing if it shares out each picture.
    """
    stream = video_stream(container, name)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min((os.cpu_count() or 1) + 1, MOST_THREADS)  # FFmpeg's own, but for its 16
    return stream


@dataclass(frozen=True)
class Promise:
    """What a header says that the file holds, each 0 where it does not say: about how many frames; when the last one
    ends, by the stream's own clock; and how many packets there must be exactly.
    """

    frames: int
    end_s: float
    exactly: int = 0


def promise(container: InputContainer, stream: av.VideoStream) -> Promise:
    """MP4 counts its frames, AVI its slots, which may be empty; others, as MKV and WMV, tell when the longest of their
    streams ends. Ask after reading: the index of a fragmented MP4 grows with every fragment.
    """
    if "mp4" in container.format.name.split(","):
        frames = len(stream.index_entries)  # the header also counts what a trimmed clip no longer shows
        return Promise(frames, 0.0, exactly=frames)
    if stream.frames and stream.average_rate:
        return Promise(stream.frames, float(stream.frames / stream.average_rate))
    # the times of MPEG begin anew after 26.5 hours; FFmpeg then counts those before it from zero backwards
    early = min(0, container.start_time or 0)
    end_s = (container.duration + early) / av.time_base if container.duration else 0.0
    if container.format.name == "asf" and not end_s:
        end_s = asf_end_s(Path(container.name))
    return Promise(stream.frames, end_s if len(container.streams) == 1 else 0.0)


def asf_end_s(path: Path) -> float:
    """When a WMV ends by its header, whose word FFmpeg takes only if the file has the length that it states; 0 if the
    header was written before the end was known.
    """
    with path.open("rb") as file:
        head = file.read(2**16)
    found = head.find(ASF_FACTS)
    if not 0 <= found <= len(head) - 92:
        return 0.0
    duration, _, preroll_ms, flags = struct.unpack_from("<3QI", head, found + 64)
    return 0.0 if flags & 1 else duration / 1e7 - preroll_ms / 1e3


def holds_one_picture(container: InputContainer, stream: av.VideoStream) -> bool:
    """Whether the clip has a single packet with something in it: nothing moves in it."""
    try:
        return sum(1 for _ in islice((packet for packet in container.demux(stream) if packet.size), 2)) == 1
    except OPEN_ERRORS:  # told when it is read
        return False


def begin_s(stream: av.VideoStream) -> float | None:
    """Time of the stream's first picture, or None where the header does not say."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)
