import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.replayed import CollectingSink, replayed
from benchmarks.stability import (
    SMOOTHING_S,
    Steadiness,
    app,
    beside_truth,
    calls_of,
    lesion_stretches,
    said_again,
    steadiness,
)
from engines.fake import FakeEngine
from rcdnet.golden import Golden
from rcdnet.notice import RESEARCH_NOTICE
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks import recording
from stream.sources import open_source
from stream.types import State
from tests.stream_views import SESSION, view

FPS = 25


def saying(*findings: str | None) -> CollectingSink:
    """A replay with one frame for each of these findings; None: undecided."""
    sink = CollectingSink()
    sink.open(SESSION)
    for index, finding in enumerate(findings):
        state = State.INDETERMINATE if finding is None else State.CLEAR_FINDING
        sink.write(view(index, state=state, finding=finding))
    return sink


def measured(replay: CollectingSink) -> Steadiness:
    return steadiness(0.4, replay.frames, replay.said)


def another_recording_from(start: int, replay: CollectingSink) -> CollectingSink:
    replay.frames[start:] = [replace(frame, source="other.dcm") for frame in replay.frames[start:]]
    return replay


@pytest.mark.parametrize("fps", [30, 0.5])
def test_said_again_as_in_the_run_it_is_what_the_run_said(fps: float) -> None:
    with open_source(f"phantom:?size=320x240&frames=60&fps={fps}", live=False) as source, FakeEngine() as engine:
        replay = replayed(source, engine, StreamConfig())
    again = said_again(replay, StreamConfig().smoothing_s)
    assert len(again) == 60
    assert any(each.state is not State.WARMING_UP for each in again)
    for first, second in zip(replay.said, again, strict=True):
        assert (first.state, first.finding, first.reason) == (second.state, second.finding, second.reason)
        np.testing.assert_array_equal(first.smoothed, second.smoothed)


def test_longer_smoothing_passes_over_a_blink() -> None:
    replay = saying(*80 * ["malignant"])
    replay.session = replace(SESSION, config=StreamConfig(warm_up_s=0))
    replay.said[:] = [replace(each, raw=np.array((0.02, 0.95, 0.03), np.float32)) for each in replay.said]
    replay.said[40] = replace(replay.said[40], raw=np.array((0.02, 0.03, 0.95), np.float32))
    quick, slow = ({each.finding for each in said_again(replay, smoothing_s)} for smoothing_s in (0.001, 0.4))
    assert (quick, slow) == ({"malignant", "normal"}, {"malignant"})


def test_undecided_frames_are_no_change_and_are_not_called() -> None:
    row = measured(saying("benign", None, "benign", "malignant", None, "malignant"))
    assert (row.analysed, row.called) == (6, pytest.approx(4 / 6))
    assert row.changes_per_min == pytest.approx(60 * FPS / 5)
    assert row.lesions is None


def test_every_change_of_the_headline_counts_and_those_too_short_to_read_are_told() -> None:
    replay = saying(*5 * ["benign"], None, *5 * ["normal"], None, *4 * ["benign"], *6 * [None])
    row = measured(replay)
    minutes = (len(replay.frames) - 1) / FPS / 60
    assert row.headlines_per_min * minutes == pytest.approx(5)
    assert row.flickers_per_min * minutes == pytest.approx(3)  # 0.04 s twice and 0.16 s, not the 0.2 s of "normal"


def test_another_recording_is_neither_a_change_of_the_headline_nor_cuts_one_short() -> None:
    row = measured(another_recording_from(3, saying("benign", "malignant", "malignant", "benign", "normal")))
    assert row.headlines_per_min == pytest.approx(2 * 60 * FPS / 4)
    assert row.flickers_per_min == 0


def test_another_recording_with_another_finding_is_no_change() -> None:
    assert measured(another_recording_from(2, saying("benign", "benign", "malignant"))).changes_per_min == 0


def test_lesions_are_called_late_linger_or_are_missed() -> None:
    lesions = 10 * [False] + 20 * [True] + 10 * [False] + 5 * [True] + 5 * [False]
    replay = saying(*15 * ["normal"], *20 * ["malignant"], *15 * ["normal"])
    row = beside_truth(measured(replay), replay.frames, replay.said, lesions)
    assert (row.lesions, row.missed) == (2, 1)
    assert (row.delay_s, row.lingering_s) == pytest.approx((5 / FPS, 5 / FPS))
    assert row.wrong == pytest.approx((5 + 5 + 5) / 50)
    assert row.true_changes_per_min == pytest.approx(4 * 60 * FPS / 49)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("nnnnnmmmmmnnnnn", (5, 9)),
        ("nnnnnnnmmmmmmnn", (7, 12)),
        ("nnnnnnnnnnmmnnn", None),  # called only when it was gone
        ("nnnnnmmmmmnnmmn", (5, 9)),  # a false alarm after it
        ("mmmmmmmmnnnnnnn", None),  # what is left over from the one before
        ("mmmmmmmummmnnnn", (8, 10)),
        ("nnnnnmmmnnnnnnn", (5, 7)),  # over before it was gone
    ],
)
def test_which_calls_answer_a_lesion(calls: str, expected: tuple[int, int] | None) -> None:
    names = {"n": "normal", "m": "malignant", "u": None}
    assert calls_of(saying(*(names[call] for call in calls)).said, 5, 10, 15) == expected


def test_a_lesion_in_the_first_frame_is_one() -> None:
    assert calls_of(saying("malignant", "malignant", "normal").said, 0, 2, 3) == (0, 1)


@given(st.lists(st.booleans(), max_size=30))
def test_stretches_hold_every_frame_with_a_lesion_once(lesions: list[bool]) -> None:
    stretches = lesion_stretches(lesions)
    inside = [at for start, end, _ in stretches for at in range(start, end)]
    assert inside == [at for at, lesion in enumerate(lesions) if lesion]
    assert all(end == len(lesions) or not lesions[end] for _, end, _ in stretches)
    starts = [start for start, _, _ in stretches]
    assert [follower for _, _, follower in stretches] == [*starts[1:], len(lesions)][: len(starts)]


def test_the_command_tells_every_smoothing_time_and_writes_it(tmp_path: Path) -> None:
    uri, json_file = "phantom:?size=320x240&frames=90", tmp_path / "stability.json"
    result = CliRunner().invoke(app, [uri, "--engine", "fake", "--json", str(json_file)])
    assert result.exit_code == 0, result.output
    told = json.loads(json_file.read_text())
    assert told["notice"] == RESEARCH_NOTICE
    assert RESEARCH_NOTICE in result.output
    assert told["engine"]["name"] == "fake"
    ((source, rows),) = (one.values() for one in told["stability"])
    assert source == "phantom (synthetic)"
    assert [row["smoothing_s"] for row in rows] == list(SMOOTHING_S)
    assert all(row["analysed"] == 90 and row["lesions"] is not None for row in rows)
    assert "true changes a minute" in result.output


def test_other_weights_are_judged_and_named(untrained: Path, tmp_path: Path) -> None:
    json_file = tmp_path / "stability.json"
    result = CliRunner().invoke(
        app, ["phantom:?size=320x240&frames=40", "--weights", str(untrained), "--json", str(json_file)]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(json_file.read_text())
    assert told["weights_sha256"] == Golden.load(untrained / "golden.npz").spec.weights_sha256
    assert f"--weights {untrained.name}" in told["command"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("none.mp4", 3),
        ("phantom:", 2),  # it never ends
        ("lavfi:testsrc2=size=320x240:rate=30:duration=0.2", 2),  # nothing in it is analysed
        ("still.png", 2),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(tmp_path: Path, source: str, code: int) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8))
    where = source if ":" in source else str(tmp_path / source)
    result = CliRunner().invoke(app, [where, "--engine", "fake"])
    assert result.exit_code == code, result.output
    assert "error: " in result.stderr


def test_no_folder_is_told(tmp_path: Path) -> None:
    folder, json_file = tmp_path / "SMITH JANE", tmp_path / "stability.json"
    folder.mkdir()
    source = open_source("phantom:?size=320x240&frames=15", live=False)
    assert source.scan_area is not None
    with FakeEngine() as engine, Pipeline(source, engine, StreamConfig(), recording(folder)) as pipeline:
        assert pipeline.wait()
    area = ",".join(map(str, source.scan_area.sides))
    arguments = ["--engine", "fake", "--scan-area", area, "--json", str(json_file)]
    result = CliRunner().invoke(app, [str(folder / "annotated.mp4"), *arguments])
    assert result.exit_code == 0, result.output
    assert "annotated.mp4" in result.output
    assert "SMITH" not in json_file.read_text() + result.output
