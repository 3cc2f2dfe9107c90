"""The annotated pictures as H.264 in fragmented MP4: playable but for the last few if the process is killed."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.session import Session
from stream.sinks.base import made_with, refused, require_not_deleted
from stream.sinks.clock import RecordingClock
from stream.status import Status
from stream.types import View

TIME_BASE = Fraction(1, 90_000)
"""MPEG's own clock: exact for 24, 25, 30, 50 and 60 frames per second."""

KEYFRAME_EVERY = 15
"""Pictures. A fragment ends at each key frame, so this is what a killed process can lose: half a second at 30 a second,
more where fewer are drawn."""

COLOURS = (6, 1, 1, 13)
"""Matrix, range, primaries and transfer as FFmpeg numbers them: sRGB, converted by the matrix of BT.601 to the limited
range, as PyAV does. Untold, players take a large picture for BT.709, and shift its hues."""

OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20"}
"""A third of the work of "veryfast" for one and a half times the bytes: the engine needs the processor more. No frames
are held back, so fragments reach the disk at once."""


class VideoSink:
    """Encodes every view's picture at its own time. Raises UsageError if the disk refuses.

    The size is that of the first picture, made even; later pictures of another size are fitted into it.
    """

    on_disk = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = ExitStack()
        self._stream: VideoStream | None = None

    def open(self, session: Session) -> None:
        """Create the file, in place of an earlier one."""
        self._clock = RecordingClock(session)
        movflags = "frag_keyframe+empty_moov+default_base_moof"
        try:
            file = self._path.open("wb")  # PyAV opens it only with the first picture
            self._opened.callback(self._remove_if_empty)  # once the file is closed
            self._file = self._opened.enter_context(file)
            container = av.open(
                str(self._path.absolute()),  # FFmpeg takes "name:rest" for a protocol
                "w",
                format="mp4",
                options={"movflags": movflags, "flush_packets": "1"},
            )
            self._container = self._opened.enter_context(container)
            self._container.metadata["title"] = f"RcdNet Live. {RESEARCH_NOTICE}"
            self._container.metadata["comment"] = f"{RESEARCH_NOTICE} {SCOPE} {made_with(session)}"
        except OSError as error:  # av.FFmpegError of a refusing disk is an OSError
            raise refused(self._path, error) from error

    def write(self, view: View) -> None:
        """Encode one picture."""
        require_not_deleted(self._file, self._path)
        if self._stream is None:
            height, width = (side + side % 2 for side in view.picture.shape[:2])  # 4:2:0 halves both sides
            stream = self._stream = self._container.add_stream("libx264", options=OPTIONS)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            codec = stream.codec_context
            codec.time_base, codec.gop_size = TIME_BASE, KEYFRAME_EVERY
            codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc = COLOURS
            self._opened.callback(lambda: self._container.mux(stream.encode(None)))
        picture = fit(view.picture, self._stream.height, self._stream.width)
        image = av.VideoFrame.from_numpy_buffer(picture, format="rgb24")  # no copy
        image.pts, image.time_base = round(self._clock.at_s(view.frame.pts_s) / TIME_BASE), TIME_BASE
        try:
            for packet in self._stream.encode(image):
                packet.duration = round(self._clock.step_s / TIME_BASE)  # for how long the last picture is shown
                self._container.mux(packet)
        except OSError as error:
            raise refused(self._path, error) from error

    def close(self, status: Status) -> None:
        """Write the last fragment and close the file."""
        try:
            self._opened.close()
        except OSError as error:
            raise refused(self._path, error) from error

    def _remove_if_empty(self) -> None:
        if self._stream is None:  # no picture came
            self._path.unlink(missing_ok=True)


def fit(picture: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    """A picture of exactly this size: padded at right and below, scaled down first if it is larger."""
    height, width = picture.shape[:2]
    if (height, width) == (height_px, width_px):
        return picture
    factor = min(1.0, height_px / height, width_px / width)
    if factor < 1:
        height, width = max(1, int(height * factor)), max(1, int(width * factor))
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    padding = ((0, height_px - height), (0, width_px - width), (0, 0))
    return np.pad(picture, padding)
