from pathlib import Path

import pytest
import typer

from benchmarks.report import measuring, source_name
from stream.__main__ import INTERRUPTED


def test_what_is_stopped_does_not_end_like_what_is_done() -> None:
    with pytest.raises(typer.Exit) as ended, measuring(None):
        raise KeyboardInterrupt
    assert ended.value.exit_code == INTERRUPTED


@pytest.mark.parametrize("name", ["", "absent/report.json"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, measuring(tmp_path / name):
        pytest.fail("it measures")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.startswith(f"error: --json {tmp_path / name}: ")


def test_a_file_is_left_as_it_is_until_something_was_measured(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("{}")
    for path in (old, new):
        with measuring(path):
            pass
    assert old.read_text() == "{}"
    assert not new.exists()


def test_the_name_of_a_source_holds_no_password() -> None:
    assert source_name("rtsp://jane:secret@host:554/smith") == "rtsp://host:554"
    assert source_name("phantom:?size=320x240") == "phantom:?size=320x240"
