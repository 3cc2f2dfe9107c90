"""What FFmpeg delivers, as frames: the part that a file and a device share."""

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.uri import SIZE_LIMIT_PX

OPEN_ERRORS = (av.FFmpegError, UnicodeDecodeError, ValueError)
"""What PyAV raises for a broken header; corrupt MP4 metadata comes as UnicodeDecodeError."""


def video_stream(container: InputContainer, name: str) -> av.VideoStream:
    """The first video stream. Raises SourceError if there is none, or if its header asks for an absurd size."""
    if not container.streams.video:
        raise SourceError(f"{name} holds no video. Expected a clip with a video stream.")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if width > SIZE_LIMIT_PX or height > SIZE_LIMIT_PX:
        raise SourceError(
            f"{name} says that it is {width}x{height}. Expected at most {SIZE_LIMIT_PX} pixels a side: "
            "the header is broken, or the clip must be scaled down first."
        )
    return stream


def to_rgb(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]; any pixel format, 16 bits included, through FFmpeg's own conversion."""
    return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def reason(error: BaseException) -> str:
    """What FFmpeg says went wrong, without its numbers and paths."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
