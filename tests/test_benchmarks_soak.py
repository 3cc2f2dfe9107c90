import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.server import served, viewer
from benchmarks.soak import Sample, app, drifted, sampled
from stream.errors import SourceError
from stream.sinks.report import ROOM_BYTES
from tests.programs import python

CALM = Sample(0, 30.0, {"p95": 40.0}, None, 0, 0, 0, 400.0, 10, 20, 0.0)
SMALL = ("--source", "phantom:?size=320x240", "--engine", "fake", "--every", "0.5")


def run_of(memory_mb: list[float], every_s: float = 10.0) -> list[Sample]:
    return [replace(CALM, at_s=every_s * n, memory_mb=mb) for n, mb in enumerate(memory_mb)]


@given(per_min=st.floats(-10, 10), every_s=st.floats(1, 600), count=st.integers(5, 60))
def test_a_steady_growth_is_told_whole(per_min: float, every_s: float, count: int) -> None:
    found = drifted(run_of([400 + per_min * every_s * n / 60 for n in range(count)], every_s))
    assert found is not None
    assert found.memory_mb == pytest.approx(per_min * found.minutes, abs=0.1)


def test_what_is_filled_at_the_start_and_a_spike_are_no_growth() -> None:
    start, spiked = [300, 350, 380, 390, 400, 400], 34 * [400.0]
    spiked[20] = 900
    found = drifted(run_of([*start, *spiked]))
    assert found is not None
    assert found.memory_mb == 0


def test_files_threads_losses_and_latency_are_held_against_the_settled_server() -> None:
    samples = [
        replace(
            CALM, at_s=60 * n, files=10 + n, threads=20 - n, captured=100 * n, lost=n * n, drawn_ms={"p95": 40.0 + n}
        )
        for n in range(11)
    ]
    found = drifted(samples)  # settled: 2 to 10, of which thirds are 2 to 4 and 8 to 10
    assert found is not None
    assert (found.minutes, found.files, found.threads) == (8, 8, -8)
    assert found.lost == ((16 - 4) / 200, (100 - 64) / 200)
    assert found.p95_ms == (43, 49)


def test_a_run_that_showed_nothing_has_no_latency() -> None:
    found = drifted([replace(each, drawn_ms=None) for each in run_of(5 * [400.0])])
    assert found is not None
    assert found.p95_ms == (None, None)


def test_a_run_too_short_to_settle_tells_nothing() -> None:
    assert drifted(run_of([400.0])) is None
    assert drifted([]) is None


def test_a_real_server_is_watched_and_its_recording_thrown_away(tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    result = CliRunner().invoke(app, [*SMALL, "--minutes", "0.05", "--json", str(told)])
    assert result.exit_code == 0, result.output
    report = json.loads(told.read_text())
    first, last = report["soak"][0], report["soak"][-1]
    assert last["captured"] > first["captured"]
    assert last["painted_ms"] is not None
    assert last["recorded_mb"] > 0
    assert last["memory_mb"] > 50
    assert last["files"] > 3
    assert "memory" in result.stdout
    assert "phantom:?size=320x240" in report["command"]


def test_a_server_that_dies_ends_the_samples(tmp_path: Path) -> None:
    with served(SMALL[1], SMALL[2:4]) as (server, address), viewer(address):
        samples = sampled(server, address, tmp_path, 60, 0.5)
        assert next(samples).memory_mb > 50
        server.kill()
        with pytest.raises(SourceError, match="no longer answers"):
            list(samples)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files there")
def test_a_recording_that_the_disk_refuses_ends_it_with_what_there_was(tmp_path: Path) -> None:
    """No file may be larger than the room that a report takes: the video soon is."""
    limited = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM_BYTES}, {ROOM_BYTES}))\n"
    limited += "runpy.run_module('benchmarks.soak', run_name='__main__')"
    large = ("--source", "phantom:?size=1280x720", *SMALL[2:])
    arguments = [*large, "--minutes", "1", "--json", str(tmp_path / "soak.json")]
    ran = python("-c", limited, *arguments)
    assert ran.returncode == 2, ran.stderr
    assert "cannot write" in ran.stderr
    assert "painted p95" in ran.stdout
    report = json.loads((tmp_path / "soak.json").read_text())
    assert "cannot write" in report["error"]
    assert report["soak"][0]["memory_mb"] > 50


@pytest.mark.parametrize(
    ("source", "engine", "code", "words"),
    [
        pytest.param("none.mp4", "fake", 3, "none.mp4", id="not there"),
        pytest.param("ftp://there", "fake", 2, "ftp", id="no source"),
        pytest.param("http://127.0.0.1:9/video", "fake", 3, "127.0.0.1:9", id="not the server's own address"),
        pytest.param("phantom:", "abacus", 2, "the server did not start: no engine 'abacus'", id="no engine"),
    ],
)
def test_what_does_not_start_is_told_in_the_server_s_words(source: str, engine: str, code: int, words: str) -> None:
    result = CliRunner().invoke(app, ["--source", source, "--engine", engine, "--minutes", "0.05"])
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
