"""How long did it take, how many were there, and how many got lost? Monotonic nanoseconds; safe from any thread."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

Clock = Callable[[], int]
"""Monotonic nanoseconds."""

WINDOW_S = 30.0
"""How far percentiles look back: all alike, so that they can be compared. At 30 frames a second nine samples lie above
the p99."""


@dataclass(frozen=True)
class Summary:
    """Percentiles in milliseconds over the last samples; ``max_ms`` is of the same window, ``count`` its size."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def summarise(samples_ns: list[int]) -> Summary | None:
    """Percentiles (linear interpolation, as numpy's) of durations in nanoseconds, or None without any."""
    if not samples_ns:
        return None
    p50, p95, p99, top = (float(value) for value in np.percentile(samples_ns, (50, 95, 99, 100)) / 1e6)
    return Summary(len(samples_ns), p50, p95, p99, top)


class Percentiles:
    """Durations of one thing: those of the ``window_s`` seconds before the newest."""

    def __init__(self, window_s: float = WINDOW_S, clock_ns: Clock = time.perf_counter_ns) -> None:
        self._window_ns = window_s * 1e9
        self._clock_ns = clock_ns
        self._samples_ns: deque[tuple[int, int]] = deque()  # when it came, how long it was
        self._lock = Lock()

    def add(self, duration_ns: int) -> None:
        """Take one more duration."""
        with self._lock:
            now_ns = self._clock_ns()
            self._samples_ns.append((now_ns, duration_ns))
            while now_ns - self._samples_ns[0][0] > self._window_ns:
                self._samples_ns.popleft()

    def summary(self) -> Summary | None:
        """Percentiles of the window, or None before the first sample."""
        with self._lock:
            samples_ns = [duration_ns for _, duration_ns in self._samples_ns]
        return summarise(samples_ns)


class StageClock:
    """Durations by stage, in the order in which the stages were first seen."""

    def __init__(self, clock_ns: Clock = time.perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._stages: dict[str, Percentiles] = {}
        self._lock = Lock()

    @contextmanager
    def measure(self, stage: str, times: dict[str, int] | None = None) -> Iterator[None]:
        """Time the ``with`` block, also when it raises; the nanoseconds go to ``times[stage]`` as well if given."""
        start_ns = self._clock_ns()
        try:
            yield
        finally:
            duration_ns = self._clock_ns() - start_ns
            self.add(stage, duration_ns)
            if times is not None:
                times[stage] = duration_ns

    def add(self, stage: str, duration_ns: int) -> None:
        """Take a duration that was measured elsewhere."""
        with self._lock:
            percentiles = self._stages.setdefault(stage, Percentiles(clock_ns=self._clock_ns))
        percentiles.add(duration_ns)

    def summaries(self) -> dict[str, Summary]:
        """Percentiles by stage."""
        with self._lock:
            stages = dict(self._stages)
        summaries = {stage: percentiles.summary() for stage, percentiles in stages.items()}
        return {stage: summary for stage, summary in summaries.items() if summary is not None}


class Rate:
    """Events a second over the last ``window_s`` seconds; falls to 0 when they cease."""

    def __init__(self, window_s: float = 2.0, clock_ns: Clock = time.perf_counter_ns) -> None:
        self._window_ns = round(window_s * 1e9)
        self._clock_ns = clock_ns
        self._ticks_ns: deque[int] = deque()
        self._lock = Lock()

    def tick(self) -> None:
        """One event, now."""
        with self._lock:
            self._ticks_ns.append(self._clock_ns())
            self._forget(self._ticks_ns[-1])

    def per_second(self) -> float:
        """How many intervals there were since the window's first event, by the time since then; 0 without two
        events."""
        with self._lock:
            now_ns = self._clock_ns()
            self._forget(now_ns)
            if len(self._ticks_ns) < 2 or now_ns == self._ticks_ns[0]:
                return 0.0
            return (len(self._ticks_ns) - 1) * 1e9 / (now_ns - self._ticks_ns[0])

    def _forget(self, now_ns: int) -> None:
        while self._ticks_ns and now_ns - self._ticks_ns[0] > self._window_ns:
            self._ticks_ns.popleft()


@dataclass(frozen=True)
class Counts:
    """What became of every captured frame: captured = analysed + not analysed + dropped + failed + in flight."""

    captured: int = 0
    analysed: int = 0
    not_analysed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> dict[str, dict[str, int]]:
        """Frames without a prediction: what became of them, in words -> reason -> how many."""
        return {"not analysed": self.not_analysed, "dropped": self.dropped, "failed": self.failed}

    @property
    def in_flight(self) -> int:
        """Captured and not yet accounted for; 0 once a pipeline has ended."""
        return self.captured - self.analysed - sum(sum(reasons.values()) for reasons in self.lost.values())

    def since(self, begin: "Counts") -> "Counts":
        """What was counted after ``begin``."""
        lost = (
            dict(Counter(reasons) - Counter(before))
            for reasons, before in zip(self.lost.values(), begin.lost.values(), strict=True)
        )
        return Counts(self.captured - begin.captured, self.analysed - begin.analysed, *lost)


class Counters:
    """Counts frames by what became of them; ``snapshot`` is consistent."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._captured = 0
        self._analysed = 0
        self._not_analysed: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def captured(self, frames: int = 1) -> None:
        """Frames came from the source."""
        with self._lock:
            self._captured += frames

    def analysed(self) -> None:
        """A frame has a prediction."""
        with self._lock:
            self._analysed += 1

    def not_analysed(self, reason: str) -> None:
        """A frame was refused by a gate."""
        with self._lock:
            self._not_analysed[reason] += 1

    def dropped(self, reason: str, frames: int = 1) -> None:
        """Frames were never looked at."""
        with self._lock:
            if frames:
                self._dropped[reason] += frames

    def failed(self, reason: str, frames: int = 1) -> None:
        """A fault of ours took frames."""
        with self._lock:
            if frames:
                self._failed[reason] += frames

    def snapshot(self) -> Counts:
        """All counts of one moment."""
        with self._lock:
            return Counts(
                self._captured, self._analysed, dict(self._not_analysed), dict(self._dropped), dict(self._failed)
            )
