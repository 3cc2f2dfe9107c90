"""Does a child process answer in time? One that does not is ended."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

WATCH_S = 0.2
"""How often the watchdog looks."""

OVERSLEPT_S = 1.0
"""A watchdog that looks later than it meant to by more was stopped with the whole program, as by Ctrl-Z. That time does
not count."""


class Watchdog:
    """Calls ``end`` once an answer that was ``asked`` for takes longer than ``limit_s``; watches until ``over``."""

    def __init__(self, limit_s: float, end: Callable[[], None], over: Event) -> None:
        self.limit_s = limit_s
        """May be changed at any time."""
        self.overdue = False
        """Whether an answer took too long."""
        self.asked_s: float | None = None
        """Since when an answer is waited for; None while none is."""
        self._end, self._over = end, over
        Thread(target=self._watch, name="decoder watchdog", daemon=True).start()

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While the answer is waited for."""
        self.asked_s = time.monotonic()
        try:
            yield
        finally:
            self.asked_s = None

    def _watch(self) -> None:
        looked_s = awake_s = time.monotonic()
        while not self._over.wait(WATCH_S):
            now_s, asked_s = time.monotonic(), self.asked_s
            if now_s - looked_s > WATCH_S + OVERSLEPT_S:
                awake_s = now_s
            looked_s = now_s
            if asked_s is not None and now_s - max(asked_s, awake_s) > self.limit_s:
                self.overdue = True
                self._end()
                return
