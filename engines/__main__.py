"""python -m engines list | verify: which runtimes work here, and whether they compute the right thing."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engines import catalog, parity
from engines.errors import EngineError, UnknownEngine
from rcdnet.golden import Golden
from rcdnet.weights import SHIPPED

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
out, err = Console(), Console(stderr=True)

Weights = Annotated[Path, typer.Option(help="Folder with rcdnet.onnx, rcdnet.safetensors and golden.npz.")]


@app.callback()
def main() -> None:
    """Which runtimes work here, and whether they compute the right thing."""
    logging.basicConfig(format="%(message)s")


@app.command("list")
def list_engines(weights: Weights = SHIPPED) -> None:
    """Every engine in the order of automatic choice: does it run here, and in which precision?"""
    table = Table("engine", "runs here", "precision", "device", "runtime")
    for name, opened in catalog.open_all(weights):
        if isinstance(opened, EngineError):
            table.add_row(name, f"no: {opened}", "", "", "")
        else:
            with opened:
                table.add_row(name, "yes", opened.info.precision, opened.info.device, opened.info.built_for)
    table.add_row(catalog.FAKE, "yes, for tests; knows nothing", "", "", "")
    out.print(table)


@app.command()
def verify(name: Annotated[str, typer.Argument(help="An engine, or all.")] = "all", weights: Weights = SHIPPED) -> None:
    """Hold engines against the golden set and print the numbers.

    Exit code 4 if one that runs here does not hold, 2 for a name that cannot be verified.
    """
    if name == catalog.FAKE:
        err.print(
            f"{name} computes no network, so there is nothing to verify. Expected: all, {', '.join(catalog.ENGINES)}."
        )
        raise typer.Exit(2)
    failed = False
    for each in catalog.ENGINES if name == "all" else [name]:
        try:
            with catalog.open_engine(each, weights) as engine:
                out.print(f"{each}: holds. {parity.measure(engine, Golden.load(weights / 'golden.npz'))}")
        except UnknownEngine as error:
            err.print(str(error))
            raise typer.Exit(error.exit_code) from error
        except EngineError as error:
            skipped = name == "all" and catalog.missing(each) is not None
            failed = failed or not skipped
            (out if skipped else err).print(f"{each}: {'not here' if skipped else 'FAILS'}. {error}")
    if failed:
        raise typer.Exit(4)


if __name__ == "__main__":
    app(prog_name="python -m engines")
