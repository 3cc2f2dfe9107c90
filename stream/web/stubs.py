"""Gradio without the type stubs that it writes beside each of its classes on every import: they take half of its
seconds, during which live pictures wait for the interpreter."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_stubs() -> Iterator[None]:
    """For the import of Gradio: its classes seem to come from no file, so it has nowhere to write their stubs.

    Gradio has no setting for this, but skips classes without a file.
    """
    getfile = inspect.getfile

    def of_others(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError("no stubs")
        return getfile(thing)

    inspect.getfile = of_others  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile
