"""ModelSpec: everything that a set of weights assumes, so that it can travel inside the weights file."""

from dataclasses import field
from math import exp, inf, log
from typing import Self

from pydantic import ConfigDict, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

SPEC_KEY = "rcdnet.spec"
"""The metadata key that holds the spec as JSON, in safetensors and in ONNX alike."""

_NO_OTHER_KEYS = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_NO_OTHER_KEYS)
class Preprocessing:
    """The paper's denoising and contrast enhancement, in the order in which they are applied.

    ``median_px`` is the side of a median filter (odd; 1 turns it off). ``clahe_clip`` is the clip limit of
    contrast-limited adaptive histogram equalisation (Zuiderveld 1994; 0 turns it off) on a grid of
    ``clahe_tiles`` x ``clahe_tiles``. ``pad_value`` (0..255) fills what the aspect-keeping resize leaves empty.
    """

    median_px: int = 3
    clahe_clip: float = 2.0
    clahe_tiles: int = 8
    pad_value: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.median_px < 1 or self.median_px % 2 == 0:
            raise ValueError(f"median_px must be odd and at least 1, not {self.median_px}")
        if self.clahe_clip < 0 or self.clahe_tiles < 1:
            raise ValueError("clahe_clip must be 0 or more and clahe_tiles at least 1")
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad_value must be 0..255, not {self.pad_value}")
        return self


@dataclass(frozen=True, config=_NO_OTHER_KEYS)
class OperatingPoint:
    """A named pair of thresholds, both on calibrated probabilities in 0..1.

    A frame is flagged as showing a lesion when ``1 - p(normal) >= lesion``; a flagged lesion is called malignant
    when its malignant share ``p(malignant) / (p(benign) + p(malignant)) >= malignant``.
    """

    lesion: float
    malignant: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (0 <= self.lesion <= 1 and 0 <= self.malignant <= 1):
            raise ValueError("thresholds are probabilities in 0..1")
        return self


@dataclass(frozen=True, config=_NO_OTHER_KEYS)
class ModelSpec:
    """What the weights mean.

    ``mean`` and ``std`` are of grey values scaled to 0..1. ``temperature`` and ``cubic`` calibrate the network's
    answer (``rcdnet.glance.calibrated``). ``indeterminate`` is the half-open band of malignant shares around the
    operating point "balanced" that is not called either way. ``second_look`` is the margin of the crop that is
    judged again (``rcdnet.glance``), or None for the glance alone.
    ``weights_sha256`` is of the tensors (``checkpoint.tensors_sha256``), so every export of one network shares it.
    """

    class_names: tuple[str, ...]
    height_px: int
    width_px: int
    mean: float
    std: float
    backbone: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    temperature: float = 1.0
    cubic: float = 0.0
    operating_points: dict[str, OperatingPoint] = field(
        default_factory=lambda: {"balanced": OperatingPoint(lesion=0.5, malignant=0.5)}
    )
    indeterminate: tuple[float, float] = (0.5, 0.5)
    second_look: float | None = None
    weights_sha256: str = ""
    trained_on: str = ""
    version: str = "0"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.class_names) < 2 or len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"class_names must be at least two different names, not {self.class_names}")
        if self.height_px < 1 or self.width_px < 1:
            raise ValueError(f"input size must be positive, not {self.height_px}x{self.width_px}")
        if self.std <= 0:
            raise ValueError(f"std must be positive, not {self.std}")
        if not 0 < self.temperature < inf:
            raise ValueError(f"temperature must be positive and finite, not {self.temperature}")
        if not 0 <= self.cubic < inf:
            raise ValueError(f"cubic must be 0 or more, not {self.cubic}: what is surer must stay surer")
        low, high = self.indeterminate
        if not 0 <= low <= high <= 1:
            raise ValueError(f"indeterminate must be a band within 0..1, not {self.indeterminate}")
        if "balanced" not in self.operating_points:
            raise ValueError("operating_points must name 'balanced', the default")
        if self.second_look is not None and self.second_look < 1:
            raise ValueError(f"second_look is a margin of at least 1, not {self.second_look}")
        return self

    def index(self, class_name: str) -> int:
        """Position of a class among the logits. Raises ValueError if the model does not know it."""
        return self.class_names.index(class_name)

    def undecided(self, point: OperatingPoint) -> tuple[float, float]:
        """The half-open band of malignant shares that is not called either way at ``point``: as wide in log-odds as
        ``indeterminate`` is around "balanced", so that a more sensitive point calls more malignant. Both ends are the
        threshold itself where the weights have no band.
        """
        low, high = self.indeterminate
        balanced = self.operating_points["balanced"].malignant
        if low == high:
            return point.malignant, point.malignant
        if point.malignant != balanced:
            by = log_odds(point.malignant) - log_odds(balanced)
            low, high = shifted(low, by), shifted(high, by)
        return min(low, point.malignant), max(high, point.malignant)

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The names in ``trained_on``, where plus signs separate them."""
        return tuple(self.trained_on.split(" + ")) if self.trained_on else ()

    @property
    def calibration(self) -> dict[str, float]:
        """The calibration as given wherever the network is named: one network may have had several."""
        return {"temperature": self.temperature, "cubic": self.cubic}

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the fields."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelSpec":
        """Inverse of ``to_json``. Raises pydantic.ValidationError (a ValueError) that names the wrong field."""
        return _ADAPTER.validate_json(text)


def shifted(probability: float, by: float) -> float:
    """The probability whose log-odds are larger by ``by``."""
    return 1 / (1 + exp(-log_odds(probability) - by))


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), where 0 and 1 count as 1e-6 and 1 - 1e-6, so that it is finite."""
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return log(clipped / (1 - clipped))


_ADAPTER: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
