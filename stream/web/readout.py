"""What does the page get to read? (Now, Audience, episodes) -> plain JSON values; no pixels, no paths."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rcdnet.notice import RESEARCH_NOTICE
from stream.decision import class_label, percent
from stream.episodes import Episode
from stream.overlay import Colour, class_colour, headline
from stream.scan_area import describe_area
from stream.status import Status
from stream.timing import Summary
from stream.types import Assessment
from stream.web.control import Now
from stream.web.viewer import Audience


def readout(now: Now, audience: Audience, timeline_s: float, flagged: Sequence[tuple[int, Episode]]) -> dict[str, Any]:
    """What /status.json says: what is chosen, who watches, and how the run goes if there is one."""
    facts: dict[str, Any] = {
        "notice": RESEARCH_NOTICE,
        "phase": "starting",
        "error": now.error,
        "viewers": audience.viewers,
        "painted_ms": milliseconds(audience.painted_ms),
        "timeline_s": timeline_s,
    }
    if now.pipeline is not None:
        facts |= run(now.pipeline.status(), audience.skipped)
        facts["flagged"] = [episode(number, one) for number, one in flagged]
    if now.error is not None:
        facts["phase"] = "failed"
    elif now.stopped and facts["error"] is None:
        facts["phase"] = "stopped"
    return facts


def run(status: Status, not_shown: int) -> dict[str, Any]:
    """How a run goes. Probabilities are 0..1, in the order of ``classes``."""
    session = status.session
    return {
        "phase": status.phase.value,
        "error": status.error,
        "source": session.source,
        "live": session.live,
        "looped": session.looped,
        "still": session.still,
        "trouble": status.trouble,
        "stall_after_s": session.config.stall_after_s,
        "size_px": status.size_px,
        "synthetic": session.synthetic,
        "engine": asdict(status.engine) | {"replaced": list(status.engine.replaced)},
        "operating_point": session.config.operating_point,
        "weights": session.network,
        "classes": [class_label(name) for name in session.spec.class_names],
        "class_colours": [css(class_colour(name)) for name in session.spec.class_names],
        "verdict": None if status.assessment is None else verdict(status.assessment, status.size_px),
        "scan_area": None if status.assessment is None else describe_area(status.assessment.scan_area),
        "fps": round(status.fps, 1),
        "drawn_ms": milliseconds(status.latency_ms),
        "counts": count_rows(status, not_shown),
        "recording": status.recording.value,
        "recording_error": status.recording_error,
        "timeline": [
            {"t_s": round(at.t_s, 2), "smoothed": [round(p, 3) for p in at.smoothed], "state": at.state}
            for at in status.timeline
        ],
    }


def episode(number: int, flagged: Episode) -> dict[str, Any]:
    """What was flagged, how surely (0..1, and in words), for how long, and how long ago; its key ``frame`` is
    /flagged/NUMBER.jpg."""
    return {
        "number": number,
        "finding": class_label(flagged.finding),
        "colour": css(class_colour(flagged.finding)),
        "probability": round(flagged.probability, 3),
        "surely": percent(flagged.probability),
        "frame": flagged.key_frame.index,
        "lasted_s": round(flagged.end_s - flagged.start_s, 2),
        "age_s": round((time.perf_counter_ns() - flagged.last_ns) / 1e9, 1),
    }


def verdict(assessment: Assessment, size_px: tuple[int, int] | None) -> dict[str, Any]:
    """What is said about one frame, in the words and the colour of its picture, how surely of each class (0..1, and in
    words; nothing if it was not judged), and why; and where the scan lies in it. ``size_px`` is the width and height of
    the source's picture, right of which the panel begins."""
    words, colour = headline(assessment)
    area = assessment.scan_area
    return {
        "state": assessment.state.value,
        "headline": words,
        "headline_colour": css(colour),
        "reason": assessment.reason,
        "smoothed": [round(float(p), 3) for p in assessment.smoothed],
        "surely": [percent(float(p)) for p in assessment.smoothed],
        "scan_area": None if area is None else area.sides,
        "size_px": size_px,
    }


def count_rows(status: Status, not_shown: int) -> list[dict[str, Any]]:
    """One row per fate of a frame and reason; captured is the sum of the next ones, except those in flight."""
    counts = status.counts
    rows: list[dict[str, Any]] = [
        {"label": "captured", "reason": "", "count": counts.captured},
        {"label": "analysed", "reason": "", "count": counts.analysed},
    ]
    for label, reasons in counts.lost.items():
        rows += [{"label": label, "reason": why, "count": count} for why, count in sorted(reasons.items())]
    others = {
        "looked at, not drawn": status.not_drawn,
        "drawn, not recorded": status.not_recorded,
        "drawn, skipped by a screen": not_shown,
        "times the source was lost and found again": status.reopened,
    }
    return rows + [{"label": label, "reason": "", "count": count} for label, count in others.items() if count]


def milliseconds(summary: Summary | None) -> dict[str, float] | None:
    """Percentiles with a tenth of a millisecond, or None before the first sample."""
    if summary is None:
        return None
    values = {"p50": summary.p50_ms, "p95": summary.p95_ms, "p99": summary.p99_ms, "max": summary.max_ms}
    return {name: round(value, 1) for name, value in values.items()}


def css(colour: Colour) -> str:
    """RGB 0..255 as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
