"""python -m benchmarks.compare OLD.json NEW.json: has a ratio become worse? Milliseconds are never compared: another
day, another machine and another neighbour change them all, while a ratio's two sides were timed in turns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stream.__main__ import exit_codes
from stream.errors import UsageError

TOLERANCE = "10%"
"""Quiet runs of one commit gave ratios of 16 to 18: a tenth is about what noise does."""

QUIET_CORES = 0.2
"""More foreign load than that is told: with 1.5 of 2 cores taken, a commit that gives 16 to 18 gave 71."""

GAIN = {
    "eager_gradcam_over_best_cpu": "more",
    "class_maps_cost": "less",
    "judging_over_engine": "less",
    "eager_half_over_cuda_graph": "more",
}
"""Which way each ratio is better."""

OFFSETS = {"class_maps_cost": 1.0}
"""It is a part that is added (0.03 = 3 %), so near zero that only 1 + cost has a meaningful tenth."""

REGRESSED = 1
"""The exit code; 2 and more are errors."""

out, err = Console(soft_wrap=True, markup=False), Console(stderr=True, soft_wrap=True, markup=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Change:
    """One ratio then and now; ``worse_by`` is a part of the old value (0.1 = 10 %), negative where it got better.

    ``new`` and ``worse_by`` are None if it could not be measured any more, which counts as worse.
    """

    name: str
    old: float
    new: float | None
    worse_by: float | None

    def regressed(self, tolerance: float) -> bool:
        """Worse by more than ``tolerance``, or gone."""
        return self.worse_by is None or self.worse_by > tolerance

    def described(self, tolerance: float) -> str:
        """One line."""
        if self.new is None or self.worse_by is None:
            return f"{self.name}: {self.old:.4g} -> not measured: WORSE"
        verdict = "WORSE" if self.regressed(tolerance) else "ok"
        return f"{self.name}: {self.old:.4g} -> {self.new:.4g}, {self.worse_by:+.1%} towards worse: {verdict}"


@app.command()
def main(
    old: Annotated[Path, typer.Argument(help="what benchmarks.latency --json wrote before")],
    new: Annotated[Path, typer.Argument(help="what it wrote now")],
    tolerance: Annotated[str, typer.Option(help="how much worse a ratio may be: 10% or 0.1")] = TOLERANCE,
) -> None:
    """Compare the ratios of two runs; exit with 1 if one became worse."""
    with exit_codes():
        worse = told(read(old), read(new), parse_tolerance(tolerance))
    if worse:
        raise typer.Exit(REGRESSED)


def told(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float) -> bool:
    """Print each ratio's change, and to stderr what else differs. True if one regressed. Raises UsageError."""
    for fact in ("cpu", "cores_usable", "gpu"):
        then, now = (fact_of(report.get("machine", {}), fact) for report in (old, new))
        if then != now:
            err.print(f"another machine: {fact} was {then}, is {now}", style="yellow")
    for name in GAIN:
        then, now = (measured_on(report.get("ratio_details", {}).get(name)) for report in (old, new))
        if then and now and then != now:
            err.print(f"another engine: {name} was of {then}, is of {now}", style="yellow")
    for when, report in (("old", old), ("new", new)):
        busy = report.get("conditions", {}).get("during", {}).get("foreign_cores_busy")
        if busy is not None and busy > QUIET_CORES:
            err.print(f"the {when} run shared the machine: {busy} cores were busy with other work", style="yellow")
    found = changes(old["ratios"], new["ratios"])
    for change in found:
        out.print(change.described(tolerance), highlight=False)
    return any(change.regressed(tolerance) for change in found)


def fact_of(machine: Mapping[str, Any], fact: str) -> object:
    """What a report says of its machine; of a GPU its name, as its clocks differ from day to day."""
    told = machine.get(fact)
    return told.get("name") if isinstance(told, Mapping) else told


def measured_on(ratio: Mapping[str, Any] | None) -> str:
    """The engine that a ratio is of, with its precision; nothing where it was not measured."""
    return f"{ratio['engine']} ({ratio['precision']})" if ratio and ratio.get("engine") else ""


def changes(old: Mapping[str, float | None], new: Mapping[str, float | None]) -> list[Change]:
    """What became of each ratio that was measured then. Raises UsageError if none was: that would compare nothing."""
    found = []
    for name, gain in GAIN.items():
        then, now, offset = old.get(name), new.get(name), OFFSETS.get(name, 0.0)
        if then is None:
            continue
        grown = None if now is None else (now + offset) / (then + offset) - 1
        found.append(Change(name, then, now, grown if grown is None or gain == "less" else -grown))
    if not found:
        raise UsageError(f"the old run measured none of the ratios {', '.join(GAIN)}. Expected one that did.")
    return found


def parse_tolerance(text: str) -> float:
    """ "10%" or "0.1" -> 0.1. Raises UsageError unless it is 0 or more."""
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"--tolerance {text}: expected a part like 10% or 0.1.")
    return value


def read(path: Path) -> dict[str, Any]:
    """A report that ``benchmarks.latency --json`` wrote. Raises UsageError."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Expected what --json wrote.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}. Expected what --json wrote.") from error
    if not isinstance(report, dict) or not isinstance(report.get("ratios"), dict):
        raise UsageError(f"{path} has no 'ratios'. Expected what benchmarks.latency --json wrote.")
    return report


if __name__ == "__main__":
    app()
