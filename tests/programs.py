"""Our programs in a process of their own, as a terminal starts them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from stream.__main__ import app

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60


def python(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """What Python says with these words, and its code."""
    usual = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    return subprocess.run([sys.executable, *map(str, words)], **(usual | how))


def started(*words: object, under: tuple[str, ...] = (), **how: Any) -> subprocess.Popen[str]:
    """Python with these words, started by the command ``under``, and not waited for."""
    return subprocess.Popen([*under, sys.executable, *map(str, words)], **({"cwd": ROOT, "text": True} | how))


def command(*words: object, **how: Any) -> Result:
    """What ``python -m stream`` says with these words, and its code; in this process, which is quicker."""
    return CliRunner().invoke(app, [str(word) for word in words], **how)


@contextmanager
def running(
    source: str, *options: str, engine: str = "fake", under: tuple[str, ...] = (), **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``python -m stream run`` and its HOST:PORT; ended by Ctrl-C if the test did not, which must go well."""
    words = ("-m", "stream", "run", "--source", source, "--engine", engine, "--port", "0", *options)
    with started(*words, under=under, stderr=subprocess.PIPE, env=os.environ | environment) as process:
        assert process.stderr is not None
        said, found = [], None  # first of the engines: one line each, taken or why not
        while found is None and (line := process.stderr.readline()):
            said.append(line)
            found = re.search(r"http://(\S+)", line)
        try:
            assert found is not None, said
            yield process, found[1]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest


@contextmanager
def served(**how: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A small one that is patient, for a machine that is busy."""
    patient = ("--config", str(ROOT / "tests" / "patient.toml"))
    with running("phantom:?size=320x240&fps=10", *patient, **how) as run:
        yield run
