"""Does the network need what its heat map marks? Blur the hottest cells: the score should fall faster than for random
ones. The deletion curve of RISE (Petsiuk et al. 2018, arXiv:1806.07421), with blur for what is deleted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Run, holds_picture, lesion_class, probabilities
from rcdnet.preprocess import Placement, prepare
from rcdnet.spec import ModelSpec
from train.datasets import Sample
from train.evaluate import location_prior

SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Of the picture's cells that are blurred. A lesion covers about a tenth of a picture."""


@dataclass(frozen=True)
class DeletionCurve:
    """Mean probability of the called lesion class [len(shares)] when that share of the cells is blurred: the map's
    hottest, random ones, or those of a map that never sees the picture.
    """

    shares: tuple[float, ...]
    hottest: NDArray[np.float32]
    random: NDArray[np.float32]
    blind: NDArray[np.float32]

    @property
    def advantage(self) -> float:
        """Over random cells: the area between the curves over the range of shares. A map gets some of it by lying in
        the middle, where lesions lie.
        """
        return float(np.trapezoid(self.random - self.hottest, self.shares) / self.shares[-1])

    @property
    def advantage_over_blind(self) -> float:
        """Likewise over the blind map: above 0 if ours marks what the network needs in this very picture."""
        return float(np.trapezoid(self.blind - self.hottest, self.shares) / self.shares[-1])


def faithfulness_of(samples: Sequence[Sample], spec: ModelSpec, run: Run) -> dict[str, Any]:
    """The curve of the pictures that show a lesion, keys as in the JSON of ``train evaluate``; the blind map's are None
    with fewer than two masks, of which nobody knows the usual place. Raises ValueError for no lesion.
    """
    lesions = [sample for sample in samples if sample.label != "normal"]
    masks = [sample.lesion() for sample in lesions]
    curve = deletion_curve([sample.grey() for sample in lesions], location_prior(masks), spec, run)
    known = sum(mask.any() for mask in masks) > 1
    return {
        "shares": curve.shares,
        "hottest": curve.hottest.tolist(),
        "random": curve.random.tolist(),
        "blind": curve.blind.tolist() if known else None,
        "advantage": curve.advantage,
        "advantage_over_blind": curve.advantage_over_blind if known else None,
    }


def deletion_curve(
    greys: Sequence[NDArray[np.uint8]], blind: Iterable[NDArray[np.float32]], spec: ModelSpec, run: Run
) -> DeletionCurve:
    """The glance's curve, mean over pictures uint8 [H, W] of any sizes. ``blind`` is a map of each one's size that
    never saw it, as of ``evaluate.location_prior``. Raises ValueError for no picture.
    """
    if not greys:
        raise ValueError("a deletion curve needs at least one picture")
    random = np.random.default_rng(0)
    curves = []
    for grey, usual in zip(greys, blind, strict=True):
        image, at = prepare(grey, spec)
        logits, maps = run(image[None])
        called = lesion_class(logits[0], spec)
        class_map = maps[0, called]
        picture = np.flatnonzero(holds_picture(at, *class_map.shape[::-1]))  # to blur its padding changes nothing
        of_blind = to_cells(usual, at, class_map.shape)
        hottest, likely = (picture[np.argsort(-heat.ravel()[picture])] for heat in (class_map, of_blind))
        anywhere = random.permutation(picture)
        batch = np.concatenate([without_cells(image, order, class_map.shape) for order in (hottest, anywhere, likely)])
        scores = probabilities(run(batch)[0], spec)[:, called]
        curves.append(scores.reshape(3, len(SHARES)))
    return DeletionCurve(SHARES, *np.mean(curves, axis=0))


def to_cells(pixels: NDArray[np.float32], at: Placement, cells: tuple[int, ...]) -> NDArray[np.float32]:
    """What a map over the picture, float32 [H, W], is in each cell [h, w] of the model input; 0 in the padding."""
    padded = np.zeros((at.input_height_px, at.input_width_px), np.float32)
    padded[at.pixels] = cv2.resize(pixels, (at.width_px, at.height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(padded, cells[::-1], interpolation=cv2.INTER_AREA), np.float32)


def without_cells(image: NDArray[np.uint8], order: NDArray[np.intp], cells: tuple[int, ...]) -> NDArray[np.uint8]:
    """One picture per share, uint8 [len(SHARES), H, W]: of a grid [h, w], the first cells of ``order`` blurred away, a
    share of those that it names.
    """
    height, width = image.shape
    away = cv2.GaussianBlur(image, (0, 0), max(height, width) / 12)
    pictures = []
    for share in SHARES:
        chosen = np.zeros(cells[0] * cells[1], np.uint8)
        chosen[order[: round(share * len(order))]] = 1
        mask = cv2.resize(chosen.reshape(cells[0], cells[1]), (width, height), interpolation=cv2.INTER_NEAREST)
        pictures.append(np.where(mask > 0, away, image))
    return np.asarray(pictures, np.uint8)
