"""How good are the answers? Pure functions of labels and scores, scikit-learn underneath."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import rankdata
from sklearn import metrics

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

BOOTSTRAPS = 2000
CHANCES = 1000
"""Rounds of ``bootstrap`` and of ``by_chance``."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def signed(self) -> str:
        """As a difference is told."""
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


class Chance(NamedTuple):
    """What chance alone gives: on average, and at most in 95 of 100 cases."""

    mean: float
    most: float


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative (Hanley and McNeil 1982).

    From the rank sum, which is what makes thousands of bootstrap rounds quick. There must be some of each.
    """
    above, below = int(positive.sum()), int((~positive).sum())
    return float((rankdata(score)[positive].sum() - above * (above + 1) / 2) / (above * below))


def auc_each_once(positive: NDArray[np.bool_], score: Floats, groups: Sequence[str]) -> float:
    """As ``auc``, but each group (a patient, or a picture with its near copies) weighs the same, however many pictures
    it has: a picture that lies in the data three times else counts three times.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return float(metrics.roc_auc_score(positive, score, sample_weight=1 / sizes[group]))


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    positive: NDArray[np.bool_],
    groups: Sequence[str],
) -> Interval:
    """Percentile bootstrap (Efron 1979) of ``statistic(index)`` over BOOTSTRAPS rounds, stratified by class; the same
    each time.

    Whole ``groups`` (patients, near copies) are drawn, so that pictures of one patient count as one draw.
    """
    random = np.random.default_rng(0)
    strata = []
    for value in (True, False):
        index = np.flatnonzero(positive == value)
        names = np.array(groups)[index]
        order = np.argsort(names, kind="stable")
        starts = np.flatnonzero(np.r_[True, names[order][1:] != names[order][:-1]])
        strata.append(np.split(index[order], starts[1:]))
    values = []
    for _ in range(BOOTSTRAPS):
        drawn = [stratum[i] for stratum in strata for i in random.integers(0, len(stratum), len(stratum))]
        values.append(statistic(np.concatenate(drawn)))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(statistic(np.arange(len(positive))), float(low), float(high))


def auc_interval(positive: NDArray[np.bool_], score: Floats, groups: Sequence[str]) -> Interval:
    """``auc`` with its bootstrap interval; ``groups`` [N] are drawn whole."""
    return bootstrap(lambda index: auc(positive[index], score[index]), positive, groups)


def auc_difference(positive: NDArray[np.bool_], one: Floats, other: Floats, groups: Sequence[str]) -> Interval:
    """AUC of ``one`` less that of ``other``, paired: both of the same pictures, in every round."""
    return bootstrap(
        lambda index: auc(positive[index], one[index]) - auc(positive[index], other[index]), positive, groups
    )


def expected_calibration_error(probability: Floats, positive: NDArray[np.bool_], bins: int = 15) -> float:
    """ECE of a binary answer (Guo et al. 2017, equation 3): |confidence - accuracy| over equal-width bins, 0..1.

    The confidence is that of the answer given, max(p, 1 - p), from 0.5 to 1. So p too low on both sides of 0.5 is not
    seen: too sure below cancels too unsure above. The mean probability beside the share of positives shows that.
    """
    confidence = _confidence(probability)
    right = (probability >= 0.5) == positive
    which = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(which, confidence - right)).sum() / len(which))


def by_chance(error: Callable[[Floats, NDArray[np.bool_]], float], probability: Floats) -> Chance:
    """``error(probability, positive)`` of a network that is perfectly calibrated and says these probabilities.

    It isn't 0: few pictures a bin are never right in just the share that was said. The truth is drawn from the
    probabilities (consistency resampling, Bröcker and Smith 2007, doi:10.1175/WAF993.1).
    """
    random = np.random.default_rng(0)
    confidence, answer = _confidence(probability), probability >= 0.5
    errors = [error(probability, (random.random(len(answer)) < confidence) == answer) for _ in range(CHANCES)]
    return Chance(float(np.mean(errors)), float(np.quantile(errors, 0.95)))


def log_odds(p: Floats) -> Floats:
    """Of probabilities 0..1, kept finite at both ends."""
    return np.asarray(logit(np.clip(p, 1e-6, 1 - 1e-6)))


def selective_risk(share: Floats, malignant: NDArray[np.bool_], at: float) -> tuple[Floats, Floats]:
    """From the surest call to all of them: how sure the last is [N], and how many of them are wrong, 0..1 [N].

    Selective prediction (Geifman and El-Yaniv 2017, arXiv:1705.08500); certainty is the distance of ``share`` [N] from
    ``at`` in log-odds.
    """
    distance = np.abs(log_odds(share) - log_odds(np.array(at)))
    order = np.argsort(-distance, kind="stable")
    wrong = ((share >= at) != malignant)[order]
    return distance[order], np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def _confidence(probability: Floats) -> Floats:
    return np.maximum(probability, 1 - probability)


def brier(probability: Floats, positive: NDArray[np.bool_]) -> float:
    """Mean squared difference between probability and truth (Brier 1950), 0 best, 0.25 for always saying 0.5."""
    return float(np.square(probability - positive).mean())


def classification(truth: Labels, answer: Labels, classes: int) -> dict[str, Any]:
    """Accuracy; precision, recall and F1 as the mean (macro) over the classes that are in truth or answer; confusion
    matrix [truth, answer] over all of them."""
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, answer, average="macro", zero_division=0)
    return {
        "accuracy": float(metrics.accuracy_score(truth, answer)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "confusion_matrix": metrics.confusion_matrix(truth, answer, labels=range(classes)).tolist(),
    }


def pointing_hit(class_map: Floats, lesion: NDArray[np.bool_]) -> bool:
    """The pointing game (Zhang et al. 2018, arXiv:1608.00507), without its 15-pixel tolerance.

    Both [H, W] in pixels of the picture: does the map's highest point lie in the lesion?
    """
    return bool(lesion.flat[int(class_map.argmax())])


def energy_ratio(attention: Floats, lesion: NDArray[np.bool_]) -> float:
    """Share of the attention (0 or more) inside the lesion over the lesion's share of the picture.

    The energy-based pointing game (Wang et al. 2020, arXiv:1910.01279) over what uniform attention gets, which has 1.
    The most is 1 / area: more is within reach for a small lesion. 0 where nothing is attended to.
    """
    total, area = float(attention.sum()), float(lesion.mean())
    return float(attention[lesion].sum()) / total / area if total > 0 and area > 0 else 0.0
