"""summary.json for machines and report.html for people: what was seen in one run, and how well it ran."""

import json
import os
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rcdnet.files import part_of, written_whole
from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.decision import Rule
from stream.scan_area import describe_area
from stream.session import Session
from stream.sinks.base import refused
from stream.sinks.report_episodes import EpisodeList, peak
from stream.sinks.report_page import render
from stream.sinks.report_timeline import Timeline
from stream.status import Status
from stream.types import Assessment, Frame, ScanArea, State, View

SUMMARY, REPORT = "summary.json", "report.html"

MOST_PICTURES = 1000
"""Rows in the report's table of stills; the journal has all of them."""

ROOM_BYTES = 4_000_000
"""Reserved on the disk from the start, for both files: the recording itself may fill the disk before their turn."""

MOST_AREAS = 20
"""Scan areas in the summary, those with the most frames first: one that follows the scan changes often."""


class ReportSink:
    """Counts while frames pass and writes both files at the end. Raises UsageError if the disk refuses."""

    on_disk = True

    def __init__(self, folder: Path) -> None:
        self._summary_path, self._report_path = folder / SUMMARY, folder / REPORT
        self._opened = False

    def open(self, session: Session) -> None:
        """Note the start and reserve the room. Removes an earlier run's files: this run may end before it has any."""
        for path in (self._summary_path, self._report_path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise refused(path, error) from error
        # where the report will be written first; random, as some disks need no space for zeros
        write_whole(part_of(self._report_path), os.urandom(ROOM_BYTES))
        self._session = session
        self._timeline, self._episodes, self._tally = Timeline(session), EpisodeList(session), FrameTally(session)
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._opened = True

    def write(self, view: View) -> None:
        """Count one view."""
        self._timeline.add(view.frame, view.assessment)
        self._episodes.add(view)
        self._tally.add(view.frame, view.assessment)

    def close(self, status: Status) -> None:
        """Write both files, each even if the other fails; the report first, into the reserved room."""
        if not self._opened:
            return
        self._opened = False
        self._episodes.end()
        summary = self._summary(status)
        try:
            page = render(summary, self._timeline.moments(), self._tally.stills, self._episodes.key_frames())
            write_whole(self._report_path, page.encode())
        finally:
            write_whole(self._summary_path, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())

    def _summary(self, status: Status) -> dict[str, Any]:
        timeline, tally, episodes = self._timeline, self._tally, self._episodes
        return {
            **run_facts(self._session, status),
            "error": status.error,
            "recording_error": self._without_folder(status.recording_error),
            "frames": {
                **asdict(status.counts),
                "written": timeline.frames,
                "not_drawn": status.not_drawn,
                "not_recorded": status.not_recorded,
            },
            "first_pts_s": round(timeline.first_pts_s, 6),
            "duration_s": round(timeline.duration_s, 6),
            **tally.found(),
            "episodes": episodes.listed,
            "episodes_unlisted": episodes.unlisted,
            **tally.looked_at(),
            "times": {
                "started_at": self._started_at,
                "first_frame_at": timeline.first_frame_at,
                "fps": timeline.fps,
                "latency_ms": None if status.latency_ms is None else asdict(status.latency_ms),
                "stages_ms": {name: asdict(summary) for name, summary in status.stages_ms.items()},
            },
        }

    def _without_folder(self, text: str | None) -> str | None:
        """``text`` without the recording's folder, which is nobody's business but its owner's."""
        return None if text is None else text.replace(f"{self._summary_path.parent}{os.sep}", "")


def run_facts(session: Session, status: Status) -> dict[str, Any]:
    """What holds for the whole run: the program, the source, the network and the settings."""
    spec, config = session.spec, session.config
    point = spec.operating_points[config.operating_point]
    return {
        "notice": RESEARCH_NOTICE,
        "scope": SCOPE,
        "software": f"rcdnet-live {version('rcdnet-live')}",
        "source": {
            "name": session.source,
            "live": session.live,
            "synthetic": session.synthetic,
            "still": session.still,
            "looped": session.looped,
            "left_out": session.left_out or None,
            "reopened": status.reopened,
        },
        "engine": asdict(status.engine),
        "model": {
            "version": spec.version,
            "weights_sha256": spec.weights_sha256,
            "trained_on": spec.trained_on,
            "class_names": list(spec.class_names),
            "calibration": spec.calibration,
            "operating_point": asdict(point),
            "called": asdict(Rule.of(spec, point, config.lesion_margin)),
        },
        "config": config.model_dump(),
    }


class FrameTally:
    """How many frames had each state, finding and scan area; where each class was surest; and what was said about each
    of the ``stills``."""

    def __init__(self, session: Session) -> None:
        self._still, self._class_names = session.still, session.spec.class_names
        self._states: Counter[str] = Counter()
        self._findings: Counter[str | None] = Counter()
        self._areas: Counter[ScanArea] = Counter()
        self._peaks: dict[str, dict[str, Any]] = {}
        self.stills: list[tuple[str, Assessment]] = []

    def add(self, frame: Frame, assessment: Assessment) -> None:
        """Count one frame."""
        self._states[assessment.state.value] += 1
        self._findings[assessment.finding] += 1
        if assessment.scan_area is not None:
            self._areas[assessment.scan_area] += 1
        for name, value in zip(self._class_names, assessment.smoothed, strict=False):
            if assessment.state is not State.WARMING_UP and value > self._peaks.get(name, {}).get("probability", 0):
                self._peaks[name] = peak(float(value), frame)
        if self._still and len(self.stills) < MOST_PICTURES:
            self.stills.append((frame.source, replace(assessment, attention=None)))

    def found(self) -> dict[str, Any]:
        """What the summary says of the calls."""
        return {
            "states": dict(self._states),
            "findings": {name: self._findings[name] for name in self._class_names},
            "peaks": self._peaks,
        }

    def looked_at(self) -> dict[str, Any]:
        """What the summary says of the scan areas."""
        areas = self._areas.most_common()
        return {
            "scan_areas": [
                {"where": describe_area(area), "sides": area.sides, "corners": area.corners, "frames": frames}
                for area, frames in areas[:MOST_AREAS]
            ],
            "scan_areas_unlisted": {
                "areas": len(areas[MOST_AREAS:]),
                "frames": sum(frames for _, frames in areas[MOST_AREAS:]),
            },
        }


def write_whole(path: Path, data: bytes) -> None:
    """Write all of it or nothing: a full disk leaves no half of a report. Raises UsageError if it refuses."""
    try:
        with written_whole(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise refused(path, error) from error
