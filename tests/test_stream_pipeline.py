import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineError
from stream.config import OverlayStyle, StreamConfig
from stream.errors import SourceError, UsageError
from stream.pipeline import CUT_SHORT, Pipeline
from stream.recorder import AHEAD
from stream.sinks import recording
from stream.sinks.journal import JournalSink
from stream.status import Phase, Recording
from stream.types import Frame, ScanArea, State, View
from tests.stream_runs import PATIENCE_S, Clip, Scripted, Seen, assert_soon, ran


def test_replay_shows_and_counts_every_frame_in_order() -> None:
    status, views = ran(Clip(30))
    assert [view.frame.index for view in views] == list(range(30))
    assert all(view.assessment.frame_index == view.frame.index for view in views)
    assert (status.phase, status.error, status.counts.captured, status.counts.analysed) == (Phase.ENDED, None, 30, 30)


@given(
    count=st.integers(0, 12),
    live=st.booleans(),
    faults=st.dictionaries(
        st.integers(0, 11), st.sampled_from([EngineError("gone"), RuntimeError("odd"), KeyError("a bug")])
    ),
    damaged=st.sets(st.integers(0, 11)),
    broken=st.booleans(),
)
def test_every_captured_frame_is_accounted_for(
    count: int, live: bool, faults: dict[int, BaseException], damaged: set[int], broken: bool
) -> None:
    error = SourceError("pulled out") if broken else None
    source = Clip(count, live=live, error=error, damaged=sorted(damaged))
    status, _ = ran(source, Scripted(faults))
    counts = status.counts
    lost = [sum(reasons.values()) for reasons in (counts.not_analysed, counts.dropped, counts.failed)]
    assert counts.captured == counts.analysed + sum(lost)
    if not any(isinstance(fault, KeyError) for fault in faults.values()):
        assert counts.captured == count
        assert counts.dropped.get("damaged", 0) == len([n for n in damaged if n < count])


def test_live_the_newest_frame_wins_and_the_others_are_counted() -> None:
    first_is_shown, all_came = threading.Event(), threading.Event()
    shown: list[int] = []

    def hold(index: int) -> None:
        if index == 1:
            assert first_is_shown.wait(PATIENCE_S)
        if index == 19:
            all_came.set()

    def on_view(view: View) -> None:
        if view.assessment.state is not State.NO_SIGNAL:
            shown.append(view.frame.index)
        first_is_shown.set()
        assert all_came.wait(PATIENCE_S)

    with Pipeline(Clip(20, live=True, hold=hold), Scripted(), StreamConfig(), (), on_view) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    status = pipeline.status()
    assert (shown[0], shown[-1]) == (0, 19)
    assert len(shown) <= 5  # the first, the last, and at most one per hop on the way
    assert len(shown) == 20 - status.counts.dropped.get("overwritten", 0) - status.not_drawn


def test_live_a_slow_disk_holds_nothing_up_and_what_it_misses_is_counted(tmp_path: Path) -> None:
    count = AHEAD + 10
    writing, all_shown = threading.Event(), threading.Event()
    shown = [threading.Event() for _ in range(count)]

    class SlowDisk(JournalSink):
        def write(self, view: View) -> None:
            writing.set()
            assert_soon(all_shown)
            super().write(view)

    def hold(index: int) -> None:
        if index > 0:
            assert_soon(shown[index - 1])
        if index == 1:
            assert_soon(writing)

    def on_view(view: View) -> None:
        shown[view.frame.index].set()
        if view.frame.index == count - 2:
            all_shown.set()

    journal = tmp_path / "frames.jsonl"
    source = Clip(count, live=True, hold=hold)
    with Pipeline(source, Scripted(), StreamConfig(), (SlowDisk(journal),), on_view) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    status, written = pipeline.status(), len(journal.read_text().splitlines())
    assert status.counts.analysed == count
    assert written + status.not_recorded == count
    assert 7 <= status.not_recorded <= 9  # one was being written, AHEAD waited; of the last two either


def test_a_failing_engine_is_a_visible_state_and_the_run_goes_on() -> None:
    status, views = ran(Clip(20), Scripted({5: EngineError("the device went away")}))
    assert views[5].assessment.state is State.NOT_ANALYSED
    assert views[5].assessment.reason == "scripted failed: the device went away"
    assert status.counts.failed == {"scripted failed: the device went away": 1}
    assert views[19].assessment.state in (State.CLEAR_FINDING, State.INDETERMINATE)


def test_a_fault_of_ours_ends_the_run_visibly_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    status, _ = ran(Clip(20), Scripted({5: KeyError("a bug")}), sinks=recording(tmp_path))
    assert status.phase is Phase.FAILED
    assert status.error == "internal error, KeyError: 'a bug'"
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 5


def test_a_fault_of_ours_in_a_live_run_is_logged_in_full_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    clip = Clip(2, live=True, hold=lambda index: seen.until(lambda said: True) if index else None)
    with Pipeline(clip, Scripted({1: KeyError("a bug")}), StreamConfig(), on_view=seen) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    assert seen.views[-1].assessment.reason == "internal error, KeyError: 'a bug'"
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize("broken", ["analysis", "drawing"])
def test_a_stage_that_breaks_lets_go_of_a_live_source(broken: str) -> None:
    def on_view(view: View) -> None:
        if broken == "drawing":
            raise KeyError("a bug")

    engine = Scripted({0: KeyError("a bug")} if broken == "analysis" else {})
    source = Clip(10**9, live=True)
    with Pipeline(source, engine, StreamConfig(), (), on_view) as pipeline:
        assert pipeline.wait(PATIENCE_S)
        assert source._closed.wait(PATIENCE_S)  # not by us: that comes with the end of the block
        assert pipeline.status().phase is Phase.FAILED


def test_a_source_that_breaks_off_fails_after_its_last_frame(tmp_path: Path) -> None:
    status, views = ran(Clip(8, error=SourceError("the cable was pulled")), sinks=recording(tmp_path))
    assert (status.phase, status.error) == (Phase.FAILED, "the cable was pulled")
    assert len(views) == 8
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 8
    assert json.loads((tmp_path / "summary.json").read_text())["error"] == "the cable was pulled"


def test_a_live_source_that_breaks_off_leaves_no_finding_on_the_screen() -> None:
    _, views = ran(Clip(8, live=True, error=SourceError("the cable was pulled")))
    last = views[-1].assessment
    assert (last.state, last.reason, last.finding) == (State.NO_SIGNAL, "the cable was pulled", None)


def test_a_live_source_that_breaks_off_is_said_on_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    ran(Clip(8, live=True, error=SourceError("the cable was pulled")))
    assert "the cable was pulled" in caplog.text


def test_pixels_outside_the_scan_area_reach_neither_screen_nor_journal() -> None:
    status, views = ran(Clip(3), config=StreamConfig(scan_area="10,5,40,40"))
    assert status.counts.analysed == 3
    inside = np.zeros((60, 80), bool)
    inside[5:45, 10:50] = True
    for view in views:
        assert view.frame.rgb[~inside].max() == 0
        assert view.picture[:60, :80][~inside].max() == 0
        assert view.frame.rgb[inside].max() > 200


def test_nothing_is_shown_of_a_picture_whose_scan_area_is_not_known() -> None:
    _, views = ran(Clip(2), config=StreamConfig(scan_area="10,5,40,40@640x480"))
    assert [view.assessment.state for view in views] == [State.NOT_ANALYSED] * 2
    for view in views:
        assert max(view.frame.rgb.max(), view.picture[:60, :80].max()) == 0


def test_the_source_s_own_scan_area_holds_unless_the_user_gives_one() -> None:
    area = ScanArea(8, 8, 40, 40, "header")
    _, own = ran(Clip(1, area=area))
    _, given_by_user = ran(Clip(1, area=area), config=StreamConfig(scan_area="0,0,50,50"))
    assert own[0].assessment.scan_area == area
    assert given_by_user[0].assessment.scan_area == ScanArea(0, 0, 50, 50, "user")


def test_a_scan_area_that_leaves_the_picture_is_a_visible_reason_and_nothing_in_it_is_shown() -> None:
    status, views = ran(Clip(3), config=StreamConfig(scan_area="50,0,60,60"))
    assert all(view.assessment.state is State.NOT_ANALYSED for view in views)
    assert max(view.picture[:60, :80].max() for view in views) == 0
    assert status.counts.not_analysed == {"scan area 50,0,60,60 leaves the 80x60 picture": 3}


@pytest.mark.parametrize("frames", [1, 7, 8, 21])
def test_frames_that_are_judged_together_are_judged_as_if_alone(frames: int) -> None:
    together = Scripted(batch=8)
    (status, views), (_, alone) = ran(Clip(frames), together), ran(Clip(frames))
    assert status.counts.analysed == frames
    assert together.calls == -(-frames // 8)
    for view, one in zip(views, alone, strict=True):
        assert view.frame.index == one.frame.index
        np.testing.assert_array_equal(view.assessment.smoothed, one.assessment.smoothed)
        np.testing.assert_array_equal(view.picture[:60, :80], one.picture[:60, :80])


def test_live_no_frame_waits_for_another() -> None:
    _, views = ran(Clip(1, live=True), Scripted(batch=8))
    assert views[0].assessment.raw.size == 3


def test_a_source_that_breaks_off_in_the_middle_of_a_batch_loses_none_of_it() -> None:
    status, views = ran(Clip(11, error=SourceError("truncated")), Scripted(batch=8))
    assert [view.frame.index for view in views] == list(range(11))
    assert status.error == "truncated"
    assert status.counts.analysed == 11


def test_a_fault_of_ours_takes_the_whole_batch_and_says_so() -> None:
    status, _ = ran(Clip(5), Scripted({0: KeyError("a bug")}, batch=3))
    assert (status.counts.failed, status.counts.in_flight) == ({"internal error": 3}, 0)


def test_nothing_is_written_unless_it_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran(Clip(5))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_recording_and_not_the_view(tmp_path: Path) -> None:
    sinks = (JournalSink(Path("/dev/full")), JournalSink(tmp_path / "frames.jsonl"))
    status, views = ran(Clip(10), sinks=sinks)
    assert status.recording is Recording.FAILED
    assert "No space left on device" in (status.recording_error or "")
    assert (status.phase, len(views)) == (Phase.ENDED, 10)
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 10


def test_a_live_recording_that_breaks_is_said_on_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    ran(Clip(10, live=True), sinks=[JournalSink(Path("/dev/full"))])
    assert "no longer recorded" in caplog.text


def test_the_timeline_shows_an_outage() -> None:
    shown = threading.Event()

    def hold(index: int) -> None:
        if index == 2:
            assert shown.wait(PATIENCE_S)

    def on_view(view: View) -> None:
        if view.repeated:
            shown.set()

    config = StreamConfig(stall_after_s=0.1)
    with Pipeline(Clip(3, live=True, hold=hold, fps=100), Scripted(), config, (), on_view) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    assert any(moment.state is State.NO_SIGNAL and not moment.smoothed for moment in pipeline.status().timeline)


def test_the_pauses_of_a_slow_source_are_no_outages_in_its_report(tmp_path: Path) -> None:
    ran(Clip(8, fps=0.5), config=StreamConfig(warm_up_s=10), sinks=recording(tmp_path))
    assert (tmp_path / "report.html").read_text().count("<polyline") == len(Scripted.spec.class_names)


def test_stopping_keeps_what_was_drawn_and_closes_the_source(tmp_path: Path) -> None:
    source, seen = Clip(10**9), Seen()
    pipeline = Pipeline(source, Scripted(), StreamConfig(), recording(tmp_path), seen)
    pipeline.start()
    seen.until(lambda a: a.frame_index >= 10)
    pipeline.stop()
    pipeline.stop()
    assert source.closed
    assert pipeline.wait(0)
    lines = (tmp_path / "frames.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [view.frame.index for view in seen.views]
    assert pipeline.status().counts.in_flight == 0


@pytest.mark.parametrize(("live", "error"), [(False, CUT_SHORT), (True, None)])
def test_a_replay_that_is_stopped_while_it_waits_for_a_frame_is_cut_short(live: bool, error: str | None) -> None:
    class Slow(Clip):
        def frames(self) -> Iterator[Frame]:
            yield from super().frames()
            assert_soon(self._closed)

    with Pipeline(Slow(3, live=live), Scripted(), StreamConfig(), on_view=(seen := Seen())) as pipeline:
        seen.until(lambda said: said.frame_index == 2)
    assert pipeline.status().error == error


def test_a_pipeline_that_was_never_started_can_be_stopped() -> None:
    source = Clip(3)
    pipeline = Pipeline(source, Scripted(), StreamConfig())
    pipeline.stop()
    assert source.closed
    assert pipeline.wait(0)


def test_the_style_can_be_swapped_while_it_runs() -> None:
    pipeline = Pipeline(Clip(10**9), Scripted(), StreamConfig(), (), seen := Seen())
    with pipeline:
        seen.until(lambda a: a.attention is not None)
        pipeline.style = OverlayStyle(opacity=0)
        at = len(seen.views) + 1
        later = seen.until(lambda a: a.frame_index > at + 5 and a.attention is not None)
    view = next(view for view in seen.views if view.assessment is later)
    assert next(view.heat_map for view in seen.views if view.assessment.attention is not None) is not None
    assert view.heat_map is None
    np.testing.assert_array_equal(view.picture[:60, :80], view.frame.rgb)


@pytest.mark.parametrize("fps", [0.01, 0.5])
def test_frames_of_a_slow_source_get_a_call(fps: float) -> None:
    _, views = ran(Clip(3, fps=fps))
    assert [view.assessment.state for view in views] == [State.WARMING_UP] + [State.CLEAR_FINDING] * 2


def test_between_two_frames_of_a_slow_source_there_is_no_outage() -> None:
    config = Pipeline(Clip(1, fps=0.5), Scripted(), StreamConfig()).session.config
    assert (config.stall_after_s, config.gap_s) == (6, 6)


def test_a_config_that_does_not_fit_the_weights_is_refused_at_the_start() -> None:
    with pytest.raises(UsageError, match="no operating point 'bold'"):
        Pipeline(Clip(1), Scripted(), StreamConfig(operating_point="bold"))


def test_the_status_tells_what_troubles_a_source_that_has_sent_nothing_yet() -> None:
    asked = threading.Event()
    source = Clip(1, live=True, hold=lambda _: assert_soon(asked))
    source.trouble = "the sender is silent"
    with Pipeline(source, Scripted(), StreamConfig()) as pipeline:
        status = pipeline.status()
        asked.set()
    assert (status.phase, status.trouble) == (Phase.STARTING, "the sender is silent")


def test_the_status_tells_stages_rate_and_timeline() -> None:
    status, _ = ran(Clip(50))
    assert {"source", "analysis", "engine", "smoothing", "drawing"} <= set(status.stages_ms)
    assert status.latency_ms is not None
    assert [moment.t_s for moment in status.timeline] == pytest.approx(np.arange(1, 11) * 0.2 - 0.04, abs=0.05)
    assert status.timeline[-1].t_s == 49 / 25
    assert status.session.spec.class_names == Scripted.spec.class_names
