import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.latency import best_cpu_engine
from benchmarks.latency_report import Report, show
from benchmarks.machine import machine
from benchmarks.turns import Ratio
from benchmarks.workload import EngineRuns, PipelineRun
from engines import nvidia
from engines.base import EngineInfo
from stream.timing import Counts, Summary


def runs(name: str, call_ms: float, torch_imported: bool = False) -> EngineRuns:
    """What an engine whose call takes ``call_ms`` could have measured."""

    def run(live: bool) -> PipelineRun:
        stages = {"source": Summary(50, 2, 2, 2, 2), "engine": Summary(100, call_ms, call_ms, call_ms, call_ms)}
        end_to_end = Summary(50, 21, 22, 23, 24)
        counts = Counts(57, 50, dropped={"overwritten": 7} if live else {})
        return PipelineRun("clip.mp4", live, 61.5, 50, 18.0, end_to_end, stages, counts, 0, 444.0)

    info = EngineInfo(name, "f32", "processor", "Runtime 1.0", "0" * 64)
    return EngineRuns(info, run(live=True), run(live=False), 312.0, torch_imported)


@pytest.fixture
def report() -> Report:
    calls = {name: {"count": 9, "median_ms": ms, "min_ms": ms} for name, ms in (("eager_gradcam", 80.0), ("ours", 4.0))}
    return Report(
        source=None,
        seconds=10.0,
        machine=machine(),
        engines={"openvino_cpu": runs("openvino_cpu", 4.0), "torch_reference": "timm is not installed"},
        best="openvino_cpu",
        ratios={
            "eager_gradcam_over_best_cpu": Ratio(20.0, "", "medians", "openvino_cpu", "f32", calls),
            "class_maps_cost": Ratio(None, "OpenVINO is not here"),
        },
    )


def test_the_json_answers_what_is_claimed(report: Report) -> None:
    told = json.loads(json.dumps(report.to_json()))
    assert told["ratios"] == {"eager_gradcam_over_best_cpu": 20.0, "class_maps_cost": None}
    assert told["ratio_details"]["class_maps_cost"]["reason"] == "OpenVINO is not here"
    assert told["replay_720p"]["fps"] == 61.5
    assert told["base_path"] == {"engine": "openvino_cpu", "peak_rss_mb": 312.0, "torch_imported": False}
    assert told["engines"]["torch_reference"] == {"not_measured": "timm is not installed"}
    assert told["engines"]["openvino_cpu"]["live"]["counts"]["dropped"] == {"overwritten": 7}
    assert told["engines"]["openvino_cpu"]["info"]["built_for"] == "Runtime 1.0"
    assert told["machine"]["cpu"]
    assert told["machine"]["packages"]["numpy"]


def test_the_tables_show_percentiles_losses_and_what_is_missing(report: Report) -> None:
    page = StringIO()
    show(report, Console(file=page, width=140))
    text = page.getvalue()
    for expected in ("capture to JPEG", "21.00", "24.00", "61.5 fps", "7 overwritten", "312 MB without torch"):
        assert expected in text
    assert "torch_reference: not measured. timm is not installed" in text
    assert "class_maps_cost: not measured: OpenVINO is not here" in text


@pytest.mark.parametrize(("busy", "told"), [(1.5, True), (0.2, False), (None, False)])
def test_what_other_work_did_to_the_machine_stands_below_the_ratios(
    report: Report, busy: float | None, told: bool
) -> None:
    page = StringIO()
    show(replace(report, conditions={"during": {"foreign_cores_busy": busy}}), Console(file=page, width=140))
    assert ("\n1.5 cores were busy with other work." in page.getvalue().partition("class_maps_cost")[2]) is told


def test_a_gpu_is_told_with_its_driver(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "gpu", lambda: nvidia.Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06"))
    told = machine()
    assert told["gpu"] == {"name": "NVIDIA GeForce RTX 3090", "capability": "8.6", "driver": "580.65.06"}
    page = StringIO()
    show(replace(report, machine=told), Console(file=page, width=140))
    assert "NVIDIA GeForce RTX 3090, driver 580.65.06\n" in page.getvalue()


def test_the_best_engine_is_the_one_with_the_fastest_call() -> None:
    engines = {"torch_reference": runs("torch_reference", 3.0), "openvino_cpu": runs("openvino_cpu", 4.0)}
    assert best_cpu_engine(engines) == engines["torch_reference"]


def test_an_engine_that_takes_several_pictures_in_a_call_of_replay_is_not_slower_for_it() -> None:
    batched = replace(runs("openvino_cpu", 4.0), replay_720p=runs("openvino_cpu", 32.0).replay_720p)
    assert best_cpu_engine({"openvino_cpu": batched, "onnx_cpu": runs("onnx_cpu", 5.0)}) == batched


def test_an_engine_that_computes_nothing_is_never_the_best() -> None:
    assert best_cpu_engine({"fake": runs("fake", 0.001), "openvino_cpu": "not here"}) is None
