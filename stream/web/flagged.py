"""What was flagged last? The newest episodes of a run with their key frames, in memory only."""

import time
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stream.episodes import Episode, Episodes
from stream.session import Session
from stream.types import View

KEPT = 6
"""Episodes: a row below the picture."""

KEPT_S = 600.0
"""Older ones are dropped: in a run that lasts all day they would be of an earlier patient."""


class LastFlagged:
    """Each with a number that no other has, not even one of an earlier process. Safe from any thread.

    Stills are not kept: they are on the screen long enough.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._episodes: Episodes | None = None
        self._ended: tuple[tuple[int, Episode], ...] = ()
        self._number = time.time_ns() // 1_000_000  # a page that was open before must not confuse two

    def begin(self, session: Session) -> None:
        """Another run: forget what was flagged in the last one."""
        with self._lock:
            self._episodes, self._ended = None if session.still else Episodes(session), ()
            self._number += 1

    def add(self, view: View) -> None:
        """Take the next view in; nothing is drawn before a page asks for it."""
        with self._lock:
            ended = None if self._episodes is None or view.repeated else self._episodes.add(view)
            if ended is not None:
                self._ended = ((self._number, ended), *self._ended)[:KEPT]
                self._number += 1

    def newest(self, now_ns: int) -> list[tuple[int, Episode]]:
        """At most KEPT, newest first, which may be under way; none older than KEPT_S at ``now_ns``, monotonic."""
        with self._lock:
            found = self._all()[:KEPT]
        return [each for each in found if now_ns - each[1].last_ns <= KEPT_S * 1e9]

    def picture(self, number: int) -> NDArray[np.uint8] | None:
        """The key frame of an episode that ``newest`` gave, uint8 [H, W, 3] RGB, or None if it is gone."""
        with self._lock:
            episodes, episode = self._episodes, dict(self._all()).get(number)
        return None if episodes is None or episode is None else episodes.key_picture(episode)

    def _all(self) -> list[tuple[int, Episode]]:
        """Under the lock: the one under way, then those that have ended."""
        current = None if self._episodes is None else self._episodes.current
        return ([] if current is None else [(self._number, current)]) + list(self._ended)
