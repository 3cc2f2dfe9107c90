"""Pictures come as players show them, upright and with square pixels: real clips, with what their headers say."""

import gc
import sys
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from itertools import groupby
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stream.errors import SourceError
from stream.sources import open_here
from stream.sources.device import LavfiSource
from stream.sources.file import MOST_THREADS, FileSource
from tests.clips import picture, write_clip

ORIENTATION = 0x112
"""Exif's tag, 1 to 8."""

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""Exif's orientations as a, b, c, d of the display matrix (FFmpeg's libavcodec/exif.c)."""


def display_matrix(orientation: int) -> Sequence[int]:
    a, b, c, d = MATRICES[orientation]
    return a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30


def turned(number: int, orientation: int) -> NDArray[np.uint8]:
    """What Pillow makes of the same orientation."""
    image = Image.fromarray(picture(number))
    image.getexif()[ORIENTATION] = orientation
    return np.array(ImageOps.exif_transpose(image))


def difference(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.astype(int) - expected).mean())


def write_jpegs(path: Path, jpegs: Sequence[bytes]) -> Path:
    """A clip of 64x48 whose packets are these."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.pts, packet.time_base = stream, number, Fraction(1, 25)
            container.mux(packet)
    return path


def jpeg(rgb: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", rgb)[1].tobytes()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
@pytest.mark.parametrize(("aspect", "size_px"), [(Fraction(2), (128, 48)), (Fraction(1, 2), (64, 96))])
def test_oblong_pixels_become_square(tmp_path: Path, name: str, aspect: Fraction, size_px: tuple[int, int]) -> None:
    clip = write_clip(tmp_path / name, 3, codec="mjpeg" if name.endswith("avi") else "libx264", aspect=aspect)
    with open_here(str(clip)) as source:
        frames = list(source.frames())
    assert len(frames) == 3
    for frame in frames:
        assert difference(frame.rgb, cv2.resize(picture(frame.index), size_px)) < 8


@pytest.mark.parametrize("orientation", MATRICES)
def test_turned_and_mirrored_clips_come_upright(tmp_path: Path, orientation: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, matrix=display_matrix(orientation))
    with open_here(str(clip)) as source:
        frames = list(source.frames())
    assert len(frames) == 3
    for frame in frames:
        assert difference(frame.rgb, turned(frame.index, orientation)) < 8


def test_pixels_are_made_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, aspect=Fraction(2), matrix=display_matrix(6))
    assert {frame.rgb.shape for frame in open_here(str(clip)).frames()} == {(128, 48, 3)}


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_each_picture_is_made_square_as_its_own_part_of_a_stream_says(tmp_path: Path, codec: str) -> None:
    """An encoder whose input changes in mid-stream, from oblong pixels to square ones and back; with B-frames."""
    small, large = Fraction(16, 11), Fraction(1)
    pal = write_clip(tmp_path / "pal.ts", 10, codec=codec, size_px=(176, 144), aspect=small).read_bytes()
    hd = write_clip(tmp_path / "hd.ts", 10, codec=codec, size_px=(320, 180), aspect=large).read_bytes()
    clip = tmp_path / "clip.ts"
    clip.write_bytes(pal + hd + pal)
    with open_here(str(clip)) as source:
        shapes = [frame.rgb.shape for frame in source.frames()]
    assert set(shapes) == {(144, 256, 3), (180, 320, 3)}
    assert len(list(groupby(shapes))) == 3


def test_the_shape_of_pixels_that_a_container_tells_holds_for_every_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 3, codec="mjpeg", aspect=Fraction(2))
    assert {frame.rgb.shape for frame in open_here(str(clip)).frames()} == {(48, 128, 3)}


def test_a_live_picture_gets_square_pixels_too() -> None:
    with LavfiSource("testsrc2=size=64x48:rate=25:duration=0.1,setsar=2", live=False) as source:
        assert {frame.rgb.shape for frame in source.frames()} == {(48, 128, 3)}


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_in_exif_data_counts_as_well(tmp_path: Path, orientation: int) -> None:
    exif, jpegs = Image.Exif(), [BytesIO() for _ in range(3)]
    exif[ORIENTATION] = orientation
    for number, file in enumerate(jpegs):
        Image.fromarray(picture(number)).save(file, "JPEG", exif=exif)
    clip = write_jpegs(tmp_path / "clip.avi", [file.getvalue() for file in jpegs])
    frames = list(open_here(str(clip)).frames())
    assert len(frames) == 3
    for frame in frames:
        assert difference(frame.rgb, turned(frame.index, orientation)) < 8


def test_a_matrix_of_nothing_turns_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, matrix=[0] * 9)
    for frame in open_here(str(clip)).frames():
        assert difference(frame.rgb, picture(frame.index)) < 8


def test_of_two_video_tracks_the_first_is_taken_and_the_other_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        tracks = [container.add_stream("mjpeg", rate=25, width=64 * size, height=48 * size) for size in (1, 2)]
        for track in tracks:
            track.pix_fmt = "yuvj420p"
        for number in range(3):
            image = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            for track in tracks:
                container.mux(track.encode(image))
    with open_here(str(tmp_path / "clip.mkv")) as source:
        assert source.left_out.startswith("1 left out; only the first video track is read")
        assert [frame.size_px for frame in source.frames()] == [(64, 48)] * 3
    assert "video track 2 left out; " in caplog.text


def test_a_cover_is_no_video_track(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        tracks = [container.add_stream("mjpeg", rate=25, width=64, height=48, pix_fmt="yuvj420p") for _ in range(2)]
        tracks[1].disposition = Disposition.attached_pic
        for track in tracks:
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
    with open_here(str(tmp_path / "clip.mp4")) as source:
        assert source.left_out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system names no threads in /proc")
def test_no_more_threads_decode_than_there_is_memory_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoding() -> set[str]:
        threads = set()
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has just ended
                if "av:h264" in (task / "comm").read_text():
                    threads.add(task.name)
        return threads

    monkeypatch.setattr("os.cpu_count", lambda: 64)
    with FileSource(write_clip(tmp_path / "clip.mp4")) as source:
        others = decoding()  # of a test before, whose clip is not let go yet
        next(frames := source.frames())  # noqa: F841  it must last
        assert len(decoding() - others) == MOST_THREADS


def test_pictures_are_let_go_of_at_once(tmp_path: Path) -> None:
    """Not only when Python's garbage collector runs: eighty pictures of a 4K clip are a gigabyte."""
    clip = write_clip(tmp_path / "clip.mp4", 60)
    gc.collect()  # what other tests left
    gc.disable()
    try:
        others = pictures_held()
        with open_here(str(clip)) as source:
            for frame in source.frames():
                if frame.index == 50:
                    held = pictures_held()
    finally:
        gc.enable()
    assert held - others < 20


def pictures_held() -> int:
    return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())


def test_an_absurd_shape_of_pixels_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3, size_px=(256, 64), aspect=Fraction(40))
    with pytest.raises(SourceError, match="says that it is 10240x64"):
        list(open_here(str(clip)).frames())


@pytest.mark.parametrize("field", [0, 1])
def test_no_field_of_a_picture_that_was_cut_short_is_shown(tmp_path: Path, field: int) -> None:
    fields = [[jpeg(picture(number)[first::2]) for first in (0, 1)] for number in range(12)]
    fields[5][field] = fields[5][field][:-200]
    clip = write_jpegs(tmp_path / "clip.avi", [b"".join(pair) for pair in fields])
    with open_here(str(clip)) as source:
        shown = {round(25 * frame.pts_s): frame.rgb for frame in source.frames()}
        assert source.damaged == 12 - len(shown)
    assert {*range(5), *range(7, 12)} <= {*shown}
    assert 5 not in shown
    assert max(difference(rgb, picture(number)) for number, rgb in shown.items()) < 8


def test_an_enormous_picture_in_mid_stream_is_not_decoded(tmp_path: Path) -> None:
    jpegs = [jpeg(picture(0)), jpeg(np.zeros((8200, 8200), np.uint8)), jpeg(picture(2))]
    with open_here(str(write_jpegs(tmp_path / "clip.avi", jpegs))) as source:
        assert [frame.rgb.shape for frame in source.frames()] == [(48, 64, 3)] * 2
        assert source.damaged == 1
