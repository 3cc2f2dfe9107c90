"""One JSON line per frame, on disk before the next frame is taken: a killed process loses no complete line."""

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rcdnet.notice import RESEARCH_NOTICE
from stream.decision import describe_call
from stream.session import Session
from stream.sinks.base import refused, require_not_deleted
from stream.status import Status
from stream.types import Assessment, View


class JournalSink:
    """Writes ``line`` of every view. Raises UsageError if the disk refuses."""

    on_disk = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = ExitStack()

    def open(self, session: Session) -> None:
        """Create the file, in place of an earlier one."""
        self._session = session
        try:
            file = self._path.open("wb", buffering=0)  # unbuffered: each line is one write, except on a full disk
        except OSError as error:
            raise refused(self._path, error) from error
        self._file = self._opened.enter_context(file)

    def write(self, view: View) -> None:
        """Append one line, or nothing of it."""
        require_not_deleted(self._file, self._path)
        text = json.dumps(line(view, self._session), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        left, start = text.encode() + b"\n", self._file.tell()
        try:
            while left:  # a disk that fills up writes a part, and refuses the rest
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(start)
            raise refused(self._path, error) from error

    def close(self, status: Status) -> None:
        """Close the file."""
        self._opened.close()


def line(view: View, session: Session) -> dict[str, Any]:
    """What is kept or sent about one view. A line may stand alone, so each names the network and the operating point,
    and has the answer in words. Everything that differs between two replays of one clip is under ``times``.

    docs/outputs.md explains each key to readers; keep it true.
    """
    assessment, area, class_names = view.assessment, view.assessment.scan_area, session.spec.class_names
    return {
        "notice": RESEARCH_NOTICE,
        "source": view.frame.source,
        "frame": view.frame.index,
        "pts_s": round(view.frame.pts_s, 6),
        "state": assessment.state.value,
        "said": describe_call(assessment),
        "reason": assessment.reason,
        "network": session.network,
        "operating_point": session.config.operating_point,
        "engine": view.engine,
        "finding": assessment.finding,
        "raw": by_class(assessment.raw, class_names),
        "smoothed": by_class(assessment.smoothed, class_names),
        "attention": hottest(assessment),
        "scan_area": None if area is None else list(area.sides),
        "scan_corners": area.corners if area is not None and area.corners else None,
        "times": {"age_ms": round(assessment.age_ms, 3), **{f"{k}_ns": v for k, v in view.times.items()}},
    }


def by_class(probabilities: NDArray[np.float32], class_names: tuple[str, ...]) -> dict[str, float] | None:
    """Probabilities [K] by class name, to six decimals; None if there are none."""
    if probabilities.size == 0:
        return None
    return {name: round(float(value), 6) for name, value in zip(class_names, probabilities, strict=True)}


def hottest(assessment: Assessment) -> dict[str, Any] | None:
    """Where the shown attention is highest: class, value 0..1, and the pixel of the whole picture."""
    heat, area = assessment.attention, assessment.scan_area
    if heat is None or area is None:
        return None
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    return {
        "class": assessment.attention_class,
        "peak": round(float(heat[row, column]), 6),
        "x_px": area.x_px + int((column + 0.5) * area.width_px / heat.shape[1]),
        "y_px": area.y_px + int((row + 0.5) * area.height_px / heat.shape[0]),
    }
