import io
import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from rcdnet.notice import RESEARCH_NOTICE
from stream.errors import UsageError
from stream.sinks.journal import JournalSink, line
from stream.types import ScanArea, State
from tests.stream_views import SESSION, ending, view


def test_every_view_is_one_line_that_can_be_read_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    sink = JournalSink(path)
    sink.open(SESSION)
    for index in range(3):
        sink.write(view(index))
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        assert [entry["frame"] for entry in lines] == list(range(index + 1))
    sink.close(ending())
    sink.close(ending())


def test_a_line_tells_what_was_said_and_where() -> None:
    entry = line(view(5), SESSION)
    assert entry["notice"] == RESEARCH_NOTICE
    assert entry["source"] == "clip.mp4"
    assert entry["state"] == "clear_finding"
    assert entry["finding"] == "malignant"
    assert entry["smoothed"] == pytest.approx({"benign": 0.2, "malignant": 0.7, "normal": 0.1})
    assert entry["attention"] == {"class": "malignant", "peak": 0.75, "x_px": 17, "y_px": 13}
    assert (entry["scan_area"], entry["scan_corners"]) == ([0, 0, 64, 48], None)
    assert entry["times"] == {"age_ms": 12.5, "analysis_ns": 9_000_000}


def test_a_line_says_by_itself_which_network_said_so_at_which_operating_point() -> None:
    spec = replace(SESSION.spec, weights_sha256="0123456789abcdef")
    entry = line(view(5), replace(SESSION, spec=spec))
    assert (entry["network"], entry["operating_point"]) == ("7, 0123456789ab", "balanced")


def test_a_line_without_a_lesion_does_not_reassure() -> None:
    assert line(view(5, finding="normal"), SESSION)["said"] == "no lesion flagged"
    assert line(view(5, state=State.NOT_ANALYSED), SESSION)["said"] == "not analysed"


def test_where_the_attention_is_highest_is_told_in_pixels_of_the_whole_picture() -> None:
    within = view(size_px=(480, 640))
    area = ScanArea(100, 50, 320, 240, "user")
    entry = line(replace(within, assessment=replace(within.assessment, scan_area=area)), SESSION)
    assert (entry["attention"]["x_px"], entry["attention"]["y_px"]) == (100 + 85, 50 + 65)  # cell 8, 6 of 32x24


def test_a_frame_that_was_not_analysed_has_a_reason_and_no_numbers() -> None:
    entry = line(view(5, state=State.NOT_ANALYSED), SESSION)
    assert (entry["reason"], entry["raw"], entry["smoothed"], entry["attention"]) == ("no picture", None, None, None)


def test_all_that_differs_between_two_runs_is_under_times() -> None:
    first, second = (line(view(5, times={"analysis": ns}), SESSION) for ns in (1, 2))
    assert first != second
    assert first.pop("times") != second.pop("times")
    assert first == second


def test_a_disk_that_fills_up_within_a_line_keeps_the_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    sink = JournalSink(path)
    sink.open(SESSION)
    sink.write(view(0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"cannot write .*frames.jsonl: File too large"):
            sink.write(view(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.close(ending())
    assert [json.loads(text)["frame"] for text in path.read_text().splitlines()] == [0]


class Meagre(io.FileIO):
    """Takes 100 bytes at a time, as a disk on which somebody just made a little room."""

    def write(self, data: bytes) -> int:
        return super().write(data[:100])


def test_a_disk_that_has_room_again_gets_the_rest_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "frames.jsonl"
    sink = JournalSink(path)
    with monkeypatch.context() as disk:
        disk.setattr(Path, "open", lambda path, mode, buffering: Meagre(path, mode))
        sink.open(SESSION)
    for index in range(3):
        sink.write(view(index))
    sink.close(ending())
    assert [json.loads(text)["frame"] for text in path.read_text().splitlines()] == [0, 1, 2]
