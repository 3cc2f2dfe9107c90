"""python -m engines list | build | verify: which runtimes work here, and do they compute the right thing?"""

import json
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engines import catalog, parity
from engines.errors import EngineError, EngineUnavailable, NoWeights, UnknownEngine, faults_of
from engines.weights import read_golden, require_folder_of_weights
from rcdnet.weights import SHIPPED

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
out, err = Console(soft_wrap=True, markup=False), Console(stderr=True, soft_wrap=True, markup=False)

Weights = Annotated[Path, typer.Option(help="Folder with rcdnet.onnx, rcdnet.safetensors and golden.npz.")]


@dataclass(frozen=True)
class Verdict:
    """One engine beside the golden set. ``reason`` says why it does not run here or fails; what was not measured is
    None."""

    name: str
    available: bool
    reason: str
    precision: str | None = None
    passed: bool = False
    max_abs_dp: float | None = None
    flips: int | None = None
    map_correlation: float | None = None
    device: str | None = None
    built_for: str | None = None

    def __str__(self) -> str:
        if self.passed:
            return (
                f"{self.name}: passes in {self.precision} on {self.device}, {self.built_for}. Largest difference of a "
                f"probability {self.max_abs_dp:.5f}, {self.flips} flips, map correlation {self.map_correlation:.5f}"
            )
        return f"{self.name}: {'FAILS' if self.available else 'not here'}: {self.reason}"


@app.callback()
def main() -> None:
    """Which runtimes work here, and do they compute the right thing?"""
    logging.basicConfig(format="%(message)s", level=logging.INFO)


@app.command("list")
def list_engines(weights: Weights = SHIPPED) -> None:
    """List the engines in the order of automatic choice, and why one does not run here. Loads none of them."""
    table = Table("engine", "runs here")
    for name in catalog.ENGINES:
        reason = catalog.missing(name, weights)
        table.add_row(name, "yes" if reason is None else f"no: {reason}")
    table.add_row(catalog.FAKE, "yes, for tests; computes no network")
    table.add_row(catalog.FAILING, "yes, for demonstrations; fails after a second")
    out.print(table)


@app.command()
def build(name: Annotated[str, typer.Argument(help="tensorrt_fp16")], weights: Weights = SHIPPED) -> None:
    """Build an engine for this GPU, keep it in the user's cache, and verify it against the golden set.

    Exit code 4 if it cannot be built or fails, 2 for an engine that needs no building.
    """
    try:
        with ctrl_c_ends_the_process():
            folder = catalog.build_artefact(name, weights)
        with catalog.open_engine(name, weights, batched=True) as engine:
            out.print(f"{folder}: {engine.info.precision} on {engine.info.device}. {engine.info.parity}")
    except EngineError as error:
        err.print(str(error))
        raise typer.Exit(error.exit_code) from error


@contextmanager
def ctrl_c_ends_the_process() -> Iterator[None]:
    """TensorRT calls Python to log, and there drops the KeyboardInterrupt: the build would go on for minutes."""
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="An engine, or all.")] = "all",
    weights: Weights = SHIPPED,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers here as well.")] = None,
) -> None:
    """Verify engines against the golden set and print the numbers.

    Exit code 4 if one that runs here fails, 2 if the name cannot be verified, the folder has no weights or the file
    cannot be written.
    """
    if name != "all" and name not in catalog.ENGINES:
        pretends = name in (catalog.FAKE, catalog.FAILING)
        why = f"{name} computes no network of its own." if pretends else f"no engine '{name}'."
        err.print(f"{why} {catalog.expected('all')}")
        raise typer.Exit(UnknownEngine.exit_code)
    try:
        require_folder_of_weights(weights)
    except NoWeights as error:
        err.print(str(error))
        raise typer.Exit(error.exit_code) from error
    verdicts = [judge(each, weights) for each in (catalog.ENGINES if name == "all" else [name])]
    failed = False
    for verdict in verdicts:
        fails = not verdict.passed and (verdict.available or name != "all")
        (err if fails else out).print(str(verdict))
        failed = failed or fails
    if json_file is not None:
        try:
            json_file.write_text(json.dumps({"engines": [asdict(verdict) for verdict in verdicts]}, indent=2) + "\n")
        except OSError as error:
            err.print(f"cannot write {json_file}: {error.strerror}. Give a file in a folder that exists.")
            raise typer.Exit(UnknownEngine.exit_code) from error
    if failed:
        raise typer.Exit(EngineError.exit_code)


def judge(name: str, weights: Path) -> Verdict:
    """Load one engine and verify it against the golden set, one picture at a time as live and in batches as in replay.
    The worse result counts."""
    try:
        with catalog.load(name, weights) as engine:
            with faults_of(name):
                report = parity.worst(engine, read_golden(weights), (1, engine.info.batch))
            return Verdict(
                name,
                available=True,
                reason="" if report.holds else str(report),
                precision=engine.info.precision,
                passed=report.holds,
                max_abs_dp=report.max_abs_dp,
                flips=report.flips,
                map_correlation=report.map_correlation,
                device=engine.info.device,
                built_for=engine.info.built_for,
            )
    except EngineUnavailable as error:
        return Verdict(name, available=False, reason=str(error).removeprefix(f"{name}: "))
    except EngineError as error:
        return Verdict(name, available=True, reason=str(error).removeprefix(f"{name}: "))


if __name__ == "__main__":
    app(prog_name="python -m engines")
