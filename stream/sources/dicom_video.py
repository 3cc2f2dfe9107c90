"""A DICOM cine whose frames are one stream of MPEG-2, H.264 or HEVC (PS3.5 8.2.5 to 8.2.11), decoded by FFmpeg."""

from collections.abc import Iterator
from io import SEEK_CUR, BytesIO
from pathlib import Path
from threading import Event

import av
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_fragments, parse_basic_offsets

from stream.sources.decode import LIMITS, decode_pictures, settled
from stream.sources.file import FORMATS, recorded_stream

PIXELS_BEGIN = 12
"""Bytes from the pixel data's tag to its first fragment: tag, VR and length (PS3.5 7.1.2)."""


def video_frames(path: Path, name: str, size_px: tuple[int, int]) -> Iterator[NDArray[np.uint8] | None]:
    """Each frame as uint8 [H, W, 3] with square pixels, as far as the stream tells their shape; None if damaged.

    Raises SourceError or ValueError for a stream of another size, whatever pydicom and PyAV raise for a damaged one.
    """
    options = LIMITS | {"format_whitelist": FORMATS}
    with av.open(unpacked(path), "r", options=options, metadata_errors="replace") as container:
        stream = recorded_stream(container, name)
        if (stream.codec_context.width, stream.codec_context.height) != size_px:
            raise ValueError("the video has another size than its header says")
        for arrival in settled(decode_pictures(container, stream, name, Event())):
            yield arrival.rgb


def unpacked(path: Path) -> BytesIO:
    """The stream, which the file holds in fragments (PS3.5 A.4)."""
    found = BytesIO()
    with path.open("rb") as file:
        pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[])
        file.seek(PIXELS_BEGIN, SEEK_CUR)
        parse_basic_offsets(file)
        found.writelines(generate_fragments(file))
    found.seek(0)
    return found
