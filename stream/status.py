"""What can be known about a pipeline from outside while it runs: one frozen snapshot."""

from dataclasses import dataclass
from enum import StrEnum

from engines.base import EngineInfo
from stream.timing import Counts, Summary
from stream.types import Assessment, State


class Phase(StrEnum):
    """Where a pipeline is in its life."""

    STARTING = "starting"
    """No frame yet."""
    RUNNING = "running"
    ENDED = "ended"
    """The source came to its end, or somebody stopped it."""
    FAILED = "failed"
    """The source or a stage broke; ``Status.error`` says how."""


class Recording(StrEnum):
    """Whether what is seen is also written to disk."""

    OFF = "off"
    ON = "on"
    FAILED = "failed"
    """The live view goes on; ``Status.recording_error`` says what could not be written."""


@dataclass(frozen=True)
class Moment:
    """One point of the timeline: ``t_s`` since the start, smoothed probabilities [K] (empty where none), state."""

    t_s: float
    smoothed: tuple[float, ...]
    state: State


@dataclass(frozen=True)
class Status:
    """A snapshot. ``fps`` is of drawn frames over the last seconds; ``stages_ms`` is per stage, in order of the flow.

    ``latency_ms`` is from capture to the drawn picture. ``not_drawn`` counts analysed frames that a newer one
    overtook before drawing; ``not_recorded`` counts drawn frames that the disk was too slow for.
    """

    phase: Phase
    error: str | None
    source: str
    live: bool
    synthetic: bool
    engine: EngineInfo
    class_names: tuple[str, ...]
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
