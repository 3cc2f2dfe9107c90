"""What is said about each frame of a source when it is replayed through the live path?"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engines.base import Engine
from rcdnet.spec import ModelSpec
from stream.__main__ import raise_failures
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.session import Session
from stream.sources.base import Source
from stream.status import Status
from stream.types import Assessment, Frame, View


@dataclass
class CollectingSink:
    """A sink that keeps each frame, without its pixels, and what was said about it, without the heat map."""

    on_disk = False
    session: Session = field(init=False)
    frames: list[Frame] = field(default_factory=list)
    said: list[Assessment] = field(default_factory=list)

    def open(self, session: Session) -> None:
        """See ``stream.sinks.base.Sink``."""
        self.session = session

    def write(self, view: View) -> None:
        """See ``stream.sinks.base.Sink``."""
        self.frames.append(replace(view.frame, rgb=np.zeros((1, 1, 3), np.uint8)))
        self.said.append(replace(view.assessment, attention=None))

    def close(self, status: Status) -> None:
        """See ``stream.sinks.base.Sink``."""


def judged_by(spec: ModelSpec, config: StreamConfig) -> dict[str, Any]:
    """What a report says of the network and the settings by which frames were judged."""
    return {
        "weights_sha256": spec.weights_sha256,
        "calibration": spec.calibration,
        "config": config.model_dump(),
    }


def replayed(source: Source, engine: Engine, config: StreamConfig) -> CollectingSink:
    """Replay ``source`` to its end, and close it. Raises StreamError, EngineError."""
    sink = CollectingSink()
    with Pipeline(source, engine, config, [sink]) as pipeline:
        pipeline.wait()
    raise_failures(pipeline, pipeline.status(), None)
    return sink
