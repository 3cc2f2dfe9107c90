"""Recordings that begin and end while a live run goes on."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import EngineOutput
from stream.config import StreamConfig
from stream.errors import UsageError
from stream.pipeline import Pipeline
from stream.session import Session
from stream.sinks import recording
from stream.status import Recording, Status
from stream.types import View
from tests.stream_runs import PATIENCE_S, Clip, Receiver, Scripted, Seen, assert_soon

ENDLESS = 1_000_000


class Kept(Receiver):
    """A recording in memory, and the status that it ended with."""

    status: Status

    def __init__(self) -> None:
        super().__init__(on_disk=True)

    def close(self, status: Status) -> None:
        self.status = status

    def until_longer_by(self, frames: int) -> None:
        wanted = len(self.views) + frames
        self.until(lambda _: len(self.views) >= wanted)


class Held(Scripted):
    """Holds its call number ``at`` until ``goes_on``."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at, self.holds, self.goes_on = at, threading.Event(), threading.Event()

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        if self.calls == self._at:
            self.holds.set()
            assert_soon(self.goes_on)
        return super().run(images)


def assert_counted_exactly(kept: Kept) -> None:
    status = kept.status
    assert status.counts.in_flight == 0
    drawn = status.counts.captured - sum(status.counts.dropped.values()) - status.not_drawn
    assert len(kept.views) == drawn - status.not_recorded


def test_each_recording_counts_its_own_frames_and_all_of_them() -> None:
    recordings = [Kept() for _ in range(5)]
    with Pipeline(Clip(ENDLESS, live=True, damaged=range(0, ENDLESS, 7)), Scripted(), StreamConfig()) as pipeline:
        for each in recordings:
            pipeline.record([each])
            each.until_longer_by(20)
            pipeline.record([])
    for each in recordings:
        assert_counted_exactly(each)
    indices = [view.frame.index for each in recordings for view in each.views]
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("ends", [False, True])
def test_a_frame_on_its_way_belongs_to_what_was_recorded_as_it_came(ends: bool) -> None:
    first, second, engine = Kept(), Kept(), Held(at=20)
    with (
        Pipeline(Clip(ENDLESS, live=True), engine, StreamConfig(), [first]) as pipeline,
        ThreadPoolExecutor(1) as pool,
    ):
        assert_soon(engine.holds)
        recorded = pool.submit(pipeline.record, [] if ends else [second])
        wait([recorded], 0.1)
        engine.goes_on.set()
        recorded.result(PATIENCE_S)
        if not ends:
            second.until_longer_by(1)
    for each in (first,) if ends else (first, second):
        assert_counted_exactly(each)


def test_what_is_seen_goes_on_while_a_recording_begins_and_ends() -> None:
    seen, kept = Seen(), Kept()
    with Pipeline(Clip(ENDLESS, live=True), Scripted(), StreamConfig(), (), seen) as pipeline:
        seen.until(lambda said: said.raw.size > 0)
        pipeline.record([kept])
        kept.until_longer_by(20)
        pipeline.record([])
        last = kept.views[-1].frame.index
        seen.until(lambda said: said.frame_index > last)
    assert [view.repeated for view in seen.views if view.repeated] == [True]  # "stopped"
    shown = [view.frame.index for view in seen.views]
    assert shown[0] < kept.views[0].frame.index


def test_a_recording_that_began_later_is_whole(tmp_path: Path) -> None:
    seen = Seen()
    with Pipeline(Clip(ENDLESS, live=True), Scripted(), StreamConfig(), (), seen) as pipeline:
        seen.until(lambda said: said.frame_index > 50)
        kept = Kept()
        pipeline.record([*recording(tmp_path), kept])
        kept.until_longer_by(20)
        assert pipeline.record([]) is None
    lines = [json.loads(text) for text in (tmp_path / "frames.jsonl").read_text().splitlines()]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [line["frame"] for line in lines] == [view.frame.index for view in kept.views]
    assert summary["frames"]["written"] == len(lines)
    assert summary["first_pts_s"] == lines[0]["pts_s"] > 0
    assert (summary["error"], summary["recording_error"]) == (None, None)
    assert (tmp_path / "annotated.mp4").stat().st_size > 1000


class Refusing(Kept):
    """A disk that refuses while it is opened, written to or closed."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when, self.tried = when, threading.Event()

    def _step(self, name: str) -> None:
        if name == self._when:
            self.tried.set()
            raise UsageError("the disk is full")

    def open(self, session: Session) -> None:
        self._step("open")

    def write(self, view: View) -> None:
        super().write(view)
        self._step("write")

    def close(self, status: Status) -> None:
        self._step("close")


@pytest.mark.parametrize("when", ["open", "write", "close"])
def test_a_recording_that_failed_says_so_until_it_is_ended_and_the_next_one_is_another(when: str) -> None:
    refusing, kept = Refusing(when), Kept()
    with Pipeline(Clip(ENDLESS, live=True), Scripted(), StreamConfig()) as pipeline:
        pipeline.record([refusing])
        if when == "close":
            refusing.until_longer_by(1)
        else:
            assert_soon(refusing.tried)
        assert pipeline.record([]) == "the disk is full"
        status = pipeline.status()
        assert (status.recording, status.recording_error) == (Recording.OFF, None)
        pipeline.record([kept])
        kept.until_longer_by(1)
        assert pipeline.status().recording is Recording.ON


def test_an_engine_that_hangs_does_not_keep_a_recording_from_its_end() -> None:
    kept, engine = Kept(), Held(at=5)
    with Pipeline(Clip(ENDLESS, live=True), engine, StreamConfig(), [kept]) as pipeline:
        assert_soon(engine.holds)
        pipeline.record([])
        assert kept.status.error is None
        engine.goes_on.set()


def test_once_a_run_is_stopped_nothing_is_said_to_be_recorded() -> None:
    kept = Kept()
    with Pipeline(Clip(ENDLESS, live=True), Scripted(), StreamConfig(), [kept]) as pipeline:
        kept.until_longer_by(1)
        assert pipeline.status().recording is Recording.ON
    assert pipeline.status().recording is Recording.OFF


def test_a_run_that_was_stopped_is_not_recorded() -> None:
    kept = Kept()
    with Pipeline(Clip(ENDLESS, live=True), Scripted(), StreamConfig()) as pipeline:
        pipeline.stop()
        assert pipeline.record([kept]) is None
    assert kept.views == []
