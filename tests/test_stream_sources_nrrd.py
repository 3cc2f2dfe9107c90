"""Sequences as 3D Slicer records them; what contradicts itself is refused before memory is taken for it."""

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from stream.errors import SourceError
from stream.sources import kind, open_here
from tests.nrrds import ORDERS, write_nrrd

GREY = np.random.default_rng(1).integers(0, 256, (6, 40, 60), np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (6, 40, 60, 3), np.uint8)
TIMES = "100 100.04 100.09 100.12 100.16 100.2"
TIMES_S = [0, 0.04, 0.09, 0.12, 0.16, 0.2]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kinds", ORDERS)
def test_a_sequence_plays_with_its_own_times_in_whatever_order_its_pixels_lie(
    tmp_path: Path, kinds: str, packed: bool
) -> None:
    values = COLOUR if "c" in ORDERS[kinds] else GREY[..., None]
    path = write_nrrd(
        tmp_path / "a.seq.nrrd", values if "c" in ORDERS[kinds] else GREY, kinds, index=TIMES, packed=packed
    )
    assert kind(str(path)) == "nrrd"
    with open_here(str(path)) as source:
        frames = list(source.frames())
        assert source.fps == pytest.approx(25)
        assert not source.still
    assert [frame.pts_s for frame in frames] == pytest.approx(TIMES_S)
    assert np.array_equal([frame.rgb for frame in frames], np.broadcast_to(values, (6, 40, 60, 3)))
    assert frames[0].mm_per_px == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(("unit", "step_s"), [("s", 40), ("", 40), ("ms", 0.04), ("beats", 1 / 30)])
def test_times_are_in_the_unit_that_is_told(tmp_path: Path, unit: str, step_s: float) -> None:
    units = f'"mm" "mm" "mm" "{unit}"'
    with open_here(str(write_nrrd(tmp_path / "a.nrrd", GREY[:2], index="0 40", units=units))) as source:
        assert [frame.pts_s for frame in source.frames()] == pytest.approx([0, step_s])
        assert source.fps == pytest.approx(1 / step_s)


def test_plus_times_come_first(tmp_path: Path) -> None:
    stamps = {f"Seq_Frame{number:04d}_Timestamp": str(7 + number / 10) for number in range(6)}
    with open_here(str(write_nrrd(tmp_path / "a.nrrd", GREY, "domain domain list", index=TIMES, **stamps))) as source:
        assert [frame.pts_s for frame in source.frames()] == pytest.approx(np.arange(6) / 10)


@pytest.mark.parametrize(
    ("index", "label"),
    [("", "time"), ("0 1 2 3 4 5", "frame"), ("0 1 2 3 4 5", '"'), ("0 1 2", "time"), ("0 1 1 2 3 4", "time")],
)
def test_what_is_no_time_is_not_taken_for_one(tmp_path: Path, index: str, label: str) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", GREY, index=index, label=label)
    with open_here(f"{path}?fps=20") as source:
        assert [frame.pts_s for frame in source.frames()] == pytest.approx(np.arange(6) / 20)


@pytest.mark.parametrize(
    "spacing",
    [
        {"space_directions": "(0.1,0,0) (0,0,-0.2) (0,1,0) none"},
        {"space_directions": "", "spacings": "0.1 0.2 1 nan"},
    ],
)
def test_oblong_pixels_become_square(tmp_path: Path, spacing: dict[str, str]) -> None:
    with open_here(str(write_nrrd(tmp_path / "a.nrrd", GREY, **spacing))) as source:
        frame = next(source.frames())
    assert frame.rgb.shape == (80, 60, 3)
    assert frame.mm_per_px == pytest.approx((0.1, 0.1))


def test_a_picture_alone_is_still(tmp_path: Path) -> None:
    with open_here(str(write_nrrd(tmp_path / "a.nrrd", GREY[:1], "domain domain", labels=""))) as source:
        (frame,) = source.frames()
        assert source.still
        assert source.fps == pytest.approx(30)  # which no header told
    assert np.array_equal(frame.rgb[..., 0], GREY[0])


@pytest.mark.parametrize(
    "header",
    [
        {"kinds": "domain domain domain"},
        {"kinds": ""},
        {"kinds": "vector domain domain list", "sizes": "1 60 40 6"},
        {"space_directions": "", "spacings": "0.2"},
        {"encoding": "gz"},
    ],
)
def test_other_ways_to_say_it_are_understood(tmp_path: Path, header: dict[str, str]) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", GREY, "domain domain list", packed="encoding" in header, **header)
    with open_here(str(path)) as source:
        assert np.array_equal([frame.rgb[..., 0] for frame in source.frames()], GREY)


def test_packed_pixels_are_read_however_many_there_are(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 256, (3, 200, 300), np.uint8)  # three times what is read at once
    with open_here(str(write_nrrd(tmp_path / "a.nrrd", values, packed=True))) as source:
        assert np.array_equal([frame.rgb[..., 0] for frame in source.frames()], values)


def test_only_frames_that_lie_one_after_the_other_may_be_more_than_fit_in_memory(tmp_path: Path) -> None:
    header = {"sizes": "1000 1000 500 1", "labels": ""}
    for kinds in ("domain domain list domain", "list domain domain domain"):
        path = write_nrrd(tmp_path / f"{kinds[0]}.nrrd", GREY, kinds=kinds, **header)
        os.truncate(path, 2**20)
    open_here(str(tmp_path / "d.nrrd")).close()
    with pytest.raises(SourceError, match="pixel by pixel"):
        open_here(str(tmp_path / "l.nrrd"))


@pytest.mark.parametrize("kinds", ["domain domain domain list", "list domain domain domain"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_could_be_read_comes_before_the_error(tmp_path: Path, kinds: str, packed: bool) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", GREY, kinds, packed=packed)
    path.write_bytes(path.read_bytes()[: -2 * 40 * 60 - 20])
    frames = []
    with open_here(str(path)) as source, pytest.raises(SourceError, match="broke off after"):
        frames.extend(islice(source.frames(), 6))
    assert len(frames) == (3 if kinds.endswith("list") else 0)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"sizes": "60000 60000 1 30000"}, "at most"),
        ({"sizes": "60 40 1 90000"}, "is impossible"),
        ({"sizes": f"60 40 1 {10**400}"}, "is impossible"),
        ({"sizes": "60 40 2 3"}, r"2 \(domain\) x 3 \(list\)"),
        ({"sizes": "60 -40 1 6"}, "does not say how large"),
        ({"sizes": "60 40 0 6"}, "does not say how large"),
        ({"sizes": "60 x"}, "does not say how large"),
        ({"sizes": "", "kinds": ""}, "does not say how large"),
        ({"kinds": "domain domain"}, "does not say how large"),
        ({"kinds": "vector domain domain list"}, "60 .vector."),
        ({"kinds": "vector domain domain list", "sizes": "2 60 40 6"}, "2 .vector."),
        ({"kinds": "vector vector domain domain", "sizes": "3 3 60 40"}, "Expected pictures over time"),
        ({"kinds": "list list domain domain", "sizes": "3 2 60 40"}, "Expected pictures over time"),
        ({"type": "", "encoding": ""}, "holds nothing, encoded as nothing"),
        ({"type": "short"}, "holds short"),
        ({"encoding": "bzip2"}, "encoded as bzip2"),
        ({"data_file": "secret.raw"}, "elsewhere"),
        ({"byte_skip": "100"}, "elsewhere"),
        ({"byteskip": "100"}, "elsewhere"),
        ({"lineskip": "1"}, "elsewhere"),
    ],
)
def test_an_absurd_header_is_refused_with_words(tmp_path: Path, header: dict[str, str], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_here(str(write_nrrd(tmp_path / "a.nrrd", GREY, **header)))


def test_a_header_whose_pixels_are_in_another_file_is_told_how_to_save_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"pixels elsewhere\. Expected a \.nrrd file"):
        open_here(str(write_nrrd(tmp_path / "a.nhdr", GREY, data_file="a.raw")))


@pytest.mark.parametrize("content", [b"", b"NRRD0005\n", b"NRRD0005\ntype: uint8\n", b"\x89PNG", b"<html>\n\n"])
def test_what_is_no_header_is_refused_with_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read as NRRD"):
        open_here(str(tmp_path / "a.nrrd"))
