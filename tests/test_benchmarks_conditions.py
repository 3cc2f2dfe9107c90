import pytest

from benchmarks.conditions import ProcessorTimes, clocks, foreign_cores
from engines import nvidia


def test_what_others_did_is_what_the_cores_did_less_our_part() -> None:
    assert foreign_cores(ProcessorTimes(10, 100, 5), ProcessorTimes(14, 107, 6)) == 1.5


def test_no_time_passed_gives_no_number() -> None:
    assert foreign_cores(ProcessorTimes(10, 100, 5), ProcessorTimes(10, 100, 5)) is None


def test_two_clocks_that_disagree_by_a_tick_give_no_negative_load() -> None:
    assert foreign_cores(ProcessorTimes(0, 0, 0), ProcessorTimes(1, 0.99, 1.0)) == 0


def test_own_work_is_counted_as_ours_and_as_busy() -> None:
    start = ProcessorTimes.now()
    while ProcessorTimes.now().own_s - start.own_s < 0.3:
        sum(range(10_000))
    end = ProcessorTimes.now()
    assert end.busy_s - start.busy_s > 0.25  # the kernel counts in ticks
    assert end.own_s - start.own_s >= 0.3


def test_a_clock_that_the_system_does_not_tell_is_none_not_a_guess() -> None:
    told = clocks()
    assert set(told) == {"mhz", "mhz_max", "governor", "gpu_mhz", "gpu_mhz_max"}
    assert all(value is None or value for value in told.values())


def test_a_gpu_s_clock_is_told_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "clocks_mhz", lambda: (210, 2100))
    told = clocks()
    assert (told["gpu_mhz"], told["gpu_mhz_max"]) == (210, 2100)
