"""What ``benchmarks.latency`` has measured, as JSON and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import conditions
from benchmarks.layers import Row
from benchmarks.machine import machine_line
from benchmarks.report import now
from benchmarks.turns import Ratio
from benchmarks.workload import WARM_UP_S, EngineRuns, PipelineRun
from stream.timing import Summary


@dataclass(frozen=True)
class Report:
    """What ``benchmarks.latency`` measured.

    ``engines`` holds, in the order of the catalogue, the runs of each engine, or the reason why it could not be
    measured. ``best`` names the fastest engine on the processor, or is None. ``ratios`` are by name. ``command``
    repeats the measurement. ``conditions`` are those of ``conditions.watched``; the clocks of each run are in its
    engine's ``EngineRuns``.
    """

    source: str | None
    seconds: float
    machine: Mapping[str, Any]
    engines: Mapping[str, EngineRuns | str]
    best: str | None
    ratios: Mapping[str, Ratio]
    command: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` writes. ``ratios`` holds numbers or null, ``ratio_details`` all about them."""
        measured = {name: runs for name, runs in self.engines.items() if isinstance(runs, EngineRuns)}
        best = measured.get(self.best or "")
        return {
            "measured_at": now(),
            "command": self.command,
            "conditions": dict(self.conditions),
            "settings": {"source": self.source, "seconds": self.seconds, "warm_up_s": min(WARM_UP_S, self.seconds)},
            "machine": dict(self.machine),
            "best_cpu_engine": self.best,
            "ratios": {name: ratio.value for name, ratio in self.ratios.items()},
            "ratio_details": {name: asdict(ratio) for name, ratio in self.ratios.items()},
            "replay_720p": None if best is None else {"engine": self.best, **asdict(best.replay_720p)},
            "base_path": None
            if best is None
            else {"engine": self.best, "peak_rss_mb": best.peak_rss_mb, "torch_imported": best.torch_imported},
            "engines": {
                name: asdict(runs) | {"layers": [row.to_json() for row in runs.layers]}
                if isinstance(runs, EngineRuns)
                else {"not_measured": runs}
                for name, runs in self.engines.items()
            },
        }


def show(report: Report, console: Console) -> None:
    """Print a report as tables."""
    console.print(machine_line(report.machine))
    if gpu := report.machine["gpu"]:
        console.print(f"{gpu['name']}, driver {gpu['driver']}")
    for when, facts in report.conditions.items():
        console.print(f"{when}: " + ", ".join(f"{fact} {value}" for fact, value in facts.items()))
    for name, runs in report.engines.items():
        if isinstance(runs, str):
            console.print(f"{name}: not measured. {runs}")
            continue
        info = runs.info
        console.print(f"\n{info.name} {info.precision}, {info.built_for}, {info.device}, ", style="bold", end="")
        console.print(f"peak memory {runs.peak_rss_mb:.0f} MB {'with' if runs.torch_imported else 'without'} torch")
        if clocks := [f"{fact} {value}" for fact, value in runs.clocks.items() if value is not None]:
            console.print(", ".join(clocks))
        for title, run in (("live", runs.live), ("replay of the 720p clip", runs.replay_720p)):
            console.print(stage_table(f"{title}: {run.source}", run))
        console.print(layer_table(runs.layers))
    console.print()
    for name, ratio in report.ratios.items():
        console.print(f"{name}: {described(ratio)}")
    if shared := conditions.shared(report.conditions):
        console.print(shared, style="yellow")


def stage_table(title: str, run: PipelineRun) -> Table:
    """One run: percentiles of each stage, then from capture to JPEG. The caption says what became of the frames."""
    table = Table("ms", "p50", "p95", "p99", "max", "samples", title=title, title_justify="left")
    for stage, times in run.stages_ms.items():
        table.add_row(stage, *cells(times))
    table.add_section()
    table.add_row("capture to JPEG", *cells(run.end_to_end_ms), style="bold")
    lost = {**run.counts.dropped, **run.counts.not_analysed}
    if run.not_drawn:
        lost["looked at, not drawn"] = run.not_drawn
    losses = ", ".join(f"{count} {reason}" for reason, count in lost.items()) or "none lost"
    cpu = f"{run.cpu_ms_per_frame:.1f} ms of CPU a picture"
    table.caption = f"{run.fps:.1f} fps, {run.frames} pictures; {losses}; {cpu}"
    table.caption_justify = "left"
    return table


def layer_table(rows: Sequence[Row]) -> Table:
    """The layers around the engine, each with its percentiles and jitter, or the reason why it was not measured."""
    table = Table("ms a call", "batch", "p50", "p95", "p99", "max", "samples", "jitter", "clock")
    table.title, table.title_justify = "layers; jitter is p99 - p50", "left"
    for row in rows:
        jitter = "" if row.jitter_ms is None else f"{row.jitter_ms:.2f}"
        if row.times is None:
            table.add_row(row.layer, str(row.batch), f"not measured: {row.reason}")
        else:
            table.add_row(row.layer, str(row.batch), *cells(row.times), jitter, row.clock)
    return table


def cells(times: Summary) -> tuple[str, ...]:
    """Percentiles as table cells."""
    numbers = (times.p50_ms, times.p95_ms, times.p99_ms, times.max_ms)
    return (*(f"{number:.2f}" for number in numbers), str(times.count))


def described(ratio: Ratio) -> str:
    """A ratio in one line: the number and the times of both sides, or the reason why there is none."""
    if ratio.value is None or ratio.calls_ms is None:
        return f"not measured: {ratio.reason}"
    sides = []
    for name, times in ratio.calls_ms.items():
        least = f"least {times['min_ms']:.2f}, " if "min_ms" in times else ""
        sides.append(f"{name} {times['median_ms']:.2f} ms ({least}{times['count']:.0f} calls)")
    return f"{ratio.value:.4g} by {ratio.statistic}, {ratio.engine} {ratio.precision}; {' : '.join(sides)}"
