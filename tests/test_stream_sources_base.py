"""The clock that paces the sources which have none of their own."""

from itertools import pairwise
from threading import Event

import pytest

from stream.sources.base import ArrivalClock, Pace


class Waits(Event):
    """An Event that does not wait, but moves a clock by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1_000_000_000

    def wait(self, timeout: float | None = None) -> bool:
        self.now_ns += round((timeout or 0) * 1e9)
        return self.is_set()


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


def test_a_pace_that_begins_late_waits_no_longer_than_one_that_begins_at_the_start() -> None:
    closed = Waits()
    pace = Pace(closed, lambda: closed.now_ns)
    begun_ns = closed.now_ns
    for pts_s in (7.0, 7.1):
        assert pace.wait(pts_s)
    assert closed.now_ns - begun_ns == pytest.approx(1e8)


def test_what_arrives_together_gets_times_that_grow() -> None:
    clock = ArrivalClock()
    times_s = [clock.pts_s(arrived_ns) for arrived_ns in (5, 5, 5, 40_000_005)]
    assert times_s[0] == 0
    assert all(earlier < later for earlier, later in pairwise(times_s))
    assert times_s[-1] == pytest.approx(0.04)


def test_a_pace_stops_waiting_when_the_source_is_closed() -> None:
    closed = Event()
    closed.set()
    assert not Pace(closed).wait(0.0)
