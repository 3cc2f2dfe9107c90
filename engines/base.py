"""What every runtime is here, and the two values that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.parity import ParityReport
from rcdnet.spec import ModelSpec


@dataclass(frozen=True)
class EngineOutput:
    """``logits`` float32 [N, K] and ``class_maps`` float32 [N, K, h, w]; the logits are the maps' mean over space."""

    logits: NDArray[np.float32]
    class_maps: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.class_maps.ndim != 4 or self.logits.shape != self.class_maps.shape[:2]:
            raise ValueError(
                f"logits {self.logits.shape} and class maps {self.class_maps.shape} do not belong together"
            )
        if not (np.isfinite(self.logits).all() and np.isfinite(self.class_maps).all()):
            raise EngineError("it gave numbers that are not finite")
        self.logits.setflags(write=False)
        self.class_maps.setflags(write=False)

    @staticmethod
    def joined(outputs: Sequence["EngineOutput"]) -> "EngineOutput":
        """The outputs of one or more batches as one, in their order; of a single batch, the same object."""
        if len(outputs) == 1:
            return outputs[0]
        return EngineOutput(
            np.concatenate([output.logits for output in outputs]),
            np.concatenate([output.class_maps for output in outputs]),
        )


@dataclass(frozen=True)
class EngineInfo:
    """``precision`` as read back from the built engine, never as asked for; ``built_for`` names runtime and version.

    ``parity`` is what was measured when it was loaded, None for the fakes. ``replaced`` says which engines failed
    before it in this run, and why. ``batch`` is how many pictures a call should get in replay, where nobody waits for
    a single one.
    """

    name: str
    precision: str
    device: str
    built_for: str
    weights_sha256: str
    parity: ParityReport | None = None
    replaced: tuple[str, ...] = ()
    batch: int = 1


def require_images(images: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Raise EngineError unless ``images`` is what ``spec`` expects. Runtimes differ in what else they would accept."""
    if images.dtype != np.uint8 or images.shape[1:] != (spec.height_px, spec.width_px) or len(images) == 0:
        raise EngineError(
            f"expected prepared pictures, uint8 [N, {spec.height_px}, {spec.width_px}] with N of at least 1, "
            f"not {images.dtype} {list(images.shape)}"
        )


class Engine:
    """A loaded network. Not thread-safe: one thread owns an engine. All may read ``info``: what runs, and where."""

    info: EngineInfo
    spec: ModelSpec
    """What its weights mean."""

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """uint8 [N, spec.height_px, spec.width_px] grey, prepared by ``rcdnet.preprocess``. Raises EngineError."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the device. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
