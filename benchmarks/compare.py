"""python -m benchmarks.compare OLD.json NEW.json: has a ratio become worse?

Milliseconds are never compared, because another day or machine changes them all. The two sides of a ratio were timed
in turns, so a machine that was slower for a while was so for both. Other work on its cores is another matter
(``benchmarks.turns``), and told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import conditions
from benchmarks.report import err, out
from stream.__main__ import exit_codes
from stream.errors import UsageError

TOLERANCE = "10%"
"""About that much is noise between runs of one commit on a quiet machine."""

HIGHER_IS_BETTER = {
    "eager_gradcam_over_best_cpu": True,
    "class_maps_cost": False,
    "judging_over_engine": False,
    "eager_half_over_cuda_graph": True,
}
"""All ratios by name."""

OFFSETS = {"class_maps_cost": 1.0}
"""What is added to a ratio before it is compared. This one is near 0 (0.03 = 3 % more), and a tenth of that would be
noise; so 1 + cost is compared."""

REGRESSED = 1
"""The exit code if a ratio became worse; 2 and more are errors."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Change:
    """One ratio in the old and the new run. ``worse_by`` is relative to the old value (0.1 = 10 %), and negative if it
    became better.

    ``new`` and ``worse_by`` are None if the new run could not measure it, which counts as worse.
    """

    name: str
    old: float
    new: float | None
    worse_by: float | None

    def regressed(self, tolerance: float) -> bool:
        """Whether it is worse by more than ``tolerance``, or was not measured."""
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
    """Compare the ratios of two runs; exit with 1 if one is worse."""
    with exit_codes():
        worse = print_changes(read(old), read(new), parse_tolerance(tolerance))
    if worse:
        raise typer.Exit(REGRESSED)


def print_changes(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float) -> bool:
    """Print how each ratio changed, and to stderr how machine, engine and load differ. Returns whether a ratio became
    worse by more than ``tolerance``. Raises UsageError if the old run has no ratio."""
    for fact in ("cpu", "cores_usable", "gpu"):
        then, now = (machine_fact(report.get("machine", {}), fact) for report in (old, new))
        if then != now:
            err.print(f"another machine: {fact} was {then}, is {now}", style="yellow")
    for name in HIGHER_IS_BETTER:
        then, now = (engine_of(report.get("ratio_details", {}).get(name)) for report in (old, new))
        if then and now and then != now:
            err.print(f"another engine: {name} was with {then}, now {now}", style="yellow")
    for when, report in (("old", old), ("new", new)):
        if shared := conditions.shared(report.get("conditions", {})):
            err.print(f"the {when} run: {shared}", style="yellow")
    found = changes(old["ratios"], new["ratios"])
    for change in found:
        out.print(change.described(tolerance), highlight=False, soft_wrap=True)
    return any(change.regressed(tolerance) for change in found)


def machine_fact(machine: Mapping[str, Any], fact: str) -> object:
    """What a report says about its machine. Of a GPU only its name, because its clocks differ from day to day."""
    value = machine.get(fact)
    return value.get("name") if isinstance(value, Mapping) else value


def engine_of(ratio: Mapping[str, Any] | None) -> str:
    """The engine of a ratio, with its precision; empty if it was not measured."""
    return f"{ratio['engine']} ({ratio['precision']})" if ratio and ratio.get("engine") else ""


def changes(old: Mapping[str, float | None], new: Mapping[str, float | None]) -> list[Change]:
    """How each ratio that the old run measured has changed. Raises UsageError if it measured none."""
    found = []
    for name, higher_is_better in HIGHER_IS_BETTER.items():
        then, now, offset = old.get(name), new.get(name), OFFSETS.get(name, 0.0)
        if then is None:
            continue
        worse_by = None
        if now is not None:
            share = (now + offset) / (then + offset)
            worse_by = 1 - share if higher_is_better else share - 1
        found.append(Change(name, then, now, worse_by))
    if not found:
        names = ", ".join(HIGHER_IS_BETTER)
        raise UsageError(f"the old run measured none of the ratios {names}. Expected one that did.")
    return found


def parse_tolerance(text: str) -> float:
    """ "10%" or "0.1" -> 0.1. Raises UsageError unless it is 0 or more."""
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"--tolerance {text}: expected a share like 10% or 0.1.")
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
