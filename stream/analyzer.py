"""What does the network say about a frame? Preprocessing, engine; no memory between frames."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.base import Engine
from engines.errors import FAULTS, EngineError, one_line
from rcdnet.glance import Floats, judge_batch
from rcdnet.preprocess import to_grey
from stream.timing import StageClock
from stream.types import Frame, NotAnalysed, Prediction, ScanArea


class Analyzer:
    """Judges frames with one engine; belongs to the thread that owns the engine."""

    def __init__(self, engine: Engine, stages: StageClock | None = None) -> None:
        self._engine = engine
        self._stages = stages or StageClock()

    def analyse(self, frames: Sequence[tuple[Frame, ScanArea]]) -> list[Prediction | NotAnalysed]:
        """Judge the scan areas of frames, which lie in them, in one or two calls of the engine, each timed as "engine".

        A fault of the engine is returned as NotAnalysed, not raised. If several frames fail together they are tried one
        by one, so that no more are lost than must be.
        """
        if not frames:
            return []
        try:
            greys = [to_grey(frame.rgb) for frame, _ in frames]
            boxes = [area for _, area in frames]
            judgements = judge_batch(greys, self._engine.spec, self._run, boxes)
            return [Prediction(judgement.probabilities, judgement.class_maps) for judgement in judgements]
        except (EngineError, *FAULTS, cv2.error) as error:  # a frame must never end the live view
            if len(frames) > 1:
                return [self.analyse([each])[0] for each in frames]
            return [NotAnalysed(f"{self._engine.info.name} failed: {one_line(error)}", failed=True)]

    def _run(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        with self._stages.measure("engine"):
            output = self._engine.run(images)
        return output.logits, output.class_maps
