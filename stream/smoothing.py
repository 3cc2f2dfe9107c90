"""What do we say now? Prediction -> Assessment, the only memory in the flow.

Exponential smoothing of log-probabilities over time: s <- s + a (x - s) with a = 1 - exp(-dt / smoothing_s), where dt
is the time between the frames in the source. That is the exact step of a first-order low-pass, so 15 and 60 fps settle
alike, and dt comes from the source, so a replay decides exactly what the first run decided.
"""

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import lesion_class, softmax
from rcdnet.spec import ModelSpec
from stream.attention import attention
from stream.config import StreamConfig
from stream.decision import Rule
from stream.errors import UsageError
from stream.scan_place import STRAY_SHARE, outside
from stream.types import Assessment, Frame, NotAnalysed, Prediction, ScanArea, State

LEAST_PROBABILITY = 1e-3
"""Lower ones are raised to this before the logarithm: without it, one frame that is certain would outvote seconds."""


@dataclass
class Memory:
    """What is remembered of a run of frames: its smoothed answer, the times of its first and its last frame, the last
    one's source and scan area, and whether the last decision was another one than "no lesion flagged"."""

    log_probabilities: NDArray[np.float64]
    began_s: float
    last_s: float
    source: str
    area: ScanArea | None
    doubted: bool = False

    @property
    def of_one_frame(self) -> bool:
        """Whether it has just begun."""
        return self.last_s == self.began_s


class Smoother:
    """Steadies the predictions of one stream. It starts anew with another ``Frame.source``, which is another recording,
    with a scan area elsewhere, after a gap, and if time does not advance: a step of 0 s would keep the old answer for
    ever. ``still`` pictures are independent: each is judged by itself.

    Raises UsageError if the weights do not know the operating point, or the classes that it refers to.
    """

    def __init__(self, spec: ModelSpec, config: StreamConfig, *, still: bool = False) -> None:
        if config.operating_point not in spec.operating_points:
            known = ", ".join(sorted(spec.operating_points))
            raise UsageError(f"the weights have no operating point '{config.operating_point}'. They have: {known}.")
        if not {"benign", "malignant"} <= set(spec.class_names):
            raise UsageError(f"the weights know {', '.join(spec.class_names)}; live use needs benign and malignant.")
        self._spec = spec
        self._config = config
        self._rule = Rule.of(spec, spec.operating_points[config.operating_point], config.lesion_margin)
        self._still = still
        self._memory: Memory | None = None

    def update(self, frame: Frame, area: ScanArea | None, outcome: Prediction | NotAnalysed, now_ns: int) -> Assessment:
        """Add one frame's outcome and say what holds now; ``now_ns`` is monotonic, only for the age."""
        age_ms = (now_ns - frame.captured_ns) / 1e6
        if isinstance(outcome, NotAnalysed):
            if not outcome.failed:  # something else was in view; a fault of ours says nothing about the picture
                self._memory = None
            return Assessment(frame.index, area, outcome.state, outcome.reason, age_ms)
        too_slow = self._too_slow(frame)
        memory = self._memory = self._remember(outcome.probabilities, frame, area)
        smoothed = softmax(np.asarray(memory.log_probabilities, np.float32))
        seen_s = frame.pts_s - memory.began_s
        if seen_s < self._config.warm_up_s and not (self._still or frame.still):
            early = f"nothing is called before {self._config.warm_up_s:g} s are seen"
            state, finding, reason = State.WARMING_UP, None, too_slow or early
        else:
            state, finding, reason = self._rule.decide(smoothed, self._spec, doubted=memory.doubted)
            memory.doubted = finding != "normal"
        shown = attention_class(smoothed, state, finding, self._spec)
        heat = None if shown is None or area is None else attention(outcome.class_maps, shown, area, self._spec)
        return Assessment(
            frame.index, area, state, reason, age_ms, outcome.probabilities, smoothed, finding, heat, shown
        )

    def _too_slow(self, frame: Frame) -> str | None:
        """Why nothing is ever called, if this frame starts anew because it came late, and so did the one before it."""
        before = self._memory
        if before is None or not before.of_one_frame or before.source != frame.source:
            return None
        apart_s = frame.pts_s - before.last_s
        if apart_s <= self._config.gap_s:
            return None
        return f"a frame is judged only every {apart_s:.1f} s: source or machine is too slow for a call"

    def _remember(self, probabilities: NDArray[np.float32], frame: Frame, area: ScanArea | None) -> Memory:
        """What is remembered from this frame on."""
        new = np.log(np.maximum(probabilities.astype(np.float64), LEAST_PROBABILITY))
        before = self._memory
        if before is None or self._still or not self._goes_on(before, frame, area):
            return Memory(new, frame.pts_s, frame.pts_s, frame.source, area)
        weight = 1 - exp(-(frame.pts_s - before.last_s) / self._config.smoothing_s)
        smoothed = before.log_probabilities + weight * (new - before.log_probabilities)
        return Memory(smoothed, before.began_s, frame.pts_s, frame.source, area, before.doubted)

    def _goes_on(self, before: Memory, frame: Frame, area: ScanArea | None) -> bool:
        """Whether this frame shows what the frames ``before`` it showed."""
        step_s = frame.pts_s - before.last_s
        return frame.source == before.source and 0 < step_s <= self._config.gap_s and not moved(before.area, area)


def moved(before: ScanArea | None, now: ScanArea | None) -> bool:
    """Whether the scan lies elsewhere: of each area more than STRAY_SHARE is outside the other."""
    return before is not None and now is not None and min(outside(before, now), outside(now, before)) > STRAY_SHARE


def attention_class(smoothed: NDArray[np.float32], state: State, finding: str | None, spec: ModelSpec) -> str | None:
    """The class whose attention is shown: the finding, the likelier lesion class while undecided, otherwise none."""
    if state is State.INDETERMINATE:
        return spec.class_names[lesion_class(smoothed, spec)]
    return None if finding == "normal" else finding
