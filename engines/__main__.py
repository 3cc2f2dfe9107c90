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
from engines.errors import EngineError, EngineUnavailable, UnknownEngine, faults_of
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


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an EngineError into one line on stderr and its exit code."""
    try:
        yield
    except EngineError as error:
        raise failed(error, error.exit_code) from error


def failed(error: EngineError | str, code: int) -> typer.Exit:
    """Print the error to stderr. Returns the exit to raise."""
    err.print(f"error: {error}")
    return typer.Exit(code)


@app.command("list")
def list_engines(weights: Weights = SHIPPED) -> None:
    """List the engines in the order of automatic choice, and why one does not run here. Loads none of them."""
    with exit_codes():
        require_folder_of_weights(weights)
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
    with exit_codes():
        with ctrl_c_ends_the_process():
            folder = catalog.build_artefact(name, weights)
        with catalog.open_engine(name, weights, batched=True) as engine:
            out.print(f"{folder}: {engine.info.precision} on {engine.info.device}. {engine.info.parity}")


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
    with exit_codes():
        require_verifiable(name)
        require_folder_of_weights(weights)
    verdicts = [judge(each, weights) for each in (catalog.ENGINES if name == "all" else [name])]
    failing = [verdict for verdict in verdicts if not verdict.passed and (verdict.available or name != "all")]
    for verdict in verdicts:
        (err if verdict in failing else out).print(str(verdict))
    if json_file is not None:
        try:
            json_file.write_text(json.dumps({"engines": [asdict(verdict) for verdict in verdicts]}, indent=2) + "\n")
        except OSError as error:
            raise failed(f"--json {json_file}: {error.strerror}. Expected a file that can be written.", 2) from error
    if failing:
        raise typer.Exit(EngineError.exit_code)


def require_verifiable(name: str) -> None:
    """Raises UnknownEngine unless ``name`` is "all" or an engine that computes the network."""
    if name in (catalog.FAKE, catalog.FAILING):
        raise UnknownEngine(f"{name} computes no network of its own. {catalog.expected('all')}")
    if name != "all" and name not in catalog.ENGINES:
        raise UnknownEngine(f"no engine '{name}'. {catalog.expected('all')}")


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
