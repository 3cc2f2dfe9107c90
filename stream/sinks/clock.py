"""When is each picture of a recording shown? Always later than the one before, whatever the source's time does."""

import math

from stream.session import Session
from stream.sources.uri import STILLS_FPS


class RecordingClock:
    """Seconds since the first picture. In live use an outage is cut out; the pauses of a clip are kept. ``step_s`` is
    how long the newest picture should last."""

    def __init__(self, session: Session) -> None:
        self._gap_s, self._live = session.config.gap_s, session.live
        self._last_pts_s = math.nan
        self._at_s = 0.0
        self.step_s = 1 / STILLS_FPS if session.still else 1 / 30

    def at_s(self, pts_s: float) -> float:
        """The time of the next picture, whose source says ``pts_s``."""
        if not math.isnan(self._last_pts_s):
            step_s = pts_s - self._last_pts_s
            if 1e-3 <= step_s <= self._gap_s:
                self.step_s = step_s
            paused = step_s > self._gap_s and not self._live
            self._at_s += step_s if paused else self.step_s
        self._last_pts_s = pts_s
        return self._at_s
