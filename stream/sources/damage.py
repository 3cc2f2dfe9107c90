"""Which pictures are spoilt? Each is made from the one before, so damage lasts until a key frame.

Two kinds are missed: an encoder may refresh its pictures bit by bit, and FFmpeg calls the beginning of that a key
frame, so that pictures pass which are still incomplete; and B-frames are shown before the picture that they are made
from (``decode.settled``).
"""

import math

import av

MOST_KEYS = 64
"""Key frames that are remembered until they come out: more than any decoder holds back."""


class Losses:
    """What was lost on the way spoils all pictures up to the next key frame that arrived whole.

    FFmpeg marks the packet that lost something, or the one before it where it looks for the end of a picture.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []  # of pictures, by the stream's own clock, half-open
        self._marked = False  # the last packet

    def add(self, packet: "av.Packet[av.VideoStream]") -> None:
        """Take in the next packet."""
        if packet.is_corrupt:  # what is decoded from here on is shown no earlier than this is decoded
            self._spans.append((_known(packet.dts), math.inf))
        elif packet.is_keyframe and not self._marked:
            self._spans = [(begin, min(end, _known(packet.pts))) for begin, end in self._spans]
        self._marked = packet.is_corrupt

    def spoil(self, picture: av.VideoFrame) -> bool:
        """Whether this picture lacks something. Pictures come later than packets, in the order of their times."""
        at = _known(picture.pts)
        self._spans = [span for span in self._spans if at < span[1]]
        return any(begin <= at for begin, _ in self._spans)


class Breaks:
    """A picture that could not be decoded whole spoils all up to the next key frame. One that was sent before may be
    older than the damage, so it does not end it, whenever it comes out."""

    def __init__(self) -> None:
        self._sent = 0  # packets
        self._refused_at = 0  # of them
        self._last_key = 0
        self._keys: dict[int, int] = {}  # time of a key frame that did not come out yet -> which packet it was
        self._broken = False  # the last picture

    def add(self, packet: "av.Packet[av.VideoStream]") -> None:
        """Take in the next packet."""
        self._sent += 1
        if packet.is_keyframe:
            self._last_key = self._sent
            if packet.pts is not None:
                self._keys[packet.pts] = self._sent
            if len(self._keys) > MOST_KEYS:  # as where none can be decoded, for days
                del self._keys[next(iter(self._keys))]

    def refused(self) -> None:
        """FFmpeg gave no picture for a packet: for this one or, with threads, for an earlier one."""
        self._broken, self._refused_at = True, self._sent

    def spoil(self, picture: av.VideoFrame) -> bool:
        """Whether this picture lacks something."""
        pts = picture.pts
        key = self._last_key if picture.key_frame else 0  # as where packets have no times
        if pts is not None:  # where a refresh begins, only the packet is called a key frame
            key = self._keys.get(pts, key)
        self._keys = {time: packet for time, packet in self._keys.items() if pts is not None and time > pts}
        self._broken = picture.is_corrupt or (self._broken and key <= self._refused_at)
        return self._broken


def _known(time: int | None) -> float:
    return -math.inf if time is None else time
