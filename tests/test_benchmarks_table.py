import json
import re
from pathlib import Path

import pytest

from benchmarks.compare import HIGHER_IS_BETTER
from benchmarks.layers import Row
from benchmarks.machine import machine
from benchmarks.table import RESULTS, page
from stream.errors import UsageError
from stream.timing import Summary

SETTINGS = {"looks": 1, "camera_fps": 30, "consumer_takes_s": 0.05}
PEER = {
    "name": "ours", "setting": "best", "frames_per_s": 71.3, "cpu_s_per_frame": 0.0271, "rss_mb": 320.0,
    "age_ms": {"p50": 20.4, "p95": 31.6, "max": 40.0, "growth": 0.04},
}  # fmt: skip


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


ENGINE = Row("engine", 1, Summary(9, 4.68, 5, 5.5, 6)).to_json()
TO_PAINT = Row("to paint", 1, None, reason="none").to_json()


def runs(layers: list[dict[str, object]]) -> dict[str, object]:
    return {
        "info": {"precision": "bf16", "device": "chip"},
        "replay_720p": {"fps": 59.13, "cpu_ms_per_frame": 30.8},
        "live": {"fps": 44.87},
        "peak_rss_mb": 529.5,
        "layers": layers,
    }


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
    rows = [ENGINE, Row("engine", 4, Summary(9, 7.25, 8, 9.5, 10)).to_json(), TO_PAINT]
    engines = {"a": runs(rows), "b": {"not_measured": "no | such\nthing"}}
    conditions = {"during": {"foreign_cores_busy": 0.25}}
    ratios = {"class_maps_cost": 0.0123, "judging_over_engine": None, "eager_gradcam_over_best_cpu": 9.66}
    gpu = {"name": "RTX", "capability": "8.6", "driver": "580.65.06"}
    write(
        tmp_path, "latency-here-gpu.json", engines={}, ratios={}, best_cpu_engine=None, machine=machine() | {"gpu": gpu}
    )
    today = {"engines": engines, "ratios": ratios, "best_cpu_engine": "a", "conditions": conditions}
    write(tmp_path, "latency-here-today.json", **today)
    text = page(tmp_path)
    for expected in (
        "## latency-here-today",
        "`python -m x`",
        machine()["cpu"],
        "RTX, driver 580.65.06",
        "during: 0.25 cores busy with other work",
        "| a | bf16, chip | 59.1 | 44.9 | 30.8 | 530 |",
        "| a | engine | 4 | 7.25 | 9.50 | 2.25 | 9 | monotonic |",
        "| a | to paint, not measured: none | 1 |",
        "| b | not measured: no / such thing |",
        "- class_maps_cost: 0.0123",
        "- judging_over_engine: not measured",
    ):
        assert expected in text


def test_peers_are_told_with_their_ages_or_why_there_are_none(tmp_path: Path) -> None:
    gone = {"name": "roboflow_inference", "setting": "default", "error": "no network"}
    write(tmp_path, "peers-here-today.json", results=[PEER, gone], settings=SETTINGS)
    text = page(tmp_path)
    assert "judge each frame once, although the weights ask for two looks." in text
    assert "with a camera of\n30 fps and a consumer that takes 50 ms a picture;" in text
    assert "| ours | best | 71.3 | 0.0271 | 20 / 32 / 40 | 0.0 | 320 |" in text
    assert "| roboflow_inference | default | not measured: no network |" in text


def test_steadiness_is_told_beside_the_truth_where_that_is_known(tmp_path: Path) -> None:
    write(tmp_path, "stability-here.json", stability=[{"source": "clip.mp4", "rows": [STEADY, STEADY | UNKNOWN]}])
    text = page(tmp_path)
    assert "| clip.mp4 | 0.4 | 82% | 20 (20) | 44 | 1.5 | 1 of 20 | 0.57 | -0.03 | 3.4% |" in text
    assert "| clip.mp4 | 0.4 | 82% | 20 | 44 | 1.5 | | | | |" in text
    assert "not how well the network finds lesions" in text
    assert "a benign lesion that is called\n  malignant does not count" in text
    assert "Both are medians over the lesions" in text


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json"):
        page(tmp_path)


def test_every_table_has_as_many_cells_in_each_row(tmp_path: Path) -> None:
    engines = {"a": runs([ENGINE, TO_PAINT]), "b": {"not_measured": "no"}}
    write(tmp_path, "latency.json", engines=engines, ratios={"eager_gradcam_over_best_cpu": None}, best_cpu_engine="a")
    write(tmp_path, "peers.json", results=[{"name": "x", "setting": "best", "error": "no"}], settings=SETTINGS)
    write(tmp_path, "stability.json", stability=[{"source": "x", "rows": [STEADY, STEADY | UNKNOWN]}])
    tables = re.findall(r"(?:^\|.*\n)+", page(tmp_path), re.MULTILINE)
    columns = [{line.count("|") - 1 for line in table.splitlines()} for table in tables]
    assert columns == [{4}, {6}, {8}, {7}, {10}]


def test_a_long_run_is_told_with_its_losses_and_its_drift(tmp_path: Path) -> None:
    first = SAMPLE | {"at_s": 0.0, "captured": 10, "lost": 0, "drawn_ms": None}
    write(tmp_path, "soak-here-today.json", soak=[first, SAMPLE], drift=DRIFT)
    text = page(tmp_path)
    assert "| 0.00 | 29.9 | 10 | 0 |  |  |  |  | 449 | 10 | 21 | 812 |" in text
    assert "| 10.00 | 29.9 | 17990 | 8 | 30 | 45 | 60 |  | 449 | 10 | 21 | 812 |" in text
    assert (
        "in 8.0 minutes: memory +0.4 MB, files +0, threads -1; from the first third to the last, lost 0.00% to 0.10%, "
        in text
    )
    assert "p95 to drawn 44 ms to none." in text
    assert "Frames count from the row above" in text


def test_what_is_fast_on_what_machine_and_how_to_repeat_it_stands_first(tmp_path: Path) -> None:
    ratios = {"eager_gradcam_over_best_cpu": 9.66}
    write(tmp_path, "latency-here.json", engines={"a": runs([ENGINE])}, ratios=ratios, best_cpu_engine="a")
    write(
        tmp_path,
        "peers-here.json",
        results=[PEER, PEER | {"setting": "default", "frames_per_s": 60.0}],
        settings=SETTINGS,
    )
    write(tmp_path, "soak-here.json", soak=[SAMPLE], drift=DRIFT)
    rows = [STEADY, STEADY | {"smoothing_s": 0.001, "changes_per_min": 27.0, "delay_s": 0.02}]
    write(tmp_path, "stability-here.json", stability=[{"source": "phantom", "rows": rows}])
    overview = page(tmp_path).partition("## ")[0]
    where, again = f"{machine()['cpu']}, {machine()['cores_usable']} cores", "`python -m x`"
    fast = "`a`: replay 59.1 fps in 530 MB, a call of the network 4.68 ms, 9.66 times as fast as eager PyTorch"
    for name, told in (
        ("latency-here", fast),
        ("peers-here", "frames a second, each judged once: ours 71.3 |"),
        ("soak-here", "Once settled, in 8.0 minutes: memory +0.4 MB"),
        (
            "stability-here",
            "smoothed over 0.4 s, the finding changes 20 times a minute (nearly unsmoothed: 27), 0.57 s",
        ),
    ):
        (row,) = [line for line in overview.splitlines() if line.startswith(f"| [{name}](#{name}) | {where} | {told}")]
        assert row.endswith(f" | {again} |")
