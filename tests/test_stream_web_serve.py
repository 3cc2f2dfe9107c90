"""The server as other machines meet it: ``python -m stream run`` in its own process, through real sockets."""

import json
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stream.config import StreamConfig
from stream.web.app import listen, serve
from stream.web.control import PHANTOM, Control
from tests.programs import PATIENCE_S, command, served, started

POLL_S = 0.05
"""Between two questions: asked without a pause, a server that starts takes twice as long."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of ``address`` keeps temporary files."""
    return tmp_path_factory.mktemp("tmp")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(TMPDIR=str(folder)) as (_, address):
        yield address


def next_index(socket: ClientConnection) -> int:
    message = socket.recv(PATIENCE_S)
    assert isinstance(message, bytes)
    (index,) = struct.unpack_from("<I", message)
    return int(index)


def test_a_viewer_that_never_answers_costs_the_others_nothing_and_is_counted(address: str) -> None:
    with connect(f"ws://{address}/ws") as silent, connect(f"ws://{address}/ws") as quick:
        first = next_index(silent)
        seen = []
        for _ in range(20):
            seen.append(next_index(quick))
            quick.send("painted")
        status = httpx2.get(f"http://{address}/status.json").json()
    assert seen[-1] > first
    assert seen == sorted(set(seen))
    assert status["viewers"] == 2
    assert any(row["label"] == "drawn, skipped by a screen" and row["count"] > 0 for row in status["counts"])


def test_mjpeg_players_get_one_picture_after_the_other(address: str) -> None:
    received = b""
    with httpx2.stream("GET", f"http://{address}/live.mjpg", timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        for chunk in answer.iter_raw():
            received += chunk
            if received.count(b"--frame\r\n") > 2:
                break
    for part in received.split(b"--frame\r\n")[1:3]:
        head, _, body = part.partition(b"\r\n\r\n")
        assert head.startswith(b"Content-Type: image/jpeg\r\n")
        (length,) = re.findall(rb"Content-Length: (\d+)", head)
        assert cv2.imdecode(np.frombuffer(body[: int(length)], np.uint8), cv2.IMREAD_COLOR) is not None


def test_a_foreign_page_gets_no_socket_and_is_told_why(address: str) -> None:
    foreign = {"Origin": "https://evil.it"}
    with pytest.raises(InvalidStatus) as refusal, connect(f"ws://{address}/ws", additional_headers=foreign):
        pass
    assert refusal.value.response.status_code == 403
    assert b"a page of 'https://evil.it' may not use the live view" in bytes(refusal.value.response.body or b"")


def test_ctrl_c_lets_go_of_all_who_watch_whether_they_answer_late_or_never() -> None:
    with (
        served() as (process, address),
        connect(f"ws://{address}/ws") as silent,
        connect(f"ws://{address}/ws") as late,
        httpx2.stream("GET", f"http://{address}/live.mjpg", timeout=PATIENCE_S) as player,
    ):
        parts = player.iter_raw()
        next_index(silent)
        next_index(late)
        next(parts)
        process.send_signal(signal.SIGINT)
        for _ in parts:  # it ends when all viewers do
            pass
        with suppress(ConnectionClosedOK):  # but not an error
            late.send("passed")
            for _ in late:  # what was being encoded may come as well
                late.send("passed")
        with pytest.raises(ConnectionClosed):
            silent.recv(PATIENCE_S)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_does_not_wait_for_a_player_that_stopped_reading() -> None:
    with served() as (process, address), socket.socket() as player:
        player.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
        host, port = address.split(":")
        player.connect((host, int(port)))
        player.sendall(f"GET /live.mjpg HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        while skipped(address) < 5:  # until what lies between the two is full
            time.sleep(POLL_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def skipped(address: str) -> int:
    """How many pictures a viewer had not taken when a newer one came."""
    rows = httpx2.get(f"http://{address}/status.json").json().get("counts", [])
    return sum(int(row["count"]) for row in rows if row["label"] == "drawn, skipped by a screen")


def test_a_second_ctrl_c_cuts_nothing_off(caplog: pytest.LogCaptureFixture) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with listen("127.0.0.1", 0) as listener, Control(StreamConfig(), PHANTOM, "fake") as control:
        serve(control, listener, twice)
    assert caplog.text == ""


@pytest.mark.parametrize("files", [64, 850])
def test_more_connections_than_it_may_have_files_are_hung_up_on(files: int) -> None:
    limited = ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
    with served(under=limited) as (process, address), ExitStack() as stack:
        host, port = address.split(":")
        many = [stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S)) for _ in range(files + 50)]
        assert {one.recv(1) for one in many[files // 4 :]} == {b""}
        many[0].sendall(f"GET /status.json HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        assert many[0].recv(15) == b"HTTP/1.1 200 OK"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_in_use_is_told_in_one_line_before_anything_opens() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = command("run", "--source", "tcp://127.0.0.1:1", "--engine", "none_such", "--port", port)
    assert result.exit_code == 2
    said = (
        f"error: cannot serve on 127.0.0.1 port {port}: Address already in use. Choose another with --host or --port."
    )
    assert result.stderr == f"{said}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/full")
@pytest.mark.parametrize("log", [">&- 2>&-", ">/dev/full 2>&1"])
def test_it_serves_where_its_log_cannot_be_written(log: str) -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    words = ("-m", "stream", "run", "--source", "phantom:?size=320x240", "--engine", "fake", "--port", port)
    without_log = ("sh", "-c", f'exec "$@" {log}', "sh")
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with started(*words, under=without_log, env=buffered) as process:
        answer = None
        while answer is None and process.poll() is None:
            with suppress(httpx2.ConnectError):
                answer = httpx2.get(f"http://127.0.0.1:{port}/status.json", timeout=PATIENCE_S)
            time.sleep(POLL_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert answer is not None


@pytest.fixture(scope="module")
def room(address: str) -> str:
    """The URL of the open control room."""
    assert opened(address) == "open"
    return f"http://{address}"


def opened(address: str) -> str:
    """Whether the control room is there or failed, once that is known."""
    asked = f"http://{address}/status.json"  # which is answered late while Gradio is imported
    while (state := str(httpx2.get(asked, timeout=PATIENCE_S).json()["control_room"])) == "opening":
        time.sleep(POLL_S)
    return state


def ask(room: str, control: str, *values: object) -> dict[str, Any]:
    """What Gradio answers to a press of ``control`` by somebody who sends what he likes."""
    names = [part["api_name"] for part in httpx2.get(f"{room}/config").json()["dependencies"]]
    asked = {"data": values, "fn_index": names.index(control), "session_hash": "somebody"}
    httpx2.post(f"{room}/gradio_api/queue/join", json=asked).raise_for_status()
    with httpx2.stream("GET", f"{room}/gradio_api/queue/data?session_hash=somebody", timeout=PATIENCE_S) as told:
        for line in told.iter_lines():
            message: dict[str, Any] = json.loads(line.partition(":")[2] or "{}")
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("nothing was answered")


def files_in(folder: Path) -> set[str]:
    """The names of all files below it."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", [__file__, "http://127.0.0.1:9/away"])
def test_no_file_is_copied_and_no_address_asked_for_a_value_that_names_one(room: str, folder: Path, path: str) -> None:
    answer = ask(room, "named", {"path": path, "meta": {"_type": "gradio.FileData"}}, "auto", "balanced")
    assert answer["output"]["error"] == "The live page takes no files and no addresses."
    assert files_in(folder) == set()


def test_what_stands_on_the_page_is_not_written_to_disk(room: str, folder: Path) -> None:
    assert ask(room, "set_opacity", 0.5)["success"]
    assert httpx2.get(f"{room}/gradio_api/deep_link?session_hash=somebody").status_code == 403
    assert files_in(folder) == set()


@pytest.mark.parametrize("how", [{"content": bytes(2**20)}, {"content": iter([b"of a length that is not told"])}])
def test_a_request_that_would_take_much_memory_is_refused(room: str, how: dict[str, Any]) -> None:
    assert httpx2.post(f"{room}/gradio_api/queue/join", **how).status_code == 403


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What a server wrote to its log that was asked nonsense, stopped and started; its folder for temporary files."""
    folder = tmp_path_factory.mktemp("tmp")
    (folder / "gradio").touch()  # as another user's folder, in which nothing can be written
    with served(TMPDIR=str(folder)) as (process, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as stranger:
            stranger.sendall(b"NONSENSE\r\n\r\n")
            assert stranger.recv(12) == b"HTTP/1.1 400"
        assert opened(address) == "open"
        ask(f"http://{address}", "shown")
        ask(f"http://{address}", "halt")
        ask(f"http://{address}", "restart", "phantom (synthetic)", "fake", "balanced")
        while httpx2.get(f"http://{address}/status.json").json()["phase"] != "running":  # else no area can be found
            time.sleep(POLL_S)
        ask(f"http://{address}", "keep_area", None, None, None, None)
        ask(f"http://{address}", "find_area")
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(5)]
    return said, folder


def test_each_line_of_the_log_tells_when_the_web_server_s_too(ended: tuple[list[str], Path]) -> None:
    said = ended[0][0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} WARNING \S+: Invalid HTTP request", said), said


def test_the_log_tells_what_was_started_stopped_and_refused_on_the_page(ended: tuple[list[str], Path]) -> None:
    assert [line.partition(": ")[2] for line in ended[0][1:]] == [
        "stopped on the page\n",
        "started on the page: phantom (synthetic), engine fake, operating point balanced\n",
        "refused on the page: Draw the scan area on the picture, or give all four numbers.\n",
        "started on the page, to find the scan area again\n",
    ]


def test_gradio_s_folder_is_a_new_one_and_goes_with_the_run(ended: tuple[list[str], Path]) -> None:
    assert [path.name for path in ended[1].iterdir()] == ["gradio"]
