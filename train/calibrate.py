"""From held-out predictions to what the spec says about certainty: calibration, operating points, indeterminate band.

Only predictions that a recipe held out may come here; the external set has no way in (``calibrated`` refuses it).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_curve

from rcdnet.spec import ModelSpec, OperatingPoint
from train import metrics
from train.datasets import DataError
from train.predictions import Predictions
from train.splits import LeakError

LESION_AIMS = {"sensitive": 0.99, "balanced": 0.98}
"""Share of lesions that must be flagged: what is not flagged is not looked at, so ``balanced`` leans this way too."""
MALIGNANT_AIMS = {"sensitive": 0.95}
"""Share of malignant lesions that must lie above its threshold; the band around it then takes some of them back."""
LEAST_SPECIFICITY = {"specific": 0.95}
"""Share of benign lesions that must lie below it."""
LARGEST_RISK = 0.05
"""Of the calls that are made outside the indeterminate band, if LARGEST_ABSTENTION gets as far."""
LARGEST_ABSTENTION = 0.15
"""Of the lesions that may fall into the band: a helper that mostly shrugs is none."""

LEAST_PICTURES = 20
"""Of each class, below which a threshold is one or two pictures' doing."""

DECIMALS = 4
"""Of what goes into the spec."""

CUBIC_SPREAD = 0.06
"""Standard deviation of the normal prior on the cubic term, around 0: the root mean square of what 23 trainings asked
for. 100 answers do not tell the term, 2500 do."""
LEAST_TEMPERATURE, MOST_TEMPERATURE, MOST_CUBIC = 0.2, 5.0, 0.25
"""Of a few answers that are all right or all wrong, any would do."""


def fitted(answers: Predictions) -> tuple[float, float]:
    """The temperature and the cubic term of ``rcdnet.glance.calibrated`` under which the answers to benign or
    malignant, on lesions, are likeliest: the probability that is shown. The cubic term is held back by CUBIC_SPREAD.
    Without a lesion nothing is calibrated: 1 and 0.

    Fitted to normal against lesion it would be sharper: that is the easier question.
    """
    lesions = answers[~answers.is_label("normal")]
    if not len(lesions):
        return 1.0, 0.0
    z = np.subtract(*(lesions.logits[:, answers.class_names.index(name)] for name in ("malignant", "benign")))
    side = np.where(lesions.is_label("malignant"), 1.0, -1.0)
    terms = np.stack([z, z**3]).astype(np.float64)
    hold = np.array([0, 1 / CUBIC_SPREAD**2 / len(z)])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = side * (weights @ terms)
        likely = np.logaddexp(0, -margin).mean() + (hold * weights**2).sum() / 2
        return float(likely), hold * weights - (terms * side * expit(-margin)).mean(axis=1)

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
    """The highest threshold on ``score`` 0..1 with this sensitivity, or the lowest with this specificity, or, where
    neither is asked for, the one with the best Youden index (sensitivity + specificity - 1).
    """
    false_positive, true_positive, thresholds = roc_curve(positive, score, drop_intermediate=False)
    if sensitivity is not None:
        index = int(np.argmax(true_positive >= sensitivity))
    elif specificity is not None:
        index = int(np.flatnonzero(false_positive <= 1 - specificity)[-1])
    else:
        index = int(np.argmax(true_positive - false_positive))
    return float(np.clip(thresholds[index], 0.0, 1.0))


def indeterminate_band(share: NDArray[np.floating], malignant: NDArray[np.bool_], at: float) -> tuple[float, float]:
    """The narrowest band of malignant shares around ``at`` outside which at most LARGEST_RISK of the calls are wrong.

    By ``metrics.selective_risk``; no wider than LARGEST_ABSTENTION of the lesions.
    """
    distance, risk = metrics.selective_risk(share, malignant, at)
    kept = np.flatnonzero(risk <= LARGEST_RISK)
    least = int((1 - LARGEST_ABSTENTION) * len(risk))
    covered = max(int(kept[-1]) + 1 if kept.size else 0, least)
    if covered >= len(risk):
        return at, at
    half = float(distance[covered])
    middle = float(metrics.log_odds(np.array(at)))
    return float(expit(middle - half)), float(expit(middle + half))


def calibrated(spec: ModelSpec, held_out: Predictions) -> ModelSpec:
    """``spec`` with calibration, operating points and band from ``held_out``.

    Raises DataError for other classes, for a model that knows no normal, or for none of a kind; LeakError for answers
    to an external data set.
    """
    if "normal" not in spec.class_names:
        raise DataError(f"only a model that knows normal pictures can be calibrated, not one of {spec.class_names}")
    if held_out.class_names != spec.class_names:
        theirs, ours = ", ".join(held_out.class_names), ", ".join(spec.class_names)
        raise DataError(f"predictions of {theirs} cannot calibrate a model of {ours}")
    if missing := [name for name in spec.class_names if not held_out.is_label(name).any()]:
        raise DataError(
            f"nothing was held out that is {' or '.join(missing)}: calibration needs pictures of each class"
        )
    if held_out.external.any():
        external = sorted(set(held_out.datasets[held_out.external].tolist()))
        raise LeakError(f"{', '.join(external)} is external: nothing may be tuned on it")
    temperature, cubic = (round(value, DECIMALS) for value in fitted(held_out))
    said = held_out.calibrated(temperature, cubic)
    lesion = ~held_out.is_label("normal")
    is_malignant = held_out.is_label("malignant")[lesion]
    share = said.malignant_share()[lesion]
    flagged = said.lesion_probability()
    points = {
        name: OperatingPoint(
            lesion=rounded(threshold(lesion, flagged, sensitivity=LESION_AIMS.get(name)), math.floor),
            malignant=rounded(
                threshold(
                    is_malignant,
                    share,
                    sensitivity=MALIGNANT_AIMS.get(name),
                    specificity=LEAST_SPECIFICITY.get(name),
                ),
                math.ceil if name in LEAST_SPECIFICITY else math.floor,
            ),
        )
        for name in ("sensitive", "balanced", "specific")
    }
    low, high = indeterminate_band(share, is_malignant, points["balanced"].malignant)
    return replace(
        spec,
        temperature=temperature,
        cubic=cubic,
        operating_points=points,
        indeterminate=(round(low, DECIMALS), round(high, DECIMALS)),
    )


def doubts(spec: ModelSpec, held_out: Predictions) -> list[str]:
    """Why a calibration is not to be relied on, in words."""
    counts = {name: int(held_out.is_label(name).sum()) for name in spec.class_names}
    few = [f"{count} {name}" for name, count in counts.items() if count < LEAST_PICTURES]
    bounds = (LEAST_TEMPERATURE, MOST_TEMPERATURE)
    extreme = [name for name, point in spec.operating_points.items() if {point.lesion, point.malignant} & {0.0, 1.0}]
    risk, held_back = of_the_band(spec, held_out)
    narrow = risk > LARGEST_RISK and round(held_back, 2) >= LARGEST_ABSTENTION
    found = {
        f"of only {', '.join(few)} pictures nothing can be told": bool(few),
        f"the temperature {spec.temperature} is at its bound": spec.temperature in bounds,
        f"a threshold of {', '.join(extreme)} is 0 or 1: it calls always or never": bool(extreme),
        f"outside the indeterminate band {risk:.1%} of the calls are wrong, not {LARGEST_RISK:.0%}: "
        f"it holds {held_back:.0%} of the lesions already": narrow,
    }
    return [doubt for doubt, holds in found.items() if holds]


def of_the_band(spec: ModelSpec, held_out: Predictions) -> tuple[float, float]:
    """Share of wrong calls, benign or malignant, of the lesions that the band leaves to be called; and the share of all
    lesions that it does not leave, 0..1 each.
    """
    lesions = held_out[~held_out.is_label("normal")]
    share = lesions.calibrated(spec.temperature, spec.cubic).malignant_share()
    low, high = spec.indeterminate
    called = (share < low) | (share >= high)
    wrong = (share >= spec.operating_points["balanced"].malignant) != lesions.is_label("malignant")
    return float(wrong[called].mean()) if called.any() else 0.0, float(1 - called.mean())


def rounded(value: float, to: Callable[[float], int]) -> float:
    """To DECIMALS, up or down: so that a threshold still keeps what was asked of it."""
    return float(to(value * 10**DECIMALS) / 10**DECIMALS)
