"""The measurement of one engine: a video through the real pipeline, up to the JPEG that a viewer would get.

It must run in a process of its own, as ``benchmarks.latency`` does: then the memory is that of this engine alone, and
``torch_imported`` shows whether it runs without PyTorch.
"""

import math
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from benchmarks import conditions
from benchmarks.layers import Row, measure_layers
from benchmarks.processes import cpu_s, family, peak_rss_mb
from engines.base import Engine, EngineInfo
from engines.catalog import open_engine
from rcdnet.weights import SHIPPED
from stream.__main__ import raise_failures
from stream.config import StreamConfig
from stream.errors import SourceError
from stream.pipeline import Pipeline
from stream.scan_area import parse_scan_area
from stream.sources import Source, open_source
from stream.timing import Counts, Percentiles, Summary
from stream.types import View
from stream.web.viewer import encode

WARM_UP_S = 1.0
"""An unmeasured run of this length comes before the measurement, because first calls allocate, compile and fill
caches."""

CLIP = "phantom:?size=1280x720&fps=60&seed=1&frames=240"
"""Four seconds that are played in a loop: tissue, then a lesion that appears and stays."""


@dataclass(frozen=True)
class Workload:
    """What all engines get: a ``clip`` to replay, of which ``scan_area`` (as for --scan-area) is judged, and a live
    ``source``, or None for the looped clip. Each run takes ``seconds``; the network is that of a folder of
    ``weights``."""

    clip: Path
    scan_area: str
    source: str | None
    seconds: float
    weights: Path = SHIPPED

    @property
    def live_uri(self) -> str:
        """The source of the live runs."""
        return self.source or str(self.clip)

    @property
    def live_config(self) -> StreamConfig:
        """Their settings: where the scan lies is known for the clip alone."""
        return StreamConfig(scan_area=self.scan_area if self.source is None else None)


@dataclass(frozen=True)
class PipelineRun:
    """One run of the pipeline, from capture to JPEG, without the warm-up. Only judged frames count.

    - ``fps``, ``frames``: encoded pictures per second, and in all.
    - ``end_to_end_ms``: from the moment a frame was dequeued to its annotated JPEG. In a replay that includes the
      waiting in full queues.
    - ``stages_ms``: by stage, over the last ``stream.timing.WINDOW_S``. ``engine`` is one call of the network; a frame
      needs one or two. ``source`` is decoding, in a live run with the wait for the next frame.
    - ``cpu_ms_per_frame``: processor time over all cores, with the process that decodes.
    - ``peak_rss_mb``: the most memory so far (10^6 bytes), with the process that decodes.
    """

    source: str
    live: bool
    fps: float
    frames: int
    cpu_ms_per_frame: float
    end_to_end_ms: Summary
    stages_ms: dict[str, Summary]
    counts: Counts
    not_drawn: int
    peak_rss_mb: float


@dataclass(frozen=True)
class EngineRuns:
    """All that is measured of one engine.

    ``live`` gets frames in real time, and the newest wins; ``replay_720p`` judges every frame of the clip, as fast as
    it can. ``peak_rss_mb`` is the larger of the two. ``layers`` are those of ``benchmarks.layers``, ``clocks`` the
    ``conditions.clocks`` right after them.
    """

    info: EngineInfo
    live: PipelineRun
    replay_720p: PipelineRun
    peak_rss_mb: float
    torch_imported: bool
    layers: tuple[Row, ...] = ()
    clocks: dict[str, Any] = field(default_factory=dict)


def make_clip(path: Path, phantom: str) -> str:
    """Write a phantom to ``path`` as H.264, as a capture box would record it.

    Returns where the scan lies in it, in the syntax of ``--scan-area``: on the phantom's screen a made-up name stands
    beside the scan. Raises SourceError if it cannot be encoded.
    """
    with open_source(phantom, live=False) as source:
        area = source.scan_area
        if area is None:
            raise SourceError(f"{phantom} does not say where its scan lies. Expected a phantom.")
        try:
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=round(source.fps or 30))
                stream.pix_fmt, stream.options = "yuv420p", {"preset": "veryfast", "crf": "20"}
                for frame in source.frames():
                    if frame.index == 0:
                        stream.height, stream.width = frame.rgb.shape[:2]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")))
                container.mux(stream.encode(None))
        except (av.FFmpegError, ValueError) as error:
            raise SourceError(
                f"the benchmark's clip cannot be encoded ({error}). Expected PyAV with libx264."
            ) from error
    return ",".join(str(side) for side in area.sides)


def measure_engine(name: str, work: Workload) -> EngineRuns:
    """Measure one engine: a replay of the clip, a live run and the layers, each for ``work.seconds``.

    Raises what the engine, the source and the settings raise, and EngineError if a frame failed.
    """
    clip_config = StreamConfig(scan_area=work.scan_area)
    with open_engine(name, work.weights, batched=True) as engine:

        def both(run_s: float) -> tuple[PipelineRun, PipelineRun]:
            replay = run(open_source(str(work.clip), live=False, loop=True), engine, clip_config, run_s)
            return replay, run(open_source(work.live_uri, live=True, loop=True), engine, work.live_config, run_s)

        with suppress(SourceError):  # a slow machine may give no picture so soon; any other error comes up again
            both(min(WARM_UP_S, work.seconds))
        replay, live = both(work.seconds)
        with open_source(str(work.clip), live=False) as source:
            frame = next(source.frames())
        return EngineRuns(
            info=engine.info,
            live=live,
            replay_720p=replay,
            peak_rss_mb=max(live.peak_rss_mb, replay.peak_rss_mb),
            torch_imported="torch" in sys.modules,
            layers=measure_layers(engine, frame, parse_scan_area(work.scan_area), work.seconds),
            clocks=conditions.clocks(),
        )


def run(source: Source, engine: Engine, config: StreamConfig, seconds: float) -> PipelineRun:
    """Run a pipeline for ``seconds``, or to the end of its source, and encode every picture as for a viewer.

    Raises the error that ended the pipeline, SourceError if no frame came or none was judged, EngineError if a frame
    failed.
    """
    watch = _Watch(config.jpeg_quality)
    start_s = cpu_s()
    with Pipeline(source, engine, config, on_view=watch) as pipeline:
        pipeline.wait(seconds)
        spent_s, done = cpu_s() - start_s, watch.count  # now: after this, queues are emptied and the decoder ends
        most_mb = sum(map(peak_rss_mb, family()))
    status, end_to_end = pipeline.status(), watch.end_to_end.summary()
    raise_failures(pipeline, status, None)
    if status.counts.captured and not status.counts.analysed:
        refused = next(iter(status.counts.not_analysed), "they came too late")
        raise SourceError(f"{source.name}: none of {status.counts.captured} frames was judged ({refused}).")
    if end_to_end is None or not done:
        raise SourceError(f"{source.name} gave no picture in {seconds:g} s. Expected a running source, or longer time.")
    stages = {"jpeg" if stage == "showing" else stage: times for stage, times in status.stages_ms.items()}
    return PipelineRun(
        source=source.name,
        live=source.live,
        fps=watch.fps(),
        frames=end_to_end.count,
        cpu_ms_per_frame=1000 * spent_s / done,
        end_to_end_ms=end_to_end,
        stages_ms=stages,
        counts=status.counts,
        not_drawn=status.not_drawn,
        peak_rss_mb=most_mb,
    )


class _Watch:
    """Encodes the views, on the drawing thread, and keeps when each was ready."""

    def __init__(self, jpeg_quality: int) -> None:
        self.end_to_end = Percentiles(math.inf)
        self._jpeg_quality = jpeg_quality
        self.count = 0
        self._first_ns = self._last_ns = 0

    def __call__(self, view: View) -> None:
        if view.repeated or not view.assessment.raw.size:  # refused pictures cost no network
            return
        picture = encode(view, self._jpeg_quality)
        self.end_to_end.add(picture.encoded_ns - picture.captured_ns)
        self._first_ns = self._first_ns or picture.encoded_ns
        self._last_ns = picture.encoded_ns
        self.count += 1

    def fps(self) -> float:
        """Pictures per second: the intervals between them over the time from the first to the last; 0 without two."""
        lasted_ns = self._last_ns - self._first_ns
        return (self.count - 1) * 1e9 / lasted_ns if lasted_ns else 0.0
