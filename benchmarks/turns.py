"""The ratio of two calls that take turns: a machine that is slower for a while is so for both sides.

Not so other work that takes cores away: PyTorch's threads spin while they wait for one that has no core, and 1.5 of two
cores busy with other work made of a ratio of 12 one of 37 to 370. So a report says if the machine was shared. They are
left to spin, as by default: asleep (OMP_WAIT_POLICY=PASSIVE) they took 2.3 times as long on an idle machine, which made
the ratio 29.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from engines.base import EngineInfo

LEAST_ROUNDS = 5
"""Each call is timed at least this often. That is enough for medians that differ by an order of magnitude."""


@dataclass(frozen=True)
class Ratio:
    """The ratio of two calls that were timed in turns. ``value`` is None if it could not be measured, and ``reason``
    says why. ``statistic`` says how it was computed, ``calls_ms`` has the times of both calls by name."""

    value: float | None
    reason: str = ""
    statistic: str = ""
    engine: str = ""
    precision: str = ""
    calls_ms: dict[str, dict[str, float]] | None = None


def interleave(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    least_rounds: int = LEAST_ROUNDS,
) -> dict[str, list[int]]:
    """Call all in turns (A B, B A, A B ...) for ``seconds``, and at least for ``least_rounds``. Returns the durations
    in nanoseconds by name, equally many of each.

    In each turn the call is made twice and only the second is timed: the first one pays for the caches and the waiting
    threads that another call left behind.
    """
    for call in calls.values():  # warm-up
        call()
        call()
    durations: dict[str, list[int]] = {name: [] for name in calls}
    names = list(calls)
    end_ns, rounds = clock_ns() + round(seconds * 1e9), 0
    while rounds < least_rounds or clock_ns() < end_ns:
        for name in names if rounds % 2 == 0 else reversed(names):
            calls[name]()
            start_ns = clock_ns()
            calls[name]()
            durations[name].append(clock_ns() - start_ns)
        rounds += 1
    return durations


def ratio_of_medians(durations: Mapping[str, list[int]], info: EngineInfo) -> Ratio:
    """The median of the first of two calls over that of the second; ``durations`` are in nanoseconds."""
    first, second = (median(ns) for ns in durations.values())
    return Ratio(first / second, "", "medians", info.name, info.precision, summaries(durations))


def summaries(durations: Mapping[str, list[int]]) -> dict[str, dict[str, float]]:
    """For each name the number of calls that were timed, and their median and minimum in milliseconds."""
    return {
        name: {"count": len(ns), "median_ms": median(ns) / 1e6, "min_ms": min(ns) / 1e6}
        for name, ns in durations.items()
    }
