"""What does the network say about one frame? Gates, preprocessing, engine; no memory between frames."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.base import Engine
from engines.errors import EngineError
from rcdnet.glance import Floats, judge
from rcdnet.preprocess import Box, to_grey
from stream.timing import StageClock
from stream.types import Frame, NotAnalysed, Prediction, ScanArea

SMALLEST_SIDE_PX = 32
"""A scan area with a shorter side holds fewer pixels than the network's class maps have cells to fill."""


class Analyzer:
    """Judges frames with one engine; belongs to the thread that owns the engine."""

    def __init__(self, engine: Engine, stages: StageClock | None = None) -> None:
        self._engine = engine
        self._stages = stages or StageClock()

    def analyse(self, frame: Frame, area: ScanArea) -> Prediction | NotAnalysed:
        """Judge the scan area of one frame. A fault of the engine comes back as NotAnalysed, it does not raise.

        Each call of the engine (one or two a frame) is timed as stage "engine".
        """
        refusal = unfit(frame, area)
        if refusal is not None:
            return NotAnalysed(refusal)
        try:
            grey = to_grey(frame.rgb)
            box = Box(area.x_px, area.y_px, area.width_px, area.height_px)
            judgement = judge(grey, self._engine.spec, self._run, box)
            return Prediction(judgement.probabilities, judgement.class_maps)
        except (EngineError, RuntimeError, ValueError, ArithmeticError, MemoryError, cv2.error) as error:
            # every runtime fails with its own kind of these; a frame must never end the live view
            return NotAnalysed(f"{self._engine.info.name} failed: {first_line(error)}", failed=True)

    def _run(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        with self._stages.measure("engine"):
            output = self._engine.run(images)
        if not np.isfinite(output.logits).all():
            raise EngineError("it gave numbers that are not finite")
        return output.logits, output.class_maps


def unfit(frame: Frame, area: ScanArea) -> str | None:
    """Why this scan area of this frame must not be judged, or None if it may."""
    height, width = frame.rgb.shape[:2]
    if area.x_px + area.width_px > width or area.y_px + area.height_px > height:
        corner = f"{area.x_px},{area.y_px},{area.width_px},{area.height_px}"
        return f"scan area {corner} leaves the {width}x{height} picture"
    if min(area.width_px, area.height_px) < SMALLEST_SIDE_PX:
        return f"scan area of {area.width_px}x{area.height_px} px is too small: {SMALLEST_SIDE_PX} px is the least"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
