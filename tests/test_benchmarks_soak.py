import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.soak import Sample, app, drifted
from stream.errors import StreamError

CALM = Sample(0, "running", 30.0, {"p95": 40.0}, None, 0, 0, 400.0, 10, 20, 0.0)


def run_of(memory_mb: list[float], every_s: float = 10.0) -> list[Sample]:
    return [replace(CALM, at_s=every_s * n, memory_mb=mb) for n, mb in enumerate(memory_mb)]


@given(per_h=st.floats(-100, 100), every_s=st.floats(1, 600), count=st.integers(5, 60))
def test_a_steady_growth_is_told_per_hour(per_h: float, every_s: float, count: int) -> None:
    samples = run_of([400 + per_h * every_s * n / 3600 for n in range(count)], every_s)
    assert drifted(samples).memory_mb_per_h == pytest.approx(per_h, abs=0.01)


def test_what_is_filled_at_the_start_and_a_spike_are_no_growth() -> None:
    start, spiked = [300, 350, 380, 390, 400, 400], 34 * [400.0]
    spiked[20] = 900
    assert drifted(run_of([*start, *spiked])).memory_mb_per_h == 0


def test_files_threads_and_latency_are_held_against_the_settled_server() -> None:
    samples = [replace(CALM, at_s=n, files=10 + n, threads=20 - n, drawn_ms={"p95": 40.0 + 4 * n}) for n in range(11)]
    found = drifted(samples)  # settled: 2 to 10, of which thirds are 2 to 4 and 8 to 10
    assert (found.files, found.threads) == (8, -8)
    assert found.p95_ratio == pytest.approx(76 / 52, abs=1e-3)


def test_a_run_that_showed_nothing_has_no_ratio() -> None:
    assert drifted([replace(each, drawn_ms=None) for each in run_of(5 * [400.0])]).p95_ratio is None


def test_a_run_too_short_to_settle_is_refused() -> None:
    with pytest.raises(StreamError, match="more --minutes"):
        drifted(run_of([400.0]))


def test_a_real_server_is_watched_and_its_recording_thrown_away(tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    arguments = ["--source", "phantom:?size=320x240", "--engine", "fake", "--minutes", "0.05", "--every", "0.5"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(told)])
    assert result.exit_code == 0, result.output
    report = json.loads(told.read_text())
    first, last = report["soak"][0], report["soak"][-1]
    assert len(report["soak"]) == 7
    assert last["captured"] > first["captured"]
    assert last["painted_ms"] is not None
    assert last["recorded_mb"] > 0
    assert last["memory_mb"] > 50
    assert last["files"] > 3
    assert "memory" in result.stdout
    assert "phantom:?size=320x240" in report["command"]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        pytest.param("none.mp4", 3, "none.mp4", id="not there"),
        pytest.param("ftp://there", 2, "ftp", id="no source"),
    ],
)
def test_what_does_not_start_is_told_in_the_server_s_words(source: str, code: int, words: str) -> None:
    result = CliRunner().invoke(app, ["--source", source, "--engine", "fake", "--minutes", "0.05"])
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
