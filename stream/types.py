"""The values that flow: Frame -> Prediction -> Assessment -> View. Frozen, checked once when made, arrays read-only."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rcdnet.box import Box


class State(StrEnum):
    """What an assessment may say. A failure is a state, never None, never a stale or invented value."""

    WARMING_UP = "warming_up"
    CLEAR_FINDING = "clear_finding"
    INDETERMINATE = "indeterminate"
    NOT_ANALYSED = "not_analysed"
    FROZEN = "frozen"
    NO_SIGNAL = "no_signal"


@dataclass(frozen=True)
class Frame:
    """One captured picture.

    ``index`` counts every captured frame from 0, dropped ones too. ``captured_ns`` is ``time.perf_counter_ns()`` when
    it was dequeued. ``pts_s`` is its presentation time in seconds within the source. ``rgb`` is uint8 [H, W, 3].
    ``source`` is the source's name, or in a folder the name of the file that holds this picture. ``mm_per_px`` is (row,
    column) spacing, or None where the source does not know it. ``still``: the only picture of its recording.
    """

    index: int
    captured_ns: int
    pts_s: float
    rgb: NDArray[np.uint8]
    source: str
    mm_per_px: tuple[float, float] | None = None
    still: bool = False

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.size == 0:
            raise ValueError(f"a frame is uint8 [H, W, 3], not {self.rgb.dtype} {list(self.rgb.shape)}")
        self.rgb.setflags(write=False)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.rgb.shape[:2]
        return width, height


Corners = tuple[tuple[int, int], ...]
"""The corners of a polygon, each (x, y) in pixels."""


class Span(NamedTuple):
    """Rows or columns of a picture, half-open."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """How many there are."""
        return self.end - self.begin

    def common(self, other: "Span") -> "Span":
        """What is in both. Its length is below 0 if they do not meet."""
        return Span(max(self.begin, other.begin), min(self.end, other.end))

    def around(self, other: "Span") -> "Span":
        """What holds both."""
        return Span(min(self.begin, other.begin), max(self.end, other.end))


@dataclass(frozen=True)
class ScanArea(Box):
    """Where the ultrasound picture lies in the screen.

    A convex probe's scan is a sector and fills only part of this box: ``corners``, in pixels of the screen, are those
    of the polygon around it. They are empty if the scan fills its box.
    """

    origin: Literal["user", "header", "detected", "full"]
    corners: Corners = ()

    def __post_init__(self) -> None:
        if self.x_px < 0 or self.y_px < 0 or self.width_px < 1 or self.height_px < 1:
            raise ValueError(f"a scan area needs a corner at 0 or more and at least one pixel, not {self}")

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """x, y, width and height in pixels."""
        return self.x_px, self.y_px, self.width_px, self.height_px

    @property
    def count_px(self) -> int:
        """How many pixels its box has."""
        return self.width_px * self.height_px

    @property
    def rows(self) -> Span:
        """Of its box."""
        return Span(self.y_px, self.y_px + self.height_px)

    @property
    def columns(self) -> Span:
        """Of its box."""
        return Span(self.x_px, self.x_px + self.width_px)

    def common_px(self, other: "ScanArea") -> int:
        """How many pixels lie in both boxes."""
        return max(self.rows.common(other.rows).length, 0) * max(self.columns.common(other.columns).length, 0)


@dataclass(frozen=True)
class Prediction:
    """What the network says about one frame alone: ``probabilities`` float32 [K], calibrated, sum 1; ``class_maps``
    float32 [K, h, w] over the model input, in which the scan area lies letterboxed.
    """

    probabilities: NDArray[np.float32]
    class_maps: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 1 or self.class_maps.shape[0] != self.probabilities.shape[0]:
            raise ValueError("probabilities [K] and class maps [K, h, w] do not belong together")
        if not np.isfinite(self.probabilities).all() or abs(float(self.probabilities.sum()) - 1) > 1e-3:
            raise ValueError(f"probabilities must be finite and sum to 1, not {self.probabilities}")
        self.probabilities.setflags(write=False)
        self.class_maps.setflags(write=False)


@dataclass(frozen=True)
class NotAnalysed:
    """Why a frame has no prediction. ``failed`` marks a fault of ours (engine, arithmetic), not of the picture."""

    reason: str
    failed: bool = False
    state: State = State.NOT_ANALYSED

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("a frame that is not analysed needs a reason")
        if self.state not in (State.NOT_ANALYSED, State.FROZEN, State.NO_SIGNAL):
            raise ValueError(f"a frame that is not analysed cannot be {self.state}")


def _nothing() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass(frozen=True)
class Assessment:
    """What is said about one frame: ``frame_index == frame.index`` in everything drawn.

    ``age_ms`` is the time from capture to this assessment. ``raw`` and ``smoothed`` are probabilities float32 [K], or
    empty where nothing was analysed. ``finding`` is the class that is shown, or None. ``attention`` float32 [h, w] 0..1
    is the class map of ``attention_class`` over the scan area.
    """

    frame_index: int
    scan_area: ScanArea | None
    state: State
    reason: str
    age_ms: float
    raw: NDArray[np.float32] = field(default_factory=_nothing)
    smoothed: NDArray[np.float32] = field(default_factory=_nothing)
    finding: str | None = None
    attention: NDArray[np.float32] | None = None
    attention_class: str | None = None

    def __post_init__(self) -> None:
        if self.state in (State.NOT_ANALYSED, State.NO_SIGNAL, State.FROZEN) and not self.reason:
            raise ValueError(f"{self.state} needs a reason")
        if (self.finding is None) is (self.state is State.CLEAR_FINDING):
            raise ValueError(f"{self.state} does not go with the finding {self.finding}")
        for array in (self.raw, self.smoothed, self.attention):
            if array is not None:
                array.setflags(write=False)

    @property
    def lesion(self) -> str | None:
        """The class of the lesion that is flagged, if one is."""
        return None if self.finding == "normal" else self.finding


@dataclass(frozen=True)
class View:
    """A frame with its assessment drawn in: ``picture`` uint8 [H, W, 3] RGB, ``times`` in ns by stage, ``engine`` the
    name of the one in use after this frame. ``heat_map``: the class whose heat map is drawn, if one is. ``repeated``:
    an old frame again, because no new one comes."""

    frame: Frame
    assessment: Assessment
    picture: NDArray[np.uint8]
    times: dict[str, int] = field(default_factory=dict)
    engine: str = ""
    heat_map: str | None = None
    repeated: bool = False

    def __post_init__(self) -> None:
        if self.assessment.frame_index != self.frame.index:
            raise ValueError(f"assessment of frame {self.assessment.frame_index} drawn on frame {self.frame.index}")
        self.picture.setflags(write=False)
