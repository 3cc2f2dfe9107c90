"""Where the scan lies in a DICOM picture, and how large a pixel is, by what the header says."""

from pathlib import Path

import pytest

from stream.errors import SourceError
from stream.sources import open_here
from stream.types import ScanArea
from tests.dicoms import noise, read, region, regions, write_dicom


def test_a_region_is_the_scan_area_and_its_corners_belong_to_it(tmp_path: Path) -> None:
    header = {
        "SequenceOfUltrasoundRegions": regions(region(0, 0, 3, 3), region(10, 20, 29, 49), region(0, 0, 59, 59, kind=3))
    }
    path = write_dicom(tmp_path / "a.dcm", noise(1, 60, 60), **header)
    with open_here(str(path)) as source:
        assert source.scan_area == ScanArea(10, 20, 20, 30, "header")
        assert next(source.frames()).mm_per_px == pytest.approx((0.2, 0.2))


def test_a_region_that_cannot_be_is_no_scan_area(tmp_path: Path) -> None:
    without_corner = region(0, 0, 20, 20)
    del without_corner.RegionLocationMaxX1
    header = {"SequenceOfUltrasoundRegions": regions(region(50, 0, 20, 30), region(0, 0, 6000, 6000), without_corner)}
    with open_here(str(write_dicom(tmp_path / "a.dcm", noise(1, 60, 60), **header))) as source:
        assert source.scan_area is None


@pytest.mark.parametrize("second", [(40, 12, 69, 51), (40, 10, 65, 40), (5, 52, 34, 75)])
def test_neither_of_two_regions_side_by_side_or_one_above_the_other_is_chosen(
    tmp_path: Path, second: tuple[int, int, int, int]
) -> None:
    header = {"SequenceOfUltrasoundRegions": regions(region(5, 10, 34, 49), region(*second))}
    with open_here(str(write_dicom(tmp_path / "a.dcm", noise(1, 80, 80), **header))) as source:
        assert source.scan_area is None


@pytest.mark.parametrize("second", [(40, 10, 50, 20), (10, 20, 30, 40), (5, 52, 34, 70)], ids=["small", "box", "below"])
def test_beside_a_smaller_region_the_largest_is_the_scan_area(
    tmp_path: Path, second: tuple[int, int, int, int]
) -> None:
    header = {"SequenceOfUltrasoundRegions": regions(region(5, 10, 34, 49), region(*second))}
    with open_here(str(write_dicom(tmp_path / "a.dcm", noise(1, 80, 80), **header))) as source:
        assert source.scan_area == ScanArea(5, 10, 30, 40, "header")


def test_a_spacing_without_regions(tmp_path: Path) -> None:
    assert read(write_dicom(tmp_path / "a.dcm", noise(1, 8, 8), PixelSpacing=[0.3, 0.3]))[0].mm_per_px == (0.3, 0.3)


@pytest.mark.parametrize(
    ("told", "mm_per_px"),
    [({"PixelSpacing": [0.2, 0.1]}, (0.1, 0.1)), ({"PixelAspectRatio": [2, 1]}, None)],
    ids=["spacing", "aspect"],
)
def test_oblong_pixels_become_square(tmp_path: Path, told: dict, mm_per_px: tuple[float, float] | None) -> None:
    (frame,) = read(write_dicom(tmp_path / "a.dcm", noise(1, 20, 30), **told))
    assert frame.rgb.shape == (40, 30, 3)
    assert frame.mm_per_px == (None if mm_per_px is None else pytest.approx(mm_per_px))


def test_a_region_goes_with_pixels_that_become_square(tmp_path: Path) -> None:
    header = {"SequenceOfUltrasoundRegions": regions(region(10, 20, 29, 49, higher=2.0))}
    with open_here(str(write_dicom(tmp_path / "a.dcm", noise(1, 60, 60), **header))) as source:
        assert source.scan_area == ScanArea(10, 40, 20, 60, "header")
        frame = next(source.frames())
    assert frame.rgb.shape == (120, 60, 3)
    assert frame.mm_per_px == pytest.approx((0.2, 0.2))


def test_pixels_too_oblong_to_be_shown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Expected at most"):
        read(write_dicom(tmp_path / "a.dcm", noise(1, 20, 30), PixelSpacing=[1e-9, 1e9]))


@pytest.mark.parametrize("first", [(region(0, 0, 7, 7),), ()])
def test_regions_that_differ_within_a_folder_are_refused(tmp_path: Path, first: tuple) -> None:
    for number, found in enumerate((first, (region(1, 0, 7, 7),))):
        header = {"SequenceOfUltrasoundRegions": regions(*found)}
        write_dicom(tmp_path / f"{number}.dcm", noise(1, 8, 8), **header)
    with pytest.raises(SourceError, match=r"different sizes or regions, as 0\.dcm and 1\.dcm\."):
        open_here(str(tmp_path))
