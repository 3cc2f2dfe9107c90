"""What a user kept for a source is there the next time, and tells nobody where that source is."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import UsageError
from stream.kept_areas import KeptAreas

AREA = "120,80,640,480@1280x720"


def test_what_was_kept_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "not there" / "yet" / "scan_areas.json"
    KeptAreas(path).keep("v4l2:/dev/video0", AREA)
    assert KeptAreas(path).get("v4l2:/dev/video0") == AREA
    assert KeptAreas(path).get("v4l2:/dev/video1") is None


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    areas = KeptAreas(path)
    areas.keep("a", AREA)
    areas.keep("a", None)
    assert KeptAreas(path).get("a") is None


def test_neither_password_nor_path_is_written(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    KeptAreas(path).keep("rtsp://user:secret@host/Jane_Doe", AREA)
    assert not [word for word in ("secret", "Jane", "host", "user") if word in path.read_text()]


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")
def test_other_accounts_cannot_read_the_hash_of_a_password(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    KeptAreas(path).keep("rtsp://user:1234@host", AREA)
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("clip", ["clip.mp4", "cine.dcm?fps=30"])
def test_clips_of_one_name_in_two_folders_are_told_apart(tmp_path: Path, clip: str) -> None:
    areas = KeptAreas()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / clip.partition("?")[0]).touch()
    with chdir(tmp_path / "one"):
        areas.keep(clip, AREA)
    with chdir(tmp_path / "two"):
        assert areas.get(clip) is None
        assert areas.get(f"../one/{clip}") == areas.get(f"{tmp_path}/one/{clip}") == AREA


def test_two_processes_keep_areas_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    first, second = KeptAreas(path), KeptAreas(path)
    first.keep("v4l2:/dev/video0", AREA)
    second.keep("v4l2:/dev/video1", AREA)
    assert KeptAreas(path).get("v4l2:/dev/video0") == KeptAreas(path).get("v4l2:/dev/video1") == AREA


def test_what_another_process_kept_or_deleted_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    areas = KeptAreas(path)
    KeptAreas(path).keep("a", AREA)
    assert areas.get("a") == AREA
    path.unlink()
    areas.keep("b", AREA)
    assert KeptAreas(path).get("a") is None


def test_what_the_disk_refuses_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    areas = KeptAreas(tmp_path / "file" / "scan_areas.json")
    with pytest.raises(UsageError, match=r"cannot be kept: Not a directory\. .*scan_areas\.json must be writable"):
        areas.keep("a", AREA)
    assert areas.get("a") is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk here")
def test_a_full_disk_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    KeptAreas(path).keep("a", AREA)
    path.with_suffix(f".{os.getpid()}.new").symlink_to("/dev/full")  # where it is written first
    with pytest.raises(UsageError, match="No space left"):
        KeptAreas(path).keep("a", None)
    assert KeptAreas(path).get("a") == AREA
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    path.write_text('{"a": "full",}')  # one comma too many, by hand
    with pytest.raises(UsageError, match="damaged"):
        KeptAreas(path).keep("b", AREA)
    assert path.read_text() == '{"a": "full",}'


def test_what_two_tabs_keep_at_once_is_all_kept(tmp_path: Path) -> None:
    areas = KeptAreas(tmp_path / "scan_areas.json")
    names = [str(number) for number in range(60)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: areas.keep(name, AREA), names))
    assert [name for name in names if areas.get(name) != AREA] == []


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "7"])
def test_a_broken_file_is_said_to_be_and_used_as_an_empty_one(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scan_areas.json"
    path.write_text(text)
    assert KeptAreas(path).get("a") is None
    assert "cannot be read" in caplog.text


def test_a_folder_that_may_not_be_searched_is_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    areas = KeptAreas(tmp_path / "file" / "scan_areas.json")  # no folder: as for root, who may search all
    assert areas.get("a") is None
    assert "cannot be read" in caplog.text


def test_a_path_that_is_no_text_can_be_kept() -> None:
    areas = KeptAreas()
    areas.keep("clip\udcff.mp4", AREA)
    assert areas.get("clip\udcff.mp4") == AREA


@given(st.text())
def test_any_address_can_be_kept(uri: str) -> None:
    areas = KeptAreas()
    areas.keep(uri, AREA)
    assert areas.get(uri) == AREA
