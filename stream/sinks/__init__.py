"""What a recording consists of (frames.jsonl, annotated.mp4, summary.json, report.html in a folder), and what sends."""

from pathlib import Path

from rcdnet.extras import install
from stream.errors import UsageError
from stream.sinks.base import Sink, refused
from stream.sinks.journal import JournalSink
from stream.sinks.report import ReportSink
from stream.sinks.video import VideoSink

RESULTS = ("annotated.mp4", "frames.jsonl", "report.html", "summary.json")
"""The files of a recording."""


def recording(folder: Path) -> tuple[Sink, ...]:
    """The sinks of one recording in ``folder``, which is made. Raises UsageError if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error
    return JournalSink(folder / "frames.jsonl"), VideoSink(folder / "annotated.mp4"), ReportSink(folder)


def sending(uri: str | None) -> tuple[Sink, ...]:
    """What sends every view to ``igtl://host:port``; nothing for None. Raises UsageError."""
    if uri is None:
        return ()
    try:
        from stream.sinks.igtlink import IgtlinkSink
    except ModuleNotFoundError as error:
        raise UsageError(f"--send: needs {error.name}: {install('igtlink')}") from error
    return (IgtlinkSink(uri),)
