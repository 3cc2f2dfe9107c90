"""Fit calibration, operating points and indeterminate band to held-out predictions, for the spec of a network.

The external set must not be used for it: ``calibrated_spec`` refuses it.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_curve

from rcdnet.spec import ModelSpec, OperatingPoint, shifted
from train import metrics
from train.errors import DataError, LeakError
from train.predictions import Predictions

POINTS = ("sensitive", "balanced", "specific")
"""The operating points. Each of their two thresholds meets the target below, or maximises the Youden index if it has
none."""

LESION_SENSITIVITY = {"sensitive": 0.99, "balanced": 0.98}
"""Share of the lesions that a point flags. ``balanced`` has a target too: nobody looks at what is not flagged."""

MALIGNANT_SENSITIVITY = {"sensitive": 0.95}
"""Share of the malignant lesions above a point's threshold for malignant; some of these then lie in the band."""

MALIGNANT_SPECIFICITY = {"specific": 0.95}
"""Share of the benign lesions below it."""

LARGEST_RISK = 0.05
"""At most this share of the calls outside the indeterminate band is wrong, unless the band would have to be wider than
LARGEST_ABSTENTION allows."""

LARGEST_ABSTENTION = 0.15
"""At most this share of the lesions lies in the band: an assistant that often gives no answer is of little use."""

LEAST_PICTURES = 20
"""With fewer pictures of a class, one or two of them decide where a threshold lies."""

DECIMALS = 4
"""Numbers in the spec are rounded to this many decimals."""

CUBIC_SPREAD = 0.06
"""Standard deviation of the normal prior of the cubic term, whose mean is 0: the root mean square of the terms that fit
23 trainings. 100 answers are too few to determine the term, 2500 are enough."""

LEAST_TEMPERATURE, MOST_TEMPERATURE, MOST_CUBIC = 0.2, 5.0, 0.25
"""Bounds of the fit. Without them there is no best fit to a few answers that are all right or all wrong."""


def fit_calibration(answers: Predictions) -> tuple[float, float]:
    """The temperature and the cubic term of ``rcdnet.glance.calibrated`` under which the labels of the lesions (benign
    or malignant) are most likely; the cubic term has a prior (CUBIC_SPREAD). Without a lesion, 1 and 0, which change
    nothing.

    Only this question is fitted, because its probability is the one that is shown. Normal or lesion is the easier one,
    and would give sharper probabilities.
    """
    lesions = answers[~answers.is_label("normal")]
    if not len(lesions):
        return 1.0, 0.0
    z = np.subtract(*(lesions.logits[:, answers.class_names.index(name)] for name in ("malignant", "benign")))
    sign = np.where(lesions.is_label("malignant"), 1.0, -1.0)
    terms = np.stack([z, z**3]).astype(np.float64)
    precision = np.array([0, 1 / CUBIC_SPREAD**2 / len(z)])  # of the prior, as the loss is a mean over the answers

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean negative log-posterior of (1 / temperature, cubic), and its gradient."""
        margin = sign * (weights @ terms)
        value = np.logaddexp(0, -margin).mean() + (precision * weights**2).sum() / 2
        return float(value), precision * weights - (terms * sign * expit(-margin)).mean(axis=1)

    bounds = (1 / MOST_TEMPERATURE, 1 / LEAST_TEMPERATURE), (0, MOST_CUBIC)
    found = minimize(loss, (1.0, 0.0), jac=True, bounds=bounds)
    return 1 / float(found.x[0]), float(found.x[1])


def threshold(
    positive: NDArray[np.bool_],
    score: NDArray[np.floating],
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
) -> float:
    """The highest threshold on ``score`` [N], 0..1, that has this sensitivity, or else the lowest that has this
    specificity. If neither is given, the one with the highest Youden index (sensitivity + specificity - 1).
    """
    false_positive, true_positive, thresholds = roc_curve(positive, score, drop_intermediate=False)
    if sensitivity is not None:
        index = int(np.argmax(true_positive >= sensitivity))
    elif specificity is not None:
        index = int(np.flatnonzero(false_positive <= 1 - specificity)[-1])
    else:
        index = int(np.argmax(true_positive - false_positive))
    return float(np.clip(thresholds[index], 0.0, 1.0))


def indeterminate_band(
    share: NDArray[np.floating], malignant: NDArray[np.bool_], threshold: float
) -> tuple[float, float]:
    """The narrowest band of malignant shares around ``threshold``, symmetric in log-odds, outside which at most
    LARGEST_RISK of the calls are wrong (``metrics.selective_risk``), with at most LARGEST_ABSTENTION of the lesions in
    it.
    """
    distance, risk = metrics.selective_risk(share, malignant, threshold)
    low_risk = np.flatnonzero(risk <= LARGEST_RISK)
    least = int((1 - LARGEST_ABSTENTION) * len(risk))
    covered = max(int(low_risk[-1]) + 1 if low_risk.size else 0, least)
    if covered >= len(risk):
        return threshold, threshold
    half_width = float(distance[covered])
    return shifted(threshold, -half_width), shifted(threshold, half_width)


def calibrated_spec(spec: ModelSpec, held_out: Predictions) -> ModelSpec:
    """``spec`` with calibration, operating points and band fitted to ``held_out``.

    Raises LeakError for predictions of an external data set; DataError if the classes are others, if the model has no
    class for normal, or if no picture of a class was held out.
    """
    _require_usable(spec, held_out)
    temperature, cubic = (round(value, DECIMALS) for value in fit_calibration(held_out))
    answers = held_out.calibrated(temperature, cubic)
    is_lesion = ~answers.is_label("normal")
    is_malignant = answers.is_label("malignant")[is_lesion]
    p_lesion, share = answers.lesion_probability(), answers.malignant_share()[is_lesion]
    points = {}
    for name in POINTS:
        sensitivity, specificity = MALIGNANT_SENSITIVITY.get(name), MALIGNANT_SPECIFICITY.get(name)
        lesion = threshold(is_lesion, p_lesion, sensitivity=LESION_SENSITIVITY.get(name))
        malignant = threshold(is_malignant, share, sensitivity=sensitivity, specificity=specificity)
        to = math.floor if specificity is None else math.ceil
        points[name] = OperatingPoint(lesion=rounded(lesion, math.floor), malignant=rounded(malignant, to))
    low, high = indeterminate_band(share, is_malignant, points["balanced"].malignant)
    return replace(
        spec,
        temperature=temperature,
        cubic=cubic,
        operating_points=points,
        indeterminate=(round(low, DECIMALS), round(high, DECIMALS)),
    )


def _require_usable(spec: ModelSpec, held_out: Predictions) -> None:
    """Raises as ``calibrated_spec``."""
    if held_out.external.any():
        external = sorted(set(held_out.datasets[held_out.external].tolist()))
        raise LeakError(f"{', '.join(external)} is external: nothing may be tuned on it")
    if "normal" not in spec.class_names:
        raise DataError(f"only a model that knows normal pictures can be calibrated, not one of {spec.class_names}")
    if held_out.class_names != spec.class_names:
        theirs, ours = ", ".join(held_out.class_names), ", ".join(spec.class_names)
        raise DataError(f"predictions of {theirs} cannot calibrate a model of {ours}")
    if missing := [name for name in spec.class_names if not held_out.is_label(name).any()]:
        raise DataError(f"no held-out picture is {' or '.join(missing)}: calibration needs pictures of each class")


def doubts(spec: ModelSpec, held_out: Predictions) -> list[str]:
    """The reasons, if there are any, not to rely on a calibration of ``spec`` by ``held_out``, as sentences."""
    counts = {name: int(held_out.is_label(name).sum()) for name in spec.class_names}
    few = [f"{count} {name}" for name, count in counts.items() if count < LEAST_PICTURES]
    extreme = [name for name, point in spec.operating_points.items() if {point.lesion, point.malignant} & {0.0, 1.0}]
    risk, abstention = risk_and_abstention(spec, held_out)
    found = []
    if few:
        found.append(f"{', '.join(few)} pictures are too few to rely on")
    if spec.temperature in (LEAST_TEMPERATURE, MOST_TEMPERATURE):
        found.append(f"the temperature {spec.temperature} is at its bound")
    if extreme:
        found.append(f"a threshold of {', '.join(extreme)} is 0 or 1: it is met always or never")
    if risk > LARGEST_RISK and round(abstention, 2) >= LARGEST_ABSTENTION:
        found.append(
            f"outside the indeterminate band {risk:.1%} of the calls are wrong, not {LARGEST_RISK:.0%}: "
            f"it holds {abstention:.0%} of the lesions already"
        )
    return found


def risk_and_abstention(spec: ModelSpec, held_out: Predictions) -> tuple[float, float]:
    """Of the lesions outside the indeterminate band, the share that is called wrongly (benign or malignant), and of all
    lesions, the share inside the band; 0..1 each.
    """
    lesions = held_out[~held_out.is_label("normal")]
    share = lesions.calibrated(spec.temperature, spec.cubic).malignant_share()
    low, high = spec.indeterminate
    called = (share < low) | (share >= high)
    wrong = (share >= spec.operating_points["balanced"].malignant) != lesions.is_label("malignant")
    return float(wrong[called].mean()) if called.any() else 0.0, float(1 - called.mean())


def rounded(value: float, to: Callable[[float], int]) -> float:
    """Round to DECIMALS, down (math.floor) or up (math.ceil), so that a threshold still meets its target."""
    return float(to(value * 10**DECIMALS) / 10**DECIMALS)
