"""Pictures of every kind that is met in practice become uint8 [H, W, 3], in the order in which a person counts."""

import os
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stream.errors import SourceError, UsageError
from stream.sources import open_here, open_source
from stream.sources.images import list_pictures, read_rgb

GREY = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7) * 7
COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_grey_is_repeated(tmp_path: Path) -> None:
    assert np.array_equal(read_rgb(write(tmp_path / "a.png", GREY)), np.dstack([GREY] * 3))


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    assert np.array_equal(read_rgb(write(tmp_path / "a.png", COLOUR[..., ::-1])), COLOUR)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.dstack([COLOUR[..., ::-1], GREY]))
    assert np.array_equal(read_rgb(path), COLOUR)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def test_pictures_are_turned_as_exif_says(tmp_path: Path, orientation: int, turns: int) -> None:
    upright = np.repeat(np.repeat(GREY, 8, 0), 8, 1)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.rot90(upright, turns)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert np.abs(read_rgb(tmp_path / "a.jpg")[..., 0].astype(int) - upright).mean() < 2


def test_every_page_of_a_stack_is_a_picture(tmp_path: Path) -> None:
    stack = [np.full((5, 7), 20 * number, np.uint8) for number in range(4)]
    assert cv2.imwritemulti(str(tmp_path / "stack.tif"), stack)
    write(tmp_path / "then.png", GREY)
    with open_here(str(tmp_path)) as source:
        frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(5))
    assert [int(frame.rgb[0, 0, 0]) for frame in frames[:4]] == [0, 20, 40, 60]
    assert [frame.source for frame in frames] == ["stack.tif"] * 4 + ["then.png"]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV there opens no file whose name has other letters than ASCII's (opencv#4292)."""
    count, read = cv2.imcount, cv2.imreadmulti
    monkeypatch.setattr(cv2, "imcount", lambda name, *rest: count(name if name.isascii() else "", *rest))
    monkeypatch.setattr(
        cv2, "imreadmulti", lambda name, *rest, **flags: read(name if name.isascii() else "", *rest, **flags)
    )


def test_a_jpeg_may_be_called_what_browsers_on_windows_call_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), GREY)
    (tmp_path / "a.jpg").rename(tmp_path / "a.jfif")
    with open_here(str(tmp_path / "a.jfif")) as source:
        assert source.still
        assert len(list(source.frames())) == 1


@pytest.mark.usefixtures("windows")
def test_every_page_of_a_stack_is_a_picture_whatever_its_name(tmp_path: Path) -> None:
    stack = [np.full((5, 7), 20 * number, np.uint8) for number in range(4)]
    assert cv2.imwritemulti(str(tmp_path / "Übersicht.tif"), stack)
    with open_here(str(tmp_path / "Übersicht.tif")) as source:
        assert [int(frame.rgb[0, 0, 0]) for frame in source.frames()] == [0, 20, 40, 60]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is text")
@pytest.mark.parametrize(("name", "count"), [(b"Bild \xfc.png", 1), (b"Bild \xfc.tif", 4)])
def test_a_name_in_the_letters_of_an_older_system_is_read(tmp_path: Path, name: bytes, count: int) -> None:
    path = tmp_path / f"a{os.fsdecode(name)[-4:]}"
    assert cv2.imwritemulti(str(path), [np.full((5, 7), 20 * number, np.uint8) for number in range(count)])
    with open_source(str(path.rename(tmp_path / os.fsdecode(name)))) as source:
        assert [int(frame.rgb[0, 0, 0]) for frame in source.frames()] == [20 * number for number in range(count)]


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ["a.png", "a.webp", "超声.png", "超声.webp"])
def test_moving_pictures_are_not_taken_for_their_first_whatever_their_name(tmp_path: Path, name: str) -> None:
    first, *others = [Image.new("RGB", (8, 6), (60 * number, 0, 0)) for number in range(4)]
    first.save(tmp_path / name, save_all=True, append_images=others, duration=50)
    with pytest.raises(SourceError, match=f"{name} is an animation of 4 pictures"):
        read_rgb(tmp_path / name)


def test_a_page_that_cannot_be_shown_costs_a_stack_that_page_alone(tmp_path: Path) -> None:
    stack = [GREY, GREY.astype(np.float32), GREY]
    assert cv2.imwritemulti(str(tmp_path / "stack.tif"), stack)
    with open_here(str(tmp_path / "stack.tif"), live=False, loop=True) as source:
        assert [frame.index for frame in islice(source.frames(), 5)] == [0, 2, 3, 5, 6]
        assert source.damaged == 2
    with open_here(str(tmp_path / "stack.tif")) as source, pytest.raises(SourceError, match="1 of 3 pictures of stack"):
        list(source.frames())


def test_clips_and_other_pictures_beside_those_that_are_read_are_not_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.png", GREY)
    for name in ("b.mp4", "c.AVI", "._b.mp4", "notes.txt", "d.gif", "e.HEIC", "._d.gif", "f.mha", "a_mask.png"):
        (tmp_path / name).touch()
    with open_here(str(tmp_path)) as source:
        assert len(list(source.frames())) == 1
    assert "b.mp4 and 4 more left out; of a folder PNG, JPEG, TIFF and the like are read, a clip by" in caplog.text


@pytest.mark.parametrize("brightest", [1, 255, 4095])
def test_a_series_of_twelve_bits_in_sixteen_is_refused_and_not_shown_as_black(tmp_path: Path, brightest: int) -> None:
    write(tmp_path / "a.png", np.full((9, 9), brightest, np.uint16))
    with (
        pytest.raises(SourceError, match=f"16 bits, but no value above {brightest}"),
        open_here(str(tmp_path)) as source,
    ):
        list(source.frames())


def test_a_dark_picture_of_a_series_is_shown_as_it_is(tmp_path: Path) -> None:
    for number, brightest in enumerate((65535, 3899, 65535)):
        write(tmp_path / f"{number}.png", np.full((9, 9), brightest, np.uint16))
    with open_here(str(tmp_path)) as source:
        assert [frame.rgb.max() for frame in source.frames()] == [255, 15, 255]


def test_sixteen_bits_keep_their_scale(tmp_path: Path) -> None:
    dark = GREY.astype(np.uint16) * 256 + 255
    assert np.array_equal(read_rgb(write(tmp_path / "a.tiff", dark)), np.dstack([GREY] * 3))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_colours_of_sixteen_bits_are_those_of_eight(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_rgb(write(tmp_path / name, COLOUR[..., ::-1].astype(np.uint16) * 257)), COLOUR)


def test_a_palette_becomes_colour(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png").tolist()[0] == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("size", [(1, 1), (3, 501), (97, 2)])
def test_odd_sizes_are_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read_rgb(write(tmp_path / "a.png", np.zeros(size, np.uint8))).shape == (*size, 3)


def test_floating_point_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tiff", GREY.astype(np.float32))
    with pytest.raises(SourceError, match=r"a\.tiff has float32 pixels"):
        read_rgb(path)


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_broken_picture_is_named_after_all_the_others(tmp_path: Path, keep: int) -> None:
    for name in ("1.png", "2.png", "3.png"):
        path = write(tmp_path / name, GREY)
    broken = tmp_path / "2.png"
    broken.write_bytes(path.read_bytes()[:keep])
    with open_here(str(tmp_path)) as source:
        frames = source.frames()
        assert [(frame.index, frame.source) for frame in islice(frames, 2)] == [(0, "1.png"), (2, "3.png")]
        with pytest.raises(SourceError, match=r"1 of 3 pictures of .* could not be read, the first: 2\.png cannot be"):
            next(frames)
        assert source.damaged == 1


def test_a_folder_in_a_loop_goes_on_without_its_broken_picture(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_text("no picture")
    write(tmp_path / "2.png", GREY)
    with open_here(str(tmp_path), loop=True) as source:
        assert [frame.index for frame in islice(source.frames(), 3)] == [1, 3, 5]


@pytest.mark.parametrize("names", [("1.png",), ("1.png", "2.png")])
def test_a_loop_of_broken_pictures_ends(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("no picture")
    with open_here(str(tmp_path), loop=True) as source, pytest.raises(SourceError, match=r"1\.png cannot be decoded"):
        next(source.frames())


def test_a_folder_is_read_in_natural_order_without_masks(tmp_path: Path) -> None:
    for name in ("b (10).png", "b (2).png", "b (2)_mask.png", "b (10)_mask_1.png", "a.jpg", "B (1).PNG"):
        write(tmp_path / name, GREY)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    names = [path.name for path in list_pictures(tmp_path)]
    assert names == ["B (1).PNG", "a.jpg", "b (2).png", "b (10).png"]


def test_what_macos_hides_beside_each_picture_is_no_picture(tmp_path: Path) -> None:
    write(tmp_path / "x.png", GREY)
    (tmp_path / "._x.png").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")  # AppleDouble
    with open_here(str(tmp_path)) as source:
        assert [frame.source for frame in source.frames()] == ["x.png"]


def test_busi_is_read_without_its_masks(shared_data: Path) -> None:
    assert len(list_pictures(shared_data / "busi" / "normal")) == 133


def test_a_single_picture_is_a_stream_too(tmp_path: Path) -> None:
    with open_here(f"{write(tmp_path / 'a.png', GREY)}?fps=4", loop=True) as source:
        frames = list(islice(source.frames(), 3))
    assert [frame.pts_s for frame in frames] == [0, 0.25, 0.5]
    assert source.fps == 4


def test_the_folder_that_one_is_in_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png", GREY)
    monkeypatch.chdir(tmp_path)
    for opened in (open_here, open_source):
        with opened(".") as source:
            assert source.name == tmp_path.name


def test_a_folder_without_pictures_says_that_folders_in_it_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    write(tmp_path / "benign" / "a.png", GREY)
    with pytest.raises(SourceError, match=r"contains no picture.* folder in it, is given by its own path"):
        open_here(str(tmp_path))


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png cannot be read"):
        open_here(str(tmp_path / "gone.png"))


def test_a_rate_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="option fps='0'"):
        open_here(f"{tmp_path}?fps=0")
