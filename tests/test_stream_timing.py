"""Percentiles against numpy, rates with an injected clock, and frame counts that add up."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.timing import WINDOW_S, Counters, Percentiles, Rate, StageClock

MS = 1_000_000


class FakeClock:
    """Monotonic nanoseconds that pass only when told."""

    def __init__(self) -> None:
        self.now_ns = 5 * MS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@given(samples=st.lists(st.integers(0, 10**12), min_size=1, max_size=200), window_s=st.integers(0, 99))
def test_percentiles_are_numpys_over_the_last_seconds(samples: list[int], window_s: int) -> None:
    clock = FakeClock()
    percentiles = Percentiles(window_s, clock)
    for sample in samples:
        clock.advance(1)
        percentiles.add(sample)
    summary = percentiles.summary()
    assert summary is not None
    kept = np.array(samples[-window_s - 1 :]) / MS
    assert summary.count == len(kept)
    assert summary.p50_ms == pytest.approx(np.percentile(kept, 50))
    assert summary.p95_ms == pytest.approx(np.percentile(kept, 95))
    assert summary.p99_ms == pytest.approx(np.percentile(kept, 99))
    assert summary.max_ms == pytest.approx(kept.max())


def test_no_sample_has_no_percentiles() -> None:
    assert Percentiles().summary() is None


def test_stages_are_measured_in_the_order_in_which_they_came() -> None:
    clock = FakeClock()
    stages = StageClock(clock)
    times: dict[str, int] = {}
    for seconds in (0.004, 0.002):
        with stages.measure("decode", times):
            clock.advance(seconds)
        with stages.measure("analysis"):
            clock.advance(0.010)
    summaries = stages.summaries()
    assert list(summaries) == ["decode", "analysis"]
    assert summaries["decode"].p50_ms == pytest.approx(3)
    assert summaries["analysis"].max_ms == pytest.approx(10)
    assert times == {"decode": 2 * MS}


def test_a_stage_looks_back_as_far_as_all_percentiles() -> None:
    clock = FakeClock()
    stages = StageClock(clock)
    stages.add("decode", 9 * MS)
    clock.advance(WINDOW_S + 1)
    stages.add("decode", 2 * MS)
    assert stages.summaries()["decode"].max_ms == 2


def test_a_stage_that_breaks_is_still_measured() -> None:
    clock = FakeClock()
    stages = StageClock(clock)

    def work() -> None:
        with stages.measure("engine"):
            clock.advance(0.007)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert stages.summaries()["engine"].max_ms == pytest.approx(7)


@given(fps=st.floats(0.8, 200), seconds=st.floats(2, 20))
def test_a_steady_rate_is_read_at_any_frame_rate(fps: float, seconds: float) -> None:
    clock = FakeClock()
    rate = Rate(window_s=4, clock_ns=clock)
    for _ in range(int(fps * seconds) + 2):
        clock.advance(1 / fps)
        rate.tick()
    assert rate.per_second() == pytest.approx(fps, rel=1e-3)


def test_a_rate_falls_to_zero_when_nothing_comes() -> None:
    clock = FakeClock()
    rate = Rate(window_s=2, clock_ns=clock)
    for _ in range(60):
        rate.tick()
        clock.advance(1 / 30)
    before = rate.per_second()
    clock.advance(1)
    assert 0 < rate.per_second() < before
    clock.advance(1.1)
    assert rate.per_second() == 0


EVENTS: dict[str, Callable[[Counters], None]] = {
    "analysed": lambda counters: counters.analysed(),
    "gate": lambda counters: counters.not_analysed("no signal"),
    "slow": lambda counters: counters.dropped("overwritten"),
    "damage": lambda counters: counters.dropped("damaged", 3),
    "fault": lambda counters: counters.failed("engine"),
}
FRAMES = {"damage": 3}


@given(events=st.lists(st.sampled_from(sorted(EVENTS))), waiting=st.integers(0, 5))
def test_what_is_captured_is_accounted_for(events: list[str], waiting: int) -> None:
    counters = Counters()
    counters.captured(waiting)
    for event in events:
        counters.captured(FRAMES.get(event, 1))
        EVENTS[event](counters)
    counts = counters.snapshot()
    assert counts.in_flight == waiting
    assert counts.captured == waiting + sum(FRAMES.get(event, 1) for event in events)
    assert counts.analysed == events.count("analysed")
    assert counts.dropped.get("damaged", 0) == 3 * events.count("damage")


def test_a_reason_without_frames_is_not_shown() -> None:
    counters = Counters()
    counters.dropped("damaged", 0)
    assert counters.snapshot().dropped == {}
