"""A finished model on a data set: numbers with n and interval, the heat map against the masks, subgroups, markers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Judgement, lesion_and_malignant_share, lesion_class, scaled_rise
from rcdnet.preprocess import Grey, to_pixels
from rcdnet.spec import ModelSpec
from train import metrics
from train.datasets import DataError, Sample
from train.duplicates import bootstrap_groups

Task = Literal["binary", "three-class"]
Judge = Callable[[Sequence[Grey]], list[Judgement]]

HEAT_MAP_KEYS = ("pointing_game", "energy_ratio", "pointing_game_blind", "energy_ratio_blind")

USUAL_PX = 64
"""Side of the picture onto which all masks are laid; a lesion is some 15 of its pixels wide."""


def select(samples: Sequence[Sample], task: Task) -> list[Sample]:
    """The samples that a task is about: binary is benign against malignant, lesions only."""
    return [sample for sample in samples if task == "three-class" or sample.label != "normal"]


def evaluate(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    spec: ModelSpec,
    task: Task,
    *,
    operating_point: str = "balanced",
) -> dict[str, Any]:
    """The numbers of one data set, keys as in the JSON of ``train evaluate``.

    binary scores malignant over benign + malignant; three-class scores a lesion (one minus p(normal)). ``sensitivity``
    and ``specificity`` are at the operating point, as are all yes-or-no numbers of binary; accuracy, precision, recall,
    F1 and confusion matrix of three-class are of the likeliest class. ``classes`` are the matrix's rows (truth) and
    columns (answer). The page calls nothing near this threshold (``stream.decision``).

    Raises DataError if only one of the two sides is in the data, or if the model does not know a label, or there is no
    picture.
    """
    if not samples:
        raise DataError(f"there is no picture that {task} is about")
    probabilities = np.stack([judgement.probabilities for judgement in judgements])
    labels = [sample.label for sample in samples]
    needed = {"benign", "malignant"} if task == "binary" else {"normal", *labels}
    if missing := needed - set(spec.class_names):
        raise DataError(f"{task} needs a model that knows {', '.join(sorted(missing))}; it has {spec.class_names}")
    positive = np.array([label == "malignant" if task == "binary" else label != "normal" for label in labels])
    if positive.all() or not positive.any():
        sides = "benign and malignant" if task == "binary" else "normal pictures and lesions"
        raise DataError(f"{task} needs {sides}; this data set has only: {', '.join(sorted(set(labels)))}")
    point = spec.operating_points[operating_point]
    patients = bootstrap_groups(samples)
    if task == "binary":
        numbers = yes_or_no(malignant_share(judgements, spec), positive, patients, point.malignant)
        numbers["classes"] = ["benign", "malignant"]
    else:
        numbers = yes_or_no(1 - probabilities[:, spec.index("normal")], positive, patients, point.lesion)
        truth = np.array([spec.index(label) for label in labels])
        numbers |= metrics.classification(truth, probabilities.argmax(axis=1), len(spec.class_names))
        numbers["classes"] = list(spec.class_names)
    return {**numbers, "operating_point": operating_point, **heat_map_quality(samples, judgements, spec)}


def of_subgroups(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    spec: ModelSpec,
    task: Task,
    subgroups: Mapping[str, Sequence[int]],
    operating_point: str,
) -> dict[str, dict[str, Any]]:
    """``evaluate`` of each of ``by_subgroup``. Without both sides, ``n`` alone and None for ``auc``: there is none."""
    numbers: dict[str, dict[str, Any]] = {}
    for value, indices in subgroups.items():
        part = [samples[i] for i in indices], [judgements[i] for i in indices]
        try:
            numbers[value] = evaluate(*part, spec, task, operating_point=operating_point)
        except DataError:
            numbers[value] = {"n": len(indices), "auc": None}
    return numbers


def yes_or_no(
    score: NDArray[np.floating], positive: NDArray[np.bool_], patients: Sequence[str], threshold: float = 0.5
) -> dict[str, Any]:
    """The numbers of one question: ``score`` [N] 0..1; ``positive`` [N], of which there must be some of each;
    ``patients`` [N] as of ``duplicates.bootstrap_groups``.
    """
    interval = metrics.auc_interval(positive, score, patients)
    called = score >= threshold
    return {
        "n": len(positive),
        "n_positive": int(positive.sum()),
        "auc": interval.value,
        "auc_ci": [interval.low, interval.high],
        "auc_each_once": metrics.auc_each_once(positive, score, patients),
        "sensitivity": float(called[positive].mean()),
        "specificity": float((~called[~positive]).mean()),
        **metrics.classification(positive.astype(int), called.astype(int), 2),
        "ece": metrics.expected_calibration_error(score, positive),
        "ece_by_chance": metrics.by_chance(metrics.expected_calibration_error, score),
        "brier": metrics.brier(score, positive),
        "brier_by_chance": metrics.by_chance(metrics.brier, score),
        "mean_probability": float(score.mean()),
        "share_positive": float(positive.mean()),
        "threshold": threshold,
    }


def heat_map_quality(
    samples: Sequence[Sample], judgements: Sequence[Judgement], spec: ModelSpec
) -> dict[str, float | int | None]:
    """Pointing game and mean energy ratio of the called lesion class's map, over the pictures with a lesion mask.

    ``_blind``: of ``usual_place``, a map that never sees the picture. Lesions lie where the probe was put, so that it
    is far better than chance.
    """
    found: dict[str, list[float]] = {key: [] for key in HEAT_MAP_KEYS}
    masks = [sample.lesion() for sample in samples]
    for lesion, judgement, blind in zip(masks, judgements, usual_place(masks), strict=True):
        if not lesion.any():
            continue
        class_map, at = judgement.class_maps[lesion_class(judgement.logits, spec)], judgement.placement
        found["pointing_game"].append(metrics.pointing_hit(to_pixels(class_map, at), lesion))
        found["energy_ratio"].append(metrics.energy_ratio(to_pixels(scaled_rise(class_map, at), at), lesion))
        found["pointing_game_blind"].append(metrics.pointing_hit(blind, lesion))
        found["energy_ratio_blind"].append(metrics.energy_ratio(blind, lesion))
    count = len(found["pointing_game"])
    needed = {key: 2 if key.endswith("_blind") else 1 for key in found}  # a single lesion has no others
    return {"n_masks": count} | {key: float(np.mean(found[key])) if count >= needed[key] else None for key in found}


def usual_place(masks: Sequence[NDArray[np.bool_]]) -> Iterator[NDArray[np.float32]]:
    """For each picture, how often the others have a lesion where: 0..1, float32 [H, W] of its mask's size.

    Pictures of other sizes are stretched onto it; masks without a lesion, bool [H, W] too, do not count.
    """
    side = (USUAL_PX, USUAL_PX)
    small = [cv2.resize(mask.astype(np.float32), side, interpolation=cv2.INTER_AREA) for mask in masks]
    total, count = np.sum(small, axis=0), sum(bool(mask.any()) for mask in masks)
    for mask, own in zip(masks, small, strict=True):
        others = (total - own) / max(1, count - bool(mask.any()))
        yield np.asarray(cv2.resize(others, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def by_subgroup(samples: Sequence[Sample], attribute: str) -> dict[str, list[int]]:
    """Value of an attribute -> indices of its samples. ``size`` is the lesion's share of the picture, in terciles of
    those that have a mask; normal pictures, if there are any, stand beside each. Raises DataError if nobody tells it.
    """
    if attribute == "size":
        areas = np.array([sample.lesion().mean() for sample in samples])
        if not areas.any():
            raise DataError("no lesion has a mask, which would tell its size")
        low, high = np.quantile(areas[areas > 0], [1 / 3, 2 / 3])
        sizes = {
            "large": areas > high,
            "medium": (areas > low) & (areas <= high),
            "small": (areas > 0) & (areas <= low),
        }
        normal = np.array([sample.label == "normal" for sample in samples])
        return {size: np.flatnonzero(lesions | normal).tolist() for size, lesions in sizes.items() if lesions.any()}
    if not any(attribute in sample.attributes for sample in samples):
        known = ", ".join(["size", *sorted({name for sample in samples for name in sample.attributes})])
        raise DataError(f"no picture tells its {attribute}. Expected one of {known}.")
    values = [sample.attributes.get(attribute, "unknown") for sample in samples]
    return {value: [i for i, v in enumerate(values) if v == value] for value in sorted(set(values))}


def without_markers(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    judge: Judge,
    paint: Callable[[Grey], Grey],
    spec: ModelSpec,
) -> dict[str, float | int]:
    """Paint the burnt-in markers away and judge again: how much does the malignant share move?

    ``paint`` returns the picture it was given where it finds none (``markers.painted_away``). ``median_dp`` is of
    |difference|; ``flips`` is the share of answers that change side at 0.5.
    """
    greys = [sample.grey() for sample in samples]
    painted = {i: clean for i, grey in enumerate(greys) if (clean := paint(grey)) is not grey}
    if not painted:
        return {"n_marked": 0}
    before = malignant_share([judgements[i] for i in painted], spec)
    after = malignant_share(judge(list(painted.values())), spec)
    return {
        "n_marked": len(painted),
        "median_dp": float(np.median(np.abs(after - before))),
        "flips": float(((before >= 0.5) != (after >= 0.5)).mean()),
    }


def malignant_share(judgements: Sequence[Judgement], spec: ModelSpec) -> NDArray[np.float32]:
    """p(malignant) over p(benign) + p(malignant), float32 [N], calibrated."""
    return lesion_and_malignant_share(np.stack([judgement.probabilities for judgement in judgements]), spec)[1]
