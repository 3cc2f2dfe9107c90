import json
import subprocess
import sys
from pathlib import Path

import pytest

from rcdnet.notice import RESEARCH_NOTICE
from stream.errors import UsageError
from stream.sinks.journal import JournalSink, line
from stream.types import State
from tests.stream_views import SESSION, SPEC, ending, view

ROOT = Path(__file__).parents[1]


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
    entry = line(view(5), SPEC.class_names)
    assert entry["notice"] == RESEARCH_NOTICE
    assert entry["source"] == "clip.mp4"
    assert entry["state"] == "clear_finding"
    assert entry["finding"] == "malignant"
    assert entry["smoothed"] == pytest.approx({"benign": 0.2, "malignant": 0.7, "normal": 0.1})
    assert entry["attention"] == {"class": "malignant", "peak": 0.75, "x_px": 17, "y_px": 13}
    assert entry["scan_area"] == [0, 0, 64, 48]
    assert entry["times"] == {"age_ms": 12.5, "analysis_ns": 9_000_000}


def test_a_frame_that_was_not_analysed_has_a_reason_and_no_numbers() -> None:
    entry = line(view(5, state=State.NOT_ANALYSED), SPEC.class_names)
    assert (entry["reason"], entry["raw"], entry["smoothed"], entry["attention"]) == ("no picture", None, None, None)


def test_all_that_differs_between_two_runs_is_under_times() -> None:
    first, second = (line(view(5, times={"analysis": ns}), SPEC.class_names) for ns in (1, 2))
    assert first != second
    assert first.pop("times") != second.pop("times")
    assert first == second


def test_a_full_disk_is_one_clear_line() -> None:
    sink = JournalSink(Path("/dev/full"))
    sink.open(SESSION)
    with pytest.raises(UsageError, match="cannot write /dev/full: No space left on device"):
        sink.write(view())
    sink.close(ending())


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    sink = JournalSink(tmp_path / "none" / "frames.jsonl")
    with pytest.raises(UsageError, match="No such file or directory"):
        sink.open(SESSION)
    sink.close(ending())


def test_a_killed_process_leaves_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    program = (
        "import itertools, sys; from pathlib import Path; from tests.stream_views import SESSION, view\n"
        "from stream.sinks.journal import JournalSink\n"
        "sink = JournalSink(Path(sys.argv[1])); sink.open(SESSION)\n"
        "for index in itertools.count():\n"
        "    sink.write(view(index)); print(index, flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        written = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
    frames = [json.loads(text)["frame"] for text in path.read_text().splitlines(keepends=True) if text.endswith("\n")]
    assert frames[:20] == written
