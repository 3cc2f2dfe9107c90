"""docs/outputs.md: it names each key that is written and no other, and its programs run."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
from starlette.testclient import TestClient

from stream import sinks
from stream.config import StreamConfig
from stream.sinks.igtlink import FINDING, IgtlinkSink
from stream.sources import open_here
from stream.types import State
from stream.web.app import create_app
from stream.web.control import Control
from tests.igtlink import ImageServer
from tests.outputs import PAGE, documented, written
from tests.programs import PATIENCE_S, python, served, started
from tests.stream_runs import Clip, ran
from tests.stream_views import SESSION, ending, view

RECORDING, RUNNING, PICTURE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    ran(Clip(30), sinks=sinks.recording(folder))
    return folder


def lines(recording: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (recording / "frames.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_states_are_those_that_are_told() -> None:
    assert set(documented("## States and findings")) == {state.value for state in State}


def test_the_keys_of_a_line_are_those_that_are_told(recording: Path) -> None:
    told = documented("## frames.jsonl")
    assert {key for line in lines(recording) for key in written(line, told)} == set(told)


def test_the_keys_of_the_summary_are_those_that_are_told(recording: Path) -> None:
    told = documented("## summary.json")
    summary = json.loads((recording / "summary.json").read_text(encoding="utf-8"))
    assert set(written(summary, told)) == set(told)
    assert summary["frames"]["written"] == len(lines(recording))


def test_a_receiver_gets_a_line_like_those_of_the_journal() -> None:
    told = documented("## frames.jsonl")
    with ImageServer(message=None) as server:
        sink = IgtlinkSink(server.uri)
        sink.open(SESSION)
        sink.write(view())
        sent = json.loads(server.received(FINDING).string)
        sink.close(ending())
    assert {key.partition(".")[0] for key in written(sent, told)} == {key.partition(".")[0] for key in told}


def test_the_keys_of_the_status_are_those_that_are_told() -> None:
    told = documented("### /status.json")
    with Control(StreamConfig(), "phantom:?size=320x240", "fake") as control:
        client = TestClient(create_app(control), base_url="http://127.0.0.1:7860")
        assert set(client.get("/status.json").json()) == set(told[: told.index("source")])
        control.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while client.get("/status.json").json()["phase"] != "running":
            assert time.monotonic() < deadline_s
        control.stop()
        control.flagged.begin(SESSION)
        control.flagged.add(view(captured_ns=time.perf_counter_ns()))
        control.flagged.add(view(1, finding="normal", captured_ns=time.perf_counter_ns()))
        assert set(written(client.get("/status.json").json(), told)) == set(told)


def said(program: str, *words: str) -> list[str]:
    """What a program of the page prints, line by line."""
    return python("-c", program, *words, check=True).stdout.splitlines()


def test_the_program_that_reads_a_recording_tells_each_frame(recording: Path) -> None:
    told = said(RECORDING, str(recording))
    assert [line.split()[0] for line in told] == [str(line["frame"]) for line in lines(recording)]
    assert "clear_finding malignant 0." in told[-1]


def test_the_program_that_judges_a_picture_says_what_a_replay_says(tmp_path: Path) -> None:
    with open_here("phantom:?size=320x240&frames=1") as source:
        frame = next(source.frames())
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    python("-m", "stream", "replay", picture, "--out", tmp_path, "--scan-area", "full", check=True)
    probabilities, call = said(PICTURE, str(picture))
    (line,) = lines(tmp_path)
    assert json.loads(probabilities.replace("'", '"')) == pytest.approx(line["raw"], abs=1e-4)
    assert call == f"{line['state']} {line['finding']} {line['reason']}"


def test_the_program_that_watches_gets_pictures_until_the_run_ends() -> None:
    with served() as (process, address), started("-c", RUNNING, address, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        told = [watching.stdout.readline().split() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        watching.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 0
    assert [int(frame) for frame, *_ in told] == sorted({int(frame) for frame, *_ in told})
    assert {state for _, _, state, _ in told} <= {state.value for state in State}
    assert all(int(size) > 1000 for *_, size in told)
