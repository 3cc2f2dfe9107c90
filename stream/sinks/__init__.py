"""What a recording consists of (annotated.mp4, frames.jsonl, report.html and summary.json in a folder; annotated.dcm if
asked for), and what sends."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rcdnet.extras import install
from stream.errors import UsageError
from stream.sinks.base import Sink, refused
from stream.sinks.journal import JournalSink
from stream.sinks.report import REPORT, SUMMARY, ReportSink
from stream.sinks.video import VideoSink

JOURNAL, VIDEO = "frames.jsonl", "annotated.mp4"

RESULTS = (VIDEO, JOURNAL, REPORT, SUMMARY)
"""The files of a recording."""

CINE = "annotated.dcm"
"""Another file that it may have."""


def recording(folder: Path) -> tuple[Sink, ...]:
    """The sinks of one recording in ``folder``, which is created. Raises UsageError if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CINE).unlink(missing_ok=True)  # an earlier one, of other pictures
    except OSError as error:
        raise refused(folder, error) from error
    return JournalSink(folder / JOURNAL), VideoSink(folder / VIDEO), ReportSink(folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Refuse ``folder``, which is created, to any other replay meanwhile: two would mix their lines and pictures. Not
    on Windows, nor on drives that have no locks. Raises UsageError.
    """
    with ExitStack() as held:
        with suppress(ImportError, OSError):  # a folder that is refused is told when it is written to
            import fcntl

            folder.mkdir(parents=True, exist_ok=True)
            opened = os.open(folder, os.O_RDONLY)
            held.callback(os.close, opened)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another replay writes into {folder}. Give each a folder of its own with --out."
                raise UsageError(message) from error
        yield


def exporting(folder: Path, *, dicom: bool) -> tuple[Sink, ...]:
    """What writes the pictures of a recording as DICOM too, if asked for. Raises UsageError without pydicom."""
    if not dicom:
        return ()
    try:
        from stream.sinks.dicom import DicomSink
    except ModuleNotFoundError as error:
        raise UsageError(f"--dicom: needs {error.name}: {install('dicom')}") from error
    return (DicomSink(folder / CINE),)


def sending(uri: str | None) -> tuple[Sink, ...]:
    """What sends every view to ``igtl://host:port``; nothing for None. Raises UsageError."""
    if uri is None:
        return ()
    try:
        from stream.sinks.igtlink import IgtlinkSink
    except ModuleNotFoundError as error:
        raise UsageError(f"--send: needs {error.name}: {install('igtlink')}") from error
    return (IgtlinkSink(uri),)
