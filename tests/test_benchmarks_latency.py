import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from benchmarks.latency import app, in_fresh_process
from benchmarks.latency_report import Report
from benchmarks.machine import machine
from benchmarks.turns import Ratio
from benchmarks.workload import make_clip
from rcdnet.golden import Golden
from stream.__main__ import INTERRUPTED
from tests.programs import PATIENCE_S, started


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_an_unknown_engine_is_named_with_the_known_ones() -> None:
    result = invoke("--engine", "abacus")
    assert result.exit_code == 2
    assert "abacus" in result.stderr
    assert "openvino_cpu" in result.stderr


def test_a_folder_without_weights_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    result = invoke("--engine", "all", "--weights", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path} is not a folder of weights.")


def test_a_run_that_is_stopped_does_not_pass_for_one_that_found_nothing_worse() -> None:
    with started("-m", "benchmarks.latency", "--engine", "fake", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("making")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "stopped\n"
    assert process.returncode == INTERRUPTED


def test_a_run_that_is_killed_leaves_no_process_behind() -> None:
    with started("-m", "benchmarks.latency", "--engine", "fake", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("measuring"):
            assert process.poll() is None
        while not (measuring := psutil.Process(process.pid).children(recursive=True)):
            assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_S) == INTERRUPTED
        _, alive = psutil.wait_procs(measuring, PATIENCE_S)
    assert not alive


@pytest.fixture(autouse=True)
def small_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.latency.CLIP", "phantom:?size=320x240&fps=30&frames=12")


def test_a_source_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    result = invoke("--engine", "fake", "--source", str(tmp_path / "absent.mp4"), "--seconds", "0.5")
    assert result.exit_code == 3
    assert "absent.mp4" in result.stderr


def test_a_whole_run_writes_its_numbers_and_no_folder(tmp_path: Path) -> None:
    folder, path = tmp_path / "SMITH JANE", tmp_path / "latency.json"
    folder.mkdir()
    make_clip(folder / "clip.mp4", "phantom:?size=320x240&fps=30&frames=12")
    arguments = ["--engine", "fake", "--source", str(folder / "clip.mp4"), "--seconds", "0.5", "--no-paint"]
    result = invoke(*arguments, "--json", str(path))
    assert result.exit_code == 0, result.stderr
    assert "capture to JPEG" in result.stdout
    told = json.loads(path.read_text())
    assert told["engines"]["fake"]["replay_720p"]["frames"] > 0
    assert told["engines"]["fake"]["torch_imported"] is False
    assert told["ratios"]["eager_gradcam_over_best_cpu"] is None  # the fake is no engine to boast of
    assert "eager_half_over_cuda_graph" in told["ratios"]
    rows = {row["layer"]: row for row in told["engines"]["fake"]["layers"] if row["batch"] == 1}
    assert list(rows) == ["engine", "engine + pre/post", "pipeline", "to paint"]
    assert all(rows[layer]["times_ms"]["count"] for layer in list(rows)[:3])
    assert "--no-paint" in rows["to paint"]["reason"]
    assert told["settings"]["source"] == "clip.mp4"
    words = "--engine fake --seconds 0.5 --source clip.mp4 --no-paint"
    assert told["command"] == f"python -m benchmarks.latency {words}"
    assert {"before", "during"} == set(told["conditions"])
    assert "SMITH" not in path.read_text() + result.stdout


def test_a_network_of_ones_own_is_measured_and_named(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.latency.ratios", lambda *_: {})  # these have tests of their own
    path = tmp_path / "latency.json"
    words = ["--engine", "openvino_cpu", "--weights", str(untrained), "--seconds", "0.5", "--no-paint"]
    result = invoke(*words, "--json", str(path))
    assert result.exit_code == 0, result.stderr
    told = json.loads(path.read_text())
    info = told["engines"]["openvino_cpu"]["info"]
    assert info["weights_sha256"] == Golden.load(untrained / "golden.npz").spec.weights_sha256
    assert f"--weights {untrained.name}" in told["command"]


def test_a_measurement_runs_in_another_process() -> None:
    assert in_fresh_process(os.getpid) != os.getpid()


def test_an_error_in_the_other_process_is_raised_here() -> None:
    with pytest.raises(FileNotFoundError):
        in_fresh_process(os.listdir, "no such folder")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has found a whole judgement to last 2.8 calls."""
    ratios = {"judging_over_engine": Ratio(2.8, "", "medians", "openvino_cpu", "f32", {})}
    monkeypatch.setattr(
        "benchmarks.latency.measure", lambda *_, **__: Report(None, 1.0, machine(), {}, "openvino_cpu", ratios)
    )


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(("before", "code"), [(2.8, 0), (2.6, 0), (2.5, 1)])
def test_a_run_that_is_worse_than_an_earlier_one_ends_with_1(tmp_path: Path, before: float, code: int) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"machine": {}, "ratios": {"judging_over_engine": before}}))
    result = invoke("--compare", str(old), "--tolerance", "10%")
    assert result.exit_code == code, result.stderr


def test_an_old_file_that_is_not_there_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    result = invoke("--compare", str(tmp_path / "absent.json"))
    assert result.exit_code == 2
    assert "absent.json" in result.stderr
    assert "making" not in result.stderr
