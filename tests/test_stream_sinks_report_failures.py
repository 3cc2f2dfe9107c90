"""What a report says of the files beside it, where one could not be written."""

import json
from pathlib import Path

from stream.errors import UsageError
from stream.sinks import recording
from stream.sinks.journal import JournalSink
from stream.sinks.report import ReportSink
from stream.status import Status
from stream.types import View
from tests.stream_runs import Clip, ran


class Filling(JournalSink):
    """Its disk is full from the third frame on, or when it is closed."""

    def __init__(self, path: Path, *, last: bool) -> None:
        super().__init__(path)
        self._told, self._last = f"cannot write {path}: No space left on device.", last

    def write(self, view: View) -> None:
        if view.frame.index >= 2 and not self._last:
            raise UsageError(self._told)
        super().write(view)

    def close(self, status: Status) -> None:
        super().close(status)
        if self._last:
            raise UsageError(self._told)


def report_beside(filling: Filling, folder: Path) -> tuple[dict, str]:
    ran(Clip(5, live=True), sinks=(filling, ReportSink(folder)))
    return json.loads((folder / "summary.json").read_text()), (folder / "report.html").read_text()


def test_a_report_says_that_a_file_beside_it_ends_early_and_not_in_whose_folder(tmp_path: Path) -> None:
    summary, page = report_beside(Filling(tmp_path / "frames.jsonl", last=False), tmp_path)
    assert summary["recording_error"] == "cannot write frames.jsonl: No space left on device."
    assert "Not all files beside this report are whole: cannot write frames.jsonl" in page
    assert str(tmp_path) not in page


def test_a_report_says_that_a_file_could_not_be_finished(tmp_path: Path) -> None:
    summary, _ = report_beside(Filling(tmp_path / "frames.jsonl", last=True), tmp_path)
    assert summary["recording_error"] == "cannot write frames.jsonl: No space left on device."


def test_where_all_was_written_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    ran(Clip(5), sinks=recording(tmp_path))
    assert json.loads((tmp_path / "summary.json").read_text())["recording_error"] is None
    assert "Not all files" not in (tmp_path / "report.html").read_text()
