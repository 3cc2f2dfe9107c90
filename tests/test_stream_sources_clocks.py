"""Times that only grow, whatever arrives and whatever a device tells; and the pace of what has no clock of its own."""

from itertools import pairwise
from threading import Event

import pytest

from stream.sources.clocks import ArrivalClock, DeviceClock, Pace


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
    times_s = [clock.since_first(arrived_ns) for arrived_ns in (5, 5, 5, 40_000_005)]
    assert times_s[0] == 0
    assert all(earlier < later for earlier, later in pairwise(times_s))
    assert times_s[-1] == pytest.approx(0.04)


def test_a_pace_stops_waiting_when_the_source_is_closed() -> None:
    closed = Event()
    closed.set()
    assert not Pace(closed).wait(0.0)


def clocked(*told_and_arrived_s: tuple[float, float]) -> list[float]:
    """What DeviceClock makes of pictures by their own times and when they arrived, where one usually lasts 0.1 s."""
    clock = DeviceClock(0.1, ahead_s=1.0)
    return [clock.since_first(told_s, round(arrived_s * 1e9)) for told_s, arrived_s in told_and_arrived_s]


def test_a_pause_counts_although_the_card_s_clock_was_set_back() -> None:
    found = clocked((50.0, 7.0), (50.1, 7.1), (0.0, 8.6), (0.1, 8.7), (-9.0, 8.7))
    assert found == pytest.approx([0.0, 0.1, 1.6, 1.7, 1.8])  # the last as if it had lasted


def test_a_pause_that_the_arrivals_bear_out_is_no_jump() -> None:
    """The second picture had been waiting in the card's buffer."""
    found = clocked((50.0, 7.0), (50.1, 12.0), (55.0, 12.01))
    assert found == pytest.approx([0.0, 0.1, 5.0])


def test_times_that_run_backwards_a_little_still_grow_and_gain_nothing() -> None:
    found = clocked((50.0, 7.0), (50.2, 7.2), (50.1, 7.3), (50.2, 7.4), (50.5, 7.5))
    assert found == pytest.approx([0.0, 0.2, 0.2, 0.2, 0.5], abs=1e-5)
    assert all(before < after for before, after in pairwise(found))


def test_a_clock_that_runs_a_little_fast_never_hides_a_pause() -> None:
    """Of ten hours at 100 ppm too fast, by which it is 3.6 s ahead in the end."""
    found = clocked(*((n * 1.0001, float(n)) for n in range(36_000)), (36_006.6, 36_003.0))
    assert found[-1] - found[-2] == pytest.approx(4.0, abs=0.01)
