"""A file that appears only when complete: written beside its place, then moved there."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where a file is written before it is complete."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """``part_of(path)``, to be written within. After an exception it is gone, and the file at ``path`` is still there.

    Raises OSError if the disk refuses.
    """
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
