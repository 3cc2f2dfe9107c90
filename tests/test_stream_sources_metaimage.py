"""Sequences as PLUS records them; what contradicts itself is refused before memory is taken for it."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from stream.errors import SourceError
from stream.sources import kind, open_here, open_source, sequence
from stream.types import Frame
from tests.metaimages import write_metaimage

VALUES = np.random.default_rng(1).integers(0, 256, (6, 40, 60), np.uint8)
TIMES_S = [100.0, 100.04, 100.09, 100.12, 100.16, 100.2]


def read(path: Path, query: str = "") -> list[Frame]:
    with open_here(f"{path}{query}") as source:
        return list(source.frames())


@pytest.mark.parametrize("packed", [False, True])
def test_a_sequence_plays_with_its_own_times(tmp_path: Path, packed: bool) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES, times_s=TIMES_S, packed=packed)
    assert kind(str(path)) == "metaimage"
    with open_source(str(path)) as source:  # in a process of its own
        frames = list(source.frames())
        assert source.fps == pytest.approx(25)
        assert not source.still
    assert [frame.pts_s for frame in frames] == pytest.approx(np.array(TIMES_S) - 100)
    for frame, expected in zip(frames, VALUES, strict=True):
        np.testing.assert_array_equal(frame.rgb, expected[:, :, None].repeat(3, axis=2))
    assert frames[0].mm_per_px == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_a_file_that_simpleitk_wrote_plays(tmp_path: Path, packed: bool, colour: bool) -> None:
    values = np.random.default_rng(3).integers(0, 256, (4, 40, 60, 3), np.uint8) if colour else VALUES
    written = SimpleITK.GetImageFromArray(values, isVector=colour)
    written.SetSpacing((0.2, 0.2, 1))
    SimpleITK.WriteImage(written, tmp_path / "a.mha", useCompression=packed)
    frames = read(tmp_path / "a.mha")
    expected = values if colour else values[..., None].repeat(3, axis=3)
    np.testing.assert_array_equal(np.stack([frame.rgb for frame in frames]), expected)
    assert frames[0].mm_per_px == pytest.approx((0.2, 0.2))


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    frames = read(write_metaimage(tmp_path / "a.mha", VALUES, ElementSpacing="0.2 0.1 1"))
    assert {frame.rgb.shape for frame in frames} == {(40, 120, 3)}
    assert frames[0].mm_per_px == pytest.approx((0.1, 0.1))


def test_colour_stays_colour(tmp_path: Path) -> None:
    colour = np.random.default_rng(2).integers(0, 256, (2, 20, 30, 3), np.uint8)
    frames = read(write_metaimage(tmp_path / "a.mha", colour))
    np.testing.assert_array_equal(np.stack([frame.rgb for frame in frames]), colour)


@pytest.mark.parametrize("spacing", ["1 1", ""])
def test_a_picture_alone_is_still(tmp_path: Path, spacing: str) -> None:
    one = write_metaimage(tmp_path / "a.mha", VALUES[:1], NDims="2", DimSize="60 40", ElementSpacing=spacing)
    with open_here(str(one)) as source:
        (frame,) = source.frames()
        assert source.still
    np.testing.assert_array_equal(frame.rgb[:, :, 0], VALUES[0])
    assert frame.mm_per_px is None  # 1 stands for: nobody calibrated


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [("MF", VALUES), ("UFA", VALUES[:, :, ::-1]), ("MN", VALUES[:, ::-1]), ("UN", VALUES[:, ::-1, ::-1])],
)
def test_the_skin_is_on_top_and_the_marked_side_left(tmp_path: Path, orientation: str, turned: np.ndarray) -> None:
    frames = read(write_metaimage(tmp_path / "a.mha", VALUES, UltrasoundImageOrientation=orientation))
    np.testing.assert_array_equal(np.stack([frame.rgb[:, :, 0] for frame in frames]), turned)


@pytest.mark.parametrize(
    "times_s",
    [
        *(None, TIMES_S[:4], [0.0, 0.1, 0.1, 0.2, 0.3, 0.4], [0, 1, 2, 3, 4, float("nan")]),
        *([0, 1, 2, 3, 4, 1e300], [-1.7e308, 0, 1e308, 1.5e308, 1.6e308, 1.7e308], [0, 1, 2, 3, 4, 1e6]),
    ],
)
def test_times_that_cannot_be_are_not_believed(tmp_path: Path, times_s: list[float] | None) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES, times_s=times_s)
    assert [frame.pts_s for frame in read(path, "?fps=20")] == pytest.approx(np.arange(6) / 20)


def test_a_frame_that_the_scanner_did_not_deliver_is_counted_and_left_out(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES, times_s=TIMES_S, Seq_Frame0002_ImageStatus="INVALID")
    with open_here(str(path)) as source:
        assert [frame.index for frame in source.frames()] == [0, 1, 3, 4, 5]
        assert source.damaged == 1


def test_what_could_be_read_comes_before_the_error(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES)
    path.write_bytes(path.read_bytes()[: -2 * 40 * 60])
    with open_here(str(path)) as source:
        frames = source.frames()
        assert [frame.index for frame in islice(frames, 4)] == [0, 1, 2, 3]
        with pytest.raises(SourceError, match="broke off after 4 of 6 frames"):
            next(frames)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"DimSize": "60000 60000 30000"}, "at most"),
        ({"DimSize": "60 40 90000"}, "is impossible"),
        ({"DimSize": f"60 40 {10**400}"}, "is impossible"),
        ({"DimSize": "-60 40 6"}, "is impossible"),
        ({"DimSize": "60 0 6"}, "is impossible"),
        ({"NDims": "4", "DimSize": "60 40 3 2", "ElementSpacing": "1 1 1 1"}, "holds 4 dimensions"),
        ({"ElementNumberOfChannels": "4"}, "4 samples"),
        ({"ElementType": "MET_FLOAT"}, "8 bits a sample"),
        ({"BinaryData": "False"}, "or text"),
        ({"NDims": "nonsense"}, "cannot be read"),
        ({"DimSize": "60 40"}, "cannot be read"),
        ({"DimSize": ""}, "cannot be read"),
        ({"UltrasoundImageOrientation": "FMA"}, "lies on its side"),
    ],
)
def test_an_absurd_header_is_refused_with_words(tmp_path: Path, header: dict[str, str], words: str) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES, **header)
    with pytest.raises(SourceError, match=words):
        open_here(str(path))


def test_a_header_without_an_end_is_not_read_to_the_end_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES)
    monkeypatch.setattr(sequence, "LONGEST_HEADER", 100)
    with pytest.raises(SourceError, match="cut short"):
        open_here(str(path))


def test_sixteen_bits_are_refused_with_words(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mha", VALUES.astype(np.uint16))
    with pytest.raises(SourceError, match="MET_USHORT"):
        open_here(str(path))


def test_a_header_that_names_another_file_is_no_sequence(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(6 * 40 * 60))
    for name in ("a.mha", "a.mhd"):
        path = write_metaimage(tmp_path / name, VALUES)
        path.write_bytes(path.read_bytes().replace(b"ElementDataFile = LOCAL", b"ElementDataFile = secret"))
        with pytest.raises(SourceError, match=r"another file.*Expected a \.mha file"):
            open_here(str(path))
