"""Cines as scanners write them, against pydicom's own pictures; what contradicts itself is refused, unread."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import gdcm
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_windowing, convert_color_space, pixel_array
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    HTJ2KLossless,
    JPEGLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from stream.errors import SourceError
from stream.sources import LOOKED_AT, kind, open_here, open_source
from stream.sources.dicom_header import read_header
from stream.types import ScanArea
from tests.dicoms import PATIENT, noise, pictures, read, region, regions, write_dicom, write_object
from tests.programs import python


def test_a_real_cine_plays_as_it_was_scanned(shared_data: Path) -> None:
    path = shared_data / "clips" / "us_multiframe_ybr.dcm"
    with open_source(str(path)) as source:
        frames = list(source.frames())
    assert [frame.pts_s for frame in frames] == pytest.approx(np.arange(30) * 0.033333)
    ybr = pixel_array(path, raw=True)  # decoded, not yet converted
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    assert np.array_equal(np.stack([frame.rgb for frame in frames]), expected)
    # 84..595 x 31..414 of the 640x480 that the scanner showed; this copy was made half as large
    assert source.scan_area == ScanArea(42, 16, 256, 191, "header")
    assert frames[0].mm_per_px == pytest.approx((2 * 0.5104970559,) * 2)


@pytest.mark.parametrize("kind", ["YBR_FULL", "RGB"])
def test_colours(tmp_path: Path, kind: str) -> None:
    values = noise(3, 20, 30, 3)
    expected = values if kind == "RGB" else convert_color_space(values, kind, "RGB")
    assert np.array_equal(pictures(write_dicom(tmp_path / "a.dcm", values, kind)), expected)


def test_subsampled_colours(tmp_path: Path) -> None:
    values = noise(2, 20, 30, 3)
    values[:, :, 1::2, 1:] = values[:, :, ::2, 1:]
    packed = np.stack((values[:, :, ::2, 0], values[:, :, 1::2, 0], values[:, :, ::2, 1], values[:, :, ::2, 2]), -1)
    path = write_dicom(tmp_path / "a.dcm", values, "YBR_FULL_422", PixelData=packed.tobytes())
    assert np.array_equal(pictures(path), convert_color_space(values, "YBR_FULL", "RGB"))


def test_planes_of_colour(tmp_path: Path) -> None:
    values = noise(2, 20, 30, 3)
    data = values.transpose(0, 3, 1, 2).tobytes()
    path = write_dicom(tmp_path / "a.dcm", values, "RGB", PlanarConfiguration=1, PixelData=data)
    assert np.array_equal(pictures(path), values)


def test_deep_colours_lose_their_low_bits(tmp_path: Path) -> None:
    values = noise(1, 20, 30, 3, dtype=np.uint16) >> 4
    assert np.array_equal(
        pictures(write_dicom(tmp_path / "a.dcm", values, "RGB", BitsStored=12, HighBit=11)), values >> 4
    )


def test_greys_are_kept_as_they_are(tmp_path: Path) -> None:
    values = noise(2, 20, 30)
    assert np.array_equal(pictures(write_dicom(tmp_path / "a.dcm", values)), values[..., None].repeat(3, -1))


def test_a_picture_need_not_say_that_it_is_one(tmp_path: Path) -> None:
    values = noise(1, 20, 30)
    path = write_dicom(tmp_path / "a.dcm", values)
    header = pydicom.dcmread(path)
    del header.NumberOfFrames
    header.save_as(path)
    assert np.array_equal(pictures(path), values[..., None].repeat(3, -1))


def test_inverted_greys(tmp_path: Path) -> None:
    values = noise(2, 20, 30)
    shown = pictures(write_dicom(tmp_path / "a.dcm", values, "MONOCHROME1"))
    assert np.array_equal(shown, 255 - values[..., None].repeat(3, -1))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_window_chooses_the_greys(tmp_path: Path, function: str, dtype: type) -> None:
    values = noise(1, 20, 30, dtype=dtype)
    path = write_dicom(
        tmp_path / "a.dcm", values, WindowCenter=[1000, 7], WindowWidth=[9000, 7], VOILUTFunction=function
    )
    found = pydicom.dcmread(path)
    expected = apply_windowing(values, found)
    low, high = (0, 65535) if dtype == np.uint16 else (-32768, 32767)
    grey = (expected - low) / (high - low) * 255
    assert np.abs(pictures(path)[..., 0] - grey).max() <= 0.51


def test_sixteen_bits_without_a_window_show_their_whole_range(tmp_path: Path) -> None:
    values = noise(1, 20, 30, dtype=np.uint16) >> 4
    path = write_dicom(tmp_path / "a.dcm", values, BitsStored=12, HighBit=11)
    assert np.abs(pictures(path)[..., 0] - values / 4095 * 255).max() <= 0.51


def test_a_palette(tmp_path: Path) -> None:
    values = noise(2, 20, 30)
    tables = {
        f"{colour}PaletteColorLookupTable{part}": what
        for colour in ("Red", "Green", "Blue")
        for part, what in (("Descriptor", [256, 0, 16]), ("Data", noise(256, dtype=np.uint16).tobytes()))
    }
    path = write_dicom(tmp_path / "a.dcm", values, "PALETTE COLOR", **tables)
    assert np.array_equal(pictures(path), apply_color_lut(values, pydicom.dcmread(path)) >> 8)


def test_a_palette_in_segments(tmp_path: Path) -> None:
    values = noise(2, 20, 30)
    ramp = np.array([0, 1, 0, 1, 255, 65280], np.uint16).tobytes()  # one value 0, then 255 in a line up to 65280
    tables: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"Segmented{colour}PaletteColorLookupTableData"] = ramp
    path = write_dicom(tmp_path / "a.dcm", values, "PALETTE COLOR", **tables)
    assert np.array_equal(pictures(path), values[..., None].repeat(3, -1))


def test_run_length_coded_frames(tmp_path: Path) -> None:
    values = noise(3, 20, 30)
    path = write_dicom(tmp_path / "a.dcm", values)
    found = pydicom.dcmread(path)
    found.compress(RLELossless)
    found.save_as(path)
    assert np.array_equal(pictures(path), values[..., None].repeat(3, -1))


@pytest.mark.filterwarnings("ignore:The .0028,0004.:UserWarning")  # RGB is wrong there, which pydicom notices
@pytest.mark.parametrize("kind", ["YBR_FULL_422", "RGB"])
def test_jpeg_frames_are_converted_once(tmp_path: Path, kind: str) -> None:
    blocks = noise(2, 3, 4, 3).repeat(8, 1).repeat(8, 2)
    jpegs = [cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for frame in blocks]
    path = write_dicom(tmp_path / "a.dcm", blocks, kind, jpegs=jpegs)  # JFIF: YCbCr within, whatever the header says
    expected = np.stack([cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for jpeg in jpegs])
    assert np.abs(pictures(path).astype(int) - expected).mean() < 2


@pytest.mark.parametrize(
    ("told", "starts_s"),
    [
        ({"FrameTime": 40}, [0, 0.04, 0.08]),
        ({"FrameTimeVector": [0, 30, 50]}, [0, 0.03, 0.08]),
        ({"CineRate": 20}, [0, 0.05, 0.1]),
        ({"RecommendedDisplayFrameRate": 10}, [0, 0.1, 0.2]),
        ({"FrameTime": 0, "CineRate": 20, "RecommendedDisplayFrameRate": 10}, [0, 0.05, 0.1]),
        ({"FrameTimeVector": [0, 30], "FrameTime": 40}, [0, 0.04, 0.08]),
        ({}, [0, 0.04, 0.08]),
    ],
)
def test_frames_come_at_the_times_of_the_header(tmp_path: Path, told: dict, starts_s: list[float]) -> None:
    frames = read(write_dicom(tmp_path / "a.dcm", noise(3, 8, 8), **told))
    assert [frame.pts_s for frame in frames] == pytest.approx(starts_s)


def test_other_files_beside_dicom_are_not_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom(tmp_path / "a", np.zeros((1, 5, 7), np.uint8))
    for name in ("b.mp4", "c.png", "._c.png", "DICOMDIR", "d.gif", "without its mark.dcm"):
        (tmp_path / name).touch()
    with open_here(str(tmp_path)) as source:
        assert len(list(source.frames())) == 1
    assert "b.mp4 and 3 more left out; beside DICOM ultrasound nothing else is read" in caplog.text


def test_dicom_files_are_found_however_many_pictures_lie_beside_them(tmp_path: Path) -> None:
    for number in range(10 * LOOKED_AT):
        (tmp_path / f"{number}.png").touch()
    write_dicom(tmp_path / "a", np.zeros((1, 5, 7), np.uint8))
    assert kind(str(tmp_path)) == "dicom"


@pytest.mark.parametrize("frames", [1, 2])
def test_only_single_pictures_need_not_move(tmp_path: Path, frames: int) -> None:
    with open_source(str(write_dicom(tmp_path / "a.dcm", noise(frames, 8, 8)))) as source:
        assert source.still == (frames == 1)


@pytest.mark.parametrize(("frames", "query", "fps"), [(2, "", 25), (1, "", 2), (2, "?fps=10", 10), (1, "?fps=10", 10)])
def test_what_tells_no_times_is_a_cine_of_25_or_a_picture(tmp_path: Path, frames: int, query: str, fps: float) -> None:
    with open_here(f"{write_dicom(tmp_path / 'a.dcm', noise(frames, 8, 8))}{query}") as source:
        assert source.fps == pytest.approx(fps)


def test_a_folder_comes_in_order_of_its_instances(tmp_path: Path) -> None:
    for name, instance, grey in (("a", 3, 30), ("b", 1, 10), ("c", 2, 20)):
        write_dicom(tmp_path / name, np.full((1, 8, 8), grey, np.uint8), InstanceNumber=instance)
    write_object(tmp_path / "DICOMDIR", MediaStorageDirectoryStorage)
    with open_here(f"{tmp_path}?fps=4") as source:
        frames = list(source.frames())
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [10, 20, 30]
    assert [frame.source for frame in frames] == ["b", "c", "a"]
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.25, 0.5])


@pytest.mark.parametrize(
    "kind", [MediaStorageDirectoryStorage, ComprehensiveSRStorage, GrayscaleSoftcopyPresentationStateStorage]
)
def test_what_holds_no_picture_is_passed_over_in_a_folder_and_refused_by_itself(tmp_path: Path, kind: UID) -> None:
    other = write_object(tmp_path / "object", kind)
    with pytest.raises(SourceError, match=r"object contains no DICOM picture\."):
        open_here(str(other))
    with pytest.raises(SourceError, match=r"contains no DICOM picture\..* the folder that holds them"):
        open_here(str(tmp_path))
    write_dicom(tmp_path / "a.dcm", noise(1, 8, 8))
    assert [frame.source for frame in read(tmp_path)] == ["a.dcm"]


def test_pictures_of_other_machines_are_refused_and_not_judged_as_breast_ultrasound(tmp_path: Path) -> None:
    mammogram = write_dicom(tmp_path / "c.dcm", noise(1, 9, 8), Modality="MG")
    for path in (mammogram, tmp_path):
        with pytest.raises(SourceError, match=r"c\.dcm is no ultrasound: its header says MG"):
            open_here(str(path))


def test_of_a_study_the_ultrasound_is_read_and_the_rest_is_told(tmp_path: Path) -> None:
    for name, modality in (("a.dcm", "US"), ("b.dcm", "OT"), ("c.dcm", "MG"), ("d.dcm", "SEG")):
        write_dicom(tmp_path / name, noise(1, 8, 8), Modality=modality)
    with open_here(str(tmp_path)) as source:
        assert [frame.source for frame in source.frames()] == ["a.dcm", "b.dcm"]
    assert source.left_out == "2 left out; beside DICOM ultrasound nothing else is read"


def test_an_image_that_was_cut_short_before_its_size_is_told_in_a_folder_too(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", noise(1, 8, 8))
    cut = write_dicom(tmp_path / "b.dcm", noise(1, 8, 8))
    cut.write_bytes(cut.read_bytes()[: cut.read_bytes().index(PATIENT.encode())])
    with pytest.raises(SourceError, match=r"b\.dcm cannot be read as DICOM"):
        open_here(str(tmp_path))


def test_a_folder_is_as_slow_as_its_slowest_cine(tmp_path: Path) -> None:
    for name, step_ms in (("a", 40), ("b", 2000)):
        write_dicom(tmp_path / name, noise(2, 8, 8), FrameTime=step_ms)
    with open_here(str(tmp_path)) as source:
        assert source.fps == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"Rows": 60000, "Columns": 60000}, "says that it is 60000x60000"),
        ({"NumberOfFrames": 2_000_000_000}, "2000000000 frames"),
        ({"NumberOfFrames": -3}, "-3 frames"),
        ({"Rows": 0}, "30x0"),
        ({"Rows": 8000, "Columns": 8000}, "8000x8000, which is impossible"),
        ({"BitsStored": 30}, "30 of 8 bits"),
        ({"PhotometricInterpretation": "CMYK"}, "as CMYK"),
        ({"SamplesPerPixel": 3}, "3 samples"),
    ],
)
def test_a_header_that_cannot_be_is_refused_at_once(tmp_path: Path, header: dict, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read_header(write_dicom(tmp_path / "a.dcm", noise(1, 20, 30), **header), 2.0)


def test_a_file_without_the_mark_is_refused_with_words(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise(1, 20, 30))
    path.write_bytes(path.read_bytes()[132:])
    with pytest.raises(SourceError, match="does not begin as DICOM files do"):
        open_here(str(path))


def test_a_cine_that_was_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise(5, 20, 30))
    path.write_bytes(path.read_bytes()[:-1000])
    source = open_here(str(path))
    frames = []
    with pytest.raises(SourceError, match="of 5 frames"):
        frames.extend(source.frames())
    assert len(frames) <= 4


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEGLSLossless"])
@pytest.mark.parametrize("kind", ["MONOCHROME2", "RGB", "YBR_FULL"])
def test_lossless_compression(tmp_path: Path, name: str, kind: str) -> None:
    values = noise(2, 20, 30) if kind == "MONOCHROME2" else noise(2, 20, 30, 3)
    path = write_dicom(tmp_path / "a.dcm", values, kind)
    expected = pictures(path)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert np.array_equal(pictures(path), expected)


def test_a_compression_that_nothing_reads_is_named(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise(1, 8, 8))
    found = pydicom.dcmread(path)
    found.file_meta.TransferSyntaxUID = HTJ2KLossless
    found.PixelData = encapsulate([b"\xff\x4f\xff\xd9"])
    found.save_as(path)
    with pytest.raises(SourceError, match=r"High-Throughput JPEG 2000.*cannot be read"):
        open_here(str(path))


def test_a_file_with_the_mark_is_dicom_whatever_it_is_called(tmp_path: Path) -> None:
    assert kind(str(write_dicom(tmp_path / "IM0001", noise(1, 8, 8)))) == "dicom"
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert kind(str(tmp_path / "empty.dcm")) == "dicom"


def test_nothing_about_the_patient_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise(2, 8, 8))
    seen = []
    monkeypatch.setattr("stream.sources.dicom_header.parse_header", lambda path, tags, *rest: seen.append(tags))
    with caplog.at_level(logging.DEBUG):
        read_header(path, 2.0)
    assert PATIENT not in str(seen) + caplog.text
    assert "Rows" in str(seen[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    header = {"FrameTimeVector": [0, 30, 40], "SequenceOfUltrasoundRegions": regions(region(2, 2, 12, 9))}
    return write_dicom(tmp_path_factory.mktemp("whole") / "a.dcm", noise(3, 16, 16), **header).read_bytes()


@given(st.data())
@settings(max_examples=300)
def test_damage_gives_frames_or_one_of_our_errors(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(132, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.dcm"
        path.write_bytes(damaged[: data.draw(st.integers(132, len(whole)))])
        told, frames = "", []
        try:
            frames = read(path)
        except SourceError as error:
            told = str(error)
    assert frames or told
    assert len(told.splitlines()) <= 1
    assert PATIENT not in told


@pytest.mark.parametrize("package", ["pydicom", "gdcm"])
def test_without_a_package_the_extra_is_named(tmp_path: Path, package: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", noise(1, 8, 8))
    found = pydicom.dcmread(path)
    found.file_meta.TransferSyntaxUID = JPEGLossless
    found.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    found.save_as(path)
    code = f"import sys; sys.modules[{package!r}] = None; from stream.sources import *; open_here({str(path)!r})"
    *_, told = python("-c", code).stderr.splitlines()
    assert told.lower().endswith(f'needs {package}: python -m pip install -e ".[dicom]"')
