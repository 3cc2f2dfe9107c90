"""Glance, then look: judge the whole picture, find the lesion in its class maps, judge a crop around it again, and
average the two on log-odds, the look counting more. Pure functions over any runtime: training, evaluation and the
live path share them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.preprocess import Box, Grey, Placement, cell_centres, prepare, to_input
from rcdnet.spec import ModelSpec

Floats = NDArray[np.float32]
Run = Callable[[NDArray[np.uint8]], tuple[Floats, Floats]]
"""uint8 [N, H, W] -> logits [N, K], class maps [N, K, h, w]: a network, whatever computes it."""


ATTENTION_LOGITS = 8.0
"""How far, in logits, a cell must rise above its map's median to be drawn at full strength: on held-out lesions
the peak rises 5 to 10. Fixed, never per picture: a flat map stays dark."""

LOOK_WEIGHT = 2 / 3
"""Of the second look against the glance. On held-out folds (252 BUSI, 761 BUS-BRA lesions) better than half
and half; the glance keeps the rest, for it tells normal tissue better."""

FINER = 2
"""How much finer the answer's map is than the glance's: a crop holds more cells to the centimetre."""

BACKGROUND = 0.2
"""Quantile of a crop's class map that stands for tissue: the lesion alone takes about half of the crop."""


@dataclass(frozen=True)
class Judgement:
    """What the network made of one picture.

    ``probabilities`` [K] are calibrated; ``logits`` [K] are the log-probabilities they come from, the weighted mean of
    glance and look. ``class_maps`` [K, h, w] are what led to them (``answer_maps``), laid over the picture by
    ``placement``. ``look`` is the crop that was judged again, or None.
    """

    probabilities: Floats
    logits: Floats
    class_maps: Floats
    placement: Placement
    look: Box | None


def judge(grey: Grey, spec: ModelSpec, run: Run, box: Box | None = None) -> Judgement:
    """Judge ``box`` of a grey picture (all of it if None): one call of ``run``, two if the spec asks for a second look.

    Raises ValueError as ``preprocess.prepare`` does.
    """
    return judge_batch([grey], spec, run, [box])[0]


def judge_batch(
    greys: Sequence[Grey], spec: ModelSpec, run: Run, boxes: Sequence[Box | None] | None = None
) -> list[Judgement]:
    """``judge`` for several pictures of any sizes in two calls of ``run``."""
    boxes = boxes or [None] * len(greys)
    prepared = [prepare(grey, spec, box) for grey, box in zip(greys, boxes, strict=True)]
    placements = [at for _, at in prepared]
    logits, maps = run(np.stack([image for image, _ in prepared]))
    total: Floats = log_softmax(logits)
    looks: list[Box | None] = [None] * len(greys)
    if spec.second_look is not None:
        crops = [locate(m, z, at, spec) for m, z, at in zip(maps, logits, placements, strict=True)]
        closer = [prepare(grey, spec, crop) for grey, crop in zip(greys, crops, strict=True)]
        closer_logits, closer_maps = run(np.stack([image for image, _ in closer]))
        total = np.asarray((1 - LOOK_WEIGHT) * total + LOOK_WEIGHT * log_softmax(closer_logits), np.float32)
        maps = np.stack(
            [answer_maps(*each) for each in zip(maps, placements, closer_maps, [at for _, at in closer], strict=True)]
        )
        looks = list(crops)
    return [
        Judgement(p, z, m, at, look)
        for p, z, m, at, look in zip(probabilities(total, spec), total, maps, placements, looks, strict=True)
    ]


def answer_maps(glance: Floats, at: Placement, look: Floats, look_at: Placement) -> Floats:
    """The class maps of glance and look, each float32 [K, h, w] over its own model input, as one over the glance's.

    float32 [K, FINER h, FINER w]: what each rises above its own background, weighted as the answer weighs them; outside
    the crop the look says nothing. On held-out folds (252 BUSI, 761 BUS-BRA lesions) its highest point lies in the
    lesion more often than the glance's (0.877 and 0.971 against 0.857 and 0.959), and it spills less.
    """
    classes, rows, columns = glance.shape
    size = FINER * columns, FINER * rows
    to_look = np.linalg.inv(cell_centres(look_at, columns, rows)) @ to_input(look_at)
    matrix = (to_look @ np.linalg.inv(to_input(at)) @ cell_centres(at, *size))[:2]
    inside = holds_picture(look_at, columns, rows)
    levels = _level(glance, 0.5, holds_picture(at, columns, rows)), _level(look, BACKGROUND, inside)
    together = np.empty((classes, FINER * rows, FINER * columns), np.float32)
    for index in range(classes):
        wide = cv2.resize(glance[index] - levels[0][index], size, interpolation=cv2.INTER_LINEAR)
        rise = np.maximum(look[index] - levels[1][index], 0)
        rise[~inside] = 0
        close = cv2.warpAffine(rise, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        together[index] = (1 - LOOK_WEIGHT) * wide + LOOK_WEIGHT * close
    return together


def _level(class_maps: Floats, share: float, inside: NDArray[np.bool_]) -> Floats:
    """The value [K] below which ``share`` of each map's ``inside`` cells lie. numpy's quantile is ten times as slow."""
    cells = np.sort(class_maps[:, inside] if inside.any() else class_maps.reshape(len(class_maps), -1), axis=1)
    return cells[:, int(share * cells.shape[1])]


def probabilities(logits: Floats, spec: ModelSpec) -> Floats:
    """Calibrated probabilities over the last axis, float32, of a network's logits [..., K]."""
    return np.asarray(np.exp(calibrated(logits, spec.class_names, spec.temperature, spec.cubic)), np.float32)


def calibrated(logits: Floats, class_names: Sequence[str], temperature: float = 1.0, cubic: float = 0.0) -> Floats:
    """Calibrated log-probabilities over the last axis, float32, of logits [..., K] of these classes.

    Two questions, each by itself: is there a lesion, and of which class is it? The log-odds z of two answers become
    z / temperature + cubic z^3. The first term is Guo et al. 2017 (arXiv:1706.04599), equation 9; the second is ours,
    the next one of an odd function, for networks that hold back what is certain more than what is not. Of several
    classes, z is twice the distance to their mean, which for two is their log-odds.
    """
    lesions = [index for index, name in enumerate(class_names) if name != "normal"]
    found = np.zeros(logits.shape, np.float32)
    found[..., lesions] = _sharpened(logits[..., lesions], temperature, cubic)
    if "normal" in class_names:
        normal = class_names.index("normal")
        any_lesion = np.logaddexp.reduce(logits[..., lesions], axis=-1)
        sides = _sharpened(np.stack([logits[..., normal], any_lesion], axis=-1), temperature, cubic)
        found[..., normal] = sides[..., 0]
        found[..., lesions] += sides[..., 1:]
    return found


def _sharpened(logits: Floats, temperature: float, cubic: float) -> Floats:
    half = logits - logits.mean(axis=-1, keepdims=True)  # of the log-odds, if they are two
    return log_softmax(np.asarray(half / temperature + 4 * cubic * half**3, np.float32))


def decisive(probabilities: Floats, spec: ModelSpec) -> tuple[Floats, Floats]:
    """What thresholds are held against, [N] each: 1 - p(normal) and the malignant share, 1 where there is no such."""
    of = {name: probabilities[:, index] for index, name in enumerate(spec.class_names)}
    ones = np.ones(len(probabilities), np.float32)
    lesion = ones - of["normal"] if "normal" in of else ones
    return lesion, of["malignant"] / (of["benign"] + of["malignant"]) if {"benign", "malignant"} <= set(of) else ones


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis, float32."""
    return np.asarray(np.exp(log_softmax(logits)), np.float32)


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities over the last axis, float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def attention(class_map: Floats, at: Placement | None = None) -> Floats:
    """One class map, logits [h, w], as what is drawn, 0..1: its rise above the picture's own background level.

    (map - median) / ATTENTION_LOGITS, clipped; the median is over the cells that ``at`` says hold picture, or over all.
    The order of the cells is the class map's, so it points where it points.
    """
    inside = np.ones(class_map.shape, bool) if at is None else holds_picture(at, *class_map.shape[::-1])
    rise = (class_map - _level(class_map[None], 0.5, inside)) / ATTENTION_LOGITS
    return np.asarray(np.clip(rise, 0, 1), np.float32)


def lesion_class(logits: Floats, spec: ModelSpec) -> int:
    """Index of the likeliest class that is a lesion, from logits or probabilities [K]."""
    lesions = [index for index, name in enumerate(spec.class_names) if name != "normal"]
    return max(lesions, key=lambda index: float(logits[index]))


def locate(class_maps: Floats, logits: Floats, at: Placement, spec: ModelSpec) -> Box:
    """The square that deserves a second look, in pixels of the picture.

    It is ``spec.second_look`` times as long as the lesion's longer side; the lesion is the connected region around the
    peak of the likeliest lesion class's map that lies above the middle between the map's median and that peak, read at
    four times the map's resolution.
    """
    class_map = class_maps[lesion_class(logits, spec)]
    rows, columns = (4 * size for size in class_map.shape)
    fine = cv2.resize(class_map, (columns, rows), interpolation=cv2.INTER_LINEAR)
    step_x, step_y = at.input_width_px / columns, at.input_height_px / rows
    x, y = _middles(at, columns, rows)
    inside = holds_picture(at, columns, rows)
    if not inside.any():
        return at.box
    fine[~inside] = fine.min()
    peak = int(fine.argmax())
    threshold = (float(np.median(fine[inside])) + float(fine.flat[peak])) / 2
    _, labels = cv2.connectedComponents((fine >= threshold).astype(np.uint8))
    region_y, region_x = np.nonzero(labels == labels.flat[peak])
    to_x, to_y = at.box.width_px / at.width_px, at.box.height_px / at.height_px
    longer = max((np.ptp(region_x) + 1) * step_x * to_x, (np.ptp(region_y) + 1) * step_y * to_y)
    return square_around(
        (x[region_x.min()] + x[region_x.max()]) / 2 * to_x + at.box.x_px,
        (y[region_y.min()] + y[region_y.max()]) / 2 * to_y + at.box.y_px,
        (spec.second_look or 1.0) * longer,
        at.box,
    )


def _middles(at: Placement, columns: int, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the cells of a map have their middles, x [columns] and y [rows], in input pixels from the box's corner."""
    x = (np.arange(columns) + 0.5) * at.input_width_px / columns - at.left_px
    y = (np.arange(rows) + 0.5) * at.input_height_px / rows - at.top_px
    return x, y


def holds_picture(at: Placement, columns: int, rows: int) -> NDArray[np.bool_]:
    """The cells [rows, columns] with their middle in the box: padding holds no lesion."""
    x, y = _middles(at, columns, rows)
    return np.asarray(((y >= 0) & (y < at.height_px))[:, None] & ((x >= 0) & (x < at.width_px)))


def square_around(middle_x_px: float, middle_y_px: float, side_px: float, within: Box) -> Box:
    """The square of ``side_px`` around a point of ``within``, cut off at its edges.

    No shorter than a quarter of the longer side of ``within``: a smaller crop would be more blur than lesion.
    """
    half = max(side_px, 0.25 * max(within.width_px, within.height_px)) / 2
    left, width = _cut(middle_x_px - half, middle_x_px + half, within.x_px, within.width_px)
    top, height = _cut(middle_y_px - half, middle_y_px + half, within.y_px, within.height_px)
    return Box(left, top, width, height)


def _cut(start: float, end: float, low: int, length: int) -> tuple[int, int]:
    """Start and length of the whole pixels of start..end that lie in low..low+length, at least one of them."""
    first = min(max(round(start), low), low + length - 1)
    return first, max(1, min(round(end), low + length) - first)
