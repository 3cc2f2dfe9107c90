"""Where views go besides the screen. A sink belongs to one pipeline: on disk to its recording thread, else to the
drawing thread, which must not wait."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import IO, Protocol

from stream.errors import UsageError
from stream.session import Session
from stream.status import Status
from stream.types import View


class Sink(Protocol):
    """Writes what was drawn. All three raise UsageError if the disk refuses; ``close`` must then still be called."""

    on_disk: bool
    """Whether this is a recording, and shown as one on the page."""

    def open(self, session: Session) -> None:
        """Make ready to write; replaces an earlier recording of the same name."""

    def write(self, view: View) -> None:
        """Keep one view, in order of the frames. A sink that is not on disk also gets the last frame again when no new
        one comes (``View.repeated``)."""

    def close(self, status: Status) -> None:
        """Finish what is written; ``status`` is the run's last. Safe to call twice, and after a failed ``open``."""


def refused(path: Path, error: OSError) -> UsageError:
    """The disk's refusal in one line, with what to do."""
    return UsageError(f"cannot write {path}: {error.strerror or error}. Give a writable folder with free space.")


def require_not_deleted(file: IO[bytes], path: Path) -> None:
    """Raises UsageError if the open file was deleted: what is written then fills the disk, and nobody can read it."""
    if os.fstat(file.fileno()).st_nlink == 0 and not path.exists():  # some network drives count no links at all
        raise UsageError(f"{path} was deleted while being written. Start again, and delete only finished recordings.")


def made_with(session: Session) -> str:
    """What made a picture, for files that may be passed on without their summary."""
    calibration = ", ".join(f"{name} {value}" for name, value in session.spec.calibration.items())
    return (
        f"Software rcdnet-live {version('rcdnet-live')}; network {session.network}; calibration {calibration}; "
        f"operating point {session.config.operating_point}."
    )
