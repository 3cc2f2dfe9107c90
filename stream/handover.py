"""How does a frame pass from one thread to the next? Live: one slot, the newest wins. Replay: all of them, in order."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")

OVERWRITTEN = "overwritten"
"""A newer frame took the slot before the consumer came."""

STOPPED = "stopped"
"""It came after the handover was closed."""

RECENT = 10
"""Frames by which the time between two is measured."""


class Handover(ABC, Generic[T]):
    """From one producer thread to one consumer thread. Either may close it. The consumer still gets what waits, and
    then the error that ``close`` was given, which is raised once.
    """

    def __init__(self, capacity: int = 4) -> None:
        if capacity < 1:
            raise ValueError(f"a handover holds at least one item, not {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = Condition()
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T) -> str | None:
        """Hand ``item`` on. Returns why one item was lost by it (OVERWRITTEN: an older one, STOPPED: this one)."""
        with self._changed:
            lost = self._make_room()
            if self._ended:
                return STOPPED
            self._items.append(item)
            self._changed.notify_all()
            return lost

    @abstractmethod
    def _make_room(self) -> str | None:
        """Under the lock: wait for room, or take it; neither once closed. Returns why an item that waited was lost."""

    def get(self, timeout_s: float) -> T | None:
        """The next item; None if none came within ``timeout_s`` or none can come any more. Raises close's error."""
        items = self.get_several(1, timeout_s)
        return items[0] if items else None

    def get_several(self, count: int, timeout_s: float) -> list[T]:
        """The next ``count`` items: fewer only if no more can come, none if they did not come within ``timeout_s``.

        Raises close's error, and ValueError for a ``count`` beyond the capacity, which would never be reached.
        """
        if not 1 <= count <= self._capacity:
            raise ValueError(f"{count} items never wait in a handover of {self._capacity}")
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._items) >= count or self._ended, timeout_s):
                return []
            if self._items:
                items = [self._items.popleft() for _ in range(min(count, len(self._items)))]
                self._changed.notify_all()
                return items
            error, self._error = self._error, None
        if error is not None:
            raise error
        return []

    def close(self, error: BaseException | None = None) -> None:
        """No more items: wake both sides. The first call's ``error`` counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many items wait. The producer may rely on it for a limit, since nobody else adds anything."""
        with self._changed:
            return len(self._items)

    @property
    def exhausted(self) -> bool:
        """Closed, drained, and its error raised: ``get`` has nothing left to tell."""
        with self._changed:
            return self._ended and not self._items and self._error is None


class LatestFrame(Handover[T]):
    """One slot that is overwritten: the consumer always gets the newest frame, and lag cannot build up.

    A frame that has waited for half a period is older than the next one will be when that comes. So a consumer that
    comes between half a period and one and a half waits for the next frame, for a period at most. The period is
    that of the last RECENT frames: few network streams tell their rate.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        super().__init__(1)
        self._clock_ns = clock_ns
        self._came_ns: deque[int] = deque(maxlen=RECENT)

    def get_several(self, count: int, timeout_s: float) -> list[T]:
        """See ``Handover``; ``count`` is 1."""
        with self._changed:
            if self._items and len(self._came_ns) == RECENT:
                came_ns = self._came_ns[-1]
                period_ns = (came_ns - self._came_ns[0]) / (RECENT - 1)
                if period_ns / 2 < self._clock_ns() - came_ns < 1.5 * period_ns:
                    self._changed.wait_for(lambda: self._came_ns[-1] > came_ns or self._ended, period_ns / 1e9)
        return super().get_several(count, timeout_s)

    def _make_room(self) -> str | None:
        self._came_ns.append(self._clock_ns())
        if not self._items or self._ended:
            return None
        self._items.clear()
        return OVERWRITTEN


class EveryFrame(Handover[T]):
    """A short queue that loses nothing: when it is full the producer waits for the consumer."""

    def _make_room(self) -> None:
        self._changed.wait_for(lambda: self._ended or len(self._items) < self._capacity)
