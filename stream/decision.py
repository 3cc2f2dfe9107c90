"""What is called at which probability? The operating point, with the margins in which nothing is called."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import lesion_and_malignant_share
from rcdnet.spec import ModelSpec, OperatingPoint, shifted
from stream.types import Assessment, State

STEADY_MARGIN = 0.05
"""In log-odds. In a stream "no lesion" is said anew only this far below its threshold: without it, it flickered where
the probability hovers there. Calls of lesions have no such margin: kept beyond their thresholds, more were wrong on the
phantom, and given later, the first came late."""


@dataclass(frozen=True)
class Rule:
    """Two pairs of thresholds, 0..1. Between the two of a pair nothing is called.

    ``no_lesion_below`` and ``lesion_from`` are for the probability of a lesion, 1 - p(normal); ``benign_below`` and
    ``malignant_from`` for that of malignancy given a lesion, p(malignant) / (p(benign) + p(malignant)). After anything
    else was said in a stream, ``no_lesion_again_below`` takes the place of ``no_lesion_below``.
    """

    no_lesion_below: float
    no_lesion_again_below: float
    lesion_from: float
    benign_below: float
    malignant_from: float

    @classmethod
    def of(cls, spec: ModelSpec, point: OperatingPoint, lesion_margin: float) -> Self:
        """``lesion_margin`` is in log-odds: thresholds may lie near 1. What is more likely a lesion than none is never
        called no lesion.
        """
        no_lesion_below = min(shifted(point.lesion, -lesion_margin), 0.5)
        again_below = shifted(no_lesion_below, -STEADY_MARGIN)
        return cls(no_lesion_below, again_below, shifted(point.lesion, lesion_margin), *spec.undecided(point))

    def decide(
        self, probabilities: NDArray[np.float32], spec: ModelSpec, *, doubted: bool = False
    ) -> tuple[State, str | None, str]:
        """State, finding and reason for probabilities [K]. ``doubted``: anything but "no lesion" was said of the frame
        before, in the same stream."""
        no_lesion_below = self.no_lesion_again_below if doubted else self.no_lesion_below
        lesion, share = (float(of_one[0]) for of_one in lesion_and_malignant_share(probabilities[None], spec))
        if lesion < no_lesion_below:
            return State.CLEAR_FINDING, "normal", f"probability of a lesion below {self.no_lesion_below:.0%}"
        if lesion < self.lesion_from:
            between = f"{no_lesion_below:.0%} and {self.lesion_from:.0%}"
            return State.INDETERMINATE, None, f"probability of a lesion between {between}"
        if self.benign_below <= share < self.malignant_from:
            return State.INDETERMINATE, None, "between benign and malignant"
        return State.CLEAR_FINDING, "malignant" if share >= self.malignant_from else "benign", ""


def percent(probability: float, decimals: int = 0) -> str:
    """A probability 0..1 in words. Never 0 or 100 %: no network is certain."""
    text, step = f"{probability:.{decimals}%}", 10.0**-decimals
    ends = {f"{0:.{decimals}%}": f"<{step:.{decimals}f}%", f"{1:.{decimals}%}": f">{100 - step:.{decimals}f}%"}
    return ends.get(text, text)


def describe_call(assessment: Assessment) -> str:
    """What is said about a frame, in words. None of them may reassure."""
    if assessment.finding is None:
        return assessment.state.value.replace("_", " ")
    return "no lesion flagged" if assessment.finding == "normal" else assessment.finding


def class_label(class_name: str) -> str:
    """The name of a class as people read it: the network can see no lesion, but not health."""
    return "no lesion" if class_name == "normal" else class_name
