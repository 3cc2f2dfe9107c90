"""A finished model on a data set: numbers with n and interval, for all of it and by subgroup, the heat map beside the
masks, and what burnt-in markers change."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import Judgement, lesion_and_malignant_share
from rcdnet.model import Network
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.spec import ModelSpec
from train import metrics
from train.datasets import Sample, Task
from train.duplicates import bootstrap_groups
from train.errors import DataError
from train.faithfulness import faithfulness_of
from train.heat_maps import heat_map_quality
from train.markers import inpaint_markers
from train.predict import Judge, predict, runner
from train.subgroups import subgroup_indices


def select(samples: Sequence[Sample], task: Task) -> list[Sample]:
    """The samples of a task: binary, benign against malignant, is about lesions only."""
    return [sample for sample in samples if task == "three-class" or sample.label != "normal"]


def report(
    model: Network,
    samples: Sequence[Sample],
    task: Task,
    *,
    operating_point: str,
    by: str | None,
    in_paint: bool,
    faithfulness: bool,
) -> dict[str, Any]:
    """What ``train evaluate --json`` writes about ``samples``, which ``select`` has chosen.

    Puts ``model`` into evaluation mode. Raises DataError as ``positives`` and ``subgroup_indices``, before any picture
    is judged.
    """
    spec, judge = model.spec, partial(predict, model)
    positives(samples, spec, task)
    subgroups = subgroup_indices(samples, by) if by else {}
    judgements = judge([sample.grey() for sample in samples])
    numbers = evaluate(samples, judgements, spec, task, operating_point=operating_point)
    if by:
        numbers["by"] = {by: evaluate_subgroups(samples, judgements, spec, task, subgroups, operating_point)}
    if in_paint:
        numbers["in_paint"] = effect_of_markers(samples, judgements, judge, spec)
    if faithfulness:
        numbers["faithfulness"] = faithfulness_of(samples, spec, runner(model))
    return numbers | {
        "task": task,
        "data": samples[0].dataset,
        "weights_sha256": spec.weights_sha256,
        "calibration": spec.calibration,
        "trained_on": spec.trained_on,
        "notice": RESEARCH_NOTICE,
    }


def doubts(samples: Sequence[Sample], spec: ModelSpec) -> list[str]:
    """The reasons, if there are any, not to rely on a model's numbers on these pictures, as sentences."""
    found = []
    if samples and samples[0].dataset in spec.data_sets:
        found.append(f"these weights were trained on a set named {samples[0].dataset}: its numbers flatter")
    if unnamed := sum(sample.patient is None for sample in samples):
        no_patient = f"{unnamed} of {len(samples)} pictures name no patient"
        found.append(f"{no_patient}. If some share one, the interval is too narrow")
    return found


def positives(samples: Sequence[Sample], spec: ModelSpec, task: Task) -> NDArray[np.bool_]:
    """Which pictures a task should find, bool [N]: malignant ones (binary), or lesions (three-class).

    Raises DataError if there is no picture, if all are on one side of the question, or if the model lacks a class.
    """
    if not samples:
        raise DataError(f"there is no picture for the task {task}")
    labels = [sample.label for sample in samples]
    needed = {"benign", "malignant"} if task == "binary" else {"normal", *labels}
    if missing := needed - set(spec.class_names):
        raise DataError(f"{task} needs a model that knows {', '.join(sorted(missing))}; it has {spec.class_names}")
    positive = np.array([label == "malignant" if task == "binary" else label != "normal" for label in labels])
    if not metrics.has_both(positive):
        sides = "benign and malignant" if task == "binary" else "normal pictures and lesions"
        raise DataError(f"{task} needs {sides}; this data set has only: {', '.join(sorted(set(labels)))}")
    return positive


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

    Raises DataError as ``positives``.
    """
    positive = positives(samples, spec, task)
    probabilities = np.stack([judgement.probabilities for judgement in judgements])
    point = spec.operating_points[operating_point]
    patients = bootstrap_groups(samples)
    lesion, share = lesion_and_malignant_share(probabilities, spec)
    if task == "binary":
        numbers = metrics.binary_metrics(share, positive, patients, point.malignant)
        numbers["classes"] = ["benign", "malignant"]
    else:
        numbers = metrics.binary_metrics(lesion, positive, patients, point.lesion)
        truth = np.array([spec.index(sample.label) for sample in samples])
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


def effect_of_markers(
    samples: Sequence[Sample], judgements: Sequence[Judgement], judge: Judge, spec: ModelSpec
) -> dict[str, float | int]:
    """How much does the malignant share change when the burnt-in markers are painted over?

    Of the ``n_marked`` pictures that have some, ``median_dp`` is the median of the absolute change, ``flips`` the share
    of the answers that cross 0.5.
    """
    greys = [sample.grey() for sample in samples]
    inpainted = {i: clean for i, grey in enumerate(greys) if (clean := inpaint_markers(grey)) is not grey}
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
