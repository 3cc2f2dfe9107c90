"""python -m benchmarks.stability: how steady is what is called, how late, and what does the smoothing do for it?

A source is replayed once; what the network said of each frame is then judged again with other smoothing times. Of the
phantom the truth is known, so its lesions also tell how late they are called and how long they linger. It is no test of
the network, which never learned from phantoms, but of what the smoothing adds in time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from benchmarks.report import console, machine, require_folder, write_json
from engines.failover import open_engine
from rcdnet.spec import ModelSpec
from stream.__main__ import exit_codes
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.session import Session
from stream.smoothing import Smoother
from stream.sources import open_source
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
    """Of one source at one smoothing time. Shares are of the analysed frames; those of the lesions None if unknown.

    ``changes_per_min``: how often the finding became another, what lay undecided between them left out;
    ``true_changes_per_min``: how often a lesion came or went. ``delay_s`` and ``lingering_s``: medians from a lesion's
    first frame to its first call as one, and from its last to the last such call. ``missed`` of ``lesions`` were never
    called; ``wrong`` is the share of calls that say lesion where none is, or none where one is.
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


@app.command()
def main(
    sources: Annotated[list[str] | None, typer.Argument(help="clips; none: the phantom")] = None,
    engine: Annotated[str, typer.Option(help="auto, or a name from: python -m engines list")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="write everything here as well")] = None,
) -> None:
    """Changes of the finding a minute, delay and lingering, by smoothing time."""
    with exit_codes():
        require_folder(json_file)
        results = {}
        for uri in sources or [f"phantom:?frames={30 * PHANTOM_S}"]:
            results[uri] = list(measure(uri, engine))
            show(uri, results[uri])
        if json_file is not None:
            command = " ".join(["python -m benchmarks.stability", *(sources or ())])
            told = {uri: [asdict(row) for row in rows] for uri, rows in results.items()}
            write_json(json_file, {"machine": machine(), "command": command, "stability": told})


def measure(uri: str, engine: str) -> Iterator[Steadiness]:
    """One row for each of SMOOTHING_S. Raises StreamError, EngineError."""
    config, watching = StreamConfig(), Watching()
    with open_engine(engine, wait=True) as opened, open_source(uri, live=False) as source:
        with Pipeline(source, opened, config, [watching]) as pipeline:
            pipeline.wait()
        if pipeline.error is not None:
            raise pipeline.error
        lesions = None
        if isinstance(source, PhantomSource):
            lesions = [source.truth(frame.index) is not None for frame, _ in watching.seen]
        for smoothing_s in SMOOTHING_S:
            changed = config.model_copy(update={"smoothing_s": smoothing_s})
            judged = judged_again(watching.seen, opened.spec, changed, still=source.still)
            yield steadiness(smoothing_s, watching.seen, judged, lesions)


def judged_again(
    seen: Sequence[tuple[Frame, Assessment]], spec: ModelSpec, config: StreamConfig, *, still: bool = False
) -> list[Assessment]:
    """What would have been said with another ``config``: the same predictions, smoothed anew."""
    smoother = Smoother(spec, config, still=still)
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
    analysed = sum(said.raw.size > 0 for said in judged)
    calls = [said.finding for said in judged if said.state is State.CLEAR_FINDING]
    minutes = (times_s[-1] - times_s[0]) / 60 if len(times_s) > 1 else 0.0

    def per_minute(changes: int) -> float:
        return changes / minutes if minutes > 0 else 0.0

    changes = sum(before != after for before, after in pairwise(calls))
    row = Steadiness(smoothing_s, analysed, len(calls) / max(1, analysed), per_minute(changes))
    if lesions is None:
        return row
    called = [said.finding not in (None, "normal") for said in judged]
    delays, lingering, missed = [], [], 0
    stretches = lesion_stretches(lesions)
    for start, end, next_start in stretches:
        of_it = [at for at in range(start, next_start) if called[at]]
        if not of_it or of_it[0] >= end:
            missed += 1
            continue
        delays.append(times_s[of_it[0]] - times_s[start])
        lingering.append(max(0.0, times_s[of_it[-1]] - times_s[end - 1]))
    wrong = sum(called[at] != lesion for at, lesion in enumerate(lesions) if judged[at].state is State.CLEAR_FINDING)
    return replace(
        row,
        true_changes_per_min=per_minute(sum(before != after for before, after in pairwise(lesions))),
        lesions=len(stretches),
        missed=missed,
        delay_s=median(delays) if delays else None,
        lingering_s=median(lingering) if lingering else None,
        wrong=wrong / max(1, len(calls)),
    )


def lesion_stretches(lesions: Sequence[bool]) -> list[tuple[int, int, int]]:
    """First frame of each lesion, the frame after its last, and the first of the next one, or the number of frames."""
    edges = [0, *(at for at in range(1, len(lesions)) if lesions[at] != lesions[at - 1]), len(lesions)]
    runs = [(start, end) for start, end in pairwise(edges) if start < end and lesions[start]]
    followers = [*(start for start, _ in runs[1:]), len(lesions)]
    return [(start, end, follower) for (start, end), follower in zip(runs, followers, strict=False)]


def show(uri: str, rows: Sequence[Steadiness]) -> None:
    """One table for each source."""
    known = rows[0].lesions is not None
    truth = f", {rows[0].true_changes_per_min:.0f} true changes a minute" if known else ""
    out.print(f"{uri}, {rows[0].analysed} frames analysed{truth}", soft_wrap=True)
    table = Table("smoothing s", "called", "changes a minute")
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
