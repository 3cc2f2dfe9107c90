import json
from pathlib import Path

import pytest

from benchmarks.compare import HIGHER_IS_BETTER
from benchmarks.layers import Row
from benchmarks.machine import machine
from benchmarks.table import RESULTS, page
from stream.errors import UsageError
from stream.timing import Summary

SETTINGS = {"looks": 1, "camera_fps": 30, "consumer_takes_s": 0.05}
PEER = {"name": "ours", "setting": "best", "frames_per_s": 71.3, "cpu_s_per_frame": 0.0271, "rss_mb": 320.0}


STEADY = {
    "smoothing_s": 0.4, "called": 0.824, "changes_per_min": 20.4, "headlines_per_min": 43.6, "flickers_per_min": 1.52,
    "true_changes_per_min": 20.0, "lesions": 20, "missed": 1, "delay_s": 0.567, "lingering_s": -0.031, "wrong": 0.0341,
}  # fmt: skip
UNKNOWN = dict.fromkeys(("true_changes_per_min", "lesions", "missed", "delay_s", "lingering_s", "wrong"))


SAMPLE = {
    "at_s": 600.0, "fps": 29.9, "drawn_ms": {"p50": 30.2, "p95": 44.6, "p99": 60.1}, "painted_ms": None,
    "captured": 18000, "analysed": 17992, "lost": 8,
    "memory_mb": 449.2, "files": 10, "threads": 21, "recorded_mb": 812.5,
}  # fmt: skip
DRIFT = {"minutes": 8.0, "memory_mb": 0.4, "files": 0, "threads": -1, "lost": [0.0, 0.001], "p95_ms": [44.4, None]}


def write(folder: Path, name: str, **content: object) -> None:
    (folder / name).write_text(json.dumps({"machine": machine(), "command": "python -m x", **content}))


def test_the_committed_page_is_what_the_committed_files_say() -> None:
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == page(RESULTS)


@pytest.mark.parametrize(
    "name", ["engine", "engine + pre/post", "pipeline", "to paint", "jitter", "clock", *HIGHER_IS_BETTER]
)
def test_the_page_says_what_its_names_mean(name: str, tmp_path: Path) -> None:
    assert f"**{name}**" in page(tmp_path)


def test_layers_and_ratios_are_told_with_the_machine_the_command_and_the_foreign_load(tmp_path: Path) -> None:
    rows = [Row("engine", 4, Summary(9, 7.25, 8, 9.5, 10)).to_json(), Row("to paint", 1, None, reason="none").to_json()]
    engines = {
        "a": {"info": {"precision": "bf16", "device": "chip"}, "layers": rows},
        "b": {"not_measured": "no | such\nthing"},
    }
    conditions = {"during": {"foreign_cores_busy": 0.25}}
    ratios = {"class_maps_cost": 0.0123, "judging_over_engine": None}
    gpu = {"name": "RTX", "capability": "8.6", "driver": "580.65.06"}
    write(tmp_path, "latency-here-gpu.json", engines={}, ratios={}, machine=machine() | {"gpu": gpu})
    write(tmp_path, "latency-here-today.json", engines=engines, ratios=ratios, conditions=conditions)
    text = page(tmp_path)
    for expected in (
        "## latency-here-today",
        "`python -m x`",
        machine()["cpu"],
        "RTX, driver 580.65.06",
        "during: 0.25 cores busy with other work",
        "| a | bf16, chip | engine | 4 | 7.25 | 9.50 | 2.25 | 9 | monotonic |",
        "| a | bf16, chip | to paint: none | 1 |",
        "| b | | not measured: no / such thing |",
        "- class_maps_cost: 0.0123",
        "- judging_over_engine: not measured",
    ):
        assert expected in text


def test_peers_are_told_with_their_ages_or_why_there_are_none(tmp_path: Path) -> None:
    age = {"p50": 20.4, "p95": 31.6, "max": 40.0, "growth": 0.04}
    gone = {"name": "roboflow_inference", "setting": "default", "error": "no network"}
    write(tmp_path, "peers-here-today.json", results=[PEER | {"age_ms": age}, gone], settings=SETTINGS)
    text = page(tmp_path)
    assert "judge each frame once, although the weights ask for two looks." in text
    assert "with a camera of 30\nfps and a consumer that takes 50 ms a picture;" in text
    assert "| ours | best | 71.3 | 0.0271 | 20 / 32 / 40 | 0.0 | 320 |" in text
    assert "| roboflow_inference | default | not measured: no network |" in text


def test_steadiness_is_told_beside_the_truth_where_that_is_known(tmp_path: Path) -> None:
    write(tmp_path, "stability-here.json", stability=[{"source": "clip.mp4", "rows": [STEADY, STEADY | UNKNOWN]}])
    text = page(tmp_path)
    assert "| clip.mp4 | 0.4 | 82% | 20 (20) | 44 | 1.5 | 1 of 20 | 0.57 | -0.03 | 3.4% |" in text
    assert "| clip.mp4 | 0.4 | 82% | 20 | 44 | 1.5 | | | | |" in text
    assert "not how well the network finds lesions" in text
    assert "a benign lesion called malignant\ndoes not count" in text
    assert "Delay and lingering are medians over the lesions" in text


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json"):
        page(tmp_path)


def test_every_table_has_as_many_cells_in_each_row(tmp_path: Path) -> None:
    row = Row("to paint", 1, None, reason="none").to_json()
    engines = {"a": {"info": {"precision": "f32", "device": "chip"}, "layers": [row]}, "b": {"not_measured": "no"}}
    write(tmp_path, "latency.json", engines=engines, ratios={})
    write(tmp_path, "peers.json", results=[{"name": "x", "setting": "best", "error": "no"}], settings=SETTINGS)
    write(tmp_path, "stability.json", stability=[{"source": "x", "rows": [STEADY, STEADY | UNKNOWN]}])
    counts = {line.count("|") for line in page(tmp_path).splitlines() if line.startswith("|")}
    assert counts == {10, 8, 11}


def test_a_long_run_is_told_with_its_losses_and_its_drift(tmp_path: Path) -> None:
    first = SAMPLE | {"at_s": 0.0, "captured": 10, "lost": 0, "drawn_ms": None}
    write(tmp_path, "soak-here-today.json", soak=[first, SAMPLE], drift=DRIFT)
    text = page(tmp_path)
    assert "| 0.00 | 29.9 | 10 | 0 |  |  |  |  | 449 | 10 | 21 | 812 |" in text
    assert "| 10.00 | 29.9 | 17990 | 8 | 30 | 45 | 60 |  | 449 | 10 | 21 | 812 |" in text
    assert (
        "in 8.0 minutes: memory +0.4 MB, files +0, threads -1; from the first third to the last, lost 0.0% to 0.1%, "
        in text
    )
    assert "p95 to drawn 44 ms to none." in text
    assert "Frames count from the row above" in text
