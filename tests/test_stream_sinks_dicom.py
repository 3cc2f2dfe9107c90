"""The exported cine, as our own source, pydicom and GDCM (in SimpleITK) read it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from click.testing import Result
from pydicom.dataset import Dataset

from rcdnet.notice import RESEARCH_NOTICE
from stream.sinks.dicom import DicomSink
from stream.types import View
from tests.dicoms import PATIENT, read, region, regions, write_dicom
from tests.programs import command, python
from tests.stream_views import ENGINE, SESSION, ending, view


def written(path: Path, views: list[View], *, synthetic: bool = False) -> Dataset:
    sink = DicomSink(path)
    sink.open(replace(SESSION, synthetic=synthetic))
    for each in views:
        sink.write(each)
    sink.close(ending())
    sink.close(ending())
    return pydicom.dcmread(path)


def at(*pts_s: float) -> list[View]:
    return [view(index, at_s) for index, at_s in enumerate(pts_s)]


def test_the_pictures_come_back_in_colour_and_in_order(tmp_path: Path) -> None:
    corner = np.full((47, 65, 3), 90, np.uint8)
    corner[:20, :30] = 200, 60, 40
    views = [replace(view(), picture=np.roll(corner, 5 * n, axis=1)) for n in range(4)]
    written(tmp_path / "a.dcm", views)
    errors = [
        np.abs(frame.rgb - v.picture.astype(int)).mean()
        for frame, v in zip(read(tmp_path / "a.dcm"), views, strict=True)
    ]
    assert max(errors) < 2


def test_another_reader_finds_the_same_pictures(tmp_path: Path) -> None:
    written(tmp_path / "a.dcm", at(0, 0.04, 0.08))
    volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "a.dcm")))
    assert volume.shape == (3, 48, 64, 3)
    np.testing.assert_allclose(volume.mean(axis=(1, 2, 3)), [10, 14, 18], atol=1)


@pytest.mark.parametrize("size_px", [(1, 1), (48, 64), (47, 65), (31, 200), (101, 33)])
def test_the_pictures_lie_in_items_of_even_length(tmp_path: Path, size_px: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, *size_px, 3), np.uint8)
    written(tmp_path / "a.dcm", [replace(view(size_px=size_px), picture=picture) for picture in noise])
    whole = (tmp_path / "a.dcm").read_bytes()
    at = whole.index(b"\xe0\x7f\x10\x00OB") + 12
    lengths = []
    while whole[at : at + 4] == b"\xfe\xff\x00\xe0":
        lengths.append(int.from_bytes(whole[at + 4 : at + 8], "little"))
        at += 8 + lengths[-1]
    assert whole[at:] == b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"  # the delimiter, and nothing before or after it
    assert len(lengths) == 6  # the empty table of offsets comes first
    assert not any(length % 2 for length in lengths)
    assert len(read(tmp_path / "a.dcm")) == 5


def test_it_says_what_it_is_and_names_nobody(tmp_path: Path) -> None:
    found = written(tmp_path / "a.dcm", at(0))
    assert found.SOPClassUID.name == "Multi-frame True Color Secondary Capture Image Storage"
    assert RESEARCH_NOTICE in found.SeriesDescription
    assert RESEARCH_NOTICE in found.ImageComments
    assert "synthetic" not in found.ImageComments
    assert "Incomplete" not in found.ImageComments
    assert "calibration temperature 1.0, cubic 0.0; operating point balanced" in found.DerivationDescription
    assert found.DerivationDescription.endswith("Engine fake, exact.")
    assert found.ContentQualification == "RESEARCH"
    assert not found.PatientName
    assert found.PatientID != written(tmp_path / "b.dcm", at(0)).PatientID  # archives would put them together
    assert found.BurnedInAnnotation == "YES"
    assert "clip.mp4" not in str(found)


def test_an_engine_that_stood_in_for_another_did_not_make_it_all(tmp_path: Path) -> None:
    sink = DicomSink(tmp_path / "a.dcm")
    sink.open(SESSION)
    sink.write(view())
    sink.close(replace(ending(), engine=replace(ENGINE, replaced=("cuda_graph failed: the GPU is lost",))))
    told = pydicom.dcmread(tmp_path / "a.dcm").DerivationDescription
    assert told.endswith("Engine fake, exact (in place of one that failed).")


def test_a_synthetic_scan_is_called_one(tmp_path: Path) -> None:
    assert "A synthetic scan." in written(tmp_path / "a.dcm", at(0), synthetic=True).ImageComments


def test_a_run_that_broke_off_says_so_and_quotes_nothing(tmp_path: Path) -> None:
    sink = DicomSink(tmp_path / "a.dcm")
    sink.open(SESSION)
    sink.write(view())
    sink.close(ending("Nobody.mp4 broke off"))
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert found.ImageComments.endswith("Incomplete: the run broke off.")
    assert "Nobody" not in str(found)


@pytest.mark.parametrize(
    "pts_s",
    [
        pytest.param([5, 5.04, 5.08, 5.12], id="even, from any start"),
        pytest.param([0, 0.1, 0.5, 0.54], id="uneven"),
        pytest.param([0, 0.04, 9, 9.04], id="with a pause"),
    ],
)
def test_each_picture_has_its_time(tmp_path: Path, pts_s: list[float]) -> None:
    written(tmp_path / "a.dcm", at(*pts_s))
    assert [f.pts_s for f in read(tmp_path / "a.dcm")] == pytest.approx([t - pts_s[0] for t in pts_s], abs=1e-3)


@pytest.mark.parametrize("fps", [24, 29.97, 30, 60])
def test_times_in_whole_milliseconds_are_even(tmp_path: Path, fps: float) -> None:
    found = written(tmp_path / "a.dcm", [view(n, round(n / fps, 3), size_px=(1, 1)) for n in range(300)])
    assert found.FrameTime == pytest.approx(1000 / fps, abs=0.01)


def test_a_rate_that_changes_slightly_is_uneven(tmp_path: Path) -> None:
    pts_s = np.cumsum([0.033] * 100 + [0.034] * 100)
    written(tmp_path / "a.dcm", [view(n, float(at_s), size_px=(1, 1)) for n, at_s in enumerate(pts_s)])
    assert [f.pts_s for f in read(tmp_path / "a.dcm")] == pytest.approx(pts_s - pts_s[0], abs=1e-3)


def test_uneven_times_that_are_too_many_for_a_header_become_their_mean(tmp_path: Path) -> None:
    small = [view(0, 0.04 * n + 0.01 * (n % 2), size_px=(1, 1)) for n in range(12_001)]
    found = written(tmp_path / "a.dcm", small)
    assert found.NumberOfFrames == 12_001
    assert found.FrameTime == pytest.approx(40)


def test_a_picture_of_another_size_is_fitted_whole(tmp_path: Path) -> None:
    found = written(tmp_path / "a.dcm", [view(0, size_px=(48, 64)), view(1, size_px=(96, 300))])
    assert (found.Rows, found.Columns) == (48, 64)
    assert len(read(tmp_path / "a.dcm")) == 2


def test_the_spacing_of_the_pixels_is_kept_where_all_have_one(tmp_path: Path) -> None:
    spaced = [replace(v, frame=replace(v.frame, mm_per_px=(0.25, 0.2))) for v in at(0, 0.04)]
    assert written(tmp_path / "a.dcm", spaced).PixelSpacing == [0.25, 0.2]
    assert "PixelSpacing" not in written(tmp_path / "a.dcm", [*spaced, view(2)])


def test_a_picture_that_was_made_smaller_has_no_longer_the_spacing_of_its_pixels(tmp_path: Path) -> None:
    sizes = [(48, 64), (96, 128)]
    views = [view(n, size_px=size) for n, size in enumerate(sizes)]
    spaced = [replace(each, frame=replace(each.frame, mm_per_px=(0.25, 0.2))) for each in views]
    assert "PixelSpacing" not in written(tmp_path / "a.dcm", spaced)


def test_a_run_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    sink = DicomSink(tmp_path / "a.dcm")
    sink.open(SESSION)
    sink.close(ending())
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files there")
@pytest.mark.parametrize("limit", [100, 0], ids=["while pictures come", "at the end"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path, limit: int) -> None:
    """In the first case there is no room for the pictures, in the second none for the file beside them."""
    code = f"""
import resource, sys
from pathlib import Path
from stream.errors import UsageError
from stream.sinks.dicom import DicomSink
from tests.stream_views import SESSION, ending, view
sink = DicomSink(Path(sys.argv[1]) / "a.dcm")
sink.open(SESSION)
try:
    for index in range(50):
        sink.write(view(index))
        if index == 9 and {limit}:
            resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    sink._pictures.flush()
    size = sink._pictures.tell()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    sink.close(ending())
except UsageError as error:
    sink.close(ending())
    print(error)
"""
    ran = python("-c", code, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 1
    assert "a.dcm: File too large. Give a writable folder with free space." in ran.stdout
    assert not list(tmp_path.iterdir())


def replay(clip: Path, out: Path, *arguments: str) -> Result:
    return command("replay", clip, "--out", out, "--engine", "fake", *arguments)


def test_a_patient_s_cine_becomes_nobody_s(tmp_path: Path) -> None:
    scans = np.random.default_rng(0).integers(40, 200, (3, 120, 160), np.uint8)
    where = regions(region(0, 0, 159, 119, delta_cm=0.02))
    clip = write_dicom(tmp_path / "in.dcm", scans, FrameTime="40", SequenceOfUltrasoundRegions=where)
    ran = replay(clip, tmp_path / "out", "--dicom")
    assert ran.exit_code == 0, ran.output
    ran = replay(tmp_path / "out", tmp_path / "of a folder")
    assert ran.exit_code == 0, ran.output
    found = pydicom.dcmread(tmp_path / "out" / "annotated.dcm")
    assert found.NumberOfFrames == 3
    assert found.FrameTime == 40
    assert found.PixelSpacing == pytest.approx([0.2, 0.2])
    assert PATIENT.encode() not in (tmp_path / "out" / "annotated.dcm").read_bytes()
    again = replay(tmp_path / "out", tmp_path / "out", "--dicom")
    assert "over the clip itself" in again.stderr
    assert (tmp_path / "out" / "annotated.dcm").exists()
    assert replay(clip, tmp_path / "out").exit_code == 0
    assert not (tmp_path / "out" / "annotated.dcm").exists()  # those of an earlier replay are replaced


def test_without_pydicom_the_extra_is_named_before_anything_runs(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pydicom'] = None\nfrom stream.__main__ import app\napp(sys.argv[1:])"
    ran = python("-c", code, "replay", "none.mp4", "--out", tmp_path / "out", "--dicom")
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: --dicom: needs pydicom")
    assert ran.stderr.endswith(': python -m pip install -e ".[dicom]"\n')
    assert not (tmp_path / "out").exists()
