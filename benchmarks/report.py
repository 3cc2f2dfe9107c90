"""What all measurements share: how they end, where their reports go, and how these name what was measured."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from stream.__main__ import INTERRUPTED, exit_codes
from stream.errors import UsageError
from stream.sources import kind
from stream.web.control import label

JsonFile = Annotated[Path | None, typer.Option("--json", help="write everything here as well")]

WIDE = 120
"""Width, in columns, of tables that do not go to a terminal."""

out = Console(markup=False, width=None if sys.stdout.isatty() else WIDE)
"""For tables."""

err = Console(stderr=True, soft_wrap=True, markup=False)
"""For progress and warnings."""


@contextmanager
def measuring(json_file: Path | None) -> Iterator[None]:
    """``exit_codes`` for a measurement, which INTERRUPTED tells from one that came to its end. A file of --json that
    cannot be written is refused now, not after minutes."""
    with exit_codes(INTERRUPTED):
        if json_file is not None:
            require_writable(json_file)
        yield


def require_writable(path: Path) -> None:
    """Raises UsageError unless the file of --json can be written. It is left as it is."""
    new = not path.exists()
    try:
        path.open("a").close()
        if new:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file of --json: ``content`` and the notice. Raises UsageError if that fails."""
    try:
        path.write_text(json.dumps({**content, "notice": RESEARCH_NOTICE}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UsageError:
    """What is raised for a file of --json."""
    return UsageError(f"--json {path}: {error.strerror}. Expected a file that can be written.")


def now() -> str:
    """The time in UTC, as reports give it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command(module: str, *words: str) -> str:
    """The command line that repeats a measurement."""
    return shlex.join(["python", "-m", f"benchmarks.{module}", *words])


def source_name(uri: str) -> str:
    """How a report names a source: without a password, and a path by its last part, as folders may name a patient."""
    return uri if kind(uri) == "phantom" else label(uri)


def weights_option(folder: Path) -> list[str]:
    """The option by which a report's command names weights that are not the shipped ones. It gives only the last part
    of their path, as the rest may be private."""
    return [] if folder == SHIPPED else ["--weights", folder.name]
