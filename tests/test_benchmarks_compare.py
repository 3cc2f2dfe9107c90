import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.compare import app, parse_tolerance
from stream.errors import UsageError

RATIOS = {"eager_gradcam_over_best_cpu": 20.0, "class_maps_cost": 0.02, "judging_over_engine": 2.5}


def compare(folder: Path, old: dict[str, float | None], new: dict[str, float | None], *arguments: str) -> Result:
    paths = folder / "old.json", folder / "new.json"
    for path, ratios, call_ms in zip(paths, (old, new), (4.0, 400.0), strict=True):
        path.write_text(json.dumps({"machine": {"cpu": "same"}, "ratios": ratios, "engine_ms": call_ms}))
    return CliRunner().invoke(app, [*map(str, paths), *arguments])


def test_the_same_ratios_pass_however_slow_the_machine_was(tmp_path: Path) -> None:
    result = compare(tmp_path, RATIOS, RATIOS)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "eager_gradcam_over_best_cpu: 20 -> 20, +0.0% towards worse: ok"


@pytest.mark.parametrize(
    ("name", "value"),
    [("eager_gradcam_over_best_cpu", 17.9), ("class_maps_cost", 0.13), ("judging_over_engine", 2.8)],
)
def test_a_ratio_that_is_worse_by_more_than_a_tenth_ends_with_1(tmp_path: Path, name: str, value: float) -> None:
    result = compare(tmp_path, RATIOS, RATIOS | {name: value})
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines() if "WORSE" in line] == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("eager_gradcam_over_best_cpu", 40.0), ("class_maps_cost", -0.3), ("judging_over_engine", 1.0)],
)
def test_better_by_any_amount_passes(tmp_path: Path, name: str, value: float) -> None:
    assert compare(tmp_path, RATIOS, RATIOS | {name: value}).exit_code == 0


def test_the_tolerance_is_the_users(tmp_path: Path) -> None:
    slower = RATIOS | {"judging_over_engine": 2.8}
    assert compare(tmp_path, RATIOS, slower, "--tolerance", "15%").exit_code == 0
    assert compare(tmp_path, RATIOS, slower, "--tolerance", "0.05").exit_code == 1


def test_a_ratio_that_is_not_measured_any_more_is_a_regression(tmp_path: Path) -> None:
    assert compare(tmp_path, RATIOS, RATIOS | {"class_maps_cost": None}).exit_code == 1


def test_a_ratio_that_is_new_cannot_be_worse(tmp_path: Path) -> None:
    assert compare(tmp_path, {"class_maps_cost": 0.02}, RATIOS).exit_code == 0


def test_nothing_to_compare_is_wrong_use_not_a_pass(tmp_path: Path) -> None:
    assert compare(tmp_path, {"class_maps_cost": None}, RATIOS).exit_code == 2


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"results": []}'])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    result = CliRunner().invoke(app, [str(path), str(path)])
    assert result.exit_code == 2
    assert "other.json" in result.stderr


@pytest.mark.parametrize("text", ["much", "-5%", "nan", "inf", ""])
def test_a_tolerance_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="10%"):
        parse_tolerance(text)


@pytest.mark.parametrize(("busy", "told"), [(1.5, True), (0.05, False)])
def test_a_run_that_shared_the_machine_is_told(tmp_path: Path, busy: float, told: bool) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"conditions": {"during": {"foreign_cores_busy": busy}}, "ratios": RATIOS}))
    result = CliRunner().invoke(app, [str(path), str(path)])
    assert ("the new run: 1.5 cores were busy with other work" in result.stderr) == told


@pytest.mark.parametrize(
    ("machine", "engine", "told"),
    [
        ({"gpu": {"name": "A", "driver": "1"}}, "x", ["another machine: gpu was A, is B"]),
        ({"gpu": {"name": "B", "driver": "2"}}, "y", ["another engine: class_maps_cost was with y (f32), now x (f32)"]),
        ({"gpu": {"name": "B", "driver": "2"}}, "x", []),
    ],
    ids=["gpu", "engine", "neither"],
)
def test_another_gpu_and_another_engine_are_told(
    tmp_path: Path, machine: dict[str, object], engine: str, told: list[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    for path, of_machine, of_engine in ((old, machine, engine), (new, {"gpu": {"name": "B", "driver": "1"}}, "x")):
        details = {"class_maps_cost": {"engine": of_engine, "precision": "f32"}}
        path.write_text(json.dumps({"machine": of_machine, "ratios": RATIOS, "ratio_details": details}))
    assert CliRunner().invoke(app, [str(old), str(new)]).stderr.splitlines() == told
