"""What the tests of all sinks write: a session, views, and the status at the end."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engines.base import EngineInfo
from rcdnet.spec import ModelSpec
from stream.config import StreamConfig
from stream.session import Session
from stream.sinks.report import ReportSink
from stream.status import Phase, Recording, Status
from stream.timing import Counts, Summary
from stream.types import Assessment, Frame, ScanArea, State, View

SPEC = ModelSpec(("benign", "malignant", "normal"), 32, 32, 0.5, 0.25, "none", version="7")
ENGINE = EngineInfo("fake", "exact", "none", "tests", "")
SESSION = Session("clip.mp4", False, False, SPEC, StreamConfig())


def view(
    index: int = 0,
    pts_s: float | None = None,
    state: State = State.CLEAR_FINDING,
    finding: str | None = "malignant",
    size_px: tuple[int, int] = (48, 64),
    times: dict[str, int] | None = None,
    captured_ns: int = 1000,
    malignant: float = 0.7,
) -> View:
    """One view; its picture is of one grey that rises with ``index``."""
    analysed = state not in (State.NOT_ANALYSED, State.NO_SIGNAL, State.FROZEN)
    probabilities = np.array((0.9 - malignant, malignant, 0.1) if analysed else (), np.float32)
    heat = np.zeros((24, 32), np.float32)
    heat[6, 8] = 0.75
    assessment = Assessment(
        frame_index=index,
        scan_area=ScanArea(0, 0, size_px[1], size_px[0], "full"),
        state=state,
        reason="" if analysed else "no picture",
        raw=probabilities,
        smoothed=probabilities,
        finding=finding if state is State.CLEAR_FINDING else None,
        attention=heat if finding == "malignant" and analysed else None,
        attention_class="malignant" if finding == "malignant" and analysed else None,
        age_ms=12.5,
    )
    picture = np.full((*size_px, 3), min(255, 10 + 4 * index), np.uint8)
    frame = Frame(index, captured_ns, index / 25 if pts_s is None else pts_s, picture.copy(), "clip.mp4")
    return View(frame, assessment, picture, times or {"analysis": 9_000_000})


def ending(error: str | None = None, counts: Counts | None = None) -> Status:
    """The status that sinks are closed with."""
    return Status(
        phase=Phase.ENDED if error is None else Phase.FAILED,
        error=error,
        session=SESSION,
        engine=ENGINE,
        reopened=0,
        trouble=None,
        size_px=(64, 48),
        counts=counts or Counts(),
        not_drawn=0,
        fps=0.0,
        stages_ms={},
        latency_ms=None,
        recording=Recording.ON,
        recording_error=None,
        not_recorded=0,
        assessment=None,
        timeline=(),
    )


def reported(
    folder: Path, views: Iterable[View], session: Session = SESSION, status: Status | None = None
) -> tuple[dict[str, Any], str]:
    """What is in summary.json and on the page of report.html after these views."""
    sink = ReportSink(folder)
    sink.open(session)
    for each in views:
        sink.write(each)
    sink.close(status or ending())
    return json.loads((folder / "summary.json").read_text()), (folder / "report.html").read_text()


def written(folder: Path, session: Session = SESSION, error: str | None = None) -> tuple[dict[str, Any], str]:
    """The same of a usual run: it warms up, flags nothing, then a malignant lesion, and cannot judge its last frame."""
    views = [view(index, state=State.WARMING_UP) for index in range(10)]
    views += [view(index, finding="malignant" if index >= 20 else "normal") for index in range(10, 30)]
    counts = Counts(captured=33, analysed=30, not_analysed={"no picture": 1}, dropped={"damaged": 2})
    status = replace(ending(error, counts), latency_ms=Summary(31, 40.0, 60.0, 70.0, 80.0))
    return reported(folder, [*views, view(30, state=State.NOT_ANALYSED)], session, status)
