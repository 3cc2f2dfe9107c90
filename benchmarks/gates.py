"""python -m benchmarks.gates: how often do the gates refuse a real scan, and how often do they let something else pass?

Real B-mode stills must pass, as they are and in many variants. What must be refused is made: test patterns, frozen and
recycled feeds, colour painted into real stills, two stills side by side or one above the other, one on its side, a scan
that fades out below its surface. The thresholds of stream/signal.py were set on BUSI and BUS-BRA, without UDIAT.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.report import JsonFile, measuring, out, write_json
from rcdnet.preprocess import Grey
from stream.errors import UsageError
from stream.signal import FREEZE_S, SignalGate
from stream.timing import Summary, summarise
from stream.types import Frame, NotAnalysed, ScanArea
from train.datasets import load
from train.errors import DataError

Picture = NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""

Paint = Callable[[Picture, np.random.Generator], Picture]
"""Puts something into a copy of a picture, at random."""

SETS = ("busi", "busbra", "udiat")
SCREEN_ROWS = 1080
FPS = 30.0
MADE = 200
"""How many stills, picked evenly from BUSI and BUS-BRA, the variants are made of."""

TINTS = {"sepia": (1.0, 0.8, 0.5), "candle": (1.0, 0.9, 0.6), "blue": (0.7, 0.85, 1.0)}
"""The colour (R, G, B, 0 to 1) that white has under a scanner's tint."""

CALLS = 500
"""How often all gates together are timed."""

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
        rows = [*pass_rows(stills), *refuse_rows(stills)]
        cost_ms = asdict(cost(stills["busi"][0]))
        show(rows, cost_ms)
        if json_file is not None:
            counted = [asdict(row) | {"right": row.right} for row in rows]
            write_json(json_file, {"machine": machine(), "rows": counted, "cost_1080p": cost_ms})


def pass_rows(stills: dict[str, list[Picture]]) -> Iterator[Row]:
    """What must pass: real B-mode stills as they are, as large as on a screen, dim, smooth (as from a scanner that
    removes speckle), with small coloured marks, and tinted and captured as MJPEG."""
    for name, pictures in stills.items():
        yield count(f"{name} stills", False, map(verdict, pictures))
        yield count(f"{name} stills, {SCREEN_ROWS} rows", False, (verdict(enlarged(each)) for each in pictures))
    yield count("half the gain", False, (verdict(dimmed(each)) for each in some(stills)))
    yield count("smoothed", False, (verdict(smoothed(each)) for each in some(stills)))
    yield count("small coloured marks", False, (verdict(marked(each)) for each in some(stills)))
    for tint in TINTS:
        yield count(f"{tint} tint", False, (verdict(captured(tinted(each, tint))) for each in some(stills)))


def refuse_rows(stills: dict[str, list[Picture]]) -> Iterator[Row]:
    """What must be refused: made from patterns and stills. A feed is judged by its last frame, after FREEZE_S."""
    rng = np.random.default_rng(0)
    pictures = some(stills)
    pairs = list(zip(pictures[::2], pictures[1::2], strict=True))
    dead = [feed(*each, rng) for each in product(patterns(), (0, 1, 2))]
    yield count("no-signal patterns, first frame", True, (verdict(each[0]) for each in dead))
    yield count("no-signal patterns", True, map(verdict_of_feed, dead))
    for sigma in (0, 1, 2):
        yield count(f"frozen, capture noise {sigma}", True, (verdict_of_feed(feed(x, sigma, rng)) for x in pictures))
    recycled = (pictures[start : start + 4] for start in range(0, len(pictures), 4))
    yield count("four buffers recycled", True, (verdict_of_feed(same_size(each)) for each in recycled))
    for name, paint in (("Doppler", doppler), ("elastography", elastography)):
        yield count(f"{name} box", True, (verdict(paint(each, rng)) for each in pictures))
        for tint in TINTS:
            yield count(f"{name} box, {tint} tint", True, (verdict(paint(tinted(x, tint), rng)) for x in pictures))
    for share in (0.02, 0.04):
        yield count(f"two stills, gap {share:.0%}", True, (verdict(side_by_side(*pair, share)) for pair in pairs))
    yield count("two stills, no gap", True, (verdict(side_by_side(*pair, 0.0)) for pair in pairs))
    for share in (0.02, 0.04):
        group = f"two stills, one above the other, gap {share:.0%}"
        yield count(group, True, (verdict(stacked(*pair, share)) for pair in pairs))
    yield count("turned by a quarter", True, (verdict(np.ascontiguousarray(np.rot90(each))) for each in pictures))
    yield count("probe in air", True, (verdict(in_air(each, rng)) for each in pictures))


def count(group: str, must_refuse: bool, verdicts: Iterable[NotAnalysed | None]) -> Row:
    """The row of a group, from the verdict on each input: the reason of its refusal, or None."""
    verdicts = list(verdicts)
    reasons = Counter(each.reason for each in verdicts if each is not None)
    return Row(group, must_refuse, len(verdicts), reasons.total(), dict(reasons.most_common()))


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


def rgb(grey: Grey) -> Picture:
    """A grey picture as RGB."""
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))


def enlarged(picture: Picture) -> Picture:
    """Enlarged to SCREEN_ROWS rows, as on a scanner's screen."""
    factor = SCREEN_ROWS / picture.shape[0]
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def feed(picture: Picture, sigma: int, rng: np.random.Generator) -> list[Picture]:
    """What a card captures of a picture that does not change: one frame without noise, or eight with noise of ``sigma``
    grey levels."""
    return [noisy(picture, sigma, rng) for _ in range(8 if sigma else 1)]


def noisy(picture: Picture, sigma: int, rng: np.random.Generator) -> Picture:
    """With noise of ``sigma`` grey levels, captured as MJPEG; unchanged with 0."""
    if sigma == 0:
        return picture
    return captured(np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8))


def captured(picture: Picture) -> Picture:
    """Captured as MJPEG, which halves the resolution of the colours."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR), np.uint8)


def patterns() -> list[Picture]:
    """What grabbers and cables show without a scanner, uint8 [480, 640, 3]."""
    shape = (480, 640, 3)
    plain = [
        np.full(shape, colour, np.uint8) for colour in ((0, 0, 0), (0, 0, 255), (16, 16, 16), (0, 128, 0), (255,) * 3)
    ]
    bars = np.array([(191,) * 3, (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191)])
    across = np.linspace(0, 255, 640).astype(np.uint8)[None, :, None]
    down = np.linspace(0, 255, 480).astype(np.uint8)[:, None, None]
    cross = np.zeros(shape, np.uint8)
    cross[::40] = cross[:, ::40] = 255
    squares = (np.indices(shape[:2]) // 80).sum(axis=0) % 2 * 255
    words = np.zeros(shape, np.uint8)
    cv2.putText(words, "NO SIGNAL", (150, 250), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    return [
        *plain,
        np.broadcast_to(bars[np.arange(640) * 7 // 640].astype(np.uint8)[None], shape).copy(),
        np.broadcast_to(np.repeat(np.linspace(0, 255, 8), 80).astype(np.uint8)[None, :, None], shape).copy(),
        np.broadcast_to(across, shape).copy(),
        np.broadcast_to(down, shape).copy(),
        cross,
        rgb(squares.astype(np.uint8)),
        words,
    ]


def doppler(picture: Picture, rng: np.random.Generator) -> Picture:
    """With vessels of one or two hues in a box; at least 2 % of the picture is coloured."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    flow = cv2.GaussianBlur(rng.random((height, width), np.float32), (0, 0), width / 40)
    box = np.zeros((height, width), bool)
    side = rng.uniform(0.35, 0.7, 2)
    top, left = (rng.uniform(0, 1 - side) * (height, width)).astype(int)
    box[top : top + int(side[0] * height), left : left + int(side[1] * width)] = True
    share = rng.uniform(0.15, 0.5) * box.sum()
    vessels = box & (flow >= np.sort(flow[box])[-int(max(share, 0.02 * box.size))])
    hues = [((220, 40, 20), (30, 60, 230)), ((240, 140, 20), (240, 140, 20))][int(rng.integers(2))]
    upper = np.arange(height)[:, None] < top + side[0] * height / 2
    opacity = rng.uniform(0.6, 1.0)
    for hue, half in zip(hues, (upper, ~upper), strict=True):
        where = vessels & half
        painted[where] = (painted[where] * (1 - opacity) + np.array(hue) * opacity).astype(np.uint8)
    return painted


def elastography(picture: Picture, rng: np.random.Generator) -> Picture:
    """With a box in rainbow colours, through which the scan can be seen."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    stiffness = cv2.GaussianBlur(rng.random((height, width), np.float32), (0, 0), width / 12)
    scaled = cv2.normalize(stiffness, np.empty_like(stiffness), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    side = rng.uniform(0.3, 0.7, 2)
    top, left = (rng.uniform(0, 1 - side) * (height, width)).astype(int)
    box = np.s_[top : top + int(side[0] * height), left : left + int(side[1] * width)]
    opacity = rng.uniform(0.4, 0.7)
    painted[box] = (painted[box] * (1 - opacity) + colours[box] * opacity).astype(np.uint8)
    return painted


def dimmed(picture: Picture) -> Picture:
    """Half as bright."""
    return picture // 2


def smoothed(picture: Picture) -> Picture:
    """Blurred by a Gaussian with a sigma of 1.5 pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def tinted(picture: Picture, tint: str) -> Picture:
    """A grey picture in one of TINTS."""
    return np.asarray(np.rint(picture * np.array(TINTS[tint])), np.uint8)


def marked(picture: Picture) -> Picture:
    """With a scanner's coloured logo, focus mark and calliper: half a percent of the picture."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    painted[4 : 4 + height // 20, 4 : 4 + width // 20] = (30, 200, 40)
    cv2.circle(painted, (width - 8, height // 2), max(2, height // 80), (250, 200, 0), -1)
    cv2.line(painted, (width // 3, height // 2), (width // 2, height // 2), (250, 250, 0), 1)
    return painted


def side_by_side(left: Picture, right: Picture, gap: float) -> Picture:
    """Two stills of one height; the black gap between them is ``gap`` of their width."""
    left, right = same_size([left, right])
    black = np.zeros((left.shape[0], round(2 * left.shape[1] * gap), 3), np.uint8)
    return np.concatenate([left, black, right], axis=1)


def stacked(upper: Picture, lower: Picture, gap: float) -> Picture:
    """Two stills of one width; the black gap between them is ``gap`` of their height."""
    upper, lower = same_size([upper, lower])
    black = np.zeros((round(2 * upper.shape[0] * gap), upper.shape[1], 3), np.uint8)
    return np.concatenate([upper, black, lower])


def same_size(pictures: list[Picture]) -> list[Picture]:
    """All as large as the first."""
    height, width = pictures[0].shape[:2]
    return [np.asarray(cv2.resize(each, (width, height)), np.uint8) for each in pictures]


def in_air(picture: Picture, rng: np.random.Generator) -> Picture:
    """The top tenth of the picture, below which there is only noise."""
    depth = np.linspace(0, 1, picture.shape[0])[:, None, None]
    faded = picture * np.clip(1 - (depth - 0.1) / 0.1, 0, 1) + np.abs(rng.normal(0, 6, picture.shape[:2]))[..., None]
    return np.clip(faded, 0, 255).astype(np.uint8)


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
