"""Does an engine compute what the PyTorch reference computed? Each is verified against the golden set when loaded.

One tolerance for every precision: whoever reads the picture does not care in which it was computed.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import ParityError, WeightsError
from rcdnet.glance import Floats, lesion_and_malignant_share, probabilities
from rcdnet.golden import Golden
from rcdnet.spec import ModelSpec

if TYPE_CHECKING:
    from engines.base import Engine  # whose EngineInfo carries a ParityReport

MOST_DP = 0.005
"""How much a calibrated probability may differ. Float16 stays within half of this, BF16 does not (ARCHITECTURE.md)."""

CLOSE_CALL = 0.01
"""A decision whose probability is this near to a threshold may fall either way."""

LEAST_CORRELATION = 0.99
"""Pearson's correlation of a picture's class maps."""


@dataclass(frozen=True)
class ParityReport:
    """How far an engine is from the golden set.

    ``max_abs_dp`` is the largest difference of a calibrated probability. ``flips`` counts pictures that fall on the
    other side of a threshold of the spec although the reference was more than CLOSE_CALL away from it.
    ``map_correlation`` is that of the worst picture, over all its class maps, each minus its own mean: it shows where a
    map is high and how strongly, while ``max_abs_dp`` shows how high it is overall.
    """

    pictures: int
    max_abs_dp: float
    flips: int
    map_correlation: float

    @property
    def holds(self) -> bool:
        """Whether the engine may be used."""
        return self.max_abs_dp <= MOST_DP and self.flips == 0 and self.map_correlation >= LEAST_CORRELATION

    def __str__(self) -> str:
        return (
            f"largest difference of a probability {self.max_abs_dp:.5f} (allowed {MOST_DP}), {self.flips} flips, "
            f"map correlation {self.map_correlation:.5f} (at least {LEAST_CORRELATION}) over {self.pictures} pictures"
        )


def measure(engine: "Engine", golden: Golden, batch: int = 1) -> ParityReport:
    """Run the golden set, ``batch`` pictures at a time.

    Raises WeightsError if it belongs to other weights, or to these with another calibration; EngineError as
    ``engine.run`` does.
    """
    require_same(engine.spec, golden.spec, engine.info.name)
    outputs = [engine.run(golden.images[start : start + batch]) for start in range(0, len(golden.images), batch)]
    logits = np.concatenate([output.logits for output in outputs])
    maps = np.concatenate([output.class_maps for output in outputs])
    return compare(logits, maps, golden)


def require_same(spec: ModelSpec, of_golden: ModelSpec, name: str) -> None:
    """Raise WeightsError that says how they differ: thresholds and calibration decide as much as the tensors do."""
    ours, theirs = asdict(spec), asdict(of_golden)
    differing = [f"{key} {theirs[key]!r} and not {ours[key]!r}" for key in ours if ours[key] != theirs[key]]
    if differing:
        raise WeightsError(
            f"the golden set does not belong to what {name} has loaded: {', '.join(differing)}. Make all files of the "
            "model again with: python -m rcdnet.export FOLDER/rcdnet.safetensors"
        )


def compare(logits: Floats, class_maps: Floats, golden: Golden) -> ParityReport:
    """``logits`` [N, K] and ``class_maps`` [N, K, h, w] of the golden pictures beside those in the set."""
    spec = golden.spec
    reference, found = (probabilities(z, spec) for z in (golden.logits, logits))
    return ParityReport(
        pictures=len(logits),
        max_abs_dp=float(np.abs(found - reference).max()),
        flips=count_flips(found, reference, spec),
        map_correlation=min(
            map_correlation(ours, theirs) for ours, theirs in zip(class_maps, golden.class_maps, strict=True)
        ),
    )


def count_flips(found: Floats, reference: Floats, spec: ModelSpec) -> int:
    """How many pictures lie on another side of a threshold in ``found`` than in ``reference``, probabilities float32
    [N, K]. Where the reference is within CLOSE_CALL of the threshold, either side is right.

    Thresholds are those of every operating point and both ends of the undecided band around each. The malignant share
    decides only where the reference flags a lesion.
    """
    (lesion, share), (true_lesion, true_share) = (lesion_and_malignant_share(p, spec) for p in (found, reference))
    points = spec.operating_points.values()
    flagged = true_lesion >= min(point.lesion for point in points)
    flipped = np.zeros(len(found), bool)
    for threshold in {point.lesion for point in points}:
        flipped |= _crossed(lesion, true_lesion, threshold)
    for threshold in {edge for point in points for edge in (point.malignant, *spec.undecided(point))}:
        flipped |= _crossed(share, true_share, threshold) & flagged
    return int(flipped.sum())


def _crossed(found: Floats, reference: Floats, threshold: float) -> NDArray[np.bool_]:
    crossed: NDArray[np.bool_] = ((found >= threshold) != (reference >= threshold)) & (
        np.abs(reference - threshold) > CLOSE_CALL
    )
    return crossed


def map_correlation(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Pearson's, over two sets of class maps [K, h, w], each map minus its own mean; -1..1, 0 if one set is flat."""
    a, b = (maps - maps.mean(axis=(1, 2), keepdims=True) for maps in (found, reference))
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def worst(engine: "Engine", golden: Golden, batches: Iterable[int]) -> ParityReport:
    """``measure`` at each of these batch sizes: a runtime may hold a network for each. The worse one counts."""
    reports = (measure(engine, golden, batch) for batch in sorted(set(batches)))
    return max(reports, key=lambda report: (not report.holds, report.max_abs_dp))


def require(engine: "Engine", golden: Golden, batches: Iterable[int] = (1,)) -> ParityReport:
    """``worst``, and raise ParityError with the numbers if they do not hold."""
    report = worst(engine, golden, batches)
    if not report.holds:
        raise ParityError(
            f"{engine.info.name} in {engine.info.precision} does not compute what the reference does: {report}"
        )
    return report
