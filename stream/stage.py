"""How does a stage of the pipeline end? Its error reaches the stages beside it, and ends nothing else."""

from collections.abc import Iterator
from typing import Any, Self, TypeVar

from engines.errors import EngineError
from stream.errors import StreamError
from stream.handover import Handover

T = TypeVar("T")

POLL_S = 0.1
"""How often a stage that waits for its next frame wakes up, to notice that none comes."""


class Caught:
    """Whatever its block raises ends the block only, and is kept in ``error`` for others to report."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return True


class Stage(Caught):
    """A stage at work. When it ends, the stage before it finds its outbox closed, and stops; the stage after it gets
    what still waits, then the error if there was one."""

    def __init__(self, inbox: Handover[Any] | None, outbox: Handover[Any] | None) -> None:
        self._inbox = inbox
        self._outbox = outbox

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if self._inbox is not None:
            self._inbox.close()
        if self._outbox is not None:
            self._outbox.close(error)
        return super().__exit__(kind, error, trace)


def received(inbox: Handover[T]) -> Iterator[T | None]:
    """Each item until the inbox ends, and None whenever nothing came for ``POLL_S``. Raises the inbox's error."""
    while not inbox.exhausted:
        yield inbox.get(POLL_S)


def unforeseen(error: BaseException | None) -> BaseException | None:
    """The error if it is a fault of ours, which is to be logged in full, once."""
    return None if isinstance(error, (StreamError, EngineError)) else error


def explain(error: BaseException) -> str:
    """One line for people."""
    return str(error) if unforeseen(error) is None else f"internal error, {type(error).__name__}: {error}"
