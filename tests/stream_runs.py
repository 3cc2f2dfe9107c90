"""What the tests of the pipeline run: a clip made on the spot, an engine by script, and a viewer that keeps all."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.base import EngineInfo, EngineOutput
from rcdnet.spec import ModelSpec
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.session import Session
from stream.sinks.base import Sink
from stream.sources.base import Source
from stream.status import Status
from stream.types import Assessment, Frame, ScanArea, View

PATIENCE_S = 60


class Clip(Source):
    """Frames made on the spot; ``error`` comes after the last one; ``hold`` is waited for before each frame."""

    synthetic = False

    def __init__(
        self,
        count: int,
        *,
        live: bool = False,
        error: Exception | None = None,
        hold: Callable[[int], None] = lambda index: None,
        damaged: Sequence[int] = (),
        area: ScanArea | None = None,
        fps: float = 25.0,
    ) -> None:
        super().__init__()
        self.name = "clip.mp4"
        self.fps: float | None = fps
        self.live = live
        self.scan_area = area
        self.damaged = 0
        self._count, self._error, self._hold, self._damaged = count, error, hold, damaged

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def frames(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._closed.is_set():
                return
            if index in self._damaged:
                self.damaged += 1
                continue
            self._hold(index)
            grey = np.random.default_rng(index).integers(0, 256, (60, 80, 1), np.uint8)
            rgb = np.ascontiguousarray(grey.repeat(3, axis=2))
            yield Frame(index, 1, index / (self.fps or 25.0), rgb, self.name)
        if self._error is not None:
            raise self._error


class Scripted:
    """An engine that answers by the mean of what it sees, and raises what ``faults`` says for that call."""

    info = EngineInfo("scripted", "exact", "none", "tests", "")
    spec = ModelSpec(("benign", "malignant", "normal"), 32, 32, 0.5, 0.25, "none")

    def __init__(self, faults: dict[int, BaseException] | None = None, *, batch: int = 1) -> None:
        self.info = replace(self.info, batch=batch)
        self._faults = faults or {}
        self.calls = 0

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        self.calls += 1
        if self.calls - 1 in self._faults:
            raise self._faults[self.calls - 1]
        logits = np.stack([np.array([0, float(image.mean()) / 40, 1], np.float32) for image in images])
        return EngineOutput(logits, np.repeat(logits, 4, axis=1).reshape(len(images), 3, 2, 2))

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def assert_soon(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


class Seen:
    """Keeps every view, and says when one was seen."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self._changed = threading.Condition()

    def __call__(self, view: View) -> None:
        with self._changed:
            self.views.append(view)
            self._changed.notify_all()

    def until(self, holds: Callable[[Assessment], bool]) -> Assessment:
        def found() -> Assessment | None:
            return next((view.assessment for view in self.views if holds(view.assessment)), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, PATIENCE_S)
            assessment = found()
        assert assessment is not None
        return assessment


class Receiver(Seen):
    """A sink that keeps every view."""

    def __init__(self, *, on_disk: bool) -> None:
        super().__init__()
        self.on_disk = on_disk

    def open(self, session: Session) -> None: ...

    def write(self, view: View) -> None:
        self(view)

    def close(self, status: Status) -> None: ...


def without_times(journal: Path) -> list[str]:
    lines = [json.loads(text) for text in journal.read_text().splitlines()]
    return [json.dumps({key: value for key, value in line.items() if key != "times"}) for line in lines]


def ran(
    source: Source, engine: Scripted | None = None, config: StreamConfig | None = None, sinks: Iterable[Sink] = ()
) -> tuple[Status, list[View]]:
    """The status after the end of the source, and all that was shown."""
    seen = Seen()
    with Pipeline(source, engine or Scripted(), config or StreamConfig(), sinks, seen) as pipeline:
        assert pipeline.wait(PATIENCE_S)
    return pipeline.status(), seen.views
