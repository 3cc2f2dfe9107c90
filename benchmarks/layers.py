"""How much time does each layer around the network add? The engine alone, and with pre- and postprocessing.

There is a row for each layer and batch size. ``benchmarks.latency`` adds one for the whole pipeline, and one up to the
screen of a browser.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.turns import Ratio, interleave
from engines.base import Engine, EngineInfo
from rcdnet import glance
from rcdnet.preprocess import Grey, prepare, to_grey
from stream.attention import attention
from stream.timing import Summary, summarise
from stream.types import Frame, ScanArea

BATCHES = (1, 2, 4, 8)
"""Pictures per call: a live run takes one at a time, a replay as many as the engine asks for (``EngineInfo.batch``)."""

HOST_CLOCK = "monotonic"
GPU_CLOCK = "cuda events"


@dataclass(frozen=True)
class Row:
    """The times of one layer, per call of ``batch`` pictures. ``times`` is None if it was not measured, and ``reason``
    says why.

    ``layer`` is "engine", "engine + pre/post", "pipeline" or "to paint". ``clock`` is HOST_CLOCK, or GPU_CLOCK if only
    the GPU's part of each call was timed (``gpu_durations_ns``).
    """

    layer: str
    batch: int
    times: Summary | None
    clock: str = HOST_CLOCK
    reason: str = ""

    @property
    def jitter_ms(self) -> float | None:
        """p99 - p50 in milliseconds: how unevenly pictures come. None with fewer than two times."""
        return None if self.times is None or self.times.count < 2 else self.times.p99_ms - self.times.p50_ms

    def to_json(self) -> dict[str, Any]:
        """The row as a report holds it, with ``jitter_ms`` and, for an engine, ``pictures_per_s`` by the median time.

        The latter is None for the pipeline: it works on several pictures at a time, so its latency gives no rate.
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
    """Time the engine alone and with pre- and postprocessing, in turns, for ``seconds`` over all ``batches`` together.

    An engine that replays CUDA graphs gets a further row, timed by the GPU's clock. Raises EngineError as the engine
    does.
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
    """A function that calls the network once on ``batch`` prepared pictures."""
    prepared, _ = prepare(to_grey(frame.rgb), engine.spec, area)
    images = np.stack([prepared] * batch)
    return lambda: engine.run(images)


def judging_call(engine: Engine, frame: Frame, area: ScanArea, batch: int) -> Callable[[], object]:
    """A function that judges ``batch`` RGB pictures, up to the heat maps over their scan areas. With a second look, if
    the weights ask for it, that takes two calls of the network."""

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
    """``count`` calls of ``engine``, timed by the GPU's clock; empty for an engine that replays no CUDA graph.

    Events are recorded on the graph's stream before and after each replay; the times between them are summed over a
    call. They include the copies to the GPU and back, the kernels, the gaps between them, and an idle GPU's wait for
    the launch, but not the launch itself or what the host does before and after; the host's clock has these too.
    """
    replays = getattr(engine, "replays", ())  # of engines.replay.Replay, which is not imported, as it needs PyTorch
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
    """How many times as long as one call of the network a whole judgement takes, with one picture; by medians."""
    sides = {row.layer: row.times for row in rows if row.batch == 1 and row.clock == HOST_CLOCK and row.times}
    if not {"engine", "engine + pre/post"} <= sides.keys():
        return Ratio(None, "the engine was not measured alone and with pre- and postprocessing")
    engine, judging = sides["engine"], sides["engine + pre/post"]
    calls = {
        name: {"count": times.count, "median_ms": times.p50_ms}
        for name, times in (("judging", judging), ("engine", engine))
    }
    return Ratio(judging.p50_ms / engine.p50_ms, "", "medians", info.name, info.precision, calls)
