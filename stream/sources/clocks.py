"""When is a picture to be shown? Seconds since a source's first one, whatever its own times do, and always growing."""

import time
from collections.abc import Callable
from threading import Event

LEAST_STEP_S = 1e-6
"""By how much times grow at least from one picture to the next: two may arrive together, or have the same time."""

BACK_S = 0.5
"""Where times go back by more, another recording begins: a file may hold several, one after the other."""

LONGEST_LAG_S = 0.25
"""When the pace is behind by more, it starts afresh: to catch up would show the past at double speed."""


class ArrivalClock:
    """Turns arrivals, where nothing else is known, into seconds since the first picture, which only grow."""

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._last_s = -LEAST_STEP_S

    def since_first(self, arrived_ns: int) -> float:
        """For the next picture in order, by when it arrived, monotonic."""
        self._first_ns = arrived_ns if self._first_ns is None else self._first_ns
        self._last_s = max((arrived_ns - self._first_ns) / 1e9, self._last_s + LEAST_STEP_S)
        return self._last_s


class DeviceClock:
    """Turns the times that a device tells into seconds since its first picture, which only grow.

    Where its clock goes back by BACK_S or more, or ahead of the arrivals by ``ahead_s`` or more, times go on as the
    pictures arrive, by ``step_s`` at least.
    """

    def __init__(self, step_s: float, ahead_s: float) -> None:
        self._step_s, self._ahead_s = step_s, ahead_s
        self._last_s: float | None = None
        self._told_from_s = self._arrived_from_s = 0.0  # what 0 s is by either clock

    def since_first(self, told_s: float, arrived_ns: int) -> float:
        """For the next picture in order, by its own time and when it arrived, monotonic."""
        arrived_s = arrived_ns / 1e9
        if self._last_s is None:
            self._last_s, self._told_from_s, self._arrived_from_s = 0.0, told_s, arrived_s
            return self._last_s
        pts_s, passed_s = told_s - self._told_from_s, arrived_s - self._arrived_from_s
        if not self._last_s - BACK_S < pts_s < passed_s + self._ahead_s:
            pts_s = max(self._last_s + self._step_s, passed_s)
            self._told_from_s, self._arrived_from_s = told_s - pts_s, arrived_s - pts_s
        self._last_s = max(self._last_s + LEAST_STEP_S, pts_s)
        return self._last_s


class ClipClock:
    """Turns a clip's own times into seconds since its first picture, which only grow.

    A picture without a time lasts ``step_s``. Where times jump ahead by ``ahead_s``, another recording begins.
    ``start_s`` is when the clip begins by its header, for its first picture may be damaged.
    """

    def __init__(self, step_s: float, ahead_s: float, start_s: float | None) -> None:
        self._step_s, self._ahead_s, self._origin_s = step_s, ahead_s, start_s
        self._last_s = -step_s  # as if another picture had just ended

    def since_first(self, told_s: float | None) -> float:
        """For the next picture in order; ``told_s`` is its own time, if it has one."""
        next_s = self._last_s + self._step_s
        if told_s is None:
            self._last_s = next_s
            return next_s
        origin_s = self._origin_s
        if self._last_s < 0 or origin_s is None or not -BACK_S < told_s - origin_s - self._last_s < self._ahead_s:
            self._origin_s = origin_s = told_s - next_s
        self._last_s = max(self._last_s + LEAST_STEP_S, told_s - origin_s)  # it may run backwards a little
        return self._last_s


class Pace:
    """Holds frames back until they are due, as a probe in real time would deliver them."""

    def __init__(self, closed: Event, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._closed = closed
        self._clock_ns = clock_ns
        self._start_ns: int | None = None

    def wait(self, pts_s: float) -> bool:
        """Return True once ``pts_s`` (0 or more, growing) is due; False as soon as the source is closed."""
        due_ns, now_ns = round(pts_s * 1e9), self._clock_ns()
        if self._start_ns is None or now_ns - self._start_ns - due_ns > LONGEST_LAG_S * 1e9:
            self._start_ns = now_ns - due_ns
        return not self._closed.wait(max(0, self._start_ns + due_ns - now_ns) / 1e9)
