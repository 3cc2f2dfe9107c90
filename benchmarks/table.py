"""python -m benchmarks.table: make benchmarks/results/README.md from the JSON files beside it, so that no number is
typed by hand."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from benchmarks.soak import COLUMNS, Drift, Sample, drift_line, rows
from benchmarks.stability import FLICKER_S
from stream.__main__ import exit_codes
from stream.config import StreamConfig
from stream.errors import UsageError

RESULTS = Path(__file__).parent / "results"

PAGE = """# What was measured

One row for each machine and day; the tables below have all numbers. A machine is named as it names itself.

{overview}

Do not compare milliseconds between machines, between dates if the code has changed, or from a busy machine.
`python -m benchmarks.table` writes this page from the JSON files in this folder: what `--json` wrote, under the name
`latency-MACHINE-DATE.json` (or `peers-`, `soak-`, `stability-`). Each also holds the versions of the packages.

## How to read latency

A **replay** judges every frame of a synthetic 1280x720 H.264 clip as fast as it can, from decoding to the encoded
annotated picture. **Live**, the clip comes at 60 fps, and the newest frame wins. **Memory** is the peak of both, with
the decoder's process.

Layers:

- **engine**: one call of the network. **engine + pre/post**: from pictures to probabilities and heat maps, including
  the second look.
- **pipeline**: from a live frame to its encoded picture. **to paint**: to a browser's screen.
- **jitter**: p99 minus p50. **clock**: `cuda events` time only the GPU's part.

Each ratio is the time of one call over that of another, made in turns:

- **eager_gradcam_over_best_cpu**: network and heat map, eager PyTorch with Grad-CAM over the fastest CPU engine.
- **class_maps_cost**: the network with class maps over the network without, minus 1.
- **judging_over_engine**: engine + pre/post over engine, one picture.
- **eager_half_over_cuda_graph**: the network in float16 on the GPU, eager PyTorch over `cuda_graph`.

{sections}"""

LOOKS = {1: "once", 2: "twice"}
"""How often a contestant of ``benchmarks.peers`` judges each frame."""

Result = Mapping[str, Any]
"""What --json of a benchmark wrote."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Write the page."""
    with exit_codes():
        (RESULTS / "README.md").write_text(page(RESULTS), encoding="utf-8")


def page(folder: Path) -> str:
    """The whole page, in Markdown. Raises UsageError if a JSON file is not a result."""
    told = [row_and_section(path) for path in sorted(folder.glob("*.json"))]
    overview = ["| measured | machine | in short | repeat with |", "|---|---|---|---|", *(row for row, _ in told)]
    return PAGE.format(overview="\n".join(overview), sections="\n".join(section for _, section in told))


def row_and_section(path: Path) -> tuple[str, str]:
    """What the page says of one file: in its first table, and in a section. Raises UsageError if it is not a result."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        in_short, table = KINDS[path.stem.partition("-")[0]]
        machine, gpu = result["machine"], result["machine"].get("gpu")
        cpu, again = f"{machine['cpu']}, {machine['cores_usable']} cores", f"`{result['command']}`"
        row = [f"[{path.stem}](#{path.stem})", gpu["name"] if gpu else cpu, in_short(result), again]
        facts = [f"{cpu}, {machine['os']}", *([f"{gpu['name']}, driver {gpu['driver']}"] if gpu else []), again]
        facts += [
            f"{when}: {told['foreign_cores_busy']} cores busy with other work"
            for when, told in result.get("conditions", {}).items()
        ]
        section = [f"## {path.stem}", "", "  \n".join(facts), "", *table(result), ""]
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        raise UsageError(
            f"{path} is not a result ({kind}: {error}). Expected what --json of a benchmark wrote."
        ) from error
    return f"| {' | '.join(row)} |", "\n".join(section)


def latency_in_short(result: Result) -> str:
    """The speed of the fastest engine on the processor, or of the first one if there is none."""
    measured = {name: runs for name, runs in result["engines"].items() if "not_measured" not in runs}
    name = result["best_cpu_engine"] or next(iter(measured), None)
    if name is None:
        return "no engine was measured"
    replay_fps, memory_mb = measured[name]["replay_720p"]["fps"], measured[name]["peak_rss_mb"]
    call = next(row for row in measured[name]["layers"] if row["layer"] == "engine" and row["batch"] == 1)
    words = f"`{name}`: replay {replay_fps:.1f} fps in {memory_mb:.0f} MB, a call of the network "
    words += f"{call['times_ms']['p50_ms']:.2f} ms"
    gained = result["ratios"]["eager_gradcam_over_best_cpu"]
    return words if gained is None else f"{words}, {gained:.3g} times as fast as eager PyTorch with Grad-CAM"


def latency(result: Result) -> Iterator[str]:
    """A row for each engine, a row for each of their layers, then the ratios."""
    yield "| engine | precision, device | replay fps | live fps | CPU ms a picture, in replay | memory MB |"
    yield "|" + 6 * "---|"
    for name, runs in result["engines"].items():
        if "not_measured" in runs:
            yield f"| {name} | not measured: {cell(runs['not_measured'])} | | | | |"
            continue
        replay, live = runs["replay_720p"], runs["live"]
        speed = f"{replay['fps']:.1f} | {live['fps']:.1f} | {replay['cpu_ms_per_frame']:.1f}"
        precision = f"{runs['info']['precision']}, {runs['info']['device']}"
        yield f"| {name} | {precision} | {speed} | {runs['peak_rss_mb']:.0f} |"
    yield ""
    yield "| engine | layer | batch | p50 ms | p99 ms | jitter ms | calls | clock |"
    yield "|" + 8 * "---|"
    for name, runs in result["engines"].items():
        for row in runs.get("layers", ()):
            if row["times_ms"] is None:
                yield f"| {name} | {row['layer']}, not measured: {cell(row['reason'])} | {row['batch']} | | | | | |"
                continue
            times = row["times_ms"]
            jitter = "" if row["jitter_ms"] is None else f"{row['jitter_ms']:.2f}"
            spread = f"{times['p50_ms']:.2f} | {times['p99_ms']:.2f} | {jitter}"
            yield f"| {name} | {row['layer']} | {row['batch']} | {spread} | {times['count']} | {row['clock']} |"
    yield ""
    for name, value in result["ratios"].items():
        yield f"- {name}: " + ("not measured" if value is None else f"{value:.3g}")


def peers_in_short(result: Result) -> str:
    """The frames a second of each contestant at its better setting."""
    best: dict[str, float] = {}
    for row in result["results"]:
        best[row["name"]] = max(best.get(row["name"], 0.0), row.get("frames_per_s") or 0.0)
    each = (f"{name} {fps:.1f}" for name, fps in best.items() if fps)
    return f"frames a second, each judged {LOOKS[result['settings']['looks']]}: {', '.join(each)}"


def peers(result: Result) -> Iterator[str]:
    """A row for each contestant and setting."""
    settings = result["settings"]
    why = "as the weights ask" if settings["looks"] == 2 else "although the weights ask for two looks"
    consumer = f"a consumer that takes {1000 * settings['consumer_takes_s']:.0f} ms a picture"
    yield f"All loops judge each frame {LOOKS[settings['looks']]}, {why}. Age is that of the picture, with a camera of"
    yield f"{settings['camera_fps']} fps and {consumer}; growth is how much it rises each second."
    yield ""
    yield "| name | setting | frames/s | CPU s/frame | age p50 / p95 / max ms | growth ms/s | memory MB |"
    yield "|" + 7 * "---|"
    for row in result["results"]:
        start = f"| {row['name']} | {row['setting']} | "
        if row.get("error"):
            yield f"{start}not measured: {cell(row['error'])} | | | | |"
            continue
        age = row["age_ms"]
        ages = " / ".join(f"{age[key]:.0f}" for key in ("p50", "p95", "max"))
        speed = f"{row['frames_per_s']:.1f} | {row['cpu_s_per_frame']:.4f}"
        yield f"{start}{speed} | {ages} | {age['growth']:.1f} | {row['rss_mb']:.0f} |"


def stability_in_short(result: Result) -> str:
    """What the default smoothing does to the first source."""
    rows = {row["smoothing_s"]: row for row in result["stability"][0]["rows"]}
    usual, least = rows[StreamConfig().smoothing_s], rows[min(rows)]
    words = (
        f"smoothed over {usual['smoothing_s']:g} s, the finding changes {usual['changes_per_min']:.0f} times a minute"
    )
    words += f" (nearly unsmoothed: {least['changes_per_min']:.0f})"
    if usual["delay_s"] is None or least["delay_s"] is None:
        return words
    return f"{words}, {usual['delay_s']:.2f} s after a lesion came ({least['delay_s']:.2f} s)"


def stability(result: Result) -> Iterator[str]:
    """A row for each source and smoothing time. Cells that need the truth are empty where it is not known."""
    yield "The phantom is synthetic: this shows what smoothing does over time, not how well the network finds lesions."
    yield ""
    yield "- **called**: the share of the frames that get a finding."
    yield "- **changes**: of the finding; undecided frames are left out."
    yield "- **headlines**: all changes of what is said, `indeterminate` included, which lies between most findings."
    yield f"- **flickers**: those of them that lasted less than {FLICKER_S:g} s."
    yield "- **delay**: from a lesion's first frame to its first call. **lingering**: from its last frame to its last"
    yield "  call (negative if the calls end earlier). Both are medians over the lesions."
    yield "- **wrong calls** say lesion where there is none, or none where there is one; a benign lesion that is called"
    yield "  malignant does not count."
    yield ""
    columns = "source | smoothing s | called | changes/min (true) | headlines/min | flickers/min | missed | delay s"
    yield f"| {columns} | lingering s | wrong calls |"
    yield "|" + 10 * "---|"
    for of_source in result["stability"]:
        for row in of_source["rows"]:
            start = f"| {cell(of_source['source'])} | {row['smoothing_s']:g} | {row['called']:.0%} | "
            start += f"{row['changes_per_min']:.0f}"
            said = f"{row['headlines_per_min']:.0f} | {row['flickers_per_min']:.1f}"
            if row["lesions"] is None:
                yield f"{start} | {said} | | | | |"
                continue
            times = " | ".join("" if row[key] is None else f"{row[key]:.2f}" for key in ("delay_s", "lingering_s"))
            start += f" ({row['true_changes_per_min']:.0f}) | {said}"
            yield f"{start} | {row['missed']} of {row['lesions']} | {times} | {row['wrong']:.1%} |"


def soak_in_short(result: Result) -> str:
    """How the server changed."""
    return drift_line(None if result["drift"] is None else Drift(**result["drift"]))


def soak(result: Result) -> Iterator[str]:
    """A row for some of the samples, then the drift."""
    yield "Frames count from the row above; milliseconds are from capture to drawn, in `painted p95` to painted."
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + len(COLUMNS) * "---|"
    for cells in rows([Sample(**each) for each in result["soak"]]):
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield soak_in_short(result)


KINDS: Mapping[str, tuple[Callable[[Result], str], Callable[[Result], Iterator[str]]]] = {
    "latency": (latency_in_short, latency),
    "peers": (peers_in_short, peers),
    "soak": (soak_in_short, soak),
    "stability": (stability_in_short, stability),
}
"""By the first word of a file's name: what is told in short, and the lines of its section."""


def cell(text: str) -> str:
    """A text that fits into a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    app()
