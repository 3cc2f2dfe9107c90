"""What is called at which probability? The operating point, with the margins in which nothing is called."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rcdnet.glance import lesion_and_malignant_share
from rcdnet.spec import ModelSpec, OperatingPoint, shifted
from stream.types import Assessment, State


@dataclass(frozen=True)
class Rule:
    """Two pairs of thresholds, 0..1. Between the two of a pair nothing is called.

    ``no_lesion_below`` and ``lesion_from`` are for the probability of a lesion, 1 - p(normal); ``benign_below`` and
    ``malignant_from`` for that of malignancy given a lesion, p(malignant) / (p(benign) + p(malignant)).
    """

    no_lesion_below: float
    lesion_from: float
    benign_below: float
    malignant_from: float

    @classmethod
    def of(cls, spec: ModelSpec, point: OperatingPoint, lesion_margin: float) -> Self:
        """``lesion_margin`` is in log-odds: thresholds may lie near 1. What is more likely a lesion than none is never
        called no lesion.
        """
        no_lesion_below = min(shifted(point.lesion, -lesion_margin), 0.5)
        return cls(no_lesion_below, shifted(point.lesion, lesion_margin), *spec.undecided(point))

    def decide(self, probabilities: NDArray[np.float32], spec: ModelSpec) -> tuple[State, str | None, str]:
        """State, finding and reason for probabilities [K]."""
        lesion, share = (float(of_one[0]) for of_one in lesion_and_malignant_share(probabilities[None], spec))
        if lesion < self.no_lesion_below:
            return State.CLEAR_FINDING, "normal", f"probability of a lesion below {self.no_lesion_below:.0%}"
        if lesion < self.lesion_from:
            between = f"{self.no_lesion_below:.0%} and {self.lesion_from:.0%}"
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
