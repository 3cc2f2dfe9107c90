"""What does each layer around the network add? The engine alone, with what stands before and after it, the pipeline.

One row for each, with its batch size. The pipeline's own row comes from ``benchmarks.workload``, the row on a real
screen from ``benchmarks.paint``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.ratios import Ratio, interleave
from engines.base import Engine, EngineInfo
from rcdnet import glance
from rcdnet.preprocess import Grey, prepare, to_grey
from stream.attention import attention
from stream.timing import Summary, summarise
from stream.types import Frame, ScanArea

BATCHES = (1, 2, 4, 8)
"""Live takes one frame at a time, replay as many as the engine asks for (``EngineInfo.batch``)."""

HOST_CLOCK = "monotonic"
GPU_CLOCK = "cuda events"


@dataclass(frozen=True)
class Row:
    """Times of one layer, per call: ``batch`` pictures each. ``times`` is None where ``reason`` says why.

    ``layer`` is "engine", "engine + pre/post", "pipeline" or "to paint". ``jitter_ms`` is p99 - p50: what a viewer
    feels of it. ``clock`` is HOST_CLOCK, or GPU_CLOCK for the GPU's part of as many calls (``gpu_durations_ns``).
    """

    layer: str
    batch: int
    times: Summary | None
    clock: str = HOST_CLOCK
    reason: str = ""

    @property
    def jitter_ms(self) -> float | None:
        """p99 - p50 in milliseconds, or None from fewer than two times."""
        return None if self.times is None or self.times.count < 2 else self.times.p99_ms - self.times.p50_ms

    def to_json(self) -> dict[str, Any]:
        """With ``jitter_ms``, and ``pictures_per_s`` by the median of calls that follow one another; None for the road
        from capture on, where the next picture is under way before one is done.
        """
        times = None if self.times is None else vars(self.times)
        one_by_one = self.times is not None and self.layer.startswith("engine")
        rate = 1000 * self.batch / self.times.p50_ms if self.times is not None and one_by_one else None
        return {
            "layer": self.layer,
            "batch": self.batch,
            "clock": self.clock,
            "times_ms": times,
            "jitter_ms": self.jitter_ms,
            "pictures_per_s": rate,
            "reason": self.reason,
        }


def measure_layers(
    engine: Engine, frame: Frame, area: ScanArea, seconds: float, batches: Sequence[int] = BATCHES
) -> tuple[Row, ...]:
    """The engine alone and with pre- and postprocessing, in turns, ``seconds`` over all ``batches`` together.

    What the GPU does for the engine alone is also timed by its own clock. Raises EngineError as the engine does.
    """
    rows: list[Row] = []
    for batch in batches:
        alone, judging = engine_call(engine, frame, area, batch), judging_call(engine, frame, area, batch)
        durations = interleave({"engine": alone, "engine + pre/post": judging}, seconds / len(batches))
        rows += [Row(layer, batch, summarise(ns)) for layer, ns in durations.items()]
        by_gpu = gpu_durations_ns(engine, alone, len(durations["engine"]))
        if by_gpu:
            rows.append(Row("engine", batch, summarise(by_gpu), GPU_CLOCK))
    return tuple(rows)


def engine_call(engine: Engine, frame: Frame, area: ScanArea, batch: int) -> Callable[[], object]:
    """One call of the network on ``batch`` prepared pictures."""
    prepared, _ = prepare(to_grey(frame.rgb), engine.spec, area)
    images = np.stack([prepared] * batch)
    return lambda: engine.run(images)


def judging_call(engine: Engine, frame: Frame, area: ScanArea, batch: int) -> Callable[[], object]:
    """From ``batch`` RGB pictures to probabilities and heat maps over their scan areas: with the second look, if the
    weights ask for it, two calls of the network."""

    def run(images: Grey) -> tuple[glance.Floats, glance.Floats]:
        output = engine.run(images)
        return output.logits, output.class_maps

    def call() -> list[glance.Floats]:
        greys = [to_grey(frame.rgb) for _ in range(batch)]
        judged = glance.judge_batch(greys, engine.spec, run, [area] * batch)
        names = [engine.spec.class_names[int(each.probabilities.argmax())] for each in judged]
        return [attention(each.class_maps, name, area, engine.spec) for each, name in zip(judged, names, strict=True)]

    return call


def gpu_durations_ns(engine: Engine, call: Callable[[], object], count: int) -> list[int]:
    """``count`` calls of ``engine`` by the GPU's clock, or nothing from an engine that replays no CUDA graph.

    From an event before each replay of a graph to one after it, on the graph's stream, added up over a call: the copies
    to the GPU and back, the network's kernels, the gaps between them, and the wait for the launch of an idle GPU.
    Launching and what the host does before and after are in the row of its own clock alone.
    """
    replays = getattr(engine, "replays", ())  # engines.replay.Replay, which brings PyTorch: not named here
    durations = []
    for _ in range(count if replays else 0):
        for replay in replays:
            replay.timings = []
        call()
        events = [pair for replay in replays for pair in replay.timings]
        durations.append(round(1e6 * sum(start.elapsed_time(end) for start, end in events)))
    for replay in replays:
        replay.timings = None
    return durations


def judging_over_engine(info: EngineInfo, rows: Sequence[Row]) -> Ratio:
    """How many calls of the network a whole judgement lasts, at batch 1; by medians, timed in turns."""
    sides = {row.layer: row.times for row in rows if row.batch == 1 and row.clock == HOST_CLOCK and row.times}
    if not {"engine", "engine + pre/post"} <= sides.keys():
        return Ratio(None, "the engine was not measured alone and with pre- and postprocessing")
    engine, judging = sides["engine"], sides["engine + pre/post"]
    calls = {
        name: {"count": times.count, "median_ms": times.p50_ms}
        for name, times in (("judging", judging), ("engine", engine))
    }
    return Ratio(judging.p50_ms / engine.p50_ms, "", "medians", info.name, info.precision, calls)
