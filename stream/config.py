"""What a user may set, validated at the door, with one reason per default. Times are in seconds, never in frames."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream.errors import UsageError


class OverlayStyle(BaseModel):
    """How an assessment is drawn. May be swapped while a pipeline runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    opacity: float = Field(default=0.5, ge=0, le=1)
    """Of the heat map's colour where attention is full, 0..1; 0 hides the map. More than the default drowns the texture
    of a lesion in colour."""

    stale_after_s: float = Field(default=0.2, gt=0)
    """A result that is older gets no heat map: by then the probe has moved on, and the map would mark other tissue."""


class StreamConfig(BaseModel):
    """Settings of one pipeline, equal for live and replay."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    scan_area: str | None = None
    """A box, a polygon or ``"full"``, as ``stream.scan_area.finder`` reads it; everything outside is blanked. It holds
    for the source given at the start, not for others that are chosen on the page. None takes the area of the source's
    header, or else detects the scan: nobody should have to measure before they see anything."""

    smoothing_s: float = Field(default=0.4, gt=0)
    """Time constant of the exponential smoothing: a finding that lasts a second counts nine tenths, a blink hardly at
    all. ``python -m benchmarks.stability`` shows the effect of other values on a clip."""

    warm_up_s: float = Field(default=0.4, ge=0)
    """Until this much has been seen, nothing is called. One time constant: then the first frame no longer dominates."""

    gap_s: float = Field(default=1.0, gt=0)
    """After a longer jump in time, if it is also longer than three of the source's intervals, smoothing restarts: what
    was seen before it was another place. A looped clip does not jump, as its times go on: its end blends into its
    start."""

    operating_point: str = "balanced"
    """Name of a pair of thresholds in the weights' spec. Every spec has this one; the shipped one also has "sensitive",
    at which more is called malignant, and "specific": ``python -m benchmarks.calls`` counts what each calls."""

    lesion_margin: float = Field(default=0.5, ge=0, le=3)
    """In log-odds. Closer than this to the lesion threshold nothing is called, because the calibration error is about
    as large: at a threshold of 78 %, 0.5 means from 68 to 85 %. "No lesion" is also never called above 50 %."""

    stall_after_s: float = Field(default=0.5, gt=0)
    """A live source that is silent for this long, and for three of its intervals, shows NO_SIGNAL. Longer than a
    dropped frame lasts, and short enough that the last finding is gone before the eye comes back to it."""

    timeline_s: float = Field(default=60.0, ge=1, le=600)
    """How much of the past the page plots: one sweep over a breast quadrant. Every open page asks for it twice a
    second, so ten minutes at most."""

    jpeg_quality: int = Field(default=80, ge=1, le=100)
    """Of the live picture. Speckle can still be made out, in a tenth of the bytes that 100 takes."""

    overlay: OverlayStyle = OverlayStyle()
    """The style that a run starts with."""


def load_config(path: Path) -> StreamConfig:
    """Settings from a TOML file with the keys of ``StreamConfig``. Raises UsageError that names the wrong key."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors may add a byte-order mark
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}. Expected a readable TOML file.") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError alike
        raise UsageError(f"--config {path} is not TOML: {error}. Expected lines like: smoothing_s = 0.4") from error
    try:
        return StreamConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--config {path}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """One line for the first wrong key: where it is, what was expected, what was given."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model = OverlayStyle if key.startswith("overlay.") else StreamConfig
        return f"unknown key '{key}'. Known: {', '.join(model.model_fields)}."
    return f"key '{key}': {first['msg']}, not {first['input']!r}."
