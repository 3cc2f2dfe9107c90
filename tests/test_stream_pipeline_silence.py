"""When nothing is judged any more, nobody is left with the last finding: neither the screen nor a receiver."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import EngineOutput
from stream.config import StreamConfig
from stream.errors import UsageError
from stream.pipeline import Pipeline
from stream.recorder import AHEAD
from stream.session import Session
from stream.sources.clocks import Pace
from stream.status import Recording, Status
from stream.types import State, View
from tests.stream_runs import PATIENCE_S, Clip, Receiver, Scripted, Seen


class Held(Scripted):
    """From its second call on it takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        if self.calls:
            self.let_go.wait(PATIENCE_S)
        return super().run(images)


def test_a_receiver_is_told_that_the_source_fell_silent_and_that_the_run_ended() -> None:
    receiver, recording, silent = Receiver(on_disk=False), Receiver(on_disk=True), threading.Event()

    def hold(index: int) -> None:
        if index == 3:
            silent.wait(PATIENCE_S)

    source = Clip(4, live=True, hold=hold)
    with Pipeline(source, Scripted(), StreamConfig(), [receiver, recording]) as pipeline:
        told = receiver.until(lambda said: said.state is State.NO_SIGNAL)
        silent.set()
        assert pipeline.wait(PATIENCE_S)
    assert "no new frame" in told.reason
    assert (receiver.views[-1].repeated, receiver.views[-1].assessment.reason) == (True, "the source has ended")
    assert recording.views
    assert not any(view.repeated for view in recording.views)


def test_a_receiver_hears_everything_at_once_however_slow_the_disk_is() -> None:
    receiver, read = Receiver(on_disk=False), threading.Event()

    class Slow(Receiver):
        def write(self, view: View) -> None:
            read.wait(PATIENCE_S)

    paced, seen, count = threading.Semaphore(0), Seen(), AHEAD + 10

    def hold(index: int) -> None:
        assert paced.acquire(timeout=PATIENCE_S)

    source = Clip(count, live=True, hold=hold)
    with Pipeline(source, Scripted(), StreamConfig(), [Slow(on_disk=True), receiver], seen) as pipeline:
        for index in range(count):
            paced.release()
            seen.until(lambda said, index=index: said.frame_index == index)
        receiver.until(lambda said: said.reason == "the source has ended")
        read.set()
        assert pipeline.wait(PATIENCE_S)
    assert [view.frame.index for view in receiver.views] == [*range(count), count - 1]
    assert receiver.views[-1].repeated


def test_a_receiver_that_failed_is_told_as_that_and_not_as_a_failed_recording(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = threading.Event()

    class Unwilling(Receiver):
        def open(self, session: Session) -> None:
            raise UsageError("no receiver")

        def close(self, status: Status) -> None:
            closed.append("receiver")

    class Recorder(Receiver):
        def open(self, session: Session) -> None:
            assert failed.wait(PATIENCE_S)

        def close(self, status: Status) -> None:
            closed.append("recording")

    def hold(index: int) -> None:
        while index == 0 and pipeline.status().sending_error is None:
            pipeline.wait(0.01)
        failed.set()

    closed: list[str] = []
    sinks = [Unwilling(on_disk=False), Recorder(on_disk=True)]
    pipeline = Pipeline(Clip(4, live=True, hold=hold), Scripted(), StreamConfig(), sinks)
    with pipeline:
        assert pipeline.wait(PATIENCE_S)
    status = pipeline.status()
    assert (status.recording, status.recording_error, status.sending_error) == (Recording.OFF, None, "no receiver")
    assert "is no longer sent by Unwilling: no receiver" in caplog.text
    assert closed == ["recording", "receiver"]  # what is on disk is whole before anybody waits for a receiver


def test_a_slow_engine_is_not_taken_for_a_silent_source() -> None:
    seen, engine = Seen(), Held()
    pace = Pace(threading.Event())

    def due(index: int) -> None:
        pace.wait(index / 50)

    source = Clip(100_000, live=True, hold=due)
    with Pipeline(source, engine, StreamConfig(), on_view=seen):
        said = seen.until(lambda said: said.reason.startswith("judging a frame takes longer than 0.5 s"))
        assert not any(view.assessment.state is State.NO_SIGNAL for view in seen.views)
        engine.let_go.set()
    assert said.state is State.NOT_ANALYSED
