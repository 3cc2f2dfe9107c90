"""python -m benchmarks.table: make benchmarks/results/README.md from the JSON files beside it, so that no number is
typed by hand."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from benchmarks.soak import COLUMNS, Drift, Sample, drift_line, rows
from benchmarks.stability import FLICKER_S
from stream.__main__ import exit_codes
from stream.errors import UsageError

RESULTS = Path(__file__).parent / "results"

HEAD = """# What was measured

`python -m benchmarks.table` writes this page from the JSON files in this folder, which are the output of `--json`: one
per machine and day, named `latency-MACHINE-DATE.json` (or `peers-`, `soak-`, `stability-`). Each holds its command and
the versions of the packages, and most also how busy the machine was with other work. A machine is named as it names
itself. Do not compare milliseconds between machines, between dates if the code has changed, or from a busy machine.

Layers of `latency`:

- **engine**: one call of the network. **engine + pre/post**: from pictures to probabilities and heat maps, including
  the second look.
- **pipeline**: from a live frame to its encoded picture. **to paint**: to a browser's screen.
- **jitter**: p99 minus p50. **clock**: `cuda events` time only the GPU's part.

Each ratio is the time of one call over that of another, made in turns:

- **eager_gradcam_over_best_cpu**: network and heat map, eager PyTorch with Grad-CAM over the fastest CPU engine.
- **class_maps_cost**: the network with class maps over the network without, minus 1.
- **judging_over_engine**: engine + pre/post over engine, one picture.
- **eager_half_over_cuda_graph**: the network in float16 on the GPU, eager PyTorch over `cuda_graph`.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Write the page."""
    with exit_codes():
        (RESULTS / "README.md").write_text(page(RESULTS), encoding="utf-8")


def page(folder: Path) -> str:
    """The whole page, in Markdown. Raises UsageError if a JSON file is not a result."""
    sections = [section(path) for path in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *(sections or ["Nothing yet.\n"])])


def section(path: Path) -> str:
    """The section of one file: machine, command and conditions, then its table. Raises UsageError if it is not a
    result."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        machine = report["machine"]
        if "results" in report:
            rows = list(peers(report["results"], report["settings"]))
        elif "stability" in report:
            rows = list(stability(report["stability"]))
        elif "soak" in report:
            drift = None if report["drift"] is None else Drift(**report["drift"])
            rows = list(soaked([Sample(**each) for each in report["soak"]], drift))
        else:
            rows = list(latency(report))
        facts = [f"{machine['cpu']}, {machine['cores_usable']} cores, {machine['os']}"]
        facts += [f"{gpu['name']}, driver {gpu['driver']}"] if (gpu := machine.get("gpu")) else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        raise UsageError(
            f"{path} is not a result ({kind}: {error}). Expected what --json of a benchmark wrote."
        ) from error
    facts += [f"`{report['command']}`"] if report.get("command") else []
    facts += [
        f"{when}: {told['foreign_cores_busy']} cores busy with other work"
        for when, told in report.get("conditions", {}).items()
    ]
    return "\n".join([f"## {path.stem}", "", "  \n".join(facts), "", *rows, ""])


def latency(report: Mapping[str, Any]) -> Iterator[str]:
    """A row for each engine and layer, then the ratios."""
    yield "| engine | precision, device | layer | batch | p50 ms | p99 ms | jitter ms | calls | clock |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, runs in report["engines"].items():
        if "not_measured" in runs:
            yield f"| {name} | | not measured: {cell(runs['not_measured'])} | | | | | | |"
            continue
        info = runs["info"]
        for row in runs["layers"]:
            start = f"| {name} | {info['precision']}, {info['device']} | {row['layer']}"
            if row["times_ms"] is None:
                yield f"{start}: {cell(row['reason'])} | {row['batch']} | | | | | |"
            else:
                times = row["times_ms"]
                jitter = "" if row["jitter_ms"] is None else f"{row['jitter_ms']:.2f}"
                spread = f"{times['p50_ms']:.2f} | {times['p99_ms']:.2f} | {jitter}"
                yield f"{start} | {row['batch']} | {spread} | {times['count']} | {row['clock']} |"
    yield ""
    for name, value in report["ratios"].items():
        yield f"- {name}: " + ("not measured" if value is None else f"{value:.3g}")


def peers(results: list[Mapping[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """A row for each contestant and setting."""
    looks = "twice, as the weights ask" if settings["looks"] == 2 else "once, although the weights ask for two looks"
    consumer = f"a consumer that takes {1000 * settings['consumer_takes_s']:.0f} ms a picture"
    yield f"All loops judge each frame {looks}. Age is that of the picture, with a camera of {settings['camera_fps']}"
    yield f"fps and {consumer}; growth is how much it rises each second."
    yield ""
    yield "| name | setting | frames/s | CPU s/frame | age p50 / p95 / max ms | growth ms/s | memory MB |"
    yield "|---|---|---|---|---|---|---|"
    for row in results:
        start = f"| {row['name']} | {row['setting']} | "
        if row.get("error"):
            yield f"{start}not measured: {cell(row['error'])} | | | | |"
            continue
        age = row["age_ms"]
        ages = " / ".join(f"{age[key]:.0f}" for key in ("p50", "p95", "max"))
        speed = f"{row['frames_per_s']:.1f} | {row['cpu_s_per_frame']:.4f}"
        yield f"{start}{speed} | {ages} | {age['growth']:.1f} | {row['rss_mb']:.0f} |"


def stability(results: list[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each source and smoothing time. Cells that need the truth are empty where it is not known."""
    yield "The phantom is synthetic: this shows what smoothing does over time, not how well the network finds lesions."
    yield "A wrong call says lesion where there is none, or none where there is one; a benign lesion called malignant"
    yield "does not count. Delay and lingering are medians over the lesions: from a lesion's first frame to its first"
    yield "call, and from its last frame to its last call (negative if the calls end earlier). Changes are of the"
    yield "finding, undecided frames left out. Headlines are all changes of what is said, `indeterminate` included,"
    yield f"which lies between most findings; flickers are those of them that lasted less than {FLICKER_S:g} s."
    yield ""
    columns = "source | smoothing s | called | changes/min (true) | headlines/min | flickers/min | missed | delay s"
    yield f"| {columns} | lingering s | wrong calls |"
    yield "|" + 10 * "---|"
    for result in results:
        for row in result["rows"]:
            start = f"| {cell(result['source'])} | {row['smoothing_s']:g} | {row['called']:.0%} | "
            start += f"{row['changes_per_min']:.0f}"
            said = f"{row['headlines_per_min']:.0f} | {row['flickers_per_min']:.1f}"
            if row["lesions"] is None:
                yield f"{start} | {said} | | | | |"
                continue
            times = " | ".join("" if row[key] is None else f"{row[key]:.2f}" for key in ("delay_s", "lingering_s"))
            start += f" ({row['true_changes_per_min']:.0f}) | {said}"
            yield f"{start} | {row['missed']} of {row['lesions']} | {times} | {row['wrong']:.1%} |"


def soaked(samples: Sequence[Sample], drift: Drift | None) -> Iterator[str]:
    """A row for some of the samples, then the drift."""
    yield "Frames count from the row above; milliseconds are from capture to drawn, in `painted p95` to painted."
    yield ""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|" + len(COLUMNS) * "---|"
    for cells in rows(samples):
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield drift_line(drift)


def cell(text: str) -> str:
    """A text that fits into a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    app()
