"""What holds for every source, and the clock that paces them."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest

from stream.sources import open_source
from stream.sources.base import Pace, Source
from tests.clips import write_clip

Open = Callable[..., Source]


class Waits(Event):
    """An Event that does not wait, but moves a clock by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1_000_000_000

    def wait(self, timeout: float | None = None) -> bool:
        self.now_ns += round((timeout or 0) * 1e9)
        return self.is_set()


@pytest.fixture(params=["file", "images", "lavfi", "phantom"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "file":
        uri = str(write_clip(tmp_path / "clip.mp4", frames=6))
    elif request.param == "images":
        for number in range(6):
            cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 60), 30 * number, np.uint8))
        uri = f"{tmp_path}?fps=50"
    elif request.param == "lavfi":
        uri = "lavfi:testsrc2=size=60x40:rate=50:duration=0.12"
    else:
        uri = "phantom:?size=160x160&fps=50&frames=6"
    return lambda **how: open_source(uri, **how)


@pytest.mark.parametrize("live", [True, False])
def test_frames_are_counted_and_time_only_grows(opener: Open, live: bool) -> None:
    with opener(live=live) as source:
        frames = list(source.frames())
    assert source.live == live
    assert [frame.index for frame in frames] == list(range(6))
    assert frames[0].pts_s == 0
    assert np.all(np.diff([frame.pts_s for frame in frames]) > 0)
    assert np.all(np.diff([frame.captured_ns for frame in frames]) >= 0)
    assert {frame.source for frame in frames} == {source.name}
    assert source.damaged == 0


def test_two_replays_are_equal(opener: Open) -> None:
    first, second = (list(opener(live=False).frames()) for _ in range(2))
    assert [frame.pts_s for frame in first] == [frame.pts_s for frame in second]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, second, strict=True))


def test_closing_ends_the_frames(opener: Open) -> None:
    with opener(live=False) as source:
        frames = source.frames()
        next(frames)
        source.close()
        assert list(frames) == []


def test_a_closed_source_gives_no_frames(opener: Open) -> None:
    source = opener(live=False)
    source.close()
    source.close()
    assert list(source.frames()) == []


def test_live_frames_are_not_handed_out_before_they_are_due(opener: Open) -> None:
    with opener(live=True) as source:
        frames = list(islice(source.frames(), 4))
    passed_s = (frames[-1].captured_ns - frames[0].captured_ns) / 1e9
    assert passed_s >= frames[-1].pts_s - frames[0].pts_s - 1e-3


def test_a_pace_waits_until_a_frame_is_due() -> None:
    closed = Waits()
    pace = Pace(closed, lambda: closed.now_ns)
    for pts_s in (0.0, 0.1, 0.5):
        assert pace.wait(pts_s)
        assert closed.now_ns == pytest.approx(1e9 + pts_s * 1e9)


def test_a_pace_that_fell_far_behind_does_not_rush_to_catch_up() -> None:
    closed = Waits()
    pace = Pace(closed, lambda: closed.now_ns)
    pace.wait(0.0)
    closed.now_ns += 3_000_000_000
    pace.wait(0.1)
    late_ns = closed.now_ns
    pace.wait(0.2)
    assert closed.now_ns - late_ns == pytest.approx(1e8)


def test_a_pace_stops_waiting_when_the_source_is_closed() -> None:
    closed = Event()
    closed.set()
    assert not Pace(closed).wait(0.0)
