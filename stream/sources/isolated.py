"""A file from elsewhere, decoded in a child process. One that makes its decoder hang, crash or swell ends as an error.

Nothing that the child writes is trusted: sizes are checked before memory is taken.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError, UsageError
from stream.sources.base import Source
from stream.sources.clocks import Pace
from stream.sources.geometry import check_size
from stream.sources.isolated_watchdog import Watchdog
from stream.sources.uri import last_name, printable, split
from stream.types import Frame, ScanArea

PATIENCE_S = 4.0
"""How long the child may take to open the file, and for each frame: a hundred times what the largest picture takes."""

PER_FILE_S = 0.05
"""To open a folder, so much longer for each file in it: all headers are read first, and the drive may be far away."""

START_S = 120.0
"""How long the child may take to start, before it touches the file: usually a second, many on a busy machine."""

LET_GO_S = 2.0
"""How long ``close`` waits for the killed child. One that waits in the kernel for a drive that is gone does not end."""

LONGEST_LINE = 16_384
"""Bytes of JSON; an error message is a hundredth of it."""

SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""The child's numpy computes nothing, and its threads would take memory for each core."""

KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**27)}
"""Make the child keep the memory of a picture, up to 4K, for the next one. By default glibc gives it back, and the
kernel then clears each page anew. Other C libraries ignore this."""

log = logging.getLogger(__name__)

Message = tuple[dict[str, Any], NDArray[np.uint8] | None]
"""What one line says, and the picture uint8 [H, W, 3] that came with it."""


class IsolatedSource(Source):
    """What ``open_here(uri)`` opens, read in a child process. With ``live`` it is paced by its own times, on this side.

    Raises as ``open_here`` does; and SourceError if the child crashes, or takes longer than PATIENCE_S over the file
    or a frame.
    """

    def __init__(self, uri: str, *, live: bool = False, loop: bool = False) -> None:
        super().__init__()
        self.live, self.looped = live, loop
        self.name = last_name(Path(split(uri).target))
        self._started = False
        self._reading = Lock()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "stream.sources.isolated_child", uri, "loop" if loop else "once"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; we end the child
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # the same on Windows, which knows no sessions
            env=os.environ | SINGLE_THREADED | KEPT_MEMORY | {"PYTHONIOENCODING": "utf-8"},  # as its warnings are read
        )
        assert isinstance(self._child.stdout, BufferedReader)  # whose readinto goes on until all is there
        self._pipe = self._child.stdout
        self._watchdog = Watchdog(START_S, self._child.kill, self._closed)
        self._listener = Thread(target=self._log_warnings, name="decoder's warnings", daemon=True)
        self._listener.start()
        try:
            self._receive()
            self._started = True
            self._watchdog.limit_s = PATIENCE_S + PER_FILE_S * files_in(Path(split(uri).target))
            facts, _ = self._receive()
            self._watchdog.limit_s = PATIENCE_S
            with self._distrusted():
                self.fps = None if facts["fps"] is None else float(facts["fps"])
                self.still, self.left_out = bool(facts["still"]), printable(facts["left_out"])
                area = facts["scan_area"]
                self.scan_area = None if area is None else ScanArea(**area | {"corners": ()})  # which no header tells
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``. Ends the child with it."""
        pace = Pace(self._closed)
        with self:
            while not self._closed.is_set():
                facts, pixels = self._receive()
                if pixels is None:
                    return
                with self._distrusted():
                    if self.live and not pace.wait(facts["pts_s"]):
                        return
                    captured_ns = time.perf_counter_ns() if self.live else facts["captured_ns"]
                    spacing = None if facts["mm_per_px"] is None else tuple(facts["mm_per_px"])
                    source, still = printable(facts["source"]), bool(facts["still"])
                    frame = Frame(facts["index"], captured_ns, facts["pts_s"], pixels, source, spacing, still)
                yield frame

    def close(self) -> None:
        """End the child, whatever it is doing, and so ``frames``. One that waits for a drive that is gone is not waited
        for."""
        super().close()
        self._child.kill()
        reaper = Thread(target=self._reap, name="decoder's end", daemon=True)
        reaper.start()
        reaper.join(LET_GO_S)

    def _reap(self) -> None:
        """Leave nothing of the child once it has ended."""
        self._child.wait()
        self._listener.join()
        with self._reading:
            self._pipe.close()

    def _receive(self) -> Message:
        """The next message and its picture; an empty one without a picture at the end. Raises SourceError."""
        with self._reading, self._distrusted():
            with self._watchdog.asked():
                facts, pixels = self._read()
            self.damaged = int(facts.get("damaged", self.damaged))
            if "error" in facts:
                raise (UsageError if facts["usage"] else SourceError)(facts["error"])
        return facts, pixels

    @contextmanager
    def _distrusted(self) -> Iterator[None]:
        """Raise SourceError where the child's message makes no sense: a hostile file may have taken it over."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise SourceError(f"{self.name}: its decoder wrote nonsense. The file may be made to do this.") from error

    def _read(self) -> Message:
        if self._pipe.closed:
            return {}, None
        line = self._pipe.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            return self._broken_off()
        facts: dict[str, Any] = json.loads(line)
        if "height_px" not in facts:
            return facts, None
        check_size(facts["width_px"], facts["height_px"], self.name)
        pixels = np.empty((facts["height_px"], facts["width_px"], 3), np.uint8)
        if self._pipe.readinto(pixels.data) < pixels.nbytes:
            return self._broken_off()
        return facts, pixels

    def _broken_off(self) -> Message:
        if self._closed.is_set():
            return {}, None
        code, limit_s = self._child.wait(), self._watchdog.limit_s
        if self._watchdog.overdue and not self._started:
            raise SourceError(
                f"{self.name}: its decoder did not start within {limit_s:.0f} s. The machine is too busy, or its "
                "disk does not answer. Try again."
            )
        if self._watchdog.overdue:
            raise SourceError(
                f"{self.name}: nothing could be decoded for {limit_s:.0f} s, so its decoder was ended. "
                "The file is damaged, or its drive does not answer."
            )
        raise SourceError(
            f"{self.name}: its decoder crashed (exit code {code}). The file is damaged, or made to do this; "
            "convert it with a program that you trust."
        )

    def _log_warnings(self) -> None:
        """Log what the child warns of, made printable: libraries quote the file."""
        assert self._child.stderr is not None
        with self._child.stderr as pipe:
            for line in iter(lambda: pipe.readline(LONGEST_LINE), b""):
                log.warning("%s", printable(line.decode(errors="replace").rstrip()))


def files_in(path: Path) -> int:
    """How many files a folder holds, 0 for what is none or cannot be read."""
    try:
        return sum(1 for _ in path.iterdir())
    except OSError:
        return 0
