"""The server as a user starts it, in a process of its own, with one viewer."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from stream.errors import SourceError, StreamError

PATIENCE_S = 120.0
"""How long the server may take to start, to answer, and to end."""


class NotStarted(StreamError):
    """The server ended before it could be reached; its last line says why, and its exit code is ours."""

    def __init__(self, last_line: str, exit_code: int) -> None:
        reason = last_line.strip().removeprefix("error: ") or "it ended silently"
        super().__init__(f"the server did not start: {reason}")
        self.exit_code = exit_code if exit_code > 0 else SourceError.exit_code  # it may have been killed


@contextmanager
def served(source: str, arguments: Sequence[str]) -> Iterator[tuple[psutil.Process, str]]:
    """``python -m stream run``, as a process and its HOST:PORT; ended as by Ctrl-C. Raises NotStarted, or SourceError
    if it takes too long."""
    command_line = [sys.executable, "-m", "stream", "run", "--port", "0", *arguments]
    env = os.environ | {"RCDNET_SOURCE": source}  # not as an argument, which ps shows: it may hold a password
    with subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        address: Future[str] = Future()

        def read_stderr() -> None:
            line = ""
            for line in process.stderr or ():
                if line.startswith("http://") and not address.done():
                    address.set_result(line.split()[0].split("/")[2])
            if not address.done():
                address.set_exception(NotStarted(line, process.wait()))

        reader = Thread(target=read_stderr, daemon=True)
        reader.start()
        try:
            try:
                host_port = address.result(PATIENCE_S)
            except TimeoutError as error:
                raise SourceError(f"the server did not start within {PATIENCE_S:g} s") from error
            yield psutil.Process(process.pid), host_port
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(PATIENCE_S)


@contextmanager
def viewer(address: str) -> Iterator[None]:
    """A viewer who has the page open, and reports each picture as painted at once."""
    with connect(f"ws://{address}/ws", max_size=None, open_timeout=PATIENCE_S, ping_interval=None) as socket:

        def watch() -> None:
            with suppress(ConnectionClosed):
                for _ in socket:
                    socket.send("painted")

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            socket.close()
            watcher.join(PATIENCE_S)


def status(address: str) -> dict[str, Any]:
    """The server's /status.json. Raises SourceError if it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/status.json", timeout=PATIENCE_S) as answer:
            content: dict[str, Any] = json.load(answer)
    except OSError as error:
        raise SourceError(f"the server no longer answers: {error}") from error
    return content
