"""Thousands of broken files of each format: none hangs, crashes or swells a reader, and every error is one of ours.

The mutants are read one after the other in a process of their own (tests/fuzz.py). One that hangs or kills it is then
opened as a user would: that must end in time, as an error of the source.
"""

import queue
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.errors import SourceError
from stream.sources import open_source
from tests.clips import picture, write_clip
from tests.dicoms import write_dicom
from tests.fuzz import mutant
from tests.metaimages import write_metaimage
from tests.nrrds import write_nrrd
from tests.programs import started

TOO_LONG_S = 5.0
"""For one file; a whole one of these takes some milliseconds."""

START_S = 60.0

MOST_RSS = 10**9

OF_A_READER = ("read ", "refused", "memory")

FRAMES = 4
"""Of a sample: the smaller it is, the more mutants hit what a reader takes at its word, and the sooner it is read."""

FORMATS = ("mp4", "ts", "avi", "mjpeg", "png", "jpg", "dcm", "mha", "nrrd")


@pytest.fixture
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"sample.{request.param}"
    if request.param in ("png", "jpg"):
        cv2.imwrite(str(path), picture(1))
        return path
    if request.param == "dcm":
        jpegs = [cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(FRAMES)]
        return write_dicom(path, np.zeros((FRAMES, 48, 64, 3), np.uint8), "YBR_FULL_422", jpegs=jpegs, FrameTime=40)
    if request.param == "mha":
        return write_metaimage(path, np.stack([picture(number) for number in range(FRAMES)]), packed=True)
    if request.param == "nrrd":
        return write_nrrd(path, np.stack([picture(number)[..., 0] for number in range(FRAMES)]), packed=True)
    codec = {"mp4": "libx264", "ts": "mpeg2video", "avi": "mjpeg", "mjpeg": "mjpeg"}[request.param]
    return write_clip(path, FRAMES, codec=codec)


class Reader:
    """Reads mutants ``first`` and on; ``line`` waits for what it says."""

    def __init__(self, sample: Path, first: int, count: int) -> None:
        words = ("-m", "tests.fuzz", sample, first, count)
        self._process = started(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def line(self, patience_s: float) -> str | None:
        """The next line; None if the process died or took too long."""
        try:
            text = self._lines.get(timeout=patience_s)
        except queue.Empty:
            return None
        return text or None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._lines.put(text.strip())
        self._lines.put("")


@contextmanager
def reader(sample: Path, first: int, count: int) -> Iterator[Reader]:
    started = Reader(sample, first, count)
    try:
        yield started
    finally:
        started.end()


def read_all(sample: Path, count: int) -> tuple[Counter[str], list[int], int]:
    """How the mutants ended; those that hung or killed their reader; the largest memory that a reader took, bytes."""
    endings: Counter[str] = Counter()
    fatal: list[int] = []
    rss = number = 0
    while number < count:
        with reader(sample, number, count - number) as process:
            while number < count and process.line(START_S) == str(number):
                ending = process.line(TOO_LONG_S)
                number += 1
                if ending is None:
                    fatal.append(number - 1)
                    break
                peak, _, how = ending.partition(" ")
                rss = max(rss, int(peak))
                endings[how] += 1
            else:
                assert number == count, f"the reader was lost before mutant {number}"
    return endings, fatal, rss


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sample", FORMATS, indirect=True)
def test_no_broken_file_does_harm(sample: Path, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    count = pytestconfig.getoption("--mutants")
    endings, fatal, rss = read_all(sample, count)
    assert not [ending for ending in endings if not ending.startswith(OF_A_READER)]
    assert endings["refused"] > 0  # else nothing was broken
    assert rss < MOST_RSS
    for number in fatal:
        path = tmp_path / f"fatal{sample.suffix}"
        path.write_bytes(mutant(sample.read_bytes(), number))
        start_s = time.monotonic()
        with pytest.raises(SourceError), open_source(str(path)) as source:
            list(source.frames())
        assert time.monotonic() - start_s < 2 * TOO_LONG_S, f"mutant {number} hung for long"
