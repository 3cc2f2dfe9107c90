"""What does the network say about a frame? Gates, preprocessing, engine; no memory between frames."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.base import Engine
from engines.errors import EngineError
from rcdnet.glance import Floats, judge_batch
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

    def analyse(self, frames: Sequence[tuple[Frame, ScanArea]]) -> list[Prediction | NotAnalysed]:
        """Judge the scan areas of frames, in one or two calls of the engine, each timed as stage "engine".

        A fault of the engine comes back as NotAnalysed, it does not raise. One that meets several frames is looked for
        frame by frame, so that it costs no more of them than it must.
        """
        refusals = [unfit(frame, area) for frame, area in frames]
        fit = [judged for judged, refusal in zip(frames, refusals, strict=True) if refusal is None]
        predictions = iter(self._judge(fit) if fit else [])
        return [next(predictions) if refusal is None else NotAnalysed(refusal) for refusal in refusals]

    def _judge(self, frames: Sequence[tuple[Frame, ScanArea]]) -> list[Prediction | NotAnalysed]:
        try:
            greys = [to_grey(frame.rgb) for frame, _ in frames]
            boxes = [Box(*area.sides) for _, area in frames]
            judgements = judge_batch(greys, self._engine.spec, self._run, boxes)
            return [Prediction(judgement.probabilities, judgement.class_maps) for judgement in judgements]
        except (EngineError, RuntimeError, ValueError, ArithmeticError, MemoryError, cv2.error) as error:
            # every runtime fails with its own kind of these; a frame must never end the live view
            if len(frames) > 1:
                return [self._judge([each])[0] for each in frames]
            return [NotAnalysed(f"{self._engine.info.name} failed: {first_line(error)}", failed=True)]

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
        return f"scan area {','.join(map(str, area.sides))} leaves the {width}x{height} picture"
    if min(area.width_px, area.height_px) < SMALLEST_SIDE_PX:
        return f"scan area of {area.width_px}x{area.height_px} px is too small: {SMALLEST_SIDE_PX} px is the least"
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
