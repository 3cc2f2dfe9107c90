"""Does an engine compute what the PyTorch reference computed? Held against the golden set each time one is loaded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.base import Engine
from engines.errors import ParityError, WeightsError
from rcdnet.glance import softmax
from rcdnet.golden import Golden

TOLERANCES = {"f32": 0.002, "bf16": 0.1, "f16": 0.02}
"""Largest difference of a probability, by precision: a few units in the last place carried through fifty layers."""

LEAST_CORRELATION = {"f32": 0.9999, "bf16": 0.995, "f16": 0.999}
"""Pearson, of the shape of a picture's class maps, by precision."""


@dataclass(frozen=True)
class ParityReport:
    """How far an engine is from the golden set.

    ``largest_dp`` is the largest difference of a calibrated probability; ``flips`` counts pictures whose decision
    changed although the reference's first class led its second by more than that tolerance (closer calls may fall
    either way); ``least_correlation`` is the worst picture's, of all class maps together, each less its own mean, so
    that a map's place and strength count and its level, which ``largest_dp`` sees, does not.
    """

    pictures: int
    precision: str
    finite: bool
    largest_dp: float
    flips: int
    least_correlation: float

    @property
    def holds(self) -> bool:
        """Whether the engine may be used."""
        return (
            self.finite
            and self.largest_dp <= TOLERANCES[self.precision]
            and self.flips == 0
            and self.least_correlation >= LEAST_CORRELATION[self.precision]
        )

    def __str__(self) -> str:
        return (
            f"{self.precision}: largest difference of a probability {self.largest_dp:.5f} "
            f"(allowed {TOLERANCES[self.precision]}), {self.flips} flips, map correlation {self.least_correlation:.5f} "
            f"(at least {LEAST_CORRELATION[self.precision]}) over {self.pictures} pictures"
        )


def measure(engine: Engine, golden: Golden) -> ParityReport:
    """Run the golden set. Raises WeightsError if it belongs to other weights, EngineError as ``engine.run`` does."""
    if golden.weights_sha256 != engine.spec.weights_sha256:
        raise WeightsError(
            f"the golden set belongs to weights {golden.weights_sha256[:12]}, {engine.info.name} has "
            f"{engine.spec.weights_sha256[:12]}. Make both with: "
            "python -m rcdnet.export rcdnet/weights/rcdnet.safetensors"
        )
    outputs = [engine.run(image[None]) for image in golden.images]
    logits = np.concatenate([output.logits for output in outputs])
    maps = np.concatenate([output.class_maps for output in outputs])
    precision = engine.info.precision
    if not (np.isfinite(logits).all() and np.isfinite(maps).all()):
        return ParityReport(len(logits), precision, False, float("inf"), len(logits), 0.0)
    reference, found = (softmax(z, engine.spec.temperature) for z in (golden.logits, logits))
    ordered = np.sort(reference, axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > TOLERANCES[precision]
    return ParityReport(
        pictures=len(logits),
        precision=precision,
        finite=True,
        largest_dp=float(np.abs(found - reference).max()),
        flips=int((sure & (found.argmax(1) != reference.argmax(1))).sum()),
        least_correlation=min(
            map_correlation(found, reference) for found, reference in zip(maps, golden.class_maps, strict=True)
        ),
    )


def map_correlation(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Pearson over two sets of class maps [K, h, w], each map less its own mean; -1..1, 0 if one set is flat."""
    a, b = (maps - maps.mean(axis=(1, 2), keepdims=True) for maps in (found, reference))
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def require(engine: Engine, golden: Golden) -> ParityReport:
    """``measure``, and raise ParityError with the numbers if they do not hold."""
    report = measure(engine, golden)
    if not report.holds:
        raise ParityError(f"{engine.info.name} does not compute what the reference does: {report}")
    return report
