"""What was flagged last? The newest episodes of a run with their key frames, in memory alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.episodes import Episodes
from stream.session import Session
from stream.types import View

KEPT = 6
"""Episodes: a row below the picture."""

KEPT_S = 600.0
"""No older ones: in a run that lasts all day they would be of the patient before."""


@dataclass(frozen=True)
class Flagged:
    """An episode that has ended. One process gives no ``number`` twice. ``probability`` is that of the key frame, which
    was captured at ``captured_ns``, monotonic; ``picture`` is uint8 [H, W, 3] RGB.
    """

    number: int
    finding: str
    probability: float
    lasted_s: float
    captured_ns: int
    picture: NDArray[np.uint8]


class LastFlagged:
    """``begin`` and ``add`` are one thread's at a time; ``newest`` is anyone's."""

    def __init__(self) -> None:
        self._episodes: Episodes | None = None
        self._kept: tuple[Flagged, ...] = ()
        self._number = 0

    def begin(self, session: Session) -> None:
        """Another run: what was flagged before was another one's."""
        self._episodes, self._kept = Episodes(session), ()

    def add(self, view: View) -> None:
        """Take the next view in. Where an episode ends, its key frame is made small: some milliseconds."""
        ended = None if self._episodes is None else self._episodes.add(view)
        if ended is None:
            return
        self._number += 1
        flagged = Flagged(
            self._number,
            ended.finding,
            ended.probability,
            ended.end_s - ended.start_s,
            ended.key_frame.frame.captured_ns,
            ended.key_picture(),
        )
        self._kept = (flagged, *self._kept)[:KEPT]

    def newest(self, now_ns: int) -> list[Flagged]:
        """Those that are no older than KEPT_S at ``now_ns``, monotonic, newest first."""
        return [flagged for flagged in self._kept if now_ns - flagged.captured_ns <= KEPT_S * 1e9]
