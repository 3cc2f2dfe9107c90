"""The time of a recording: its curve, where nothing was recorded, and how long and how fast it was."""

import time
from datetime import UTC, datetime, timedelta

from stream.session import Session
from stream.status import NOT_RECORDED, Moment
from stream.types import Assessment, Frame, State

MOST_POINTS = 2000
"""In the timeline. When there are more, every second one is dropped, so that memory does not grow with the run."""


class Timeline:
    """Follows the frames of one recording. ``first_frame_at`` is when the first was captured, by the wall clock; None
    for a clip, where it is unknown."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.frames = 0
        self.first_frame_at: str | None = None
        self.first_pts_s = self._last_pts_s = 0.0
        self._first_ns = self._last_ns = 0
        self._last_index = 0
        # the slowest pace that is assumed, until this source has shown its own
        self._paced_s, self._paced_frames = session.config.gap_s / 3, 1
        self._points: list[Moment] = []
        self._stride = 1
        self._gaps: list[Moment] = []

    def add(self, frame: Frame, assessment: Assessment) -> None:
        """Take the next frame in."""
        if self.frames == 0:
            self._begin(frame)
        else:
            self._notice_gap(frame)
        self._last_pts_s, self._last_ns, self._last_index = frame.pts_s, frame.captured_ns, frame.index
        self._plot(frame.pts_s, assessment)
        self.frames += 1

    @property
    def duration_s(self) -> float:
        """From the first frame to the last, by the source's time."""
        return self._last_pts_s - self.first_pts_s

    @property
    def fps(self) -> float | None:
        """Frames a second from the first frame to the last, pauses included; None with fewer than two."""
        seconds = (self._last_ns - self._first_ns) / 1e9
        return round((self.frames - 1) / seconds, 2) if seconds > 0 else None

    def moments(self) -> list[Moment]:
        """The curve and its gaps, in order of time."""
        return sorted(self._points + self._gaps, key=lambda moment: moment.t_s)  # stable: the frame, then the gap

    def _begin(self, frame: Frame) -> None:
        self.first_pts_s, self._first_ns = frame.pts_s, frame.captured_ns
        if self._session.live:  # a live source may start late; when a clip was recorded is unknown
            age = timedelta(seconds=(time.perf_counter_ns() - frame.captured_ns) / 1e9)
            self.first_frame_at = (datetime.now(UTC) - age).isoformat(timespec="milliseconds")

    def _notice_gap(self, frame: Frame) -> None:
        """Where nothing was recorded between the last frame and this one, the timeline has a gap."""
        step_s, captured = frame.pts_s - self._last_pts_s, frame.index - self._last_index
        if step_s > self._session.config.gap_s:
            self._gaps.append(Moment(self.duration_s, (), self._gap_state(step_s, captured - 1)))
        else:
            self._paced_s, self._paced_frames = self._paced_s + step_s, self._paced_frames + captured

    def _gap_state(self, gap_s: float, missed: int) -> str:
        """NOT_RECORDED if the ``missed`` frames, captured in the gap, fill most of it at the source's pace: the disk
        was slow, the engine stalled or the frames were damaged. Else NO_SIGNAL: the source itself was away.
        """
        filled_s = missed * self._paced_s / self._paced_frames
        return NOT_RECORDED if filled_s > gap_s / 2 else State.NO_SIGNAL

    def _plot(self, pts_s: float, assessment: Assessment) -> None:
        if self.frames % self._stride == 0:
            smoothed = tuple(float(value) for value in assessment.smoothed)
            self._points.append(Moment(pts_s - self.first_pts_s, smoothed, assessment.state))
            if len(self._points) > MOST_POINTS:
                self._points, self._stride = self._points[::2], 2 * self._stride
