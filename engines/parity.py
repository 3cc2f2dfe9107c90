"""Does an engine compute what the PyTorch reference computed? Held against the golden set each time one is loaded."""

from dataclasses import dataclass

import numpy as np

from engines.base import Engine
from engines.errors import ParityError, WeightsError
from rcdnet.glance import softmax
from rcdnet.golden import Golden

TOLERANCES = {"f32": 0.002, "bf16": 0.1, "f16": 0.02}
"""Largest difference of a probability, by precision: a few units in the last place carried through fifty layers."""

LEAST_CORRELATION = {"f32": 0.9999, "bf16": 0.995, "f16": 0.999}
"""Pearson, of all class maps of a picture, by precision."""


@dataclass(frozen=True)
class ParityReport:
    """How far an engine is from the golden set.

    ``largest_dp`` is the largest difference of a probability; ``flips`` counts pictures whose decision changed although
    the reference was surer of it than twice the tolerance (closer calls may fall either way within it);
    ``least_correlation`` is the worst picture's, of the class maps.
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
    reference, found = softmax(golden.logits), softmax(logits)
    ordered = np.sort(reference, axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > 2 * TOLERANCES[precision]
    return ParityReport(
        pictures=len(logits),
        precision=precision,
        finite=True,
        largest_dp=float(np.abs(found - reference).max()),
        flips=int((sure & (found.argmax(1) != reference.argmax(1))).sum()),
        least_correlation=min(
            float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(maps, golden.class_maps, strict=True)
        ),
    )


def require(engine: Engine, golden: Golden) -> ParityReport:
    """``measure``, and raise ParityError with the numbers if they do not hold."""
    report = measure(engine, golden)
    if not report.holds:
        raise ParityError(f"{engine.info.name} does not compute what the reference does: {report}")
    return report
