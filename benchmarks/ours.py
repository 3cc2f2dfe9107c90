"""Our pipeline as ``benchmarks.peers`` measures it beside the others."""

import time
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_meter import CAMERA_FPS, Clip, Meter, Trial, camera
from benchmarks.peer_models import with_looks
from engines.base import Engine, EngineOutput
from engines.catalog import open_engine
from engines.errors import EngineError
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sources import open_source
from stream.sources.base import Source
from stream.types import Frame, View


class Camera(Source):
    """The camera that the others get, as a source."""

    name, live, synthetic, fps = "camera", True, True, float(CAMERA_FPS)

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self._clip = clip

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        start_ns = time.perf_counter_ns()
        for index, (due_ns, bgr) in enumerate(camera(self._clip, self._closed)):
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(index, due_ns, (due_ns - start_ns) / 1e9, rgb, self.name)


class WithLooks(Engine):
    """An engine with another number of looks in its spec."""

    def __init__(self, engine: Engine, looks: int) -> None:
        self._engine = engine
        self.info, self.spec = engine.info, with_looks(engine.spec, looks)

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        return self._engine.run(images)


def our_pipeline(trial: Trial, live: bool, meter: Meter) -> None:
    """Run with the engine that is chosen by itself, until the meter has ended. The slow consumer holds up the drawing
    thread. Raises what ended the pipeline, and EngineError if a frame was not judged.
    """

    def show(view: View) -> None:
        if not view.repeated:
            meter.deliver(view.frame.captured_ns, view.picture)

    source = Camera(trial.clip) if live else open_source(trial.clip.path, live=False, loop=True)
    config = StreamConfig(scan_area=",".join(map(str, trial.clip.scan_px)))
    with (
        open_engine("auto") as engine,
        Pipeline(source, WithLooks(engine, trial.looks), config, on_view=show) as pipeline,
    ):
        while not meter.ended.wait(0.1) and not pipeline.wait(0):
            pass
    if pipeline.error is not None:
        raise pipeline.error
    counts = pipeline.status().counts
    if counts.not_analysed or counts.failed:  # these take less time, which would make ours look faster
        raise EngineError(f"frames were not judged: {counts.not_analysed | counts.failed}. Expected a clip of scans.")
