"""What can be known about a pipeline from outside while it runs: one frozen snapshot."""

import time
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock

from engines.base import EngineInfo
from stream.session import Session
from stream.timing import Counters, Counts, Percentiles, Rate, StageClock, Summary
from stream.types import Assessment, Frame, NotAnalysed, Prediction

TIMELINE_STEP_S = 0.2
"""Between two points. Half the smoothing's time constant keeps the curve's shape, and a minute of it is a small
message."""


class Phase(StrEnum):
    """Where a pipeline is in its life."""

    STARTING = "starting"
    """No frame yet."""
    RUNNING = "running"
    ENDED = "ended"
    """The source came to its end."""
    STOPPING = "stopping"
    """Somebody stopped it, and what was recorded or sent is being finished."""
    FAILED = "failed"
    """The source or a stage broke; ``Status.error`` says how."""


class Recording(StrEnum):
    """Whether what is seen is also written to disk."""

    OFF = "off"
    ON = "on"
    FAILED = "failed"
    """The live view goes on; ``Status.recording_error`` says what could not be written."""


NOT_RECORDED = "not_recorded"
"""Frames came and were not recorded: they were damaged, or the engine or the disk was too slow."""


@dataclass(frozen=True)
class Moment:
    """One point of the timeline: ``t_s`` since the start, smoothed probabilities [K] (empty where none), and the state,
    or NOT_RECORDED, which no assessment can say.
    """

    t_s: float
    smoothed: tuple[float, ...]
    state: str


@dataclass(frozen=True)
class Status:
    """A snapshot. ``fps`` counts drawn frames over the last seconds. ``stages_ms`` is in the order of the flow.
    ``reopened`` and ``trouble`` are the source's; ``size_px`` is the width and height of its last frame.

    ``latency_ms`` is from capture to the drawn picture. ``not_drawn`` counts frames that were judged or refused, but
    then overtaken by a newer one or by the end of the run; ``not_recorded`` those for which the disk was too slow.
    ``sending_error`` is why a sink that is not on disk gets nothing more.
    """

    phase: Phase
    error: str | None
    session: Session
    engine: EngineInfo
    reopened: int
    trouble: str | None
    size_px: tuple[int, int] | None
    counts: Counts
    not_drawn: int
    fps: float
    stages_ms: dict[str, Summary]
    latency_ms: Summary | None
    recording: Recording
    recording_error: str | None
    not_recorded: int
    assessment: Assessment | None
    timeline: tuple[Moment, ...]
    sending_error: str | None = None

    def since(self, begin: "Status") -> "Status":
        """The same with what was counted after ``begin`` alone."""
        return replace(
            self,
            reopened=self.reopened - begin.reopened,
            counts=self.counts.since(begin.counts),
            not_drawn=self.not_drawn - begin.not_drawn,
            not_recorded=self.not_recorded - begin.not_recorded,
        )


class Board:
    """Where all stages of one pipeline write what happens, and ``snapshot`` reads it. Safe from any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.counters = Counters()
        self.stages = StageClock()
        self._lock = Lock()
        self._rate = Rate()
        self._latency = Percentiles()
        self._start_s: float | None = None
        self._timeline: deque[Moment] = deque()
        self._assessment: Assessment | None = None
        self._size_px: tuple[int, int] | None = None
        self._phase = Phase.STARTING
        self._error: str | None = None
        self._recording = Recording.OFF
        self._recording_error: str | None = None
        self._sending_error: str | None = None
        self._undrawn = self._not_drawn = self._not_recorded = 0

    def judged(self, outcome: Prediction | NotAnalysed) -> None:
        """A frame left the analysis."""
        with self._lock:
            self._undrawn += 1
        if isinstance(outcome, Prediction):
            self.counters.analysed()
        elif outcome.failed:
            self.counters.failed(outcome.reason)
        else:
            self.counters.not_analysed(outcome.reason)

    def drawn(self, frame: Frame, assessment: Assessment) -> None:
        """A frame's picture is ready."""
        self._rate.tick()
        self._latency.add(time.perf_counter_ns() - frame.captured_ns)
        with self._lock:
            self._undrawn -= 1
            self._phase = Phase.RUNNING
            self._assessment = assessment
            self._size_px = frame.size_px
            self._plot(frame.captured_ns / 1e9 if self._session.live else frame.pts_s, assessment)

    def _plot(self, now_s: float, assessment: Assessment) -> None:
        """Under the lock. The last assessment of each step is its point, so that points stay in place as time goes
        on."""
        if self._start_s is None:
            self._start_s = now_s
        at_s = now_s - self._start_s
        if self._timeline and int(self._timeline[-1].t_s / TIMELINE_STEP_S) == int(at_s / TIMELINE_STEP_S):
            self._timeline.pop()
        self._timeline.append(Moment(at_s, tuple(map(float, assessment.smoothed)), assessment.state))
        while at_s - self._timeline[0].t_s > self._session.config.timeline_s:
            self._timeline.popleft()

    def interrupted(self, assessment: Assessment) -> None:
        """Nothing comes any more, for now or for good; ``assessment`` says so."""
        with self._lock:
            self._assessment = assessment
            self._plot(time.perf_counter_ns() / 1e9, assessment)

    def not_drawn(self) -> None:
        """A newer assessment overtook one that waited to be drawn."""
        with self._lock:
            self._undrawn -= 1
            self._not_drawn += 1

    def not_recorded(self) -> None:
        """The disk was too slow for a view."""
        with self._lock:
            self._not_recorded += 1

    def recording(self, recording: Recording, error: str | None = None) -> None:
        """Recording began or failed. A failure stays, with its first error: other sinks may still begin after it."""
        with self._lock:
            if self._recording is not Recording.FAILED:
                self._recording, self._recording_error = recording, error

    def not_sent(self, error: str) -> None:
        """A sink that is not on disk failed; the first error stays."""
        with self._lock:
            self._sending_error = self._sending_error or error

    def recording_over(self) -> None:
        """What was recorded is finished, well or not."""
        with self._lock:
            self._recording, self._recording_error = Recording.OFF, None

    def ended(self, phase: Phase, error: str | None) -> None:
        """No frame comes any more; with an ``error``, the phase is FAILED."""
        with self._lock:
            self._phase, self._error = (phase if error is None else Phase.FAILED), error

    @property
    def settled(self) -> bool:
        """Whether every frame that was captured is drawn or lost."""
        with self._lock:
            return self._undrawn == 0 and self.counters.snapshot().in_flight == 0

    def snapshot(self, engine: EngineInfo, reopened: int, trouble: str | None) -> Status:
        """What holds now."""
        with self._lock:
            return Status(
                phase=self._phase,
                error=self._error,
                session=self._session,
                engine=engine,
                reopened=reopened,
                trouble=trouble,
                size_px=self._size_px,
                counts=self.counters.snapshot(),
                not_drawn=self._not_drawn,
                fps=self._rate.per_second(),
                stages_ms=self.stages.summaries(),
                latency_ms=self._latency.summary(),
                recording=self._recording,
                recording_error=self._recording_error,
                not_recorded=self._not_recorded,
                assessment=self._assessment,
                timeline=tuple(self._timeline),
                sending_error=self._sending_error,
            )
