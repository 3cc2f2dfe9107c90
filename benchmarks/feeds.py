"""python -m benchmarks.feeds: what does the way from the scanner to here do to the answer?

The pictures of a data set are laid out as large as on a screen and go through the live path: as they are, and again as
a feed may bring them, compressed, blurred or with other levels. No motion, so neither B- nor P-frames nor combing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated

import av
import cv2
import numpy as np
import typer
from rich.table import Table

from benchmarks.calls import LabelledPictures, call_of, load_labelled, title_of
from benchmarks.replayed import judged_by, replayed
from benchmarks.report import JsonFile, err, measuring, out, write_json
from benchmarks.variants import Picture, enlarged
from engines.failover import open_with_failover
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from stream.__main__ import ConfigFile, EngineName, WeightsFolder, settings_of
from stream.errors import UsageError
from stream.jpeg import as_jpeg
from stream.types import Assessment, Frame
from train.datasets import Sample

Feed = Callable[[Picture], Picture]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def h264(picture: Picture, crf: int) -> Picture:
    """What is left of it, uint8 [H, W, 3], as a key frame of H.264 in 4:2:0."""
    height, width = picture.shape[:2]
    file = BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(BytesIO(file.getvalue()), "r") as encoded:
        decoded = next(encoded.decode(video=0)).to_ndarray(format="rgb24")
    return np.asarray(decoded[:height, :width], np.uint8)


def jpeg(picture: Picture, quality: int) -> Picture:
    """What is left of it as a JPEG of this quality, 0..100."""
    encoded = np.frombuffer(as_jpeg(picture, quality), np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)


def levels(picture: Picture, gain: float, offset: float = 0.0) -> Picture:
    """Each level times ``gain``, plus ``offset``, cut off at 0 and 255."""
    return np.asarray(np.clip(np.rint(picture * gain + offset), 0, 255), np.uint8)


def one_field(picture: Picture) -> Picture:
    """Every second row, doubled, as a cheap deinterlacer does."""
    return np.asarray(picture[::2].repeat(2, axis=0)[: len(picture)], np.uint8)


def blurred(picture: Picture) -> Picture:
    """As by a long analogue cable: a Gaussian of two pixels, sideways alone."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigmaX=2, sigmaY=0.01), np.uint8)


FEEDS: Mapping[str, Feed] = {
    "H.264, crf 23": partial(h264, crf=23),
    "H.264, crf 35": partial(h264, crf=35),
    "JPEG, quality 50": partial(jpeg, quality=50),
    "JPEG, quality 20": partial(jpeg, quality=20),
    "one field of two": one_field,
    "blurred sideways": blurred,
    "full range taken for video levels": partial(levels, gain=255 / 219, offset=-16 * 255 / 219),
    "video levels taken for full range": partial(levels, gain=219 / 255, offset=16.0),
    "brighter by a third": partial(levels, gain=4 / 3),
    "darker by a third": partial(levels, gain=2 / 3),
}
"""What a feed may do to a picture, by what the table calls it."""


@dataclass(frozen=True)
class Row:
    """What a feed does to ``n`` pictures: how many get another call, how many of these a call of another class in
    place of one, how many are no longer judged; and by how much P(malignant) moves, median and 95th percentile."""

    pictures: str
    feed: str
    n: int
    other_call: int
    other_class: int
    no_longer_judged: int
    moved_p50: float
    moved_p95: float


class FedPictures(LabelledPictures):
    """The same pictures as on a screen, through a feed."""

    def __init__(self, samples: list[Sample], feed: Feed) -> None:
        super().__init__(samples)
        self._feed = feed

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        for frame in super().frames():
            yield replace(frame, rgb=self._feed(enlarged(frame.rgb)))


@app.command()
def main(
    labelled: Annotated[list[Path], typer.Argument(help="data sets")],
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    json_file: JsonFile = None,
) -> None:
    """Count what is called otherwise when the same pictures come compressed, blurred or with other levels."""
    with measuring(json_file):
        settings = settings_of(config, None)
        sets, answers = load_labelled(labelled)
        if answers is not None:
            raise UsageError("a table of answers has no pictures to go through a feed. Expected folders of pictures.")
        rows = []
        with open_with_failover(engine, weights, wait=True) as opened:
            malignant = opened.spec.index("malignant")
            for samples in sets:
                title = title_of(samples, opened.spec)
                before = replayed(FedPictures(samples, lambda picture: picture), opened, settings).said
                for name, feed in FEEDS.items():
                    err.print(f"{title}: {name}")
                    after = replayed(FedPictures(samples, feed), opened, settings).said
                    rows.append(compared(title, name, before, after, malignant))
        show(rows)
        if json_file is not None:
            write_json(json_file, judged_by(opened.spec, settings) | {"rows": [asdict(row) for row in rows]})


def compared(pictures: str, feed: str, before: list[Assessment], after: list[Assessment], column: int) -> Row:
    """The answers to the same pictures, held against each other; P(malignant) is in this ``column``."""
    pairs = list(zip(before, after, strict=True))
    calls = [tuple(call_of(each.state, each.finding) for each in pair) for pair in pairs]
    changed = [pair for pair in calls if pair[0] != pair[1]]
    both = [pair for pair in pairs if pair[0].smoothed.size and pair[1].smoothed.size]
    moved = [abs(float(first.smoothed[column] - second.smoothed[column])) for first, second in both]
    return Row(
        pictures,
        feed,
        n=len(calls),
        other_call=len(changed),
        other_class=sum(not {"neither", "not judged"} & {*pair} for pair in changed),
        no_longer_judged=sum(pair[1] == "not judged" for pair in changed),
        moved_p50=round(float(np.percentile(moved, 50)), 4) if moved else 0.0,
        moved_p95=round(float(np.percentile(moved, 95)), 4) if moved else 0.0,
    )


def show(rows: list[Row]) -> None:
    """Print a table."""
    table = Table(
        "pictures", "feed", "n", "another call", "of another class", "no longer judged", "P moved, p50", "p95"
    )
    for row in rows:
        table.add_row(*(str(value) for value in asdict(row).values()))
    out.print(table)
    out.print(RESEARCH_NOTICE)


if __name__ == "__main__":
    app()
