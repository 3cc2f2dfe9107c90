"""Ctrl-C, SIGTERM and a closed terminal end the program in order, whenever they come and however often."""

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from stream import __main__ as main
from tests.clips import write_clip
from tests.programs import started


def wait_until_recorded(process: subprocess.Popen[str], folder: Path) -> None:
    """Until the first line of frames.jsonl, in this folder or below it."""
    while not any(journal.stat().st_size for journal in folder.rglob("frames.jsonl")):
        with pytest.raises(subprocess.TimeoutExpired):  # it has not ended
            process.wait(0.02)


IGNORING = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""Starts a command as a script does with ``&``: with Ctrl-C ignored."""


@pytest.mark.parametrize("start", [(), IGNORING])
def test_run_serves_records_and_ends_cleanly_on_ctrl_c(tmp_path: Path, start: tuple[str, ...]) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    arguments = ["run", "--source", str(clip), "--engine", "fake", "--port", "0", "--record", str(tmp_path / "rec")]
    with started("-m", "stream", *arguments, under=start, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        assert said[0] == "loading the engine, then opening clip.mp4\n"
        assert said[2].startswith("http://127.0.0.1:"), said
        os.kill(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    (recorded,) = (tmp_path / "rec").iterdir()
    assert said[1].endswith(f"recording into {recorded}\n")
    assert rest == "finishing what was recorded\n"
    assert (recorded / "summary.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--source", "phantom:?size=320x240", "--engine", "fake", "--port", "0", "--record"],
        ["replay", "phantom:?size=320x240", "--engine", "openvino_cpu", "--out"],
    ],
    ids=["run", "replay"],
)
def test_ctrl_c_held_down_leaves_a_whole_recording(tmp_path: Path, words: list[str]) -> None:
    with started("-m", "stream", *words, tmp_path) as process:
        wait_until_recorded(process, tmp_path)
        while process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.03)  # as a keyboard repeats it
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text())["frames"]["failed"] == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_hangs_while_a_recording_is_finished_can_be_ended(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(main.time, "monotonic", lambda: now_s)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        main.finish_undisturbed()
        signal.raise_signal(number)
        now_s = main.PATIENCE_S
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_ctrl_c_while_it_loads_leaves_no_traceback() -> None:
    loading = ("-X", "importtime", "-m", "stream", "replay", "none.mp4", "--out", "none")
    with started(*loading, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).rstrip().endswith("| typer"):
            assert line, "it never imported typer"
        os.kill(process.pid, signal.SIGINT)
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_replay_that_is_stopped_says_so(tmp_path: Path, number: signal.Signals) -> None:
    words = ("-m", "stream", "replay", "phantom:?size=320x240", "--engine", "fake", "--out", tmp_path)
    usual = {"stderr": subprocess.PIPE, "preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with started(*words, **usual) as process:  # under nohup, SIGHUP is ignored
        assert process.stderr is not None
        wait_until_recorded(process, tmp_path)
        os.kill(process.pid, number)
        *_, finishing, last = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert (finishing, last) == ("finishing what was recorded", "stopped")
    assert "stopped before the end" in json.loads((tmp_path / "summary.json").read_text())["error"]
    assert "This run is not whole: stopped before the end" in (tmp_path / "report.html").read_text()


def test_ctrl_c_while_a_silent_sender_is_opened_is_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        words = ("-m", "stream", "run", "--source", uri, "--engine", "fake", "--port", "0")
        with started(*words, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            with silent.accept()[0]:
                os.kill(process.pid, signal.SIGINT)
                said = process.stderr.read()
    assert (process.returncode, said) == (0, f"loading the engine, then opening {uri}\nstopped\n")
