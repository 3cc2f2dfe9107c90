"""What a report says of where its pictures come from, to somebody who was not there."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.__main__ import app
from stream.session import Session
from stream.sinks.report import MOST_AREAS
from stream.sources import open_source
from stream.timing import Summary
from stream.types import ScanArea
from tests.clips import write_clip
from tests.stream_views import SESSION, ending, reported, view

LIVE = replace(SESSION, live=True)


def written(folder: Path, session: Session, *, first: int = 0, reopened: int = 0) -> tuple[dict, str]:
    an_hour_ago_ns = time.perf_counter_ns() - 3_600_000_000_000
    views = [view(index, captured_ns=an_hour_ago_ns) for index in range(first, first + 5)]
    summary, page = reported(folder, views, session, replace(ending(), reopened=reopened))
    return summary, " ".join(re.sub("<[^>]*>", " ", page).split())


@pytest.mark.parametrize(
    ("session", "how"),
    [(SESSION, "a replay"), (LIVE, "live"), (replace(LIVE, looped=True), "a clip in a loop")],
    ids=["replay", "live", "looped"],
)
def test_the_report_says_how_the_pictures_came(tmp_path: Path, session: Session, how: str) -> None:
    summary, page = written(tmp_path, session)
    assert f"clip.mp4, {how}, begun {summary['times']['started_at']}" in page
    assert ("The clip begins again at its end" in page) == session.looped == summary["source"]["looped"]


def test_a_clip_that_is_played_live_starts_again_and_says_so(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "clip.mp4"))
    with open_source(clip, live=True, loop=True) as live, open_source(clip) as replayed:
        assert (live.looped, replayed.looped) == (True, False)


def test_what_a_folder_holds_besides_is_told_to_who_reads_the_results_alone(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.png", 1, codec="png", pixels="rgb24", muxer={"update": "1"})
    write_clip(tmp_path / "b.mp4")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["replay", str(tmp_path), "--out", str(out), "--engine", "fake"])
    assert done.exit_code == 0
    left_out = json.loads((out / "summary.json").read_text())["source"]["left_out"]
    assert left_out.startswith("1 left out; ")  # without its name, which may be a patient's
    assert left_out in (out / "report.html").read_text()


def test_a_live_run_tells_by_the_clock_when_its_first_frame_came_and_a_replay_does_not(tmp_path: Path) -> None:
    summary, page = written(tmp_path, LIVE)
    first_at = datetime.fromisoformat(summary["times"]["first_frame_at"])
    assert abs(datetime.now(UTC) - timedelta(hours=1) - first_at) < timedelta(minutes=5)
    assert f"first frame {summary['times']['first_frame_at']}" in page
    summary, page = written(tmp_path, SESSION)
    assert summary["times"]["first_frame_at"] is None
    assert "first frame" not in page.partition("Timeline")[0]


def test_the_latency_of_a_live_run_says_that_it_is_of_its_end(tmp_path: Path) -> None:
    at_the_end = Summary(count=9, p50_ms=20.0, p95_ms=30.0, p99_ms=40.0, max_ms=50.0)
    _, page = reported(tmp_path, [view()], LIVE, replace(ending(), latency_ms=at_the_end))
    assert "<b>30 ms</b>capture to picture, p95 of the last half minute<" in page


def test_how_often_the_source_was_lost_is_told(tmp_path: Path) -> None:
    summary, page = written(tmp_path, LIVE, reopened=2)
    assert summary["source"]["reopened"] == 2
    assert "times the source was lost and found again 2" in page
    assert "found again" not in written(tmp_path, LIVE)[1]


def test_that_pictures_tell_another_time_than_the_report_is_said(tmp_path: Path) -> None:
    assert "the pictures tell those of the source, 4.00 s more" in written(tmp_path, SESSION, first=100)[1]
    assert "s more" not in written(tmp_path, SESSION)[1]


def test_the_operating_point_is_named(tmp_path: Path) -> None:
    assert "thresholds balanced: a lesion is flagged where" in written(tmp_path, SESSION)[1]


def test_what_warming_up_means_is_said(tmp_path: Path) -> None:
    assert "0.4 s; nothing is called before 0.4 s were seen (warming up)" in written(tmp_path, SESSION)[1]


def test_scan_areas_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    areas = [ScanArea(0, 0, 20 + number, 48, "detected") for number in range(MOST_AREAS + 3)]
    views = [replace(view(), assessment=replace(view().assessment, scan_area=area)) for area in areas]
    summary, page = reported(tmp_path, views)
    assert summary["scan_areas_unlisted"] == {"areas": 3, "frames": 3}
    assert len(summary["scan_areas"]) == MOST_AREAS
    assert "3 others: 3 frames" in page
    assert "20x48 at 0,0, detected: 1 frame<" in page
