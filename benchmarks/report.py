"""Report what was measured, and on which machine, as JSON and as tables."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import conditions
from benchmarks.layers import Row
from benchmarks.ratios import Ratio
from benchmarks.workload import WARM_UP_S, EngineRuns, PipelineRun
from engines import nvidia
from engines.errors import EngineUnavailable
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from stream.errors import UsageError
from stream.sources import kind
from stream.timing import Summary
from stream.web.control import label

PACKAGES = (
    *("rcdnet-live", "numpy", "opencv-python-headless", "av", "openvino", "onnx", "torch", "timm", "grad-cam"),
    *("torch-tensorrt", "tensorrt-cu13", "nvidia-cudnn-cu13"),
)
"""The packages whose versions change the numbers."""

EXTENSIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "BF16", "amx_tile": "AMX"}
"""The processor's extensions on which a network's speed depends, by their flags in /proc/cpuinfo."""

JsonFile = Annotated[Path | None, typer.Option("--json", help="write everything here as well")]

WIDE = 120
"""Width, in columns, at which no table is folded."""


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


def require_folder(path: Path | None) -> None:
    """Raises UsageError if the folder of --json does not exist: the file is written minutes later, too late to ask."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"--json {path}: there is no such folder. Expected a file in one that exists.")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file of --json: ``content`` and the notice. Raises UsageError if that fails."""
    try:
        path.write_text(json.dumps({**content, "notice": RESEARCH_NOTICE}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--json {path}: {error.strerror}. Expected a file that can be written.") from error


def now() -> str:
    """The time in UTC, as reports give it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command(module: str, *words: str) -> str:
    """The command line that repeats a measurement."""
    return shlex.join(["python", "-m", f"benchmarks.{module}", *words])


def source_name(uri: str) -> str:
    """How a report names a source: without a password, and a path by its last part, as folders may name a patient."""
    return uri if kind(uri) == "phantom" else label(uri)


def weights_option(folder: Path) -> list[str]:
    """The option by which a report's command names weights that are not the shipped ones. It gives only the last part
    of their path, as the rest may be private."""
    return [] if folder == SHIPPED else ["--weights", folder.name]


def console() -> Console:
    """For tables on stdout: as wide as the terminal, or WIDE if there is none."""
    return Console(markup=False, width=None if sys.stdout.isatty() else WIDE)


def machine() -> dict[str, Any]:
    """Processor, cores, GPU with its driver (None without one), system and versions. No names of hosts or users."""
    try:
        gpu = asdict(nvidia.gpu())
    except EngineUnavailable:
        gpu = None
    return {
        "cpu": cpu_model(),
        "gpu": gpu,
        "cores_usable": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else None,
        "cores_logical": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1_min": conditions.load_1_min(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """``machine`` in one line."""
    return f"{facts['cpu']}, {facts['cores_usable']} cores, load {facts['load_1_min']}, {facts['os']}"


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, on Linux with those of EXTENSIONS that it has in brackets. Virtual machines whose
    processors have the same name differ in these, and by half in speed.
    """
    lines = info.read_text().splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    extensions = [title for flag, title in EXTENSIONS.items() if flag in facts.get("flags", "").split()]
    return f"{name} ({', '.join(extensions)})" if extensions else name


def installed(package: str) -> str | None:
    """The version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
