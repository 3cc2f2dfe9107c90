"""The child of an ``IsolatedSource``: ``python -m stream.sources.isolated_child URI once|loop`` decodes a file.

It writes messages to its standard output: one line of JSON, then as many bytes of pixels as that line says. It says
that it has started, what it opened, each frame, and how it ended.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from stream.errors import SourceError, UsageError
from stream.sources import SOURCES, kind, open_here

MEMORY_LIMIT = 900 * 2**20
"""Bytes that the child may take: a telephone's 4K video takes up to three quarters in ``file.MOST_THREADS``."""

PIPE_BYTES = 2**20
"""Of the pipe, the most that Linux gives everyone: through its usual 64 KB a picture goes in up to a hundred turns."""


def main(uri: str, loop: bool, out: BinaryIO) -> None:
    """Write what becomes of ``uri`` to ``out``."""
    limit_memory()
    _limit("RLIMIT_FSIZE", 0)  # a decoder has nothing to write
    _enlarge(out)
    with suppress(ImportError):  # told when it is opened; to import takes a second, which is not the file's
        import_module(SOURCES[kind(uri)].partition(":")[0])
    _send(out, {})
    damaged, ending = 0, {}
    try:
        with open_here(uri, live=False, loop=loop) as source:
            area = None if source.scan_area is None else asdict(source.scan_area)
            _send(out, {"fps": source.fps, "still": source.still, "scan_area": area, "left_out": source.left_out})
            try:
                for frame in source.frames():
                    keys = ("index", "captured_ns", "pts_s", "source", "mm_per_px", "still")
                    facts = {key: getattr(frame, key) for key in keys}
                    height_px, width_px = frame.rgb.shape[:2]
                    shape = {"height_px": height_px, "width_px": width_px}
                    _send(out, facts | shape | {"damaged": source.damaged}, np.ascontiguousarray(frame.rgb).data)
            finally:
                damaged = source.damaged
    except (SourceError, UsageError) as error:
        ending = {"error": str(error), "usage": isinstance(error, UsageError)}
    _send(out, ending | {"damaged": damaged})


def _enlarge(pipe: BinaryIO) -> None:
    with suppress(ImportError, AttributeError, OSError):  # Linux alone can, and may refuse
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _send(out: BinaryIO, facts: dict[str, Any], pixels: memoryview = memoryview(b"")) -> None:
    for part in (memoryview(json.dumps(facts).encode() + b"\n"), pixels.cast("B")):
        left = part
        while left:  # with PYTHONUNBUFFERED, a write that a stop (Ctrl-Z) interrupts has written a part
            left = left[out.write(left) :]
    out.flush()


def limit_memory() -> None:
    """From here on this process gets MemoryError beyond MEMORY_LIMIT, and leaves no core dump; not on Windows."""
    _limit("RLIMIT_DATA", MEMORY_LIMIT)
    _limit("RLIMIT_CORE", 0)


def _limit(name: str, most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "loop", sys.stdout.buffer)
