"""Cines that are one stream of video, as FFmpeg writes them, against the same clip outside of DICOM."""

import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import HEVCMP51, MPEG2MPML, MPEG4HP41, MPEG4HP41F, UID

from stream.errors import SourceError
from stream.sources import open_here, open_source
from stream.sources.dicom_video import unpacked
from stream.sources.file import FileSource
from tests.clips import spoil_a_scene, write_clip, write_scenes
from tests.dicoms import region, regions, write_dicom

FRAMES = 24


def write_cine(
    clip: Path, syntax: UID, *, fragments: int = 1, size_px: tuple[int, int] = (64, 48), frames: int = FRAMES
) -> Path:
    """The whole file of a clip as the only frame's worth of pixel data, as PS3.5 A.4.5 to A.4.10 have it."""
    path = write_dicom(
        clip.with_suffix(".dcm"),
        np.zeros((frames, *size_px[::-1], 3), np.uint8),
        "YBR_PARTIAL_420",
        jpegs=[b"\0\0"],
        FrameTime="50",
        SequenceOfUltrasoundRegions=regions(region(4, 6, 51, 40)),
    )
    found = pydicom.dcmread(path)
    found.file_meta.TransferSyntaxUID = syntax
    found.PixelData = encapsulate([clip.read_bytes()], fragments_per_frame=fragments)
    found.save_as(path)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "syntax", "fragments"),
    [
        ("clip.mp4", "libx264", MPEG4HP41, 1),
        ("clip.h264", "libx264", MPEG4HP41F, 3),
        ("clip.ts", "mpeg2video", MPEG2MPML, 1),
        ("clip.mp4", "libx265", HEVCMP51, 1),
    ],
)
def test_a_video_plays_with_the_times_and_the_scan_area_of_its_header(
    tmp_path: Path, name: str, codec: str, syntax: UID, fragments: int
) -> None:
    clip = write_clip(tmp_path / name, FRAMES, codec=codec)
    with open_source(str(write_cine(clip, syntax, fragments=fragments))) as source:
        frames = list(source.frames())
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(FRAMES) * 0.05)
    assert np.array_equal([frame.rgb for frame in frames], [frame.rgb for frame in FileSource(clip).frames()])
    assert source.scan_area is not None
    assert source.scan_area.sides == (4, 6, 48, 35)


def test_a_video_that_was_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = write_cine(write_clip(tmp_path / "clip.h264", FRAMES), MPEG4HP41)
    whole = pydicom.dcmread(path).PixelData
    path.write_bytes(path.read_bytes()[: -len(whole) // 2])
    frames = []
    with open_here(str(path)) as source, pytest.raises(SourceError, match=f"of {FRAMES} frames"):
        frames.extend(source.frames())
    assert len(frames) < FRAMES


@pytest.mark.parametrize("place", [0.1, 0.2])
def test_damaged_frames_are_counted_and_not_handed_on(tmp_path: Path, place: float) -> None:
    clip = write_scenes(tmp_path / "clip.mp4", b_frames=0)
    sent = [frame.rgb for frame in FileSource(clip).frames()]
    spoil_a_scene(clip, place)
    with open_here(str(write_cine(clip, MPEG4HP41, size_px=(320, 240), frames=40))) as source:
        shown = {frame.index: frame.rgb for frame in source.frames()}
        assert source.damaged == 10
    assert [*shown] == [*range(10), *range(20, 40)]
    assert all((rgb == sent[number]).all() for number, rgb in shown.items())


def test_a_video_of_another_size_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = write_cine(write_clip(tmp_path / "clip.mp4", FRAMES), MPEG4HP41, size_px=(80, 48))
    with open_here(str(path)) as source, pytest.raises(SourceError, match="broke off after 0 of"):
        next(source.frames())


def test_a_large_video_in_fragments_is_in_memory_once(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(2**24))
    path = write_cine(clip, MPEG4HP41, fragments=64)
    tracemalloc.start()
    try:
        assert unpacked(path).getbuffer().nbytes == 2**24
        assert tracemalloc.get_traced_memory()[1] < 1.5 * 2**24
    finally:
        tracemalloc.stop()
