"""python -m benchmarks.soak: do memory, open files, latency or losses of the server grow over a long run?

The server has one viewer, and records to a temporary folder. Frames and latencies are read from its /status.json;
memory, files and threads from the operating system.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from rich.table import Table

from benchmarks.conditions import idle_check, load
from benchmarks.machine import machine
from benchmarks.processes import family
from benchmarks.report import JsonFile, command, err, measuring, now, out, source_name, write_json
from benchmarks.server import served, status, viewer
from stream.__main__ import EngineName, end_as_by_ctrl_c
from stream.errors import SourceError, StreamError, UsageError
from stream.sources import kind

SETTLED = 0.2
"""The first share of the run, in which windows and caches still fill, does not count for the drift."""

MOST_ROWS = 12
"""The table has at most this many rows; --json has all samples."""

COLUMNS = (
    *("minute", "fps", "captured", "lost", "p50 ms", "p95 ms", "p99 ms", "painted p95", "MB", "files", "threads"),
    "MB on disk",
)
"""Of the table. Captured and lost frames are those since the row before, or since the start; p50, p95 and p99 are from
capture to drawn."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Sample:
    """The server at one moment.

    - ``fps``, and p50, p95, p99 and max of the time from capture to drawn and to painted (None before the first): over
      its last seconds.
    - ``captured``, ``analysed`` and ``lost`` (dropped or failed) frames: since its start.
    - resident memory (``memory_mb``, 10^6 bytes), open ``files`` and ``threads``: of all its processes.
    - ``recorded_mb``: the size of the recording so far.
    """

    at_s: float
    fps: float
    drawn_ms: dict[str, float] | None
    painted_ms: dict[str, float] | None
    captured: int
    analysed: int
    lost: int
    memory_mb: float
    files: int
    threads: int
    recorded_mb: float


@dataclass(frozen=True)
class Drift:
    """What changed in the last ``minutes`` of the run, after the server had settled.

    - ``memory_mb``: the growth, by the Theil-Sen slope (the median of the slopes between all pairs of samples; Theil
      1950, Sen 1968), which a single spike does not change.
    - ``files``, ``threads``: the last number minus the first.
    - ``lost``: the share of the captured frames, 0..1, in the first and in the last third of that time.
    - ``p95_ms``: the median of the samples' p95 from capture to drawn, in the same thirds; None if nothing was drawn.
    """

    minutes: float
    memory_mb: float
    files: int
    threads: int
    lost: tuple[float, float]
    p95_ms: tuple[float | None, float | None]


@app.command()
def main(
    source: Annotated[str, typer.Option(envvar="RCDNET_SOURCE", help="as for: python -m stream run")] = "phantom:",
    engine: EngineName = "auto",
    minutes: Annotated[float, typer.Option(min=0.05, help="how long to run")] = 30.0,
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="seconds from one sample to the next")] = 10.0,
    record: Annotated[bool, typer.Option(help="record during the run, to a temporary folder")] = True,
    json_file: JsonFile = None,
) -> None:
    """Sample a running server and print how much it changed, even if Ctrl-C or an error ends the run early."""
    with measuring(json_file):
        kind(source)  # raises if it is not a source
        before = {"before": load(idle_check())}
        facts, samples, fault = watch(source, engine, 60 * minutes, every_s, record=record)
        drift = drifted(samples)
        show(facts, samples, drift)
        if json_file is not None:
            words = ["--source", source_name(source), "--engine", engine]
            words += ["--minutes", f"{minutes:g}", "--every", f"{every_s:g}", *([] if record else ["--no-record"])]
            report = {
                "measured_at": now(),
                "command": command("soak", *words),
                "machine": machine(),
                "conditions": before,
                "engine": facts["engine"],
                "error": None if fault is None else str(fault),
                "drift": None if drift is None else asdict(drift),
                "soak": [asdict(sample) for sample in samples],
            }
            write_json(json_file, report)
        if fault is not None:
            raise fault


def watch(
    source: str, engine: str, seconds: float, every_s: float, *, record: bool
) -> tuple[dict[str, Any], list[Sample], StreamError | None]:
    """Run the server: its first /status.json, the samples, and the error that ended them early, if one did. Ctrl-C ends
    them early as well. Raises StreamError if the server does not start."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="rcdnet-soak-") as folder:
        recording = ["--record", folder] if record else []
        with served(source, ["--engine", engine, *recording]) as (server, address), viewer(address):
            facts = status(address)
            try:
                for sample in sampled(server, address, Path(folder), seconds, every_s):
                    samples.append(sample)
            except StreamError as error:
                return facts, samples, error
            except KeyboardInterrupt:
                err.print("stopped early")
            return facts, samples, None


def sampled(server: psutil.Process, address: str, folder: Path, seconds: float, every_s: float) -> Iterator[Sample]:
    """One sample at the start, and one every ``every_s``. Those that are missed while the server hangs are left out.

    Raises SourceError if the server ends or fails, UsageError if it can no longer record.
    """
    start_s = time.monotonic()
    while True:
        current = status(address)
        at_s = time.monotonic() - start_s
        if current["error"] is not None:
            raise SourceError(f"after {at_s:.0f} s: {current['error']}")
        if current["recording_error"] is not None:
            raise UsageError(f"after {at_s:.0f} s: {current['recording_error']}")
        yield sample_of(at_s, current, server, folder)
        due_s = every_s * (at_s // every_s + 1)
        if due_s > seconds:
            return
        time.sleep(max(0.0, start_s + due_s - time.monotonic()))


def sample_of(at_s: float, current: dict[str, Any], server: psutil.Process, folder: Path) -> Sample:
    """A sample from the server's ``status``, its processes, and the folder to which it records."""
    counts: Counter[str] = Counter()
    for row in current["counts"]:
        counts[row["label"]] += row["count"]
    memory, files, threads = 0, 0, 0
    for process in family(server):
        with suppress(psutil.NoSuchProcess), process.oneshot():
            memory += process.memory_info().rss
            files += process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
            threads += process.num_threads()
    recorded = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Sample(
        at_s=round(at_s, 2),
        fps=current["fps"],
        drawn_ms=current["drawn_ms"],
        painted_ms=current["painted_ms"],
        captured=counts["captured"],
        analysed=counts["analysed"],
        lost=counts["dropped"] + counts["failed"],
        memory_mb=round(memory / 1e6, 1),
        files=files,
        threads=threads,
        recorded_mb=round(recorded / 1e6, 1),
    )


def drifted(samples: Sequence[Sample]) -> Drift | None:
    """How the server changed after it had settled; None with fewer than two samples of that time."""
    settled = [each for each in samples if each.at_s >= SETTLED * samples[-1].at_s]
    if len(settled) < 2:
        return None
    at_min = np.array([each.at_s for each in settled]) / 60
    memory_mb = np.array([each.memory_mb for each in settled])
    first, second = np.triu_indices(len(settled), 1)  # all pairs; scipy has theilslopes, but the base install no scipy
    slope = np.median((memory_mb[second] - memory_mb[first]) / (at_min[second] - at_min[first]))
    minutes = at_min[-1] - at_min[0]
    third = max(1, (len(settled) - 1) // 3)
    early, late = settled[: third + 1], settled[-third - 1 :]
    return Drift(
        minutes=round(float(minutes), 2),
        memory_mb=round(float(slope * minutes), 2),
        files=settled[-1].files - settled[0].files,
        threads=settled[-1].threads - settled[0].threads,
        lost=(lost_share(early), lost_share(late)),
        p95_ms=(p95_ms(early), p95_ms(late)),
    )


def lost_share(part: Sequence[Sample]) -> float:
    """The share of the frames captured from the first to the last of these samples that was lost, 0..1."""
    captured = part[-1].captured - part[0].captured
    return round((part[-1].lost - part[0].lost) / max(1, captured), 4)


def p95_ms(part: Sequence[Sample]) -> float | None:
    """The median of the samples' p95 from capture to drawn, or None if nothing was drawn."""
    drawn = [each.drawn_ms["p95"] for each in part if each.drawn_ms is not None]
    return median(drawn) if drawn else None


def show(facts: Mapping[str, Any], samples: Sequence[Sample], drift: Drift | None) -> None:
    """Print a table of some of the samples, and the drift."""
    engine = facts["engine"]
    out.print(f"{facts['source']}, {engine['name']} in {engine['precision']} on {engine['device']}", soft_wrap=True)
    table = Table(*COLUMNS)
    for row in rows(samples):
        table.add_row(*row)
    out.print(table)
    out.print(drift_line(drift), soft_wrap=True)


def rows(samples: Sequence[Sample]) -> Iterator[list[str]]:
    """The cells of COLUMNS for at most MOST_ROWS samples, picked evenly."""
    picked = sorted({round(at) for at in np.linspace(0, len(samples) - 1, MOST_ROWS)}) if samples else []
    captured = lost = 0
    for each in (samples[at] for at in picked):
        drawn, painted = each.drawn_ms or {}, each.painted_ms or {}
        times = [drawn.get("p50"), drawn.get("p95"), drawn.get("p99"), painted.get("p95")]
        yield [
            f"{each.at_s / 60:.2f}",
            f"{each.fps:.1f}",
            str(each.captured - captured),
            str(each.lost - lost),
            *("" if ms is None else f"{ms:.0f}" for ms in times),
            f"{each.memory_mb:.0f}",
            str(each.files),
            str(each.threads),
            f"{each.recorded_mb:.0f}",
        ]
        captured, lost = each.captured, each.lost


def drift_line(drift: Drift | None) -> str:
    """The drift in one line."""
    if drift is None:
        return "Too short to tell what changes once it has settled."
    lost = " to ".join(f"{share:.2%}" for share in drift.lost)
    p95 = " to ".join("none" if ms is None else f"{ms:.0f} ms" for ms in drift.p95_ms)
    grown = f"memory {drift.memory_mb:+.1f} MB, files {drift.files:+d}, threads {drift.threads:+d}"
    thirds = f"from the first third to the last, lost {lost}, p95 to drawn {p95}"
    return f"Once settled, in {drift.minutes:.1f} minutes: {grown}; {thirds}."


if __name__ == "__main__":
    end_as_by_ctrl_c()  # the server must not outlive it
    app()
