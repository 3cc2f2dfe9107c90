"""python -m benchmarks.stability: how steady is what is called, how late, and what does the smoothing do for it?

A source is replayed once; what the network said of each frame is then judged again with other smoothing times. Of the
phantom the truth is known, so its lesions also tell how late they are called and how long they linger. It is no test of
the network, which never learned from phantoms, but of what the smoothing adds in time.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from benchmarks.report import (
    JsonFile,
    command,
    console,
    machine,
    now,
    require_folder,
    source_name,
    weights_option,
    write_json,
)
from engines.base import EngineInfo
from engines.failover import open_with_failover
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.spec import ModelSpec
from rcdnet.weights import SHIPPED
from stream.__main__ import AreaText, ConfigFile, EngineName, WeightsFolder, exit_codes, raise_failures, settings_of
from stream.config import StreamConfig
from stream.errors import UsageError
from stream.pipeline import Pipeline
from stream.session import Session
from stream.smoothing import Smoother
from stream.sources import kind, open_source
from stream.sources.phantom import PhantomSource
from stream.status import Status
from stream.types import Assessment, Frame, NotAnalysed, Prediction, State, View

SMOOTHING_S = (0.001, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Time constants to compare: from hardly any."""

PHANTOM_S = 120
"""A minute has about ten lesions."""

out = console()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Watching:
    """A sink that keeps what was judged and no pixels. ``seen`` is in order of the frames."""

    on_disk = False
    seen: list[tuple[Frame, Assessment]] = field(default_factory=list)

    def open(self, session: Session) -> None:
        """See ``stream.sinks.base.Sink``."""

    def write(self, view: View) -> None:
        """See ``stream.sinks.base.Sink``."""
        pixel = np.zeros((1, 1, 3), np.uint8)
        self.seen.append((replace(view.frame, rgb=pixel), replace(view.assessment, attention=None)))

    def close(self, status: Status) -> None:
        """See ``stream.sinks.base.Sink``."""


@dataclass(frozen=True)
class Steadiness:
    """Of one source at one smoothing time. Shares are of the analysed frames; what needs the truth is None without it.

    ``changes_per_min``: how often the finding became another, what lay undecided between them left out;
    ``true_changes_per_min``: how often a lesion came or went. ``missed`` of ``lesions`` were not called while in view.
    ``delay_s`` and ``lingering_s``: medians from a lesion's first frame to its first call, and from its last frame to
    its last call, negative where the call ends before. ``wrong`` is the share of calls that say lesion where none is,
    or none where one is: a benign lesion that is called malignant is a change and not wrong.
    """

    smoothing_s: float
    analysed: int
    called: float
    changes_per_min: float
    true_changes_per_min: float | None = None
    lesions: int | None = None
    missed: int | None = None
    delay_s: float | None = None
    lingering_s: float | None = None
    wrong: float | None = None


@dataclass(frozen=True)
class Measured:
    """One source, by its name for people, and the network that judged it."""

    name: str
    engine: EngineInfo
    spec: ModelSpec
    rows: list[Steadiness]


@app.command()
def main(
    sources: Annotated[list[str] | None, typer.Argument(help="recordings; none: the phantom")] = None,
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    scan_area: AreaText = None,
    json_file: JsonFile = None,
) -> None:
    """Changes of the finding a minute, delay and lingering, by smoothing time; the warm-up is the same in all."""
    with exit_codes():
        require_folder(json_file)
        settings = settings_of(config, scan_area)
        found = []
        for uri in sources or [f"phantom:?frames={30 * PHANTOM_S}"]:
            found.append(measure(uri, engine, settings, weights))
            show(found[-1])
        out.print(RESEARCH_NOTICE)
        if json_file is not None:
            words = ["--engine", engine, *weights_option(weights), *map(source_name, sources or ())]
            told = {
                "measured_at": now(),
                "command": command("stability", *words),
                "machine": machine(),
                "engine": asdict(found[0].engine),
                "weights_sha256": found[0].spec.weights_sha256,
                "calibration": found[0].spec.calibration,
                "config": settings.model_dump(),
                "stability": [{"source": one.name, "rows": [asdict(row) for row in one.rows]} for one in found],
            }
            write_json(json_file, told)


def measure(uri: str, engine: str, config: StreamConfig, weights: Path = SHIPPED) -> Measured:
    """One row for each of SMOOTHING_S. Raises StreamError, EngineError, UsageError for what is no recording."""
    if kind(uri) == "phantom" and "frames=" not in uri:
        raise UsageError(f"{uri} never ends. Expected a number of frames, like phantom:?frames=3600.")
    watching = Watching()
    with open_source(uri, live=False) as source, open_with_failover(engine, weights, wait=True) as opened:
        if source.live or source.still:
            why = "is live, and loses frames" if source.live else "holds stills, which are not smoothed"
            raise UsageError(f"{source.name} {why}. Expected a recording.")
        with Pipeline(source, opened, config, [watching]) as pipeline:
            pipeline.wait()
        raise_failures(pipeline, pipeline.status(), None)
        if not any(said.raw.size for _, said in watching.seen):
            reason = watching.seen[0][1].reason if watching.seen else "it has no frames"
            raise UsageError(f"{source.name}: no frame was analysed: {reason}")
        used = pipeline.session.config  # a slow source's times are longer
        lesions = None
        if isinstance(source, PhantomSource):
            lesions = [source.truth(frame.index) is not None for frame, _ in watching.seen]
        rows = []
        for smoothing_s in SMOOTHING_S:
            changed = used.model_copy(update={"smoothing_s": smoothing_s})
            judged = judged_again(watching.seen, opened.spec, changed)
            rows.append(steadiness(smoothing_s, watching.seen, judged, lesions))
        return Measured(source.name, opened.info, opened.spec, rows)


def judged_again(seen: Sequence[tuple[Frame, Assessment]], spec: ModelSpec, config: StreamConfig) -> list[Assessment]:
    """What would have been said with another ``config``: the same predictions, smoothed anew."""
    smoother = Smoother(spec, config)
    no_maps = np.zeros((len(spec.class_names), 1, 1), np.float32)
    return [
        smoother.update(
            frame,
            said.scan_area,
            Prediction(said.raw, no_maps) if said.raw.size else NotAnalysed(said.reason, state=said.state),
            frame.captured_ns,
        )
        for frame, said in seen
    ]


def steadiness(
    smoothing_s: float,
    seen: Sequence[tuple[Frame, Assessment]],
    judged: Sequence[Assessment],
    lesions: Sequence[bool] | None,
) -> Steadiness:
    """``lesions`` says for each frame whether it shows one."""
    times_s = [frame.pts_s for frame, _ in seen]
    minutes = (times_s[-1] - times_s[0]) / 60

    def per_minute(changes: int) -> float:
        return changes / minutes if minutes > 0 else 0.0

    analysed = sum(said.raw.size > 0 for said in judged)
    clear = [at for at, said in enumerate(judged) if said.state is State.CLEAR_FINDING]
    changes = sum(
        judged[before].finding != judged[after].finding and seen[before][0].source == seen[after][0].source
        for before, after in pairwise(clear)
    )
    row = Steadiness(smoothing_s, analysed, len(clear) / analysed, per_minute(changes))
    if lesions is None:
        return row
    stretches = lesion_stretches(lesions)
    delays, lingering = [], []
    for start, end, follower in stretches:
        calls = answer(judged, start, end, follower)
        if calls is not None:
            delays.append(times_s[calls[0]] - times_s[start])
            lingering.append(times_s[calls[1]] - times_s[end - 1])
    return replace(
        row,
        true_changes_per_min=per_minute(sum(before != after for before, after in pairwise(lesions))),
        lesions=len(stretches),
        missed=len(stretches) - len(delays),
        delay_s=median(delays) if delays else None,
        lingering_s=median(lingering) if lingering else None,
        wrong=sum((judged[at].lesion is not None) != lesions[at] for at in clear) / max(1, len(clear)),
    )


def answer(judged: Sequence[Assessment], start: int, end: int, follower: int) -> tuple[int, int] | None:
    """First and last frame of the calls of a lesion that is in view from ``start`` to before ``end``; None if it was
    not called meanwhile. What is left over from the lesion before is none of them, nor is what comes once "no lesion
    flagged" stood after its end, nor what comes from ``follower`` on, the next lesion's start.
    """
    over = next((at for at in range(end, follower) if judged[at].finding == "normal"), follower)
    if start > 0 and judged[start - 1].lesion is not None:
        start = next((at for at in range(start, end) if judged[at].lesion is None), end)
    calls = [at for at in range(start, over) if judged[at].lesion is not None]
    return (calls[0], calls[-1]) if calls and calls[0] < end else None


def lesion_stretches(lesions: Sequence[bool]) -> list[tuple[int, int, int]]:
    """First frame of each lesion, the frame after its last, and the first of the next one, or the number of frames."""
    edges = [0, *(at for at in range(1, len(lesions)) if lesions[at] != lesions[at - 1]), len(lesions)]
    runs = [(start, end) for start, end in pairwise(edges) if start < end and lesions[start]]
    followers = [*(start for start, _ in runs[1:]), len(lesions)]
    return [(start, end, follower) for (start, end), follower in zip(runs, followers, strict=False)]


def show(measured: Measured) -> None:
    """One table for each source."""
    rows = measured.rows
    known = rows[0].lesions is not None
    truth = f", {rows[0].true_changes_per_min:.0f} true changes a minute" if known else ""
    out.print(f"{measured.name}, {rows[0].analysed} frames analysed{truth}", soft_wrap=True)
    table = Table("smoothing s", "called", "changes to another finding a minute")
    for title in ("lesions missed", "delay s", "lingering s", "wrong calls") if known else ():
        table.add_column(title)
    for row in rows:
        cells = [f"{row.smoothing_s:g}", f"{row.called:.0%}", f"{row.changes_per_min:.0f}"]
        if known:
            cells += [f"{row.missed} of {row.lesions}", text(row.delay_s), text(row.lingering_s), f"{row.wrong:.1%}"]
        table.add_row(*cells)
    out.print(table)


def text(value: Any) -> str:
    """Seconds, or that there are none."""
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    app()
