from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.layers import GPU_CLOCK, HOST_CLOCK, Row, gpu_durations_ns, judging_over_engine, measure_layers
from engines.fake import FakeEngine
from stream.scan_area import full_frame
from stream.timing import Summary
from stream.types import Frame


@pytest.fixture
def frame() -> Frame:
    rgb = np.random.default_rng(5).integers(0, 255, (240, 320, 3), np.uint8)
    return Frame(0, 0, 0.0, rgb, "noise")


def test_every_batch_gets_a_row_for_the_engine_and_one_with_what_stands_around_it(frame: Frame) -> None:
    with FakeEngine() as engine:
        rows = measure_layers(engine, frame, full_frame(frame), 0.0, (1, 3))
    assert [(row.layer, row.batch) for row in rows if row.clock == HOST_CLOCK] == [
        ("engine", 1),
        ("engine + pre/post", 1),
        ("engine", 3),
        ("engine + pre/post", 3),
    ]


def test_a_batch_of_pictures_reaches_the_engine_as_one(frame: Frame) -> None:
    sizes = []

    class Counting(FakeEngine):
        def run(self, images):
            sizes.append(len(images))
            return super().run(images)

    with Counting() as engine:
        measure_layers(engine, frame, full_frame(frame), 0.0, (4,))
    assert set(sizes) == {4}


def test_jitter_is_p99_less_the_median_and_the_rate_counts_pictures_not_calls() -> None:
    told = Row("engine", 4, Summary(100, 8.0, 9.0, 11.0, 12.0)).to_json()
    assert told["jitter_ms"] == 3.0
    assert told["pictures_per_s"] == 500.0
    assert told["clock"] == HOST_CLOCK


def test_a_latency_is_no_rate_where_pictures_overlap() -> None:
    assert Row("pipeline", 1, Summary(100, 8.0, 9.0, 11.0, 12.0)).to_json()["pictures_per_s"] is None


def test_one_call_has_no_jitter_rather_than_none_of_it() -> None:
    assert Row("to paint", 1, Summary(1, 8.0, 8.0, 8.0, 8.0)).jitter_ms is None


def test_what_was_not_measured_says_why_and_has_no_number() -> None:
    told = Row("to paint", 1, None, reason="no browser").to_json()
    assert (told["times_ms"], told["jitter_ms"], told["pictures_per_s"]) == (None, None, None)
    assert told["reason"] == "no browser"


def test_a_judgement_is_compared_with_one_call_at_batch_1_and_on_one_clock() -> None:
    rows = [
        Row(layer, batch, Summary(9, ms, ms, ms, ms), clock)
        for layer, batch, ms, clock in (
            ("engine", 1, 4.0, HOST_CLOCK),
            ("engine", 1, 1.0, GPU_CLOCK),
            ("engine + pre/post", 1, 10.0, HOST_CLOCK),
            ("engine", 2, 7.0, HOST_CLOCK),
            ("engine + pre/post", 2, 30.0, HOST_CLOCK),
        )
    ]
    assert judging_over_engine(FakeEngine().info, rows).value == 2.5


def test_without_both_rows_there_is_no_ratio_but_a_reason() -> None:
    ratio = judging_over_engine(FakeEngine().info, [])
    assert ratio.value is None
    assert ratio.reason


class Replayed(FakeEngine):
    """One that replays two CUDA graphs in each call, of 1.5 and 0.25 ms by the GPU's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.replays = [SimpleNamespace(timings=None), SimpleNamespace(timings=None)]

    def run(self, images):
        for replay, ms in zip(self.replays, (1.5, 0.25), strict=True):
            if replay.timings is not None:
                replay.timings.append((SimpleNamespace(elapsed_time=lambda end, ms=ms: ms), None))
        return super().run(images)


def test_the_gpu_clock_needs_an_engine_that_replays_graphs() -> None:
    assert gpu_durations_ns(FakeEngine(), lambda: None, 3) == []


def test_the_gpu_clock_adds_up_the_graphs_of_a_call_and_is_put_away(frame: Frame) -> None:
    engine = Replayed()
    rows = measure_layers(engine, frame, full_frame(frame), 0.0, (1,))
    (by_gpu,) = [row for row in rows if row.clock == GPU_CLOCK]
    assert by_gpu.times is not None
    assert (by_gpu.layer, by_gpu.times.p50_ms, by_gpu.times.max_ms) == ("engine", 1.75, 1.75)
    assert all(replay.timings is None for replay in engine.replays)
