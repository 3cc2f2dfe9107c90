"""Does the network need what its heat map marks? If the hottest cells are blurred, the score should fall faster than if
random cells are. This is the deletion curve of RISE (Petsiuk et al. 2018, arXiv:1806.07421), which blurs what it
deletes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import RunNetwork, holds_picture, lesion_class, probabilities
from rcdnet.preprocess import Placement, prepare
from rcdnet.spec import ModelSpec
from train.datasets import Sample
from train.heat_maps import location_prior

SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""The shares of a picture's cells that are blurred. A lesion covers about a tenth."""


@dataclass(frozen=True)
class DeletionCurve:
    """Mean probability of the likeliest lesion class [len(SHARES)] once each share of the cells is blurred: the hottest
    of the network's map, random ones, or the hottest of a ``blind`` map that never saw the picture.
    """

    hottest: NDArray[np.float32]
    random: NDArray[np.float32]
    blind: NDArray[np.float32]

    @property
    def advantage(self) -> float:
        """The mean difference between the random and the hottest cells' curve. Above 0 the map marks what the network
        needs; but a map that marks the middle of each picture, where lesions lie, has some of it too.
        """
        return float(np.trapezoid(self.random - self.hottest, SHARES) / SHARES[-1])

    @property
    def advantage_over_blind(self) -> float:
        """The same over the blind map: above 0 the map marks what the network needs in this very picture."""
        return float(np.trapezoid(self.blind - self.hottest, SHARES) / SHARES[-1])


def faithfulness_of(samples: Sequence[Sample], spec: ModelSpec, run: RunNetwork) -> dict[str, Any]:
    """The deletion curve over the pictures of lesions, of which there must be one, keyed as in the JSON of ``train
    evaluate``. With fewer than two masks there is no blind map, and its values are None.
    """
    lesions = [sample for sample in samples if sample.label != "normal"]
    masks = [sample.lesion() for sample in lesions]
    curve = deletion_curve([sample.grey() for sample in lesions], location_prior(masks), spec, run)
    known = sum(mask.any() for mask in masks) > 1
    return {
        "shares": SHARES,
        "hottest": curve.hottest.tolist(),
        "random": curve.random.tolist(),
        "blind": curve.blind.tolist() if known else None,
        "advantage": curve.advantage,
        "advantage_over_blind": curve.advantage_over_blind if known else None,
    }


def deletion_curve(
    greys: Sequence[NDArray[np.uint8]], blind: Iterable[NDArray[np.float32]], spec: ModelSpec, run: RunNetwork
) -> DeletionCurve:
    """The curve of the glance (the first look, at the whole picture), as the mean over pictures uint8 [H, W] of any
    sizes. ``blind`` gives for each a map of its size that never saw it, such as ``heat_maps.location_prior``.
    """
    rng = np.random.default_rng(0)
    curves = []
    for grey, blind_map in zip(greys, blind, strict=True):
        image, at = prepare(grey, spec)
        logits, maps = run(image[None])
        called = lesion_class(logits[0], spec)
        class_map = maps[0, called]
        cells = np.flatnonzero(holds_picture(at, *class_map.shape[::-1]))  # to blur the padding would change nothing
        heats = class_map.ravel(), to_cells(blind_map, at, class_map.shape).ravel()
        by_heat, by_blind = (cells[np.argsort(-heat[cells])] for heat in heats)
        orders = by_heat, rng.permutation(cells), by_blind
        batch = np.concatenate([with_cells_blurred(image, order, class_map.shape) for order in orders])
        scores = probabilities(run(batch)[0], spec)[:, called]
        curves.append(scores.reshape(len(orders), len(SHARES)))
    return DeletionCurve(*np.mean(curves, axis=0))


def to_cells(pixels: NDArray[np.float32], at: Placement, cells: tuple[int, ...]) -> NDArray[np.float32]:
    """A map over the picture, float32 [H, W], averaged over each cell of the model input, [h, w]; 0 in the padding."""
    padded = np.zeros((at.input_height_px, at.input_width_px), np.float32)
    padded[at.pixels] = cv2.resize(pixels, (at.width_px, at.height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(padded, cells[::-1], interpolation=cv2.INTER_AREA), np.float32)


def with_cells_blurred(image: NDArray[np.uint8], order: NDArray[np.intp], cells: tuple[int, ...]) -> NDArray[np.uint8]:
    """The model input with cells of its grid [h, w] blurred: a copy for each of SHARES, uint8 [len(SHARES), H, W].

    ``order`` holds flat indices of cells. In each copy, that share of them is blurred, the first ones first.
    """
    height, width = image.shape
    blurred = cv2.GaussianBlur(image, (0, 0), max(height, width) / 12)
    pictures = []
    for share in SHARES:
        chosen = np.zeros(cells[0] * cells[1], np.uint8)
        chosen[order[: round(share * len(order))]] = 1
        mask = cv2.resize(chosen.reshape(cells[0], cells[1]), (width, height), interpolation=cv2.INTER_NEAREST)
        pictures.append(np.where(mask > 0, blurred, image))
    return np.asarray(pictures, np.uint8)
