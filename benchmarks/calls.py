"""python -m benchmarks.calls: what would the page call labelled pictures, each judged by itself?

`train evaluate` tests the network; this tests the whole live path: where the scan lies, whether it may be judged, and
the rule by which a class is called, nothing is called, or no lesion is flagged. The pictures of a data set (a folder)
are replayed. A table of held-out answers (`predictions.csv`, as `train fit` writes it) gets the calibration of the
weights, and only the rule is applied to it, as if all of its pictures could be judged.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from benchmarks.replayed import judged_by, replayed
from benchmarks.report import JsonFile, measuring, out, write_json
from engines.base import Engine
from engines.failover import open_with_failover
from rcdnet.extras import install
from rcdnet.glance import softmax
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.spec import ModelSpec
from rcdnet.weights import SHIPPED
from stream.__main__ import AreaText, ConfigFile, EngineName, WeightsFolder, settings_of
from stream.config import StreamConfig
from stream.decision import Rule
from stream.errors import UsageError
from stream.sources.base import Source
from stream.sources.images import read_rgb, require_depth
from stream.sources.uri import STILLS_FPS
from stream.types import Frame, State

try:
    from train import datasets, predictions
    from train.datasets import Sample
    from train.errors import DataError, LeakError
    from train.predictions import Predictions
    from train.subgroups import subgroup_indices
except ModuleNotFoundError as error:
    sys.stderr.write(f"error: {error.name} is not installed: it comes with {install('measure')}\n")
    sys.exit(2)

CALLS = ("no lesion flagged", "benign", "malignant", "neither", "not judged")
"""What the page may say about a picture: "neither" is indeterminate, "not judged" was refused."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Called:
    """A picture's label, and which of CALLS it would get on the page."""

    dataset: str
    label: str
    call: str


class LabelledPictures(Source):
    """The pictures of a data set as a source, one frame each."""

    still = True
    fps = STILLS_FPS

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__()
        self.name = samples[0].dataset
        self._samples = samples

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        require_depth(self._samples[0].image, 0)
        for index, sample in enumerate(self._samples):
            yield Frame(index, time.perf_counter_ns(), index / STILLS_FPS, read_rgb(sample.image), sample.name)


@app.command()
def main(
    labelled: Annotated[list[Path], typer.Argument(help="data sets, or predictions.csv of held-out folds")],
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    scan_area: AreaText = None,
    by: Annotated[str | None, typer.Option(help="data sets also by subgroup: size, birads, device, histology")] = None,
    json_file: JsonFile = None,
) -> None:
    """Count what is called, by label. Numbers on pictures that the weights learned from flatter: a set is marked if
    its folder has the name of one of theirs, so a copy under another name is not."""
    with measuring(json_file):
        settings = settings_of(config, scan_area)
        sets, answers = load_labelled(labelled)
        parts = [parts_of(samples, by) for samples in sets]
        rows = []
        with open_with_failover(engine, weights, wait=True) as opened:
            spec = opened.spec
            for samples, indices_of in zip(sets, parts, strict=True):
                called = called_pictures(samples, opened, settings)
                for part, indices in indices_of.items():
                    rows += count_calls(title_of(samples, spec) + part, [called[index] for index in indices])
        if answers is not None:
            called = called_answers(answers, spec, settings)
            for dataset in sorted({each.dataset for each in called}):
                rows += count_calls(f"{dataset}, held out", [each for each in called if each.dataset == dataset])
        show(rows)
        if json_file is not None:
            write_json(json_file, judged_by(spec, settings) | {"rows": rows})


def load_labelled(paths: Sequence[Path]) -> tuple[list[list[Sample]], Predictions | None]:
    """The data sets among ``paths``, and the answers in all tables among them, if there are any. Raises UsageError."""
    tables = [path for path in paths if path.suffix == ".csv"]
    try:
        sets = [datasets.load(path) for path in paths if path.suffix != ".csv"]
        predictions.require_held_out(tables)
        return sets, predictions.read(tables) if tables else None
    except (DataError, LeakError) as error:
        raise UsageError(str(error)) from error


def parts_of(samples: Sequence[Sample], by: str | None) -> dict[str, Sequence[int]]:
    """What is counted of a data set, by what its title gets: all indices, and those of each subgroup ``by`` an
    attribute. Raises UsageError if no picture has it."""
    try:
        subgroups = subgroup_indices(samples, by) if by else {}
    except DataError as error:
        raise UsageError(str(error)) from error
    return {"": range(len(samples))} | {f", {by} {value}": indices for value, indices in subgroups.items()}


def title_of(samples: Sequence[Sample], spec: ModelSpec) -> str:
    """What a table calls these pictures."""
    name = samples[0].dataset
    return f"{name}, which the weights learned from" if name in spec.data_sets else name


def called_pictures(samples: Sequence[Sample], engine: Engine, config: StreamConfig) -> list[Called]:
    """What is called when the pictures are replayed through the live path. Raises StreamError, EngineError."""
    calls = [call_of(each.state, each.finding) for each in replayed(LabelledPictures(samples), engine, config).said]
    return [Called(sample.dataset, sample.label, call) for sample, call in zip(samples, calls, strict=True)]


def called_answers(answers: Predictions, spec: ModelSpec, config: StreamConfig) -> list[Called]:
    """What is called if only the rule is applied, to these answers. Raises UsageError if they are of other classes."""
    if answers.class_names != spec.class_names:
        raise UsageError(f"answers have {', '.join(answers.class_names)}, the weights {', '.join(spec.class_names)}")
    rule = Rule.of(spec, spec.operating_points[config.operating_point], config.lesion_margin)
    probabilities = softmax(answers.calibrated(spec.temperature, spec.cubic).logits)
    calls = [call_of(*rule.decide(each, spec)[:2]) for each in probabilities]
    labels = np.array(answers.class_names)[answers.truth].tolist()
    return [Called(*each) for each in zip(answers.datasets.tolist(), labels, calls, strict=True)]


def call_of(state: State, finding: str | None) -> str:
    """Which of CALLS a state and finding are."""
    if state is State.CLEAR_FINDING:
        return "no lesion flagged" if finding == "normal" else str(finding)
    return "neither" if state is State.INDETERMINATE else "not judged"


def count_calls(title: str, called: Sequence[Called]) -> list[dict[str, Any]]:
    """One row for each label that occurs: the number of its pictures, and how many of them get each call."""
    rows = []
    for label in datasets.CLASS_NAMES:
        calls = [each.call for each in called if each.label == label]
        if calls:
            rows.append({"pictures": title, "label": label, "n": len(calls)} | {c: calls.count(c) for c in CALLS})
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table. The rows of one title are a section, which shows it once."""
    table = Table("pictures", "label", "n", *CALLS)
    before = None
    for row in rows:
        if before not in (None, row["pictures"]):
            table.add_section()
        title, *cells = (str(value) for value in row.values())
        table.add_row("" if title == before else title, *cells)
        before = row["pictures"]
    out.print(table)
    out.print(RESEARCH_NOTICE)


if __name__ == "__main__":
    app()
