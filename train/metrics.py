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

BOOTSTRAP_ROUNDS = 2000
CHANCE_ROUNDS = 1000
ECE_BINS = 15


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def signed(self) -> str:
        """The same with a sign on each number, as a difference is written."""
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


class Chance(NamedTuple):
    """What chance alone gives: the mean, and the value that is not exceeded in 95 of 100 cases."""

    mean: float
    most: float


def has_both(positive: NDArray[np.bool_]) -> bool:
    """Whether there are positives and negatives, which every metric of a binary question needs."""
    return bool(positive.any() and not positive.all())


def auc(positive: NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve: the probability that a positive scores above a negative (Hanley and McNeil 1982).

    ``positive`` and ``score`` are [N], with at least one positive and one negative. It is computed from the rank sum
    (Mann-Whitney U), which is much faster than scikit-learn's ROC curve in thousands of bootstrap rounds.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    rank_sum = rankdata(score)[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def auc_each_once(positive: NDArray[np.bool_], score: Floats, groups: Sequence[str]) -> float:
    """``auc`` in which each group (a patient, or a picture with its near copies) has the same weight, however many
    pictures it holds. In ``auc`` a picture that is in the data three times counts three times.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return float(metrics.roc_auc_score(positive, score, sample_weight=1 / sizes[group]))


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    positive: NDArray[np.bool_],
    groups: Sequence[str],
) -> Interval:
    """The value of ``statistic`` with its percentile bootstrap interval (Efron 1979), over BOOTSTRAP_ROUNDS.

    ``statistic`` takes the indices of the pictures that a round drew. A round draws whole ``groups`` [N] (patients, or
    near copies), because the pictures of a group are not independent; positives and negatives are drawn apart, so that
    there are always some of both. The seed is fixed, so the interval is the same each time.
    """
    rng = np.random.default_rng(0)
    strata = []
    for value in (True, False):
        index = np.flatnonzero(positive == value)
        _, group, sizes = np.unique(np.array(groups)[index], return_inverse=True, return_counts=True)
        strata.append(np.split(index[np.argsort(group, kind="stable")], np.cumsum(sizes)[:-1]))
    values = []
    for _ in range(BOOTSTRAP_ROUNDS):
        drawn = [stratum[i] for stratum in strata for i in rng.integers(0, len(stratum), len(stratum))]
        values.append(statistic(np.concatenate(drawn)))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(statistic(np.arange(len(positive))), float(low), float(high))


def auc_interval(positive: NDArray[np.bool_], score: Floats, groups: Sequence[str]) -> Interval:
    """``auc`` with its ``bootstrap`` interval."""
    return bootstrap(lambda index: auc(positive[index], score[index]), positive, groups)


def auc_difference(positive: NDArray[np.bool_], one: Floats, other: Floats, groups: Sequence[str]) -> Interval:
    """AUC of ``one`` minus that of ``other``, with its ``bootstrap`` interval. The two are paired: each round computes
    both on the same pictures."""
    return bootstrap(
        lambda index: auc(positive[index], one[index]) - auc(positive[index], other[index]), positive, groups
    )


def expected_calibration_error(probability: Floats, positive: NDArray[np.bool_]) -> float:
    """Expected calibration error of a binary answer, 0..1: the mean |confidence - accuracy| over ECE_BINS bins of equal
    width (Guo et al. 2017, arXiv:1706.04599, equation 3).

    The confidence is that of the answer that was given, max(p, 1 - p), from 0.5 to 1. So one error is not seen: if p is
    too low everywhere, too much confidence below 0.5 cancels too little above. To see it, compare the mean probability
    with the share of positives.
    """
    confidence = _confidence(probability)
    correct = (probability >= 0.5) == positive
    bin_of = np.minimum(((confidence - 0.5) * 2 * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(np.abs(np.bincount(bin_of, confidence - correct)).sum() / len(bin_of))


def by_chance(error: Callable[[Floats, NDArray[np.bool_]], float], probability: Floats) -> Chance:
    """The ``error(probability, positive)`` that a perfectly calibrated network with these probabilities would have.

    It is not 0, because in a bin of few pictures the share of right answers differs from the probability by chance.
    Labels are drawn from the probabilities, CHANCE_ROUNDS times (consistency resampling, Bröcker and Smith 2007,
    doi:10.1175/WAF993.1).
    """
    rng = np.random.default_rng(0)
    confidence, answer = _confidence(probability), probability >= 0.5
    errors = [error(probability, (rng.random(len(answer)) < confidence) == answer) for _ in range(CHANCE_ROUNDS)]
    return Chance(float(np.mean(errors)), float(np.quantile(errors, 0.95)))


def _confidence(probability: Floats) -> Floats:
    return np.maximum(probability, 1 - probability)


def log_odds(p: Floats) -> Floats:
    """The log-odds of probabilities; 0 and 1 count as 1e-6 and 1 - 1e-6, so that they are finite."""
    return np.asarray(logit(np.clip(p, 1e-6, 1 - 1e-6)))


def selective_risk(share: Floats, malignant: NDArray[np.bool_], threshold: float) -> tuple[Floats, Floats]:
    """The risk-coverage curve (Geifman and El-Yaniv 2017, arXiv:1705.08500): what if only the surest calls were made?

    ``share`` [N], the malignant share 0..1, is called malignant from ``threshold`` on. The farther its share is from
    the threshold in log-odds, the surer the call. Returns two arrays [N], of which entry i is about the i + 1 surest
    calls: the distance of the least sure of them, and the risk, the share of them that is wrong, 0..1.
    """
    distance = np.abs(log_odds(share) - log_odds(np.array(threshold)))
    order = np.argsort(-distance, kind="stable")
    wrong = ((share >= threshold) != malignant)[order]
    return distance[order], np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def brier(probability: Floats, positive: NDArray[np.bool_]) -> float:
    """Mean squared difference between probability and truth (Brier 1950): 0 is best, a constant 0.5 has 0.25."""
    return float(np.square(probability - positive).mean())


def classification(truth: Labels, answer: Labels, classes: int) -> dict[str, Any]:
    """Accuracy, macro precision, recall and F1, and the confusion matrix [truth, answer], of class indices [N].

    The macro means are over the classes that occur in ``truth`` or ``answer``; the matrix has all ``classes``.
    """
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, answer, average="macro", zero_division=0)
    return {
        "accuracy": float(metrics.accuracy_score(truth, answer)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "confusion_matrix": metrics.confusion_matrix(truth, answer, labels=range(classes)).tolist(),
    }


def binary_metrics(
    score: Floats, positive: NDArray[np.bool_], patients: Sequence[str], threshold: float = 0.5
) -> dict[str, Any]:
    """AUC with its interval, calibration and, at ``threshold``, classification of one binary question.

    ``score`` [N] is the probability of yes, 0..1. ``positive`` [N] must hold both True and False. ``patients`` [N] are
    the ``duplicates.bootstrap_groups``.
    """
    interval = auc_interval(positive, score, patients)
    called = score >= threshold
    return {
        "n": len(positive),
        "n_positive": int(positive.sum()),
        "auc": interval.value,
        "auc_ci": [interval.low, interval.high],
        "auc_each_once": auc_each_once(positive, score, patients),
        "sensitivity": float(called[positive].mean()),
        "specificity": float((~called[~positive]).mean()),
        **classification(positive.astype(int), called.astype(int), 2),
        "ece": expected_calibration_error(score, positive),
        "ece_by_chance": by_chance(expected_calibration_error, score),
        "brier": brier(score, positive),
        "brier_by_chance": by_chance(brier, score),
        "mean_probability": float(score.mean()),
        "share_positive": float(positive.mean()),
        "threshold": threshold,
    }


def pointing_hit(class_map: Floats, lesion: NDArray[np.bool_]) -> bool:
    """The pointing game (Zhang et al. 2018, arXiv:1608.00507), without its tolerance of 15 pixels: does the map's
    highest point lie in the lesion? Both are [H, W], in pixels of the picture.
    """
    return bool(lesion.flat[int(class_map.argmax())])


def energy_ratio(attention: Floats, lesion: NDArray[np.bool_]) -> float:
    """The share of the attention that lies in the lesion, divided by the lesion's share of the picture.

    That is the energy-based pointing game (Wang et al. 2020, arXiv:1910.01279) relative to uniform attention, which has
    1. The maximum is 1 / (the lesion's share of the picture), so it is higher for a small lesion. Both are [H, W],
    attention 0 or more; 0 if there is no attention or no lesion.
    """
    total, area = float(attention.sum()), float(lesion.mean())
    return float(attention[lesion].sum()) / total / area if total > 0 and area > 0 else 0.0
