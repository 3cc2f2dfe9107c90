"""Real little videos for the tests, written by FFmpeg."""

import struct
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


def box(kind: bytes, *parts: bytes, version: int | None = None) -> bytes:
    """Of ISO 14496-12; with a version also its flags, which are all 0."""
    head = b"" if version is None else struct.pack(">I", version << 24)
    content = head + b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def write_tiles(path: Path) -> Path:
    """A photograph of two tiles of 64x64, as telephones write them (HEIF, ISO 23008-12), in AV1."""
    single = path.with_name("tile.avif")
    with av.open(str(single), "w", format="avif") as container:
        stream = container.add_stream("libsvtav1")
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24")))
        container.mux(stream.encode(None))
    data = single.read_bytes()
    settings, tile = (
        data[at : at + int.from_bytes(data[at : at + 4])] for at in (data.index(b"av1C") - 4, data.index(b"mdat") - 4)
    )
    grid = struct.pack(">4B2H", 0, 0, 0, 1, 128, 64)  # one row of two columns, 128x64
    kinds = [
        box(b"infe", struct.pack(">2H4sx", 1 + i, 0, kind), version=2)
        for i, kind in enumerate([b"grid", b"av01", b"av01"])
    ]
    shown = [box(b"ispe", struct.pack(">2I", width, 64), version=0) for width in (64, 128)]
    owned = struct.pack(">I HBB HBBB HBBB", 3, 1, 1, 2, 2, 2, 1, 3, 3, 2, 1, 3)

    def meta(tile_at: int) -> bytes:
        places = struct.pack(">4H2I", 1, 1, 0, 1, 0, len(grid))  # in idat
        places += b"".join(struct.pack(">4H2I", i, 0, 0, 1, tile_at, len(tile) - 8) for i in (2, 3))
        return box(
            b"meta",
            box(b"hdlr", struct.pack(">4x4s13x", b"pict"), version=0),
            box(b"pitm", struct.pack(">H", 1), version=0),
            box(b"iloc", struct.pack(">2BH", 0x44, 0, 3), places, version=1),
            box(b"iinf", struct.pack(">H", 3), *kinds, version=0),
            box(b"iref", box(b"dimg", struct.pack(">4H", 1, 2, 2, 3)), version=0),
            box(b"iprp", box(b"ipco", *shown, settings), box(b"ipma", owned, version=0)),
            box(b"idat", grid),
            version=0,
        )

    kind = box(b"ftyp", b"avif\0\0\0\0mif1")
    path.write_bytes(kind + meta(len(kind) + len(meta(0)) + 8) + tile)
    return path
