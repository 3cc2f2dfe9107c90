"""python -m benchmarks.stability: how steady and how late are the calls, and what does the smoothing change?

A source is replayed once; the network's answers to its frames are then smoothed again with other time constants. The
phantom's truth is known, so for it the delay and the lingering of each lesion's calls are measured too. This tests how
much time the smoothing adds, not the network, which was not trained on phantoms.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.replayed import CollectingSink, judged_by, replayed
from benchmarks.report import JsonFile, command, measuring, now, out, source_name, weights_option, write_json
from engines.base import Engine
from engines.failover import open_with_failover
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from stream.__main__ import AreaText, ConfigFile, EngineName, WeightsFolder, settings_of
from stream.config import StreamConfig
from stream.decision import describe_call
from stream.errors import UsageError
from stream.smoothing import Smoother
from stream.sources import kind, open_source
from stream.sources.phantom import PhantomSource
from stream.types import Assessment, Frame, NotAnalysed, Prediction, State

SMOOTHING_S = (0.001, 0.1, 0.2, 0.4, 0.8, 1.6)
"""The time constants that are compared; the first smooths next to nothing."""

PHANTOM_S = 120
"""How long the phantom is replayed. It shows about ten lesions a minute."""

FLICKER_S = 0.2
"""What is said for less long than this cannot be read: it flickers."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Steadiness:
    """How steady the calls of one source are at one smoothing time.

    - ``called``: the share of the analysed frames that have a clear finding.
    - ``changes_per_min``: how often the finding changed; undecided frames between two findings are left out.
    - ``headlines_per_min``: how often what is said changed, in words: the finding, or the state of a frame without one.
    - ``flickers_per_min``: how much of that lasted less than FLICKER_S.

    The rest is None where the truth is not known:

    - ``true_changes_per_min``: how often a lesion came or went.
    - ``missed``: how many of the ``lesions`` were never called while in view.
    - ``delay_s``, ``lingering_s``: medians over the lesions of the time from the first frame to the first call, and
      from the last frame to the last call (negative if the calls end before the lesion is gone).
    - ``wrong``: the share of the calls that say lesion where there is none, or none where there is one. A benign lesion
      that is called malignant does not count.
    """

    smoothing_s: float
    analysed: int
    called: float
    changes_per_min: float
    headlines_per_min: float
    flickers_per_min: float
    true_changes_per_min: float | None = None
    lesions: int | None = None
    missed: int | None = None
    delay_s: float | None = None
    lingering_s: float | None = None
    wrong: float | None = None


@dataclass(frozen=True)
class Measured:
    """The rows of one source, by its displayed name."""

    name: str
    rows: list[Steadiness]


@app.command()
def main(
    sources: Annotated[list[str] | None, typer.Argument(help="recordings; by default the phantom")] = None,
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    scan_area: AreaText = None,
    json_file: JsonFile = None,
) -> None:
    """Show how steady and how late the calls on a recording are at each smoothing time; the warm-up is the same."""
    with measuring(json_file):
        settings = settings_of(config, scan_area)
        found = []
        with open_with_failover(engine, weights, wait=True) as opened:
            for uri in sources or [f"phantom:?frames={30 * PHANTOM_S}"]:
                found.append(measure(uri, opened, settings))
                show(found[-1])
        out.print(RESEARCH_NOTICE)
        if json_file is not None:
            words = ["--engine", engine, *weights_option(weights), *map(source_name, sources or ())]
            report = {
                "measured_at": now(),
                "command": command("stability", *words),
                "machine": machine(),
                "engine": asdict(opened.info),
                **judged_by(opened.spec, settings),
                "stability": [{"source": one.name, "rows": [asdict(row) for row in one.rows]} for one in found],
            }
            write_json(json_file, report)


def measure(uri: str, engine: Engine, config: StreamConfig) -> Measured:
    """Replay a source, and measure it with each of SMOOTHING_S. Raises StreamError, EngineError, and UsageError if it
    is not a recording."""
    if kind(uri) == "phantom" and "frames=" not in uri:
        raise UsageError(f"{uri} never ends. Expected a number of frames, like phantom:?frames=3600.")
    with open_source(uri, live=False) as source:
        if source.live or source.still:
            why = "is live, and loses frames" if source.live else "holds stills, which are not smoothed"
            raise UsageError(f"{source.name} {why}. Expected a recording.")
        replay = replayed(source, engine, config)
        if not any(each.raw.size for each in replay.said):
            reason = replay.said[0].reason if replay.said else "it has no frames"
            raise UsageError(f"{source.name}: no frame was analysed: {reason}")
        lesions = None
        if isinstance(source, PhantomSource):
            lesions = [source.truth(frame.index) is not None for frame in replay.frames]
        rows = []
        for smoothing_s in SMOOTHING_S:
            said = said_again(replay, smoothing_s)
            row = steadiness(smoothing_s, replay.frames, said)
            rows.append(row if lesions is None else beside_truth(row, replay.frames, said, lesions))
        return Measured(source.name, rows)


def said_again(replay: CollectingSink, smoothing_s: float) -> list[Assessment]:
    """What would have been said at another smoothing time: the same predictions, smoothed again."""
    spec, config = replay.session.spec, replay.session.config
    smoother = Smoother(spec, config.model_copy(update={"smoothing_s": smoothing_s}))
    no_maps = np.zeros((len(spec.class_names), 1, 1), np.float32)
    return [
        smoother.update(
            frame,
            each.scan_area,
            Prediction(each.raw, no_maps) if each.raw.size else NotAnalysed(each.reason, state=each.state),
            frame.captured_ns,
        )
        for frame, each in zip(replay.frames, replay.said, strict=True)
    ]


def steadiness(smoothing_s: float, frames: Sequence[Frame], said: Sequence[Assessment]) -> Steadiness:
    """How steady is what was ``said`` about these ``frames``, which were smoothed with ``smoothing_s``."""
    analysed = sum(each.raw.size > 0 for each in said)
    clear = clear_findings(said)
    headlines = changes(frames, said, range(len(said)), describe_call)
    flickers = sum(
        round(frames[after].pts_s - frames[before].pts_s, 3) < FLICKER_S
        and frames[before].source == frames[after].source
        for before, after in pairwise(headlines)
    )
    return Steadiness(
        smoothing_s,
        analysed,
        called=len(clear) / analysed,
        changes_per_min=per_minute(len(changes(frames, said, clear, lambda each: each.finding)), frames),
        headlines_per_min=per_minute(len(headlines), frames),
        flickers_per_min=per_minute(flickers, frames),
    )


def beside_truth(
    row: Steadiness, frames: Sequence[Frame], said: Sequence[Assessment], lesions: Sequence[bool]
) -> Steadiness:
    """``row`` with what is measured where the truth is known: ``lesions`` says for each frame whether it shows one."""
    stretches = lesion_stretches(lesions)
    delays_s, lingering_s = [], []
    for start, end, next_start in stretches:
        calls = calls_of(said, start, end, next_start)
        if calls is not None:
            delays_s.append(frames[calls[0]].pts_s - frames[start].pts_s)
            lingering_s.append(frames[calls[1]].pts_s - frames[end - 1].pts_s)
    clear = clear_findings(said)
    return replace(
        row,
        true_changes_per_min=per_minute(sum(before != after for before, after in pairwise(lesions)), frames),
        lesions=len(stretches),
        missed=len(stretches) - len(delays_s),
        delay_s=median(delays_s) if delays_s else None,
        lingering_s=median(lingering_s) if lingering_s else None,
        wrong=sum((said[at].lesion is not None) != lesions[at] for at in clear) / max(1, len(clear)),
    )


def clear_findings(said: Sequence[Assessment]) -> list[int]:
    """The frames that have a finding."""
    return [at for at, each in enumerate(said) if each.state is State.CLEAR_FINDING]


def changes(
    frames: Sequence[Frame], said: Sequence[Assessment], among: Sequence[int], what: Callable[[Assessment], str | None]
) -> list[int]:
    """Those of the frames ``among`` these of which ``what`` is not as before. Where another recording begins is no
    change."""
    return [
        after
        for before, after in pairwise(among)
        if frames[before].source == frames[after].source and what(said[before]) != what(said[after])
    ]


def per_minute(count: int, frames: Sequence[Frame]) -> float:
    """So many a minute, over the time of all frames; 0 for a single one."""
    minutes = (frames[-1].pts_s - frames[0].pts_s) / 60
    return count / minutes if minutes > 0 else 0.0


def calls_of(said: Sequence[Assessment], start: int, end: int, next_start: int) -> tuple[int, int] | None:
    """The first and the last frame that call the lesion in view from ``start`` to before ``end``. None if it is not
    called while in view.

    Not calls of this lesion are: one that continues from the lesion before, until it first ends; one after the lesion
    is gone and "no lesion flagged" was said; one from ``next_start`` on, where the next lesion starts.
    """
    over = next((at for at in range(end, next_start) if said[at].finding == "normal"), next_start)
    if start > 0 and said[start - 1].lesion is not None:
        start = next((at for at in range(start, end) if said[at].lesion is None), end)
    calls = [at for at in range(start, over) if said[at].lesion is not None]
    return (calls[0], calls[-1]) if calls and calls[0] < end else None


def lesion_stretches(lesions: Sequence[bool]) -> list[tuple[int, int, int]]:
    """For each lesion its first frame, the frame after its last, and the first frame of the next lesion (or the number
    of frames, if there is none)."""
    edges = [0, *(at for at in range(1, len(lesions)) if lesions[at] != lesions[at - 1]), len(lesions)]
    spans = [(start, end) for start, end in pairwise(edges) if start < end and lesions[start]]
    next_starts = [*(start for start, _ in spans[1:]), len(lesions)]
    return [(*span, next_start) for span, next_start in zip(spans, next_starts, strict=False)]


def show(measured: Measured) -> None:
    """Print the table of one source."""
    rows = measured.rows
    known = rows[0].lesions is not None
    truth = f", {rows[0].true_changes_per_min:.0f} true changes a minute" if known else ""
    out.print(f"{measured.name}, {rows[0].analysed} frames analysed{truth}", soft_wrap=True)
    table = Table("smoothing s", "called", "changes to another finding a minute", "headlines a minute")
    table.add_column(f"under {FLICKER_S:g} s")
    for title in ("lesions missed", "delay s", "lingering s", "wrong calls") if known else ():
        table.add_column(title)
    for row in rows:
        cells = [f"{row.smoothing_s:g}", f"{row.called:.0%}", f"{row.changes_per_min:.0f}"]
        cells += [f"{row.headlines_per_min:.0f}", f"{row.flickers_per_min:.1f}"]
        if known:
            cells += [f"{row.missed} of {row.lesions}", text(row.delay_s), text(row.lingering_s), f"{row.wrong:.1%}"]
        table.add_row(*cells)
    out.print(table)


def text(value: float | None) -> str:
    """Seconds as a table shows them, empty for None."""
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    app()
