"""What a user kept for a source is there the next time, and tells nobody where that source is."""

from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.presets import Presets

AREA = "120,80,640,480@1280x720"


def test_what_was_kept_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "not there yet" / "scan_areas.json"
    Presets(path).keep("v4l2:/dev/video0", AREA)
    assert Presets(path).get("v4l2:/dev/video0") == AREA
    assert Presets(path).get("v4l2:/dev/video1") is None


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    presets = Presets(path)
    presets.keep("a", AREA)
    presets.keep("a", None)
    assert Presets(path).get("a") is None


def test_neither_password_nor_path_is_written(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    Presets(path).keep("rtsp://user:secret@host/Jane_Doe", AREA)
    assert not [word for word in ("secret", "Jane", "host", "user") if word in path.read_text()]


def test_clips_of_one_name_in_two_folders_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presets = Presets()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.mp4").touch()
    monkeypatch.chdir(tmp_path / "one")
    presets.keep("clip.mp4", AREA)
    monkeypatch.chdir(tmp_path / "two")
    assert presets.get("clip.mp4") is None
    assert presets.get("../one/clip.mp4") == presets.get(str(tmp_path / "one" / "clip.mp4")) == AREA


def test_a_clip_is_told_whole_with_options_too(tmp_path: Path) -> None:
    presets = Presets()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cine.dcm").touch()
    with chdir(tmp_path / "one"):
        presets.keep("cine.dcm?fps=30", AREA)
        assert presets.get("cine.dcm?fps=30") == presets.get(f"{tmp_path}/one/cine.dcm?fps=30") == AREA
    with chdir(tmp_path / "two"):
        assert presets.get("cine.dcm?fps=30") is None


def test_two_processes_keep_areas_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    first, second = Presets(path), Presets(path)
    first.keep("v4l2:/dev/video0", AREA)
    second.keep("v4l2:/dev/video1", AREA)
    assert Presets(path).get("v4l2:/dev/video0") == Presets(path).get("v4l2:/dev/video1") == AREA


def test_what_another_process_kept_or_deleted_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "scan_areas.json"
    presets = Presets(path)
    Presets(path).keep("a", AREA)
    assert presets.get("a") == AREA
    path.unlink()
    presets.keep("b", AREA)
    assert Presets(path).get("a") is None


def test_what_the_disk_refuses_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    presets = Presets(tmp_path / "file" / "scan_areas.json")
    with pytest.raises(FileExistsError):
        presets.keep("a", AREA)
    assert presets.get("a") is None


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "7"])
def test_a_broken_file_is_said_to_be_and_used_as_an_empty_one(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scan_areas.json"
    path.write_text(text)
    assert Presets(path).get("a") is None
    assert "cannot be read" in caplog.text


def test_a_folder_that_may_not_be_searched_is_said_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert Presets(tmp_path / "file" / "scan_areas.json").get("a") is None  # no folder: as for root, who may search all
    assert "cannot be read" in caplog.text


@given(st.text())
def test_any_address_can_be_kept(uri: str) -> None:
    presets = Presets()
    presets.keep(uri, AREA)
    assert presets.get(uri) == AREA
