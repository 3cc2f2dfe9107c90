"""python -m benchmarks.calls: what would the page say of labelled pictures, each judged by itself?

`train evaluate` asks the network; this asks the whole live path: where the scan lies, whether it is fit to be judged,
and the rule by which a class is called, nothing is called, or nothing is flagged. A folder is a data set, whose
pictures are replayed. A table of held-out answers, as `train fit` leaves it, is calibrated as the shipped weights are
and put to the rule alone, as of pictures that are all fit to be judged.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from rcdnet.extras import install

if find_spec("sklearn") is None:
    sys.exit(f"error: labelled pictures need scikit-learn, which the base install leaves out: {install('train')}")

from benchmarks.report import JsonFile, console, require_folder, write_json
from benchmarks.stability import Watching
from engines.base import Engine
from engines.failover import open_with_failover
from rcdnet.glance import softmax
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.spec import ModelSpec
from rcdnet.weights import SHIPPED
from stream.__main__ import AreaText, ConfigFile, EngineName, WeightsFolder, exit_codes, raise_failures, settings_of
from stream.config import StreamConfig
from stream.decision import Rule
from stream.errors import UsageError
from stream.pipeline import Pipeline
from stream.sources.base import Source
from stream.sources.images import read_rgb, require_depth
from stream.sources.uri import STILLS_FPS
from stream.types import Frame, State
from train import datasets, predictions
from train.datasets import DataError, Sample
from train.evaluate import subgroup_indices
from train.predictions import Predictions
from train.splits import LeakError

CALLS = ("no lesion flagged", "benign", "malignant", "neither", "not judged")

out = console()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Said:
    """Of one picture with this label, ``call`` of CALLS."""

    dataset: str
    label: str
    call: str


class LabelledPictures(Source):
    """The pictures of a data set as a source, in its order."""

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
    by: Annotated[str | None, typer.Option(help="data sets also by: size, birads, device, histology")] = None,
    json_file: JsonFile = None,
) -> None:
    """Count what is called, by label. Pictures that the weights learned from flatter, and are named."""
    with exit_codes():
        require_folder(json_file)
        settings = settings_of(config, scan_area)
        rows = []
        with open_with_failover(engine, weights, wait=True) as opened:
            spec = opened.spec
            try:
                sets = [datasets.load(path) for path in labelled if path.suffix != ".csv"]
                tables = [path for path in labelled if path.suffix == ".csv"]
                predictions.require_held_out(tables)
                held_out = predictions.read(tables) if tables else None
                groups = [subgroup_indices(samples, by) if by else {} for samples in sets]
            except (DataError, LeakError) as error:
                raise UsageError(str(error)) from error
            for samples, parts in zip(sets, groups, strict=True):
                said = of_pictures(samples, opened, settings)
                learned = samples[0].dataset in spec.data_sets
                title = samples[0].dataset + (", which the weights learned from" if learned else "")
                rows += counted(title, said)
                for value, indices in parts.items():
                    rows += counted(f"{title}, {by} {value}", [said[index] for index in indices])
            if held_out is not None:
                said = of_answers(held_out, spec, settings)
                for dataset in sorted({each.dataset for each in said}):
                    rows += counted(f"{dataset}, held out", [each for each in said if each.dataset == dataset])
            told: dict[str, Any] = {"weights_sha256": spec.weights_sha256, "calibration": spec.calibration}
        if json_file is not None:
            write_json(json_file, told | {"config": settings.model_dump(), "rows": rows})
        show(rows)


def of_pictures(samples: Sequence[Sample], engine: Engine, config: StreamConfig) -> list[Said]:
    """Replayed through the live path. Raises StreamError, EngineError."""
    watching = Watching()
    with Pipeline(LabelledPictures(samples), engine, config, [watching]) as pipeline:
        pipeline.wait()
    raise_failures(pipeline, pipeline.status(), None)
    calls = [call_of(said.state, said.finding) for _, said in watching.seen]
    return [Said(sample.dataset, sample.label, call) for sample, call in zip(samples, calls, strict=True)]


def of_answers(answers: Predictions, spec: ModelSpec, config: StreamConfig) -> list[Said]:
    """By the rule alone. Raises UsageError if the answers are of other classes than ``spec`` knows."""
    if answers.class_names != spec.class_names:
        raise UsageError(f"the answers are {', '.join(answers.class_names)}, not {', '.join(spec.class_names)}")
    rule = Rule.of(spec, spec.operating_points[config.operating_point], config.lesion_margin)
    probabilities = softmax(answers.calibrated(spec.temperature, spec.cubic).logits)
    calls = [call_of(*rule.decide(each, spec)[:2]) for each in probabilities]
    labels = np.array(answers.class_names)[answers.truth].tolist()
    return [Said(*told) for told in zip(answers.datasets.tolist(), labels, calls, strict=True)]


def call_of(state: State, finding: str | None) -> str:
    """Which of CALLS it is."""
    if state is State.CLEAR_FINDING:
        return "no lesion flagged" if finding == "normal" else str(finding)
    return "neither" if state is State.INDETERMINATE else "not judged"


def counted(title: str, said: Sequence[Said]) -> list[dict[str, Any]]:
    """One row for each label there is: how many pictures, and how many of them each of CALLS."""
    rows = []
    for label in datasets.CLASS_NAMES:
        calls = [each.call for each in said if each.label == label]
        if calls:
            rows.append({"pictures": title, "label": label, "n": len(calls)} | {c: calls.count(c) for c in CALLS})
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """As a table, by its title."""
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
