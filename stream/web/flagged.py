"""What was flagged last? The newest episodes of a run with their key frames, in memory alone."""

from collections import deque
from dataclasses import dataclass
from threading import Lock

from stream.episodes import Episodes, key_frame_jpeg
from stream.sinks.base import Session
from stream.types import View

KEPT = 6
"""Episodes, newest first: a row below the picture."""


@dataclass(frozen=True)
class Flagged:
    """An episode that has ended. ``number`` is another one for each, in later runs too; ``probability`` is the highest,
    that of the key frame, which was captured at ``captured_ns``, monotonic, and is ``jpeg``.
    """

    number: int
    finding: str
    probability: float
    lasted_s: float
    captured_ns: int
    jpeg: bytes


class Gallery:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._episodes: Episodes | None = None
        self._kept: deque[Flagged] = deque(maxlen=KEPT)
        self._number = 0

    def begin(self, session: Session) -> None:
        """Another run: what was flagged before was another one's."""
        with self._lock:
            self._episodes = Episodes(session.spec.class_names, session.config.gap_s, still=session.still)
            self._kept.clear()

    def add(self, view: View) -> None:
        """Take the next view in. It costs a few milliseconds where an episode ends, else next to nothing."""
        with self._lock:
            ended = None if self._episodes is None else self._episodes.add(view)
        if ended is None:
            return
        jpeg = key_frame_jpeg(ended)
        lasted_s, captured_ns = ended.end_s - ended.start_s, ended.key_frame.frame.captured_ns
        with self._lock:
            self._number += 1
            flagged = Flagged(self._number, ended.finding, ended.probability, lasted_s, captured_ns, jpeg)
            self._kept.appendleft(flagged)

    def newest(self) -> list[Flagged]:
        """At most KEPT, newest first."""
        with self._lock:
            return list(self._kept)
