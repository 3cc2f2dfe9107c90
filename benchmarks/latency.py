"""python -m benchmarks.latency: how long does a frame take, how many are lost, and what do class maps cost?

Every engine and every ratio is measured in a process of its own, one after the other, so that none inherits the memory
or the threads of another. Tables go to stdout, progress to stderr.
"""

import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from benchmarks import compare as comparison
from benchmarks import conditions
from benchmarks.latency_report import Report, show
from benchmarks.layers import Row, judging_over_engine
from benchmarks.machine import machine
from benchmarks.paint import NotPainted, measure_paint
from benchmarks.ratios import class_maps_cost, eager_gradcam_over_engine, eager_half_over_cuda_graph
from benchmarks.report import JsonFile, command, err, measuring, out, source_name, weights_option, write_json
from benchmarks.turns import Ratio
from benchmarks.workload import CLIP, EngineRuns, Workload, make_clip, measure_engine
from engines.catalog import ENGINES, choices, expected
from engines.errors import EngineError, EngineUnavailable, UnknownEngine
from engines.weights import require_folder_of_weights
from rcdnet.weights import SHIPPED
from stream.__main__ import WeightsFolder, end_as_by_ctrl_c

P = ParamSpec("P")
T = TypeVar("T")

CPU_ENGINES = tuple(name for name, candidate in ENGINES.items() if not candidate.gpu)
"""The engines that compute on the processor. The fastest of them is compared with Grad-CAM."""

NO_PAINT = Row("to paint", 1, None, reason="--no-paint was given")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    engine: Annotated[str, typer.Option(help="all, auto, or a name from: python -m engines list")] = "auto",
    source: Annotated[
        str | None, typer.Option(help="for the live run; by default the 720p clip that the benchmark makes")
    ] = None,
    weights: WeightsFolder = SHIPPED,
    seconds: Annotated[float, typer.Option(min=0.5, help="for each run and each ratio")] = 10.0,
    json_file: JsonFile = None,
    paint: Annotated[bool, typer.Option(help="also measure up to the screen of a headless Chromium")] = True,
    compare: Annotated[
        Path | None, typer.Option(help="exit with 1 if a ratio is worse than in this file of an earlier --json")
    ] = None,
    tolerance: Annotated[str, typer.Option(help="how much worse a ratio may be: 10% or 0.1")] = comparison.TOLERANCE,
) -> None:
    """Measure engines in live use and in replay, and what the class maps gain and cost."""
    with measuring(json_file):
        old = None if compare is None else comparison.read(compare)  # now, so that a wrong file fails at once
        allowed = comparison.parse_tolerance(tolerance)
        report = measure(engine, source, seconds, weights, paint=paint)
        show(report, out)
        if json_file is not None:
            write_json(json_file, report.to_json())
            err.print(f"wrote {json_file}")
        worse = old is not None and comparison.print_changes(old, report.to_json(), allowed)
    if worse:
        raise typer.Exit(comparison.REGRESSED)


def measure(engine: str, source: str | None, seconds: float, weights: Path, *, paint: bool) -> Report:
    """Measure engines and ratios, one after the other. Raises EngineError if no engine could be measured, or the one
    that was named."""
    if engine not in ("all", *choices()):
        raise UnknownEngine(f"no engine '{engine}'. {expected('all', 'auto')}")
    require_folder_of_weights(weights)
    machine_before = machine()
    with conditions.watched() as watched:
        with tempfile.TemporaryDirectory(prefix="rcdnet-benchmark-") as folder:
            err.print("making a 1280x720 clip from the phantom")
            clip = Path(folder) / "phantom_720p.mp4"
            work = Workload(clip, make_clip(clip, CLIP), source, seconds, weights)
            engines = measure_engines(engine, work, paint=paint)
        best = best_cpu_engine(engines)
        measured_ratios = ratios(best, seconds, weights)
    name = source and source_name(source)
    words = ["--engine", engine, "--seconds", f"{seconds:g}", *(["--source", name] if name else [])]
    return Report(
        source=name,
        seconds=seconds,
        machine=machine_before,
        engines=engines,
        best=None if best is None else best.info.name,
        ratios=measured_ratios,
        command=command("latency", *words, *weights_option(weights), *([] if paint else ["--no-paint"])),
        conditions=watched,
    )


def measure_engines(engine: str, work: Workload, *, paint: bool) -> dict[str, EngineRuns | str]:
    """The runs of each engine, or with "all" the reason why it has none. Raises EngineError if none has any."""
    engines: dict[str, EngineRuns | str] = {}
    for name in ENGINES if engine == "all" else [engine]:
        err.print(f"measuring {name}: replay, then live, {work.seconds:g} s each")
        try:
            runs = in_fresh_process(measure_engine, name, work)
            painted = painted_row(runs.info.name, work) if paint else NO_PAINT
            pipeline = Row("pipeline", 1, runs.live.end_to_end_ms)
            engines[runs.info.name] = replace(runs, layers=(*runs.layers, pipeline, painted))
        except EngineError as error:
            if engine != "all":
                raise
            engines[name] = str(error)
    if not any(isinstance(runs, EngineRuns) for runs in engines.values()):
        raise EngineUnavailable("no engine could be measured: " + "; ".join(map(str, engines.values())))
    return engines


def painted_row(name: str, work: Workload) -> Row:
    """The last layer of an engine, up to the screen of a browser, or the reason why it was not measured."""
    err.print(f"measuring {name}: to a browser's screen, {work.seconds:g} s")
    try:
        return replace(NO_PAINT, times=in_fresh_process(measure_paint, name, work), reason="")
    except (NotPainted, EngineError) as error:
        return replace(NO_PAINT, reason=str(error))


def best_cpu_engine(engines: dict[str, EngineRuns | str]) -> EngineRuns | None:
    """The runs of the engine on the processor whose call has the lowest median time, or None if none was measured.

    The times are those of the live run, where each call is about one picture; in a replay some engines get several.
    """
    measured = [runs for name, runs in engines.items() if name in CPU_ENGINES and isinstance(runs, EngineRuns)]
    return min(measured, key=lambda runs: runs.live.stages_ms["engine"].p50_ms, default=None)


def ratios(best: EngineRuns | None, seconds: float, weights: Path) -> dict[str, Ratio]:
    """All ratios of ``compare.HIGHER_IS_BETTER``; those that cannot be measured have a reason in place of a value."""
    err.print("comparing cuda_graph with PyTorch on the GPU, if there is one")
    of_gpu = in_fresh_process(eager_half_over_cuda_graph, seconds, weights)
    if best is None:
        none = Ratio(None, f"no engine on the processor was measured. Expected one of: {', '.join(CPU_ENGINES)}.")
        return dict.fromkeys(comparison.HIGHER_IS_BETTER, none) | {"eager_half_over_cuda_graph": of_gpu}
    info = best.info
    err.print(f"comparing {info.name} with PyTorch and Grad-CAM, then graphs with and without class maps")
    return {
        "eager_gradcam_over_best_cpu": in_fresh_process(eager_gradcam_over_engine, info.name, seconds, weights),
        "class_maps_cost": in_fresh_process(class_maps_cost, info.precision, seconds, weights),
        "judging_over_engine": judging_over_engine(info, best.layers),
        "eager_half_over_cuda_graph": of_gpu,
    }


def in_fresh_process(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Call a function in a new interpreter; it must be at the top level of a module. What it raises is raised here, and
    EngineError if its process was killed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        try:
            return pool.submit(function, *arguments, **keywords).result()
        except BrokenProcessPool as error:
            raise EngineError(
                f"{function.__name__} was killed, most likely for lack of memory. Expected it to end by itself."
            ) from error
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():  # it may not have been told
                process.terminate()
            pool.shutdown(wait=False)  # to wait fails if it came in the middle of ``submit``
            raise


if __name__ == "__main__":
    end_as_by_ctrl_c()  # the process that measures must not outlive it
    app()
