"""Print numbers as tables on stdout. Nothing is cut off; cells are folded only if a terminal is too narrow."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

out = Console(markup=False)

FINDINGS = {
    "groups": "groups of near copies",
    "exact": "identical pairs",
    "mirrored": "mirrored pairs",
    "conflicts": "groups with two labels",
    "markers": "pictures with ink",
    "colour": "pictures with colour",
}
"""The lists in ``audit.audit``, by their titles."""


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that all have the same columns. A column in which they all agree is put into the title."""
    if not rows:
        return
    shared = {key for key, value in rows[0].items() if len(rows) > 1 and all(row[key] == value for row in rows)}
    table = Table(
        *(key for key in rows[0] if key not in shared),
        title=", ".join(f"{key} {rows[0][key]}" for key in rows[0] if key in shared and rows[0][key]) or None,
    )
    for row in rows:
        table.add_row(*(value for key, value in row.items() if key not in shared))
    print_table(table)


def print_table(table: Table) -> None:
    """Print a table: folded to the width of the terminal, or in full width if stdout is not one."""
    for column in table.columns:
        column.overflow = "fold"
    whole = Measurement.get(out, out.options.update_width(10_000), table).maximum
    (out if out.is_terminal else Console(width=whole, markup=False)).print(table)


def print_findings(findings: Mapping[str, Any]) -> None:
    """Print what ``train audit`` found."""
    smallest, largest = ("x".join(map(str, findings["sizes"][key])) for key in ("smallest", "largest"))
    table = Table("finding", "count", "first of them")
    table.add_row("pictures", str(findings["n"]), ", ".join(f"{n} {label}" for label, n in findings["labels"].items()))
    table.add_row("patients", str(findings["patients"] or "not recorded"), "")
    table.add_row("sizes", str(findings["sizes"]["different"]), f"from {smallest} to {largest} (each side by itself)")
    for key, title in FINDINGS.items():
        first = [" = ".join(entry) if isinstance(entry, list) else entry for entry in findings[key][:3]]
        table.add_row(title, str(len(findings[key])), "; ".join(first))
    print_table(table)
    for group in findings["conflicts"]:
        out.print("two labels: " + " = ".join(group), soft_wrap=True)
    for pair in findings["exact"]:
        out.print("identical: " + " = ".join(pair), soft_wrap=True)


def print_result(result: Mapping[str, Any], task: str) -> None:
    """Print what ``train evaluate`` writes as JSON."""
    table = Table("measure", f"{result['data']}, {task}")
    for key, value in result.items():
        if key == "auc_ci" or key.endswith("_by_chance") or isinstance(value, dict):
            continue
        if key == "auc":
            low, high = result["auc_ci"]
            table.add_row("AUC (95 % bootstrap)", f"{value:.3f} ({low:.3f} to {high:.3f})")
        elif key == "auc_each_once":
            table.add_row("AUC, each patient once", f"{value:.3f}")
        elif key == "classes":
            table.add_row("confusion matrix of", ", ".join(value) + " (rows: truth)")
        elif (chance := result.get(f"{key}_by_chance")) is not None:
            by_chance = f"{chance.mean:.3f} if perfectly calibrated, up to {chance.most:.3f}"
            table.add_row(key, f"{value:.3f} ({by_chance})")
        else:
            title = f"{key} (macro)" if key in ("precision", "recall", "f1") else key
            table.add_row(title, text(value))
    print_table(table)
    out.print(
        "The page calls nothing near this threshold: `python -m benchmarks.calls` counts what it would say.",
        soft_wrap=True,
    )
    for attribute, parts in dict(result.get("by", {})).items():
        for value, numbers in parts.items():
            score = "none" if numbers["auc"] is None else f"{numbers['auc']:.3f}"
            out.print(f"{attribute} {value}: n {numbers['n']}, AUC {score}", soft_wrap=True)
    for key, title in (("faithfulness", "heat map, hottest cells blurred"), ("in_paint", "markers painted away")):
        numbers = [
            f"{name} {text(each)}" for name, each in result.get(key, {}).items() if isinstance(each, int | float)
        ]
        if numbers:
            out.print(f"{title}: {', '.join(numbers)}", soft_wrap=True)


def text(value: Any) -> str:
    """A value as a table shows it."""
    return f"{value:.3f}" if isinstance(value, float) else "not measured" if value is None else str(value)
