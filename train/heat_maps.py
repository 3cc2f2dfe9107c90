"""How well do heat maps match the lesion masks, and how well would a map match them that never sees the picture?"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Judgement, lesion_class, scaled_rise
from rcdnet.preprocess import to_pixels
from rcdnet.spec import ModelSpec
from train import metrics
from train.datasets import Sample

HEAT_MAP_KEYS = ("pointing_game", "energy_ratio", "pointing_game_blind", "energy_ratio_blind")

PRIOR_PX = 64
"""Side of the picture on which ``location_prior`` counts lesions; a lesion is about 15 of its pixels wide."""


def heat_map_quality(
    samples: Sequence[Sample], judgements: Sequence[Judgement], spec: ModelSpec
) -> dict[str, float | int | None]:
    """Pointing game and energy ratio, as means over the pictures with a lesion mask, of the map of the likeliest lesion
    class; and, ``_blind``, of ``location_prior``, a map that never sees the picture.

    The blind map is far better than chance, because whoever holds the probe puts the lesion in the middle. It needs two
    lesions. What cannot be computed is None.
    """
    found: dict[str, list[float]] = {key: [] for key in HEAT_MAP_KEYS}
    masks = [sample.lesion() for sample in samples]
    for lesion, judgement, blind in zip(masks, judgements, location_prior(masks), strict=True):
        if not lesion.any():
            continue
        class_map, at = judgement.class_maps[lesion_class(judgement.logits, spec)], judgement.placement
        found["pointing_game"].append(metrics.pointing_hit(to_pixels(class_map, at), lesion))
        found["energy_ratio"].append(metrics.energy_ratio(to_pixels(scaled_rise(class_map, at), at), lesion))
        found["pointing_game_blind"].append(metrics.pointing_hit(blind, lesion))
        found["energy_ratio_blind"].append(metrics.energy_ratio(blind, lesion))
    count = len(found["pointing_game"])
    needed = {key: 2 if key.endswith("_blind") else 1 for key in found}
    return {"n_masks": count} | {key: float(np.mean(found[key])) if count >= needed[key] else None for key in found}


def location_prior(masks: Sequence[NDArray[np.bool_]]) -> Iterator[NDArray[np.float32]]:
    """For each picture, how often the lesions of the other pictures cover each of its pixels: 0..1, float32 [H, W].

    ``masks`` are bool [H, W] of any sizes; each is stretched onto the picture. Those without a lesion do not count.
    """
    side = (PRIOR_PX, PRIOR_PX)
    small = [cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA) for mask in masks]
    total, count = np.sum(small, axis=0), sum(bool(mask.any()) for mask in masks)
    for mask, own in zip(masks, small, strict=True):
        others = (total - own) / max(1, count - bool(mask.any()))
        yield np.asarray(cv2.resize(others, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
