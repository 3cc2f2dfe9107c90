"""What is no clip, whatever FFmpeg makes of it."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from stream.errors import SourceError
from stream.sources import open_here, open_source
from stream.sources.file import FileSource
from tests.clips import picture, write_tiles


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", r"cannot .+ \(Invalid data"),
        (b"<svg xmlns=", r"cannot .+ \(another kind of file"),
        (bytes(range(256)) * 20, r"cannot .+ \(Invalid data"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"clip\.mp4 {says}") as caught:
        open_here(str(path))
    assert "\n" not in str(caught.value)


def test_a_large_file_of_numbers_is_refused_as_fast_as_a_small_one(tmp_path: Path) -> None:
    path = tmp_path / "volume.raw"
    path.write_bytes(b"\0\0\0\4" * 25_000_000)
    with pytest.raises(SourceError, match="cannot be read as a video"):
        open_source(str(path))


def test_a_photograph_that_was_cut_off_is_no_recording_without_an_index(tmp_path: Path) -> None:
    photo = write_tiles(tmp_path / "photo.avif")
    photo.write_bytes(photo.read_bytes()[:200])
    with pytest.raises(SourceError, match="cannot be read as a video"):
        open_here(str(photo))


def test_how_a_picture_is_to_be_named_is_told(tmp_path: Path) -> None:
    (tmp_path / "IMG0001").write_bytes(jpeg())
    with pytest.raises(SourceError, match=r"a picture is known by a name like scan\.png"):
        open_here(str(tmp_path / "IMG0001"))


def jpeg() -> bytes:
    return cv2.imencode(".jpg", picture(1))[1].tobytes()


def test_a_document_that_holds_a_jpeg_is_no_clip(tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(
        b"%PDF-1.7\n1 0 obj <</Filter /DCTDecode>> stream\n" + 2 * jpeg() + b"\nendstream"
    )
    with pytest.raises(SourceError, match=r"report\.pdf cannot be read as a video \(another kind of file"):
        FileSource(tmp_path / "report.pdf")


@pytest.mark.parametrize(
    ("begin", "before_each"),
    [
        pytest.param(b"", b"", id="alone"),
        pytest.param(b"", b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", id="as a camera sends them"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", b"--frame\r\n\r\n", id="with the answer of a camera"),
        pytest.param(bytes(range(64)), b"", id="from the middle of one on"),
    ],
)
@pytest.mark.parametrize("size_px", [(90, 120), (480, 640)])
@pytest.mark.parametrize("name", ["clip.mjpeg", "CLIP.MJPG"])
def test_jpegs_one_after_the_other_are_a_clip(
    tmp_path: Path, begin: bytes, before_each: bytes, size_px: tuple[int, int], name: str
) -> None:
    jpegs = [cv2.imencode(".jpg", picture(number, *size_px))[1].tobytes() for number in range(12)]
    (tmp_path / name).write_bytes(begin + b"".join(before_each + each for each in jpegs))
    with FileSource(tmp_path / name) as source:
        assert len(list(source.frames())) == 12


def test_a_program_is_not_taken_for_raw_mpeg_4(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(
        b"\x7fELF" + b"".join(b"\0\0\1" + bytes([mark]) for mark in (0, 32, 182, 182, 182, 0))
    )
    with pytest.raises(SourceError, match="cannot be read as a video"):
        FileSource(tmp_path / "a.so")


def test_a_sound_recording_s_cover_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound, cover = container.add_stream("aac", rate=44100, layout="mono"), container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "yuvj420p", Disposition.attached_pic
        packet = av.Packet(jpeg())
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        container.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 44100
        container.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(SourceError, match=r"sound\.mp4 contains no video"):
        FileSource(tmp_path / "sound.mp4")


def test_a_photograph_in_tiles_is_not_taken_for_its_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"photo\.avif is a picture in tiles"):
        FileSource(write_tiles(tmp_path / "photo.avif"))
