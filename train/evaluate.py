"""A finished model on a data set: numbers with n and interval, the heat map against the masks, subgroups, markers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Judgement, lesion_and_malignant_share, lesion_class, scaled_rise
from rcdnet.preprocess import Grey, to_pixels
from rcdnet.spec import ModelSpec
from train import metrics
from train.datasets import DataError, Sample, Task
from train.duplicates import bootstrap_groups

Judge = Callable[[Sequence[Grey]], list[Judgement]]
"""A network with its spec, as a function: a Judgement of each picture (``predict.predict``)."""

HEAT_MAP_KEYS = ("pointing_game", "energy_ratio", "pointing_game_blind", "energy_ratio_blind")

PRIOR_PX = 64
"""Side of the picture on which ``location_prior`` counts lesions; a lesion is about 15 of its pixels wide."""


def select(samples: Sequence[Sample], task: Task) -> list[Sample]:
    """The samples of a task: binary, benign against malignant, is about lesions only."""
    return [sample for sample in samples if task == "three-class" or sample.label != "normal"]


def evaluate(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    spec: ModelSpec,
    task: Task,
    *,
    operating_point: str = "balanced",
) -> dict[str, Any]:
    """The numbers of one data set, keyed as in the JSON of ``train evaluate``.

    The score of binary is the malignant share, that of three-class the probability of a lesion, 1 - p(normal). At the
    threshold of the operating point are ``sensitivity`` and ``specificity`` and, in binary, accuracy, precision,
    recall, F1 and confusion matrix; in three-class these five are of the likeliest class. ``classes`` are the rows
    (truth) and columns (answer) of the matrix. The page calls nothing near the threshold (``stream.decision``); here
    every picture gets an answer.

    Raises DataError if there is no picture, if all are on one side of the question, or if the model lacks a class.
    """
    if not samples:
        raise DataError(f"there is no picture for the task {task}")
    probabilities = np.stack([judgement.probabilities for judgement in judgements])
    labels = [sample.label for sample in samples]
    needed = {"benign", "malignant"} if task == "binary" else {"normal", *labels}
    if missing := needed - set(spec.class_names):
        raise DataError(f"{task} needs a model that knows {', '.join(sorted(missing))}; it has {spec.class_names}")
    positive = np.array([label == "malignant" if task == "binary" else label != "normal" for label in labels])
    if not metrics.has_both(positive):
        sides = "benign and malignant" if task == "binary" else "normal pictures and lesions"
        raise DataError(f"{task} needs {sides}; this data set has only: {', '.join(sorted(set(labels)))}")
    point = spec.operating_points[operating_point]
    patients = bootstrap_groups(samples)
    lesion, share = lesion_and_malignant_share(probabilities, spec)
    if task == "binary":
        numbers = binary_metrics(share, positive, patients, point.malignant)
        numbers["classes"] = ["benign", "malignant"]
    else:
        numbers = binary_metrics(lesion, positive, patients, point.lesion)
        truth = np.array([spec.index(label) for label in labels])
        numbers |= metrics.classification(truth, probabilities.argmax(axis=1), len(spec.class_names))
        numbers["classes"] = list(spec.class_names)
    return {**numbers, "operating_point": operating_point, **heat_map_quality(samples, judgements, spec)}


def evaluate_subgroups(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    spec: ModelSpec,
    task: Task,
    subgroups: Mapping[str, Sequence[int]],
    operating_point: str,
) -> dict[str, dict[str, Any]]:
    """``evaluate`` of each subgroup of ``subgroup_indices``. One that is all on one side of the question has no AUC: it
    gets ``n``, and None for ``auc``."""
    numbers: dict[str, dict[str, Any]] = {}
    for value, indices in subgroups.items():
        part = [samples[i] for i in indices], [judgements[i] for i in indices]
        try:
            numbers[value] = evaluate(*part, spec, task, operating_point=operating_point)
        except DataError:
            numbers[value] = {"n": len(indices), "auc": None}
    return numbers


def binary_metrics(
    score: NDArray[np.floating], positive: NDArray[np.bool_], patients: Sequence[str], threshold: float = 0.5
) -> dict[str, Any]:
    """AUC with its interval, calibration and, at ``threshold``, classification of one binary question.

    ``score`` [N] is the probability of yes, 0..1. ``positive`` [N] must hold both True and False. ``patients`` [N] are
    the ``duplicates.bootstrap_groups``.
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


def subgroup_indices(samples: Sequence[Sample], attribute: str) -> dict[str, list[int]]:
    """For each value of an attribute the indices of the samples that have it.

    ``size`` is the lesion's share of the picture, in terciles of the lesions that have a mask; normal pictures, if
    there are any, are put into all three. Raises DataError if no sample has the attribute.
    """
    if attribute == "size":
        areas = np.array([sample.lesion().mean() for sample in samples])
        if not areas.any():
            raise DataError("no lesion has a mask, so none has a known size")
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
        raise DataError(f"no picture has the attribute {attribute}. Expected one of {known}.")
    values = [sample.attributes.get(attribute, "unknown") for sample in samples]
    return {value: [i for i, v in enumerate(values) if v == value] for value in sorted(set(values))}


def effect_of_markers(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    judge: Judge,
    inpaint: Callable[[Grey], Grey],
    spec: ModelSpec,
) -> dict[str, float | int]:
    """How much does the malignant share change when the burnt-in markers are painted over?

    ``inpaint`` returns the very picture that it was given if it finds no marker (``markers.inpaint_markers``).
    ``median_dp`` is the median of the absolute change, ``flips`` the share of the answers that cross 0.5.
    """
    greys = [sample.grey() for sample in samples]
    inpainted = {i: clean for i, grey in enumerate(greys) if (clean := inpaint(grey)) is not grey}
    if not inpainted:
        return {"n_marked": 0}
    before = malignant_share([judgements[i] for i in inpainted], spec)
    after = malignant_share(judge(list(inpainted.values())), spec)
    return {
        "n_marked": len(inpainted),
        "median_dp": float(np.median(np.abs(after - before))),
        "flips": float(((before >= 0.5) != (after >= 0.5)).mean()),
    }


def malignant_share(judgements: Sequence[Judgement], spec: ModelSpec) -> NDArray[np.float32]:
    """p(malignant) / (p(benign) + p(malignant)) of each judgement, calibrated, float32 [N]."""
    return lesion_and_malignant_share(np.stack([judgement.probabilities for judgement in judgements]), spec)[1]
