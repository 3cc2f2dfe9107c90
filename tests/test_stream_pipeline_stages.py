"""That each stage of the road is passed, and what it is told of the source."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import EngineOutput
from stream.config import StreamConfig
from stream.errors import UsageError
from stream.pipeline import Pipeline
from stream.signal import FROZEN, NO_PICTURE
from stream.types import Frame, State, View
from tests.screens import textured
from tests.stream_runs import Clip, Receiver, Scripted, Seen, assert_soon, ran

SOON_S = 20.0
"""Only a broken pipeline waits this long."""


class Pictures(Clip):
    """These pictures, one a second."""

    def __init__(self, *pictures: NDArray[np.uint8], still: bool = False) -> None:
        super().__init__(len(pictures), fps=1)
        self.still = still
        self._pictures = pictures

    def frames(self) -> Iterator[Frame]:
        for index, rgb in enumerate(self._pictures):
            yield Frame(index, 1, float(index), rgb, self.name)


def screen(left_px: int) -> NDArray[np.uint8]:
    """A scan of 80 px on black."""
    rgb = np.zeros((100, 200, 3), np.uint8)
    rgb[10:90, left_px : left_px + 80] = textured(80, 80)
    return rgb


def test_what_the_signal_gate_refuses_is_not_judged() -> None:
    engine = Scripted()
    status, views = ran(Pictures(*[screen(10)] * 4), engine)
    assert views[-1].assessment.state is State.FROZEN
    assert status.counts.not_analysed[FROZEN.reason] == 4 - engine.calls


def test_a_screen_that_goes_dark_is_said_to_be_empty_and_not_to_show_a_menu() -> None:
    dark = np.zeros_like(screen(10))
    _, views = ran(Pictures(dark, screen(10), *[dark] * 3))
    said = [view.assessment.reason for view in views]
    assert [said[0], *said[2:]] == [NO_PICTURE.reason] * 4


def test_stills_are_each_called_by_themselves_wherever_their_scan_lies() -> None:
    _, views = ran(Pictures(*[screen(10)] * 4, screen(110), still=True))
    assert [view.assessment.state for view in views] == [State.CLEAR_FINDING] * 5
    areas = [view.assessment.scan_area for view in views]
    assert [area is not None and area.x_px > 100 for area in areas] == [False] * 4 + [True]


def test_the_age_counts_the_time_that_the_engine_took() -> None:
    class Timed(Scripted):
        answered_ns = 0

        def run(self, images: NDArray[np.uint8]) -> EngineOutput:
            output = super().run(images)
            self.answered_ns = time.perf_counter_ns()
            return output

    engine = Timed()
    _, (view,) = ran(Clip(1), engine)
    assert view.assessment.age_ms >= (engine.answered_ns - view.frame.captured_ns) / 1e6


def test_a_recording_that_was_refused_once_is_given_nothing_more() -> None:
    class Full(Receiver):
        def write(self, view: View) -> None:
            super().write(view)
            if len(self.views) == 2:
                raise UsageError("the disk is full")

    full, whole = Full(on_disk=True), Receiver(on_disk=True)
    ran(Clip(5), sinks=[full, whole])
    assert (len(full.views), len(whole.views)) == (2, 5)


def test_a_silence_is_explained_by_what_troubles_the_source() -> None:
    let_go, seen = threading.Event(), Seen()
    source = Clip(2, live=True, hold=lambda index: None if index == 0 else assert_soon(let_go))
    source.trouble = "the sender is gone"
    with Pipeline(source, Scripted(), StreamConfig(stall_after_s=0.01), on_view=seen):
        silent = seen.until(lambda said: said.state is State.NO_SIGNAL)
        let_go.set()
    assert silent.reason.endswith("s: the sender is gone")
    assert silent.age_ms > 10  # longer ago than the silence that is told at all


def test_a_device_that_hangs_does_not_keep_a_recording_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.pipeline.LET_GO_S", 0.01)
    let_go, recording = threading.Event(), Receiver(on_disk=True)
    source = Clip(2, live=True, hold=lambda index: None if index == 0 else assert_soon(let_go))
    pipeline = Pipeline(source, Scripted(), StreamConfig(), [recording])
    pipeline.start()
    recording.until(lambda said: said.frame_index == 0)
    threading.Thread(target=pipeline.stop, daemon=True).start()
    ended = pipeline.wait(SOON_S)
    let_go.set()
    assert ended
