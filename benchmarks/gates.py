"""python -m benchmarks.gates: how often do the gates refuse a real scan, and how often do they let something else pass?

Real B-mode stills must pass, as they are and in many variants. What must be refused is made: test patterns, frozen and
recycled feeds, colour painted into real stills, two stills side by side or one above the other, one on its side, a scan
that fades out below its surface. The thresholds of stream/signal.py were set on BUSI and BUS-BRA, without UDIAT.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.report import JsonFile, measuring, out, write_json
from benchmarks.variants import (
    SCREEN_ROWS,
    TINTS,
    Picture,
    captured,
    dimmed,
    doppler,
    elastography,
    enlarged,
    feed,
    in_air,
    marked,
    patterns,
    rgb,
    same_size,
    side_by_side,
    smoothed,
    stacked,
    tinted,
)
from stream.errors import UsageError
from stream.signal import FREEZE_S, SignalGate
from stream.timing import Summary, summarise
from stream.types import Frame, NotAnalysed, ScanArea
from train.datasets import load
from train.errors import DataError

SETS = ("busi", "busbra", "udiat")
FPS = 30.0

MADE = 200
"""How many stills, picked evenly from BUSI and BUS-BRA, the variants are made of."""

CALLS = 500
"""How often all gates together are timed."""

Group = tuple[str, Iterable[NotAnalysed | None]]
"""What a row is called, and the verdict on each input: the reason of its refusal, or None."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Row:
    """How many of the ``n`` inputs in a group were refused, and for which ``reasons``. ``must_refuse``: whether all of
    them should be."""

    group: str
    must_refuse: bool
    n: int
    refused: int
    reasons: dict[str, int]

    @property
    def right(self) -> float:
        """The share of the inputs that were handled correctly, 0..1."""
        return (self.refused if self.must_refuse else self.n - self.refused) / self.n


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="folder with busi, busbra and udiat")],
    json_file: JsonFile = None,
) -> None:
    """Count what the gates refuse, rightly and wrongly, and what they cost."""
    with measuring(json_file):
        try:
            stills = {name: [rgb(sample.grey()) for sample in load(data / name)] for name in SETS}
        except DataError as error:
            raise UsageError(f"--data {data}: {error}. Expected the folders {', '.join(SETS)} in it.") from error
        rows = [count(*group, must_refuse=False) for group in must_pass(stills)]
        rows += [count(*group, must_refuse=True) for group in must_refuse(stills)]
        cost_ms = asdict(cost(stills["busi"][0]))
        show(rows, cost_ms)
        if json_file is not None:
            counted = [asdict(row) | {"right": row.right} for row in rows]
            write_json(json_file, {"machine": machine(), "rows": counted, "cost_1080p": cost_ms})


def must_pass(stills: dict[str, list[Picture]]) -> Iterator[Group]:
    """Real B-mode stills as they are, as large as on a screen, dim, smooth (as from a scanner that removes speckle),
    with small coloured marks, and tinted and captured as MJPEG."""
    for name, pictures in stills.items():
        yield f"{name} stills", map(verdict, pictures)
        yield f"{name} stills, {SCREEN_ROWS} rows", (verdict(enlarged(each)) for each in pictures)
    yield "half the gain", (verdict(dimmed(each)) for each in some(stills))
    yield "smoothed", (verdict(smoothed(each)) for each in some(stills))
    yield "small coloured marks", (verdict(marked(each)) for each in some(stills))
    for tint in TINTS:
        yield f"{tint} tint", (verdict(captured(tinted(each, tint))) for each in some(stills))


def must_refuse(stills: dict[str, list[Picture]]) -> Iterator[Group]:
    """What is made from patterns and stills. A feed is judged by its last frame, after FREEZE_S."""
    rng = np.random.default_rng(0)
    pictures = some(stills)
    pairs = list(zip(pictures[::2], pictures[1::2], strict=True))
    dead = [feed(*each, rng) for each in product(patterns(), (0, 1, 2))]
    yield "no-signal patterns, first frame", (verdict(each[0]) for each in dead)
    yield "no-signal patterns", map(verdict_of_feed, dead)
    for sigma in (0, 1, 2):
        yield f"frozen, capture noise {sigma}", (verdict_of_feed(feed(x, sigma, rng)) for x in pictures)
    recycled = (pictures[start : start + 4] for start in range(0, len(pictures), 4))
    yield "four buffers recycled", (verdict_of_feed(same_size(each)) for each in recycled)
    for name, paint in (("Doppler", doppler), ("elastography", elastography)):
        yield f"{name} box", (verdict(paint(each, rng)) for each in pictures)
        for tint in TINTS:
            yield f"{name} box, {tint} tint", (verdict(paint(tinted(x, tint), rng)) for x in pictures)
    for share in (0.02, 0.04):
        yield f"two stills, gap {share:.0%}", (verdict(side_by_side(*pair, share)) for pair in pairs)
    yield "two stills, no gap", (verdict(side_by_side(*pair, 0.0)) for pair in pairs)
    for share in (0.02, 0.04):
        group = f"two stills, one above the other, gap {share:.0%}"
        yield group, (verdict(stacked(*pair, share)) for pair in pairs)
    yield "turned by a quarter", (verdict(np.ascontiguousarray(np.rot90(each))) for each in pictures)
    yield "probe in air", (verdict(in_air(each, rng)) for each in pictures)


def count(name: str, verdicts: Iterable[NotAnalysed | None], *, must_refuse: bool) -> Row:
    """The row of a Group."""
    verdicts = list(verdicts)
    reasons = Counter(each.reason for each in verdicts if each is not None)
    return Row(name, must_refuse, len(verdicts), reasons.total(), dict(reasons.most_common()))


def verdict(picture: Picture) -> NotAnalysed | None:
    """Why one picture, uint8 [H, W, 3], is refused as a still; None if it passes."""
    return SignalGate(still=True).refusal(*framed(picture, 0.0))


def verdict_of_feed(pictures: list[Picture]) -> NotAnalysed | None:
    """Why the last frame is refused of a feed that repeats ``pictures`` for a little longer than FREEZE_S."""
    gate, last = SignalGate(), None
    for index in range(round((FREEZE_S + 0.5) * FPS)):
        last = gate.refusal(*framed(pictures[index % len(pictures)], index / FPS))
    return last


def framed(picture: Picture, pts_s: float) -> tuple[Frame, ScanArea]:
    """A frame with this picture, all of which is its scan area."""
    height, width = picture.shape[:2]
    return Frame(0, 0, pts_s, picture, "made"), ScanArea(0, 0, width, height, "full")


def cost(picture: Picture) -> Summary:
    """The time that all gates together take on a 1920x1080 picture."""
    frame, area = framed(np.asarray(cv2.resize(picture, (1920, 1080), interpolation=cv2.INTER_CUBIC), np.uint8), 0.0)
    gate, samples_ns = SignalGate(), []
    for _ in range(CALLS):
        start_ns = time.perf_counter_ns()
        gate.refusal(frame, area)
        samples_ns.append(time.perf_counter_ns() - start_ns)
    summary = summarise(samples_ns)
    assert summary is not None  # there were CALLS
    return summary


def some(stills: dict[str, list[Picture]]) -> list[Picture]:
    """MADE stills, picked evenly from BUSI and BUS-BRA."""
    pool = stills["busi"] + stills["busbra"]
    return [pool[index] for index in np.linspace(0, len(pool) - 1, MADE).astype(int)]


def show(rows: list[Row], cost_ms: dict[str, float]) -> None:
    """Print the rows as a table, and what the gates cost."""
    table = Table("input", "must", "n", "refused", "right", "most often")
    for row in rows:
        most = next(iter(row.reasons), "").partition(":")[0]
        must = "refuse" if row.must_refuse else "pass"
        table.add_row(row.group, must, str(row.n), str(row.refused), f"{row.right:.2%}", most)
    out.print(table)
    facts = machine()
    times = f"p50 {cost_ms['p50_ms']:.2f} ms, p95 {cost_ms['p95_ms']:.2f} ms"
    out.print(f"all gates on 1920x1080: {times} ({facts['cpu']}, load {facts['load_1_min']})")


if __name__ == "__main__":
    app()
