"""Real little videos for the tests, written by FFmpeg."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PIXELS = {"mjpeg": "yuvj420p", "rawvideo": "bgr24"}


def picture(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Grey blocks at random, uint8 [H, W, 3]: no frame is like another one. They are wider than high, as speckle is."""
    blocks = np.random.default_rng(number).integers(40, 216, (-(-height // 4), -(-width // 8), 1), np.uint8)
    return np.ascontiguousarray(blocks.repeat(4, 0).repeat(8, 1).repeat(3, 2)[:height, :width])


def write_clip(
    path: Path,
    frames: int = 12,
    *,
    codec: str = "libx264",
    fps: int = 25,
    pts: list[int] | None = None,
    muxer: dict[str, str] | None = None,
    size_px: tuple[int, int] = (64, 48),
    pixels: str | None = None,
    colours: int = 2,
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
) -> Path:
    """``frames`` pictures at ``fps``, or at ``pts`` in units of 1/fps; ``muxer`` are its options.

    ``size_px`` is width and height, ``pixels`` FFmpeg's name of the pixel format, ``colours`` what the header says of
    them (matrix coefficients of ITU-T H.273; 2 is nothing). ``aspect`` is how many times as wide as high a pixel is to
    be shown, ``matrix`` the nine numbers of a display matrix.
    """
    width, height = size_px
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels or PIXELS.get(codec, "yuv420p")
        stream.codec_context.thread_count = 1  # else as many as there are cores, and the file depends on it
        stream.codec_context.colorspace = colours
        stream.set_display_matrix(matrix)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        container.start_encoding()
        for number in range(frames):
            image = av.VideoFrame.from_ndarray(picture(number, height, width), format="rgb24")
            if pts is not None:
                image.pts, image.time_base = pts[number], 1 / stream.codec_context.framerate
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def write_scenes(path: Path, b_frames: int, *, refresh: bool = False, slices: int = 1) -> Path:
    """40 pictures of ``slices`` each, another scene from each tenth on, which is a key frame; with ``refresh`` it is
    only the first of some pictures that are refreshed column by column."""
    with av.open(str(path), "w") as container:
        options = {"bf": b_frames, "sc_threshold": 0, "intra-refresh": int(refresh), "slices": slices}
        stream = container.add_stream("libx264", rate=25, options={key: str(value) for key, value in options.items()})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = 320, 240, "yuv420p", 10
        for number in range(40):
            image = av.VideoFrame.from_ndarray(picture(number // 10, 240, 320), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def spoil_a_scene(clip: Path, place: float) -> None:
    """Overwrite 200 bytes of picture 10 of such a clip, at ``place`` 0..1 of it."""
    with av.open(str(clip)) as container:
        key_frame = next(packet for packet in container.demux(video=0) if packet.is_keyframe and packet.pts)
    data = bytearray(clip.read_bytes())
    at = key_frame.pos + round(place * key_frame.size)
    data[at : at + 200] = bytes(200)
    clip.write_bytes(data)
