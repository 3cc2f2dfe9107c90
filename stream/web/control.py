"""What runs now, and what may run next? The one object that the page's controls act on."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.catalog import ENGINES, missing
from rcdnet.weights import SHIPPED
from stream.config import StreamConfig
from stream.errors import SourceError, UsageError
from stream.kept_areas import KeptAreas
from stream.pipeline import Pipeline
from stream.scan_area import finder, format_scan_area, why_unfit
from stream.sinks.base import Sink
from stream.smoothing import Smoother
from stream.sources import ON_DISK, Source, open_source
from stream.sources.device import devices
from stream.sources.uri import last_name, split, without_secrets
from stream.status import Phase
from stream.types import ScanArea, View
from stream.web.flagged import LastFlagged
from stream.web.loaded_engine import LoadedEngine
from stream.web.viewer import Broadcast

log = logging.getLogger(__name__)

PHANTOM = "phantom:"
"""The synthetic scan, always on offer."""


@dataclass(frozen=True)
class Now:
    """``pipeline`` is the running one, or the last one once ``stopped``; ``error`` is why there is none."""

    source_uri: str
    engine_name: str
    operating_point: str = "balanced"
    pipeline: Pipeline | None = None
    stopped: bool = False
    error: str | None = None

    @property
    def runs(self) -> bool:
        """Whether it runs, or is being started."""
        over = Phase.ENDED, Phase.FAILED
        return not self.stopped and (self.pipeline is None or self.pipeline.status().phase not in over)


@dataclass(frozen=True)
class Asked:
    """What the last start asked for. ``given_up`` is set by whatever is asked for after it, a start or a stop."""

    now: Now
    given_up: Event = field(default_factory=Event)

    def instead(self, now: Now) -> "Asked":
        """Give this one up, also while it waits, and ask for ``now``."""
        self.given_up.set()
        return Asked(now)


class Control:
    """Owns the engine, the current pipeline and the viewers of its picture. A context manager; safe from any thread.

    The page may only choose among ``sources()``: the one given at start, the phantom and the devices attached. It takes
    no paths and no addresses, so that nobody can read a file or reach another machine through it. ``make_receivers``
    is called once per start, ``make_recording`` once per recording; without it nothing can be recorded. ``weights`` is
    the folder of the network.
    """

    records: bool
    """Whether what runs, or will be started, is recorded."""

    def __init__(
        self,
        config: StreamConfig,
        source_uri: str,
        engine_name: str,
        make_receivers: Callable[[], Sequence[Sink]] = tuple,
        make_recording: Callable[[], Sequence[Sink]] | None = None,
        kept_areas: KeptAreas | None = None,
        weights: Path = SHIPPED,
    ) -> None:
        self._config = config
        self._given_uri, self._given_engine = source_uri, engine_name
        self._weights = weights
        self._make_receivers = make_receivers
        self._make_recording = make_recording
        self._kept_areas = kept_areas or KeptAreas()
        self.jpeg_quality = config.jpeg_quality
        self.timeline_s = config.timeline_s

        self.records = self.can_record
        self._style = config.overlay
        self._now = Now(source_uri, engine_name, config.operating_point, stopped=True)
        self._asked = Asked(self._now)  # may still wait for what ends before it
        self._begun: dict[str, Source] = {}  # URI -> what was opened last, unless it was stopped; at most one
        self._loaded = LoadedEngine(weights)
        self.broadcast = Broadcast(config.jpeg_quality)
        self.flagged = LastFlagged()
        self.unrecorded: str | None = None
        """Why the first recording that failed did."""

        self._asking = Lock()  # for a moment: a start or stop takes the place of the one before
        self._changing = Lock()  # for as long as the source opens: one start after another
        self._switching_recording = Lock()  # for as long as a recording is finished

    def start(
        self, source_uri: str | None = None, engine_name: str | None = None, operating_point: str | None = None
    ) -> bool:
        """Run this source with this engine at this operating point (by default the last ones) in place of what runs.
        False if that was given up, as another start or a stop was asked for meanwhile.

        Raises StreamError or EngineError; then nothing runs, and ``now`` says why. A sender that ran, and is away, is
        waited for. Whoever starts or stops meanwhile need not wait for one that does not answer.
        """
        with self._asking:
            last = self._asked.now
            now = Now(
                source_uri or last.source_uri,
                engine_name or last.engine_name,
                operating_point or last.operating_point,
            )
            self._asked = self._asked.instead(now)
            given_up = self._asked.given_up
        with self._changing:
            if given_up.is_set():
                return False
            self._stop_pipeline()
            self._now = now
            try:
                pipeline = self._start_pipeline(now, given_up)
            except Exception as error:
                if given_up.is_set():
                    self._now = replace(now, stopped=True)
                    return False
                self._now = replace(now, stopped=True, error=str(error) or type(error).__name__)
                raise
            pipeline.style = self._style  # it may have been set while the source was opened
            self._now = replace(now, pipeline=pipeline)
            self._switch_recording()  # likewise
            return True

    def stop(self) -> None:
        """End what runs; what was recorded is on disk on return."""
        with self._asking:
            self._asked = self._asked.instead(self._now)
        with self._changing:
            self._stop_pipeline()
            self._begun = {}

    def now(self) -> Now:
        """What runs, from any thread, without waiting for a start that is under way."""
        return self._now

    def sources(self) -> dict[str, str]:
        """What the page may choose now: label -> URI."""
        named = devices() | {self._given_uri: label(self._given_uri), PHANTOM: label(PHANTOM)}
        shared = [name for name, count in Counter(named.values()).items() if count > 1]
        return {f"{name} ({uri.rpartition('/')[2]})" if name in shared else name: uri for uri, name in named.items()}

    def engines(self) -> list[str]:
        """What the page may choose now: what can run here, and what was given at the start."""
        names = ["auto", *(name for name in ENGINES if missing(name, self._weights) is None)]
        return names if self._given_engine in names else [*names, self._given_engine]

    def operating_points(self) -> list[str]:
        """What the page may choose now: those of the weights, once an engine has loaded them."""
        engine = self._loaded.engine  # which another thread may close meanwhile
        return [self._now.operating_point] if engine is None else list(engine.spec.operating_points)

    @property
    def opacity(self) -> float:
        """Of the heat map, 0..1."""
        return self._style.opacity

    def set_opacity(self, opacity: float) -> None:
        """Draw the heat map with this opacity, 0..1, from the next frame on and in later runs. Raises UsageError."""
        if not 0 <= opacity <= 1:
            raise UsageError(f"an opacity is 0 to 1, not {opacity}")
        self._style = self._style.model_copy(update={"opacity": opacity})
        pipeline = self._now.pipeline
        if pipeline is not None:
            pipeline.style = self._style

    @property
    def can_record(self) -> bool:
        """Whether there is a place for recordings."""
        return self._make_recording is not None

    def record(self, on: bool) -> None:
        """Begin or end a recording of what runs, and of whatever is started later. What is seen goes on.

        Raises UsageError if there is no place for it, or if its folder cannot be made.
        """
        if not self.can_record:
            raise UsageError("there is no folder for recordings. Start RcdNet Live with --record FOLDER.")
        self.records = on
        self._switch_recording()

    def _switch_recording(self) -> None:
        """Let what runs be recorded if it ``records``, and only then."""
        with self._switching_recording:
            pipeline = None if self._now.stopped else self._now.pipeline
            if pipeline is None or pipeline.recorded == self.records or self._make_recording is None:
                return
            try:
                failed = pipeline.record(self._make_recording() if self.records else ())
            except UsageError:
                self.records = False
                raise
            self.unrecorded = self.unrecorded or failed

    def scan_area(self) -> ScanArea | None:
        """As ``Pipeline.scan_area``, of what runs or ran last."""
        pipeline = self._now.pipeline
        return None if pipeline is None else pipeline.scan_area

    def sketch(self) -> NDArray[np.uint8] | None:
        """As ``Pipeline.sketch``."""
        pipeline = self._now.pipeline
        return None if pipeline is None else pipeline.sketch()

    def keep_scan_area(self, area: ScanArea | None) -> bool:
        """``start`` anew with this area, now and whenever this source runs again; None looks for it again each time.

        A box around the sector that was analysed last means that sector.
        Raises UsageError if nothing has been seen of the source yet, or if the area does not fit it, and as ``start``
        does.
        """
        now = self._now  # another tab may switch the source meanwhile
        size_px = None if now.pipeline is None else now.pipeline.status().size_px
        if now.pipeline is None or size_px is None:
            raise UsageError("there is no picture of this source yet. Start it first.")
        seen = now.pipeline.scan_area
        if area is not None and (refusal := why_unfit(area, size_px)) is not None:
            raise UsageError(f"{refusal}.")
        if area is not None and seen is not None and area.sides == seen.sides:
            area = seen
        self._kept_areas.keep(now.source_uri, None if area is None else format_scan_area(area, size_px))
        if now.source_uri == self._given_uri:  # what was given at the start is over
            self._config = self._config.model_copy(update={"scan_area": None})
        return self.start()

    def close(self) -> None:
        """End the run and all viewers, and give the engine back. Safe to call twice."""
        self.stop()
        self.broadcast.close()
        with self._changing:
            self._loaded.close()

    def _start_pipeline(self, now: Now, given_up: Event) -> Pipeline:
        self.broadcast.begin()
        engine = self._loaded.load(now.engine_name)
        if given_up.is_set():
            raise SourceError("it was given up while the engine loaded")
        config = self._config_of(now)
        Smoother(engine.spec, config)  # refuses what the weights do not know, before a recording has its folder
        with ExitStack() as unless_started:
            before = self._begun.get(now.source_uri)
            opened = open_source(now.source_uri, live=True, loop=True, given_up=given_up, before=before)
            source = unless_started.enter_context(opened)
            recording = self._make_recording() if self._make_recording and self.records else ()
            sinks = (*recording, *self._make_receivers())
            pipeline = Pipeline(source, engine, config, sinks, self._show)
            self.flagged.begin(pipeline.session)
            pipeline.start()
            unless_started.pop_all()
        self._begun = {now.source_uri: source}
        return pipeline

    def _config_of(self, now: Now) -> StreamConfig:
        """The settings of a run: those that were given at the start, and what was chosen on the page since."""
        given = self._config.scan_area if now.source_uri == self._given_uri else None  # it was measured there
        area = given or self._kept_area(now.source_uri)
        chosen = {"overlay": self._style, "scan_area": area, "operating_point": now.operating_point}
        return self._config.model_copy(update=chosen)

    def _kept_area(self, uri: str) -> str | None:
        """What is kept for a source, unless the file was damaged or is of a version that wrote something else."""
        kept = self._kept_areas.get(uri)
        try:
            finder(kept)
        except UsageError as error:
            log.warning("what was kept for %s is not used: %s", label(uri), error)
            return None
        return kept

    def _show(self, view: View) -> None:
        """On the drawing thread."""
        self.broadcast.publish(view)
        self.flagged.add(view)

    def _stop_pipeline(self) -> None:
        if self._now.pipeline is not None and not self._now.stopped:
            self._now.pipeline.stop()
            self.unrecorded = self.unrecorded or self._now.pipeline.status().recording_error
            self._now = replace(self._now, stopped=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def label(uri: str) -> str:
    """How a source is called on the page: a path by its last part, for the rest may name a patient; no passwords."""
    scheme, target, _ = split(uri)
    if scheme == "faults":
        script, _, inner = target.partition("/")
        return f"faults:{script}/{label(inner)}"
    if scheme is None or scheme in ON_DISK:
        return last_name(Path(target))
    return "phantom (synthetic)" if uri == PHANTOM else without_secrets(uri)
