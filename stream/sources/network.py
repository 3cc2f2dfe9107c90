"""What FFmpeg receives over a network: RTSP, MPEG-TS over TCP, UDP or SRT, MPEG-TS and MJPEG over HTTP."""

import re
import time
from collections.abc import Callable, Iterator
from errno import EPROTONOSUPPORT
from functools import partial
from typing import Self

import av
from av.container import InputContainer

from stream.errors import SourceError, UsageError
from stream.sources.clocks import ArrivalClock
from stream.sources.decode import LIMITS, OPEN_ERRORS, Arrival, Receiver, video_stream
from stream.sources.uri import without_secrets
from stream.types import Frame

OPEN_TIMEOUT_S = 5.0
"""For the sender to answer, and again for FFmpeg to find the video in what it sends."""

SILENCE_S = 2.0
"""A sender that says nothing for longer is gone. So ``close`` can take this long to end ``frames``, but only during a
silence: FFmpeg cannot be told from outside to stop waiting."""

NO_USUAL_PORT = ("srt://", "tcp://", "udp://")
"""What begins thus has to name its port. FFmpeg takes a wrong one for 0, and waits."""

PROTOCOLS = {"protocol_whitelist": "http,https,rtp,srt,tcp,tls,udp", "format_whitelist": "mjpeg,mpegts,mpjpeg,rtsp"}
"""Nothing that a sender says makes FFmpeg open a file or a playlist."""

PROMPT = {
    "analyzeduration": "500000",  # microseconds; FFmpeg's own 5 s would be spent waiting
    "probesize": "500000",  # bytes; a key frame of 1080p
    "fpsprobesize": "0",  # a rate is not worth a wait
    "rtsp_transport": "tcp",  # a lost UDP packet spoils the picture up to the next key frame, and FFmpeg does not tell
    "fifo_size": "4096",  # of 188 bytes: 0.8 s of UDP at 8 Mbit/s; what is older is lost, not late
    "overrun_nonfatal": "1",
}
"""Less waiting, and no queue in which a picture could grow old. FFmpeg ignores what a protocol does not know.

Not ``nobuffer``: it throws away what was read while opening, and with it the key frame.
"""

BARE = {"analyzeduration": "1"}
"""FFmpeg then opens at the second JPEG, and not after half a megabyte."""

MENDS: dict[type[BaseException], str] = {
    av.ConnectionRefusedError: "Nothing listens there: is the sender on, and is the port right?",
    av.ExitError: f"Nothing came for {OPEN_TIMEOUT_S:.0f} s: is the sender on, and on this network?",
    av.HTTPUnauthorizedError: "Write the name and password as scheme://name:password@host.",
    av.ArgumentError: "Expected RTSP, MPEG-TS or MJPEG, and no playlist.",
    av.InvalidDataError: "Expected RTSP, MPEG-TS or MJPEG, and no playlist.",
    av.ProtocolNotFoundError: "This build of PyAV cannot receive it; one that was built against FFmpeg with it can.",
}
"""What FFmpeg raises -> how to mend it."""

CHECK = "Check the address and the cable."

NO_TCP = "It sends over UDP alone, where a loss would go unseen. Expected RTSP over TCP, or MPEG-TS."
"""For the error without a class: FFmpeg was refused the transport."""


class NetworkSource(Receiver):
    """A stream at ``uri``: ``rtsp://host/path``, ``udp://:5000``, ``tcp://host:port``, ``srt://``, ``http://``.

    ``pts_s`` is the time of arrival: senders start anew, wrap around, or tell no times at all. FFmpeg knows that an
    MPEG-TS picture is whole when the next one begins, a frame later, unless the sender tells its length
    (``-omit_video_pes_length 0``); likewise of a JPEG whose part is not called "image/jpeg". ``https://`` and
    ``rtsps://`` hide what is sent, but no certificate is checked: cameras sign their own. The name is scheme, host and
    port; whatever else the URI holds is in no message.
    Raises SourceError if nothing answers or nothing is understood, and from ``frames`` after SILENCE_S of silence.
    """

    live = True

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.name = without_secrets(uri)
        self._container = connect(uri, self.name)
        unread = passed_over(self._container)
        if unread:
            self._container.close()
            self._container = connect(uri, self.name, bare_jpegs=True)
        try:
            rate = video_stream(self._container, self.name).average_rate
        except SourceError:
            self._container.close()
            raise
        self.fps = float(rate) if rate and not unread else None  # it invents one for bare JPEGs

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``; a sender is always live. What follows a ``?`` is the protocol's."""
        if "://" not in target:
            raise UsageError(f"{target.partition(':')[0]}: names no host. Expected an address like rtsp://host/path")
        name = without_secrets(target)
        port = re.match(r"[^:]+://[^/?#]*:(\d+)(?![^/?#])", target)
        if port is None and target.lower().startswith(NO_USUAL_PORT):
            raise UsageError(f"{name} names no port. Expected an address like udp://:5000 or tcp://host:5000")
        if port is not None and not 1 <= int(port[1]) <= 65535:
            raise UsageError(f"{name}: there is no such port. Expected one from 1 to 65535.")
        return partial(cls, target)

    def _received(self, arrivals: Iterator[Arrival]) -> Iterator[Frame]:
        clock = ArrivalClock()
        try:
            asked_ns = time.perf_counter_ns()
            for index, arrival in enumerate(arrivals):
                if self._closed.is_set():  # what FFmpeg was waiting for
                    return
                arrived_ns = arrival.arrived_ns
                if arrived_ns - asked_ns > SILENCE_S * 1e9:  # FFmpeg giving up hands out its unfinished picture
                    raise SourceError(silent(self.name))
                if arrival.rgb is None:
                    self.damaged += 1
                else:
                    yield Frame(index, arrived_ns, clock.since_first(arrived_ns), arrival.rgb, self.name)
                asked_ns = time.perf_counter_ns()
        except OPEN_ERRORS as error:
            if not self._closed.is_set():
                raise SourceError(broken_off(error, self.name)) from None


def connect(uri: str, name: str, *, bare_jpegs: bool = False) -> InputContainer:
    """``bare_jpegs``: look for JPEGs, whatever lies between them.

    Raises SourceError that tells only ``name``, in its traceback too: FFmpeg's own errors repeat the address.
    """
    kind, options = ("mjpeg", BARE) if bare_jpegs else (None, {})
    try:
        return av.open(
            uri, format=kind, options=LIMITS | PROTOCOLS | PROMPT | options, timeout=(OPEN_TIMEOUT_S, SILENCE_S)
        )
    except OPEN_ERRORS as error:
        no_tcp = getattr(error, "errno", None) == EPROTONOSUPPORT
        mend = NO_TCP if no_tcp else MENDS.get(type(error), CHECK)
        raise SourceError(f"{name} cannot be opened ({describe_error(error)}). {mend}") from None


def passed_over(container: InputContainer) -> bool:
    """Whether the parts of a multipart stream are called anything but "image/jpeg": FFmpeg reads none of them then."""
    return container.format.name == "mpjpeg" and not container.streams.video[0].codec_context.width


def broken_off(error: BaseException, name: str) -> str:
    """How a stream ended, in one line."""
    return silent(name) if isinstance(error, av.ExitError) else f"{name} broke off ({describe_error(error)}). {CHECK}"


def silent(name: str) -> str:
    """A silence, in one line."""
    return f"{name} sent no picture for {SILENCE_S:.0f} s. Is the sender still on?"


def describe_error(error: BaseException) -> str:
    """What FFmpeg says went wrong, in its fixed words alone."""
    if isinstance(error, av.ExitError):  # "Immediate exit requested": by us, when its time was up
        return "no answer in time"
    return str(error.strerror) if isinstance(error, av.FFmpegError) else type(error).__name__
