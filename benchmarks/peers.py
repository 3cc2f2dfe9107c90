"""python -m benchmarks.peers: ours beside the ways in which others annotate a video, on one clip, in one run.

Each contestant is measured (``benchmarks.peer_loops``) in a process of its own, with its default and with its best
setting. They take turns, so that a machine that is busy for a while is busy for all of them. Those that need other
versions of packages than we do get an environment of their own, made by uv on first use below
~/.cache/rcdnet-live/peers: 7 GB in all, most of it PyTorch with CUDA, which uv shares with other environments on the
same disk. If a contestant cannot run here, the reason is printed. Tables go to stdout, progress to stderr.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from benchmarks import conditions
from benchmarks.environments import PeerError, interpreter, last_line
from benchmarks.machine import machine, machine_line
from benchmarks.peer_loops import SLOW_S
from benchmarks.peer_meter import CAMERA_FPS, WARM_UP_S, Clip, Trial
from benchmarks.report import JsonFile, command, err, measuring, now, out, write_json
from benchmarks.workload import CLIP, make_clip
from stream import ASLEEP
from stream.__main__ import end_as_by_ctrl_c
from stream.errors import SourceError
from stream.overlay import PANEL_HEIGHT, PANEL_WIDTH, scale
from stream.sources import open_source

SETTINGS = {
    "ours": {"default": "as it is"},
    "opencv_timm_gradcam": {
        "default": "pytorch-grad-cam as in its README",
        "best": "a thread a core, channels-last, gradients for the last layer alone",
    },
    "opencv_timm_torchcam": {
        "default": "torchcam's GradCAM",
        "best": "a thread a core, channels-last, torchcam's CAM without a backward pass",
    },
    "opencv_onnxruntime": {"default": "no options", "best": "a thread a core, denormals as zero"},
    "roboflow_inference": {
        "default": "no options",
        "best": "ONNX Runtime as above; live: queues of one, newest frame wins",
    },
}
"""The contestants, in the order in which they take turns, and what each setting is. At the best setting OpenCV's
threads also wait asleep, as they do for ours (``stream.ASLEEP``)."""

VARIABLES = {"CUDA_VISIBLE_DEVICES": "", "OFFLINE_MODE": "True", "TELEMETRY_OPT_OUT": "True"}
"""Environment variables for all: they compute on the processor, and Roboflow's package sends no telemetry. ONNX Runtime
sends none either, as ``engines`` has switched it off in the environment that they inherit."""

START_S = 300.0
"""How long a contestant may take to import its packages and to give its first picture. Roboflow's takes half a minute
on two cores."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Result:
    """One contestant at one setting. ``settings`` says in words what the setting is.

    - ``frames_per_s``, ``cpu_s_per_frame``: medians over the rounds.
    - ``age_ms``: from the moment a frame was due at the camera to its annotated picture, with a slow consumer. p50, p95
      and max are over all frames of all rounds, without those that still waited at the end; ``growth`` is the slope
      over the run in milliseconds per second, by least squares, the median over the rounds.
    - ``rss_mb``: the peak memory.

    They are None if it could not be measured, and ``error`` says why.
    """

    name: str
    setting: str
    settings: str
    frames_per_s: float | None = None
    cpu_s_per_frame: float | None = None
    age_ms: Mapping[str, float] | None = None
    rss_mb: float | None = None
    rounds: int = 0
    error: str = ""


@app.command()
def main(
    seconds: Annotated[float, typer.Option(min=0.5, help="for each of two runs per contestant and setting")] = 6.0,
    clip: Annotated[Path | None, typer.Option(help="by default the 720p clip that the benchmark makes")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often the contestants take turns")] = 3,
    looks: Annotated[int, typer.Option(min=1, max=2, help="per frame: 2 as the weights ask, 1 to glance only")] = 2,
    json_file: JsonFile = None,
) -> None:
    """Measure ours and its peers: frames a second, processor time, age behind a slow consumer, memory."""
    with measuring(json_file), tempfile.TemporaryDirectory(prefix="rcdnet-benchmark-") as folder:
        machine_before = machine()
        chosen = phantom_clip(Path(folder)) if clip is None else clip_of(clip.absolute(), None)
        with conditions.watched() as watched:
            results = measure(chosen, seconds, rounds, looks)
        out.print(machine_line(machine_before))
        show(results)
        if shared := conditions.shared(watched):
            out.print(shared, style="yellow")
        if json_file is not None:
            words = ["--seconds", f"{seconds:g}", "--rounds", str(rounds), "--looks", str(looks)]
            words += [] if clip is None else ["--clip", clip.name]
            report = {
                "measured_at": now(),
                "command": command("peers", *words),
                "settings": {
                    "clip": Path(chosen.path).name,
                    "seconds": seconds,
                    "rounds": rounds,
                    "looks": looks,
                    "warm_up_s": WARM_UP_S,
                    "camera_fps": CAMERA_FPS,
                    "consumer_takes_s": SLOW_S,
                },
                "machine": machine_before,
                "conditions": watched,
                "ours_over": {name: ratio(results, name) for name in SETTINGS if name != "ours"},
                "results": [asdict(result) for result in results],
            }
            write_json(json_file, report)
            err.print(f"wrote {json_file}")


def phantom_clip(folder: Path) -> Clip:
    """A clip of the phantom, written into ``folder``; only its scan is judged."""
    path = folder / "phantom_720p.mp4"
    err.print("making a 1280x720 clip from the phantom")
    x, y, width, height = map(int, make_clip(path, CLIP).split(","))
    return clip_of(path, (x, y, width, height))


def clip_of(path: Path, scan_px: tuple[int, int, int, int] | None) -> Clip:
    """The clip at ``path``. ``scan_px`` None takes the whole picture as its scan. ``Clip.canvas_px`` is the size of our
    annotated pictures, so that those of all contestants have it. Raises SourceError if there is no picture."""
    with open_source(str(path), live=False) as source:
        first = next(source.frames(), None)
        if first is None:
            raise SourceError(f"{source.name} contains no picture. Expected a clip.")
        height, width = first.rgb.shape[:2]
    unit = scale(height, width)
    canvas_px = max(height, round(PANEL_HEIGHT * unit)), width + round(PANEL_WIDTH * unit)
    return Clip(str(path), scan_px or (0, 0, width, height), canvas_px)


def measure(clip: Clip, seconds: float, rounds: int, looks: int) -> list[Result]:
    """Measure all contestants and settings in turns, ``rounds`` times. One that fails in a round is not tried again."""
    trials = [Trial(name, each, seconds, looks, clip) for name, settings in SETTINGS.items() for each in settings]
    measured: dict[Trial, list[dict[str, Any]]] = {trial: [] for trial in trials}
    errors: dict[Trial, str] = {}
    for number in range(rounds):
        for trial in trials:
            if trial in errors:
                continue
            err.print(f"round {number + 1} of {rounds}: {trial.name}, {trial.setting}")
            try:
                measured[trial].append(one_round(interpreter(trial.name), trial))
            except PeerError as error:
                err.print(f"{trial.name}, {trial.setting}: {error}")
                errors[trial] = str(error)
    return [
        Result(trial.name, trial.setting, SETTINGS[trial.name][trial.setting], error=errors[trial])
        if trial in errors
        else summary(trial.name, trial.setting, measured[trial])
        for trial in trials
    ]


def one_round(python: Path, trial: Trial) -> dict[str, Any]:
    """Run ``benchmarks.peer_loops`` for one contestant and setting, and return what it measured. Raises PeerError."""
    command_line = [str(python), "-m", "benchmarks.peer_loops", trial.to_json()]
    env = os.environ | VARIABLES | {"PYTHONPATH": str(Path(__file__).parents[1])}
    if trial.name != "ours" and not trial.best:
        env = {key: value for key, value in env.items() if key not in ASLEEP}
    limit_s = START_S + 10 * trial.seconds
    try:
        done = subprocess.run(command_line, env=env, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"it had not ended after {limit_s:.0f} s") from error
    if done.returncode:
        raise PeerError(f"it ended with {done.returncode}: {last_line(done.stderr)}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def summary(name: str, setting: str, rounds: list[dict[str, Any]]) -> Result:
    """The result of all rounds together."""
    p50, p95, top = np.percentile(np.concatenate([each["age_ms"] for each in rounds]), (50, 95, 100))
    growth = median(growth_ms_per_s(each["at_s"], each["age_ms"]) for each in rounds)
    return Result(
        name,
        setting,
        SETTINGS[name][setting],
        frames_per_s=median(each["frames_per_s"] for each in rounds),
        cpu_s_per_frame=median(each["cpu_s_per_frame"] for each in rounds),
        age_ms={"p50": float(p50), "p95": float(p95), "max": float(top), "growth": growth},
        rss_mb=max(each["rss_mb"] for each in rounds),
        rounds=len(rounds),
    )


def growth_ms_per_s(at_s: list[float], age_ms: list[float]) -> float:
    """The slope of the age over the run, by least squares."""
    return float(np.polyfit(at_s, age_ms, 1)[0])


def ratio(results: list[Result], name: str) -> float | None:
    """Our frames per second over those of ``name`` at its better setting; None if one of them was not measured."""
    ours, theirs = (best(results, who).frames_per_s for who in ("ours", name))
    return ours / theirs if ours and theirs else None


def best(results: list[Result], name: str) -> Result:
    """The result of ``name`` at the setting with the most frames per second."""
    return max((result for result in results if result.name == name), key=lambda result: result.frames_per_s or 0.0)


def show(results: list[Result]) -> None:
    """Print a row per contestant and setting, the better setting in bold, and below the table what the settings are."""
    titles = ("frames/s", "ours is", "CPU ms", "age p50", "p95", "growth", "MB")
    shown = Table("", "", *titles, box=None, padding=(0, 1, 0, 0))
    ours = best(results, "ours").frames_per_s
    for result in results:
        if result.frames_per_s is None or result.cpu_s_per_frame is None or result.age_ms is None:
            continue
        shown.add_row(
            result.name,
            result.setting,
            f"{result.frames_per_s:.1f}",
            f"{ours / result.frames_per_s:.1f}x" if ours else "",
            f"{1000 * result.cpu_s_per_frame:.0f}",
            *(f"{result.age_ms[key]:.0f}" for key in ("p50", "p95", "growth")),
            f"{result.rss_mb:.0f}",
            style="bold" if result is best(results, result.name) else "",
        )
    out.print(shown)
    out.print("CPU per frame; age in ms from a 30 fps camera to a slow consumer, and its growth in ms per second")
    for result in results:
        words = f"not measured: {result.error}" if result.error else result.settings
        out.print(f"{result.name}, {result.setting}: {words}", highlight=False)


if __name__ == "__main__":
    end_as_by_ctrl_c()  # no contestant must outlive it
    app()
