import json
import time
from dataclasses import replace

import pytest

from engines.parity import ParityReport
from stream.config import StreamConfig
from stream.episodes import Episode
from stream.errors import SourceError
from stream.overlay import CLASS_COLOURS
from stream.pipeline import Pipeline
from stream.timing import Counts, Summary
from stream.types import State
from stream.web.control import Now
from stream.web.readout import css, episode, milliseconds, readout, run, verdict
from stream.web.viewer import Audience
from tests.stream_runs import PATIENCE_S, Clip, Scripted
from tests.stream_views import ENGINE, ending, view

NOBODY = Audience(viewers=0, skipped=0, painted_ms=None)


def test_no_lesion_is_said_in_grey_and_never_as_normal() -> None:
    said = verdict(view(finding="normal").assessment, (64, 48))
    assert said["headline"] == "no lesion flagged"
    red, green, blue = (int(said["headline_colour"][at : at + 2], 16) for at in (1, 3, 5))
    assert max(red, green, blue) - min(red, green, blue) < 24
    assert "normal" not in run(ending(), not_shown=0)["classes"]


@pytest.mark.parametrize("state", [State.NOT_ANALYSED, State.NO_SIGNAL, State.FROZEN])
def test_what_cannot_be_judged_is_said_with_its_reason(state: State) -> None:
    said = verdict(view(state=state).assessment, (64, 48))
    assert said["headline"] == state.value.replace("_", " ")
    assert said["reason"] == "no picture"


def test_each_class_is_told_with_its_probability_in_order_and_in_words_or_with_none_if_it_was_not_judged() -> None:
    judged, refused = view(malignant=0.896), view(state=State.NO_SIGNAL)
    said = verdict(judged.assessment, (64, 48))
    assert (said["smoothed"], said["surely"]) == ([0.004, 0.896, 0.1], ["<1%", "90%", "10%"])
    said = verdict(refused.assessment, (64, 48))
    assert (said["smoothed"], said["surely"]) == ([], [])


def test_where_the_scan_lies_is_told_with_the_size_of_the_picture() -> None:
    assessment = view(size_px=(48, 64)).assessment
    found, lost = (
        json.loads(json.dumps(verdict(each, (80, 60)))) for each in (assessment, replace(assessment, scan_area=None))
    )
    assert (found["scan_area"], found["size_px"]) == ([0, 0, 64, 48], [80, 60])
    assert lost["scan_area"] is None


@pytest.mark.parametrize(
    ("now", "phase"),
    [
        (Now("phantom:", "auto"), "starting"),
        (Now("phantom:", "auto", stopped=True), "stopped"),
        (Now("none.mp4", "auto", stopped=True, error="none.mp4 is not there"), "failed"),
    ],
)
def test_without_a_run_the_page_still_knows_why(now: Now, phase: str) -> None:
    told = readout(now, NOBODY, timeline_s=60, flagged=())
    assert (told["phase"], told["error"]) == (phase, now.error)


def test_every_lost_frame_has_a_row_with_its_reason() -> None:
    counts = Counts(10, 4, {"scan area leaves the picture": 1}, {"overwritten": 3}, {"engine failed": 2})
    status = replace(ending(counts=counts), not_drawn=6, not_recorded=7, reopened=8)
    rows = run(status, not_shown=5)["counts"]
    assert {(row["label"], row["reason"]): row["count"] for row in rows} == {
        ("captured", ""): 10,
        ("analysed", ""): 4,
        ("not analysed", "scan area leaves the picture"): 1,
        ("dropped", "overwritten"): 3,
        ("failed", "engine failed"): 2,
        ("looked at, not drawn", ""): 6,
        ("drawn, not recorded", ""): 7,
        ("drawn, skipped by a screen", ""): 5,
        ("times the source was lost and found again", ""): 8,
    }
    assert len(run(ending(counts=counts), not_shown=0)["counts"]) == 5  # what did not happen has no row


def test_a_run_that_broke_off_and_was_then_stopped_is_still_said_to_have_failed() -> None:
    with Pipeline(Clip(1, error=SourceError("the cable is out")), Scripted(), StreamConfig()) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    told = readout(Now("clip.mp4", "auto", pipeline=pipeline, stopped=True), NOBODY, timeline_s=60, flagged=())
    assert (told["phase"], told["error"]) == ("failed", "the cable is out")


def test_what_was_flagged_is_told_with_how_long_it_lasted_and_how_long_ago() -> None:
    before_ns = time.perf_counter_ns()
    seen = view(3, finding="benign")
    flagged = Episode("benign", 1.0, 3.456, before_ns - 90_000_000_000, 3, 0.70049, seen.frame, seen.assessment)
    told = episode(8, flagged)
    assert 90 <= told.pop("age_s") <= 90.1 + (time.perf_counter_ns() - before_ns) / 1e9
    assert told == {
        "number": 8,
        "finding": "benign",
        "colour": css(CLASS_COLOURS["benign"]),
        "probability": 0.7,
        "surely": "70%",
        "frame": 3,
        "lasted_s": 2.46,
    }


def test_percentiles_are_told_in_milliseconds() -> None:
    told = milliseconds(Summary(count=9, p50_ms=1.01, p95_ms=2.0, p99_ms=3.0, max_ms=4.0))
    assert told == {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}


def test_the_engine_is_told_with_its_proof() -> None:
    report = ParityReport(16, 0.0009, 0, 0.9999)
    info = replace(ENGINE, parity=report, replaced=("cuda_graph failed: the GPU is lost",))
    told = run(replace(ending(), engine=info), not_shown=0)["engine"]
    assert told["parity"] == {
        "pictures": 16, "max_abs_dp": 0.0009, "flips": 0, "map_correlation": 0.9999
    }  # fmt: skip
    assert told["replaced"] == ["cuda_graph failed: the GPU is lost"]
    assert run(ending(), not_shown=0)["engine"]["parity"] is None


def test_why_nothing_comes_is_told() -> None:
    assert run(replace(ending(), trouble="the sender is silent"), not_shown=0)["trouble"] == "the sender is silent"


def test_it_is_plain_json() -> None:
    json.dumps(run(ending(error="the cable is out"), not_shown=0), allow_nan=False)
