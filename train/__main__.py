"""Where the weights come from, and how good they are: check data, train, calibrate, test and compare."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import typer
from rich.console import Console

from rcdnet.errors import CheckpointError
from rcdnet.extras import install
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.printing import escape_what_stdout_lacks
from train import datasets, recipes  # the rest is imported where it is used, so that --help need not wait for PyTorch
from train.datasets import Task
from train.errors import DataError, LeakError
from train.recipes import RecipeError
from train.tables import out, print_findings, print_result, print_rows

if TYPE_CHECKING:
    from train.start import Start


app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True, markup=False)

JsonFile = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Also write the numbers here.")]


@app.command()
def audit(
    data: Annotated[list[Path], typer.Argument(help="Folders laid out like BUSI, BUS-BRA or UDIAT.")],
    json_file: JsonFile = None,
    sheet: Annotated[Path | None, typer.Option(help="Write the most alike pairs as one picture.")] = None,
) -> None:
    """Check data sets for copies, conflicting labels, burnt-in markers and sizes."""
    with exit_codes():
        from train.audit import audit as audit_samples
        from train.audit import contact_sheet

        if sheet is not None and sheet.suffix and not cv2.haveImageWriter(str(sheet)):
            raise failed(f"--sheet {sheet}: OpenCV writes no {sheet.suffix}. Try .png.", 2)
        make_folders_of(json_file, sheet)
        samples = datasets.load_all(data)
        findings, pairs = audit_samples(samples)
        print_findings(findings)
        write_json(json_file, findings)
        if sheet is not None and pairs:
            contact_sheet(samples, pairs, sheet)
        elif sheet is not None:
            err.print(f"there are no pairs: {sheet} was not written")


Data = Annotated[Path, typer.Option(help="The folder that holds the data sets.")]
Pretrained = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Start from this file: a folded backbone or one of our checkpoints; by default from timm's hub.",
    ),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A value that replaces the recipe's, as TOML; may be repeated."),
]
Only = Annotated[list[str] | None, typer.Option(help="Train only runs whose name contains this; may be repeated.")]
Precision = Annotated[recipes.Precision, typer.Option(help="The precision, as Lightning Fabric calls it.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes that augment pictures: by default one, or with a GPU one per core, at most 16."
    ),
]


@app.command()
def fit(
    recipe: Annotated[str, typer.Argument(help="A recipe of train/recipes by name, or a TOML file.")],
    data: Data,
    out_dir: Annotated[Path, typer.Option("--out", help="Run folders go here; finished runs are kept.")],
    pretrained: Pretrained = None,
    from_scratch: FromScratch = False,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Also learn from this checkpoint's answers; may be repeated."),
    ] = None,
    changes: Changes = None,
    only: Only = None,
    precision: Precision = "32-true",
    workers: Workers = None,
) -> None:
    """Train every run of a recipe, resumably: weights, curves, held-out predictions, provenance; then print results."""
    with exit_codes():
        from train import loop, results

        chosen = recipes.load(recipe, changes or ())
        if pretrained and from_scratch:
            raise failed("--pretrained and --from-scratch exclude each other", 2)
        start: Start = pretrained or ("scratch" if from_scratch else "hub")
        folders = loop.fit(
            {out_dir: chosen},
            data,
            start=start,
            teachers=teacher or (),
            precision=precision,
            only=only or (),
            workers=workers,
        )
        if not folders:
            raise failed(f"{chosen.name} has no run whose name contains {' or '.join(only or ())}", 2)
        for folder in folders:
            err.print(folder, soft_wrap=True)
        print_rows(results.rows([result for kind in results.KINDS for result in results.of_recipe(out_dir, kind)]))


@app.command()
def compare(
    data: Data,
    out_dir: Annotated[Path, typer.Option("--out", help="Run folders go here; finished runs are kept.")],
    recipe: Annotated[list[str], typer.Option(help="As for fit; may be repeated.")] = ["paper", "grouped"],  # noqa: B006
    network: Annotated[list[str] | None, typer.Option(help="Train only these; may be repeated.")] = None,
    from_scratch: FromScratch = False,
    changes: Changes = None,
    only: Only = None,
    precision: Precision = "32-true",
    workers: Workers = None,
) -> None:
    """Train RcdNet beside ResNet50, MobileNetV2, RegNet, ViT, ResNeXt: same data, recipe, epochs and kind of start.

    All are tested on DATA/udiat as well, which must exist."""
    with exit_codes():
        from train import compare as comparison

        chosen = [recipes.load(name, changes or ()) for name in recipe]
        start: Start = "scratch" if from_scratch else "hub"
        names = network or comparison.NETWORKS
        if unknown := set(names) - set(comparison.NETWORKS):
            raise failed(f"no network {', '.join(unknown)}: name some of {', '.join(comparison.NETWORKS)}", 2)
        rows = comparison.compare(
            chosen, data, out_dir, start=start, precision=precision, networks=names, only=only or (), workers=workers
        )
        print_rows(rows)


@app.command()
def ablate(
    runs: Annotated[Path, typer.Argument(help="The run folders of one recipe's folds.")],
    data: Data,
) -> None:
    """Measure what the second look is worth on held-out pictures, at several margins."""
    with exit_codes():
        from train import ablation

        print_rows(ablation.ablate(runs, data))


@app.command()
def contrast(
    first: Annotated[Path, typer.Argument(help="The run folders of a recipe.")],
    others: Annotated[list[Path], typer.Argument(help="Those of its variants, as `train fit --set` makes them.")],
) -> None:
    """Measure what training choices are worth: variants beside a recipe, on the same held-out pictures."""
    with exit_codes():
        from train.contrast import contrast as contrasted

        print_rows(contrasted(first, others))


@app.command()
def average(
    weights: Annotated[list[Path], typer.Argument(help="Checkpoints of one recipe, e.g. its folds.")],
    to: Annotated[Path, typer.Option("--out", help="The checkpoint to write.")],
) -> None:
    """Average the weights of several networks into one (a model soup)."""
    with exit_codes():
        from rcdnet import checkpoint
        from train.average import average as mean_of

        checkpoint.save(mean_of(weights), to)


@app.command()
def calibrate(
    predictions: Annotated[list[Path], typer.Argument(help="predictions.csv of held-out folds.")],
    weights: Annotated[Path, typer.Option(help="The checkpoint whose spec is filled in, in place.")],
) -> None:
    """Fit calibration, operating points and indeterminate band to held-out predictions, into a checkpoint's spec."""
    with exit_codes():
        from rcdnet import checkpoint
        from train import predictions as held_out
        from train.calibrate import calibrated_spec, doubts

        model = checkpoint.load(weights)
        held_out.require_held_out(predictions)
        answers = held_out.read(predictions)
        model.spec = calibrated_spec(model.spec, answers)
        spec = checkpoint.save(model, weights)
        out.print_json(spec.to_json())
        for doubt in doubts(spec, answers):
            err.print(f"warning: {doubt}", soft_wrap=True)
        err.print(
            f"next: python -m rcdnet.export {weights} --out FOLDER, then python -m stream run --weights FOLDER",
            soft_wrap=True,
        )


@app.command()
def evaluate(
    weights: Annotated[Path, typer.Option(help="A checkpoint, .safetensors.")],
    data: Annotated[Path, typer.Option(help="One data set.")],
    task: Annotated[Task, typer.Option(help="binary: benign against malignant, lesions only.")] = "binary",
    json_file: JsonFile = None,
    operating_point: Annotated[str, typer.Option(help="The thresholds to use, by name.")] = "balanced",
    by: Annotated[str | None, typer.Option(help="Also test subgroups by size, birads, device or histology.")] = None,
    in_paint: Annotated[bool, typer.Option(help="Also test with burnt-in markers painted over.")] = False,
    faithfulness: Annotated[bool, typer.Option(help="Also test the glance's heat map by a deletion curve.")] = False,
) -> None:
    """Test a finished model on a data set: numbers with n and interval, and the heat map beside the masks."""
    with exit_codes():
        from rcdnet import checkpoint
        from train.evaluate import doubts, report, select

        make_folders_of(json_file)
        model = checkpoint.load(weights)
        if operating_point not in (known := model.spec.operating_points):
            raise failed(f"no operating point {operating_point!r}: name one of {', '.join(known)}", 2)
        samples = select(datasets.load(data), task)
        for doubt in doubts(samples, model.spec):
            err.print(f"warning: {doubt}", soft_wrap=True)
        result = report(
            model, samples, task, operating_point=operating_point, by=by, in_paint=in_paint, faithfulness=faithfulness
        )
        print_result(result, task)
        write_json(json_file, result)


@app.command()
def figures(
    runs: Annotated[Path, typer.Argument(help="The folder of the recipes' run folders, and compare.")],
    data: Data,
    weights: Annotated[Path, typer.Option(help="The shipped checkpoint, .safetensors.")],
    out_dir: Annotated[Path, typer.Option("--out", help="tables.md and the figures go here.")],
    pictures: Annotated[bool, typer.Option(help="Draw the scans under the heat maps; not for publishing.")] = False,
) -> None:
    """Make tables and figures of finished runs: training, ROC, calibration, selective prediction, heat maps.

    DATA must hold udiat, on which the shipped checkpoint is tested, and the sets of `joint`, if that is finished."""
    with exit_codes():
        from train.publish import publish

        for path in publish(runs, data, weights, out_dir, pictures=pictures):
            out.print(path, soft_wrap=True)


def make_folders_of(*paths: Path | None) -> None:
    """Make the folders of files that are written minutes later, so that an impossible one is told now. Raises
    OSError."""
    for path in paths:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write ``content`` and the notice as JSON, if ``path`` is given."""
    if path is not None:
        path.write_text(json.dumps(content | {"notice": RESEARCH_NOTICE}, indent=1) + "\n")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an error that a user can fix into one line and an exit code: 2 for wrong use, a package that is missing or
    the disk, 3 for the data, 4 for the weights."""
    escape_what_stdout_lacks()
    try:
        yield
    except ModuleNotFoundError as error:
        raise failed(f"{error.name} is not installed: it comes with {install('train')}", 2) from error
    except (RecipeError, OSError) as error:
        raise failed(error, 2) from error
    except (DataError, LeakError) as error:
        raise failed(error, 3) from error
    except CheckpointError as error:
        raise failed(error, 4) from error


def failed(error: Exception | str, code: int) -> typer.Exit:
    """Print the error to stderr. Returns the exit to raise."""
    err.print(f"error: {error}", soft_wrap=True, markup=False)
    return typer.Exit(code)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    app(prog_name="python -m train")
