"""summary.json for machines and report.html for people: what was seen in one run, and how well it ran."""

import json
import os
import time
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rcdnet.files import part_of, written_whole
from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.decision import Rule
from stream.episodes import Episode, Episodes
from stream.jpeg import as_jpeg
from stream.scan_area import describe_area
from stream.session import Session
from stream.sinks.base import refused
from stream.sinks.clock import RecordingClock
from stream.sinks.report_page import render
from stream.status import NOT_RECORDED, Moment, Status
from stream.types import Assessment, Frame, ScanArea, State, View

SUMMARY, REPORT = "summary.json", "report.html"

MOST_POINTS = 2000
"""In the timeline. When there are more, every second one is dropped, so that memory does not grow with the run."""

MOST_PICTURES = 1000
"""Rows in the report's table of stills; the journal has all of them."""

MOST_EPISODES = 1000
"""Findings in summary and report: malignant before benign, then by probability. The journal has all of them."""

MOST_KEY_FRAMES = 24
"""Key frames in the report, of the findings that come first in that order: 2 MB at most."""

JPEG_QUALITY = 80
"""Of the key frames."""

ROOM_BYTES = 4_000_000
"""Reserved on the disk from the start, for both files: the recording itself may fill the disk before their turn."""

MOST_AREAS = 20
"""Scan areas in the summary, those of the most frames first: one that follows the scan changes often."""


class ReportSink:
    """Counts while frames pass and writes both files at the end. Raises UsageError if the disk refuses."""

    on_disk = True

    def __init__(self, folder: Path) -> None:
        self._summary_path, self._report_path = folder / SUMMARY, folder / REPORT
        self._opened = False
        self._first_frame_at: str | None = None
        self._frames = 0
        self._states: Counter[str] = Counter()
        self._findings: Counter[str] = Counter()
        self._areas: Counter[ScanArea] = Counter()
        self._peaks: dict[str, dict[str, Any]] = {}
        self._key_in_video_s = 0.0
        self._episode_count = 0
        self._listed: dict[int, dict[str, Any]] = {}
        self._key_frames: dict[int, bytes] = {}
        self._first_pts_s = self._last_pts_s = 0.0
        self._first_ns = self._last_ns = 0
        self._last_index = 0
        self._paced_s, self._paced_frames = 0.0, 1
        self._pictures: list[tuple[str, Assessment]] = []
        self._points: list[Moment] = []
        self._gaps: list[Moment] = []
        self._stride = 1

    def open(self, session: Session) -> None:
        """Note the start and take the room. Removes an earlier run's files: this run may end before it has any."""
        for path in (self._summary_path, self._report_path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise refused(path, error) from error
        # where the report will be written first; random, as some disks store zeros in nothing
        write_whole(part_of(self._report_path), os.urandom(ROOM_BYTES))
        self._paced_s = session.config.gap_s / 3  # no source is taken for slower, until this one has shown its pace
        self._session = session
        self._episodes, self._clock = Episodes(session), RecordingClock(session)
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._opened = True

    def write(self, view: View) -> None:
        """Count one view."""
        self._notice_gap(view.frame)
        self._count(view.assessment, view.frame)
        self._follow_episodes(view)
        self._plot(view.assessment, view.frame.pts_s)
        self._frames += 1

    def close(self, status: Status) -> None:
        """Write both files, each even if the other fails; the report first, for it has the room."""
        if not self._opened:
            return
        self._opened = False
        self._keep(self._episodes.end())
        summary = self._summary(status)
        points = sorted(self._points + self._gaps, key=lambda point: point.t_s)  # stable: the frame, then the gap
        listed = enumerate(self._listed)
        pictures = {place: self._key_frames[number] for place, number in listed if number in self._key_frames}
        try:
            write_whole(self._report_path, render(summary, points, self._pictures, pictures).encode())
        finally:
            write_whole(self._summary_path, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())

    def _notice_gap(self, frame: Frame) -> None:
        """Where nothing was recorded between the last frame and this one, the timeline has a gap."""
        step_s, captured = frame.pts_s - self._last_pts_s, frame.index - self._last_index
        if self._frames == 0:
            self._first_pts_s, self._first_ns = frame.pts_s, frame.captured_ns
            if self._session.live:  # a source may be waited for; of a clip nobody knows when it was recorded
                age = timedelta(seconds=(time.perf_counter_ns() - frame.captured_ns) / 1e9)
                self._first_frame_at = (datetime.now(UTC) - age).isoformat(timespec="milliseconds")
        elif step_s > self._session.config.gap_s:
            self._gaps.append(Moment(self._last_pts_s - self._first_pts_s, (), self._gap_state(step_s, captured - 1)))
        else:
            self._paced_s, self._paced_frames = self._paced_s + step_s, self._paced_frames + captured
        self._last_pts_s, self._last_ns, self._last_index = frame.pts_s, frame.captured_ns, frame.index

    def _gap_state(self, gap_s: float, missed: int) -> str:
        """NOT_RECORDED if the ``missed`` frames, captured in the gap, fill most of it at the source's pace: the disk
        was slow, the engine stalled or the frames were damaged. Else NO_SIGNAL: the source itself was away.
        """
        filled_s = missed * self._paced_s / self._paced_frames
        return NOT_RECORDED if filled_s > gap_s / 2 else State.NO_SIGNAL

    def _count(self, assessment: Assessment, frame: Frame) -> None:
        self._states[assessment.state.value] += 1
        if assessment.finding is not None:
            self._findings[assessment.finding] += 1
        if assessment.scan_area is not None:
            self._areas[assessment.scan_area] += 1
        for name, value in zip(self._session.spec.class_names, assessment.smoothed, strict=False):
            if assessment.state is not State.WARMING_UP and value > self._peaks.get(name, {}).get("probability", 0):
                self._peaks[name] = peak(float(value), frame)
        if self._session.still and len(self._pictures) < MOST_PICTURES:
            self._pictures.append((frame.source, replace(assessment, attention=None)))

    def _plot(self, assessment: Assessment, pts_s: float) -> None:
        if self._frames % self._stride == 0:
            smoothed = tuple(float(value) for value in assessment.smoothed)
            self._points.append(Moment(pts_s - self._first_pts_s, smoothed, assessment.state))
            if len(self._points) > MOST_POINTS:
                self._points, self._stride = self._points[::2], 2 * self._stride

    def _follow_episodes(self, view: View) -> None:
        self._keep(self._episodes.add(view))
        in_video_s, current = self._clock.at_s(view.frame.pts_s), self._episodes.current
        if current is not None and current.key_frame is view.frame:
            self._key_in_video_s = in_video_s

    def _keep(self, ended: Episode | None) -> None:
        """List an episode that has ended, and its key frame. Where either list is full, its least goes."""
        if ended is None:
            return
        self._key_frames[self._episode_count] = as_jpeg(self._episodes.key_picture(ended), JPEG_QUALITY)
        self._listed[self._episode_count] = episode_facts(ended, self._key_in_video_s)
        self._episode_count += 1
        if len(self._key_frames) > MOST_KEY_FRAMES:
            del self._key_frames[min(self._key_frames, key=self._worth)]
        if len(self._listed) > MOST_EPISODES:
            del self._listed[min(self._listed, key=self._worth)]

    def _worth(self, number: int) -> tuple[bool, float, int]:
        """By which episodes are compared: malignant before benign, then by probability, then the earlier one."""
        episode = self._listed[number]
        return episode["finding"] == "malignant", episode["peak"]["probability"], -number

    def _summary(self, status: Status) -> dict[str, Any]:
        session, spec, config = self._session, self._session.spec, self._session.config
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
            "error": status.error,
            "recording_error": self._without_folder(status.recording_error),
            "frames": {
                **asdict(status.counts),
                "written": self._frames,
                "not_drawn": status.not_drawn,
                "not_recorded": status.not_recorded,
            },
            "first_pts_s": round(self._first_pts_s, 6),
            "duration_s": round(self._last_pts_s - self._first_pts_s, 6),
            "states": dict(self._states),
            "findings": {name: self._findings[name] for name in spec.class_names},
            "peaks": self._peaks,
            "episodes": list(self._listed.values()),
            "episodes_unlisted": self._episode_count - len(self._listed),
            "scan_areas": [
                {"where": describe_area(area), "sides": area.sides, "corners": area.corners, "frames": frames}
                for area, frames in self._areas.most_common(MOST_AREAS)
            ],
            "scan_areas_unlisted": {
                "areas": max(0, len(self._areas) - MOST_AREAS),
                "frames": sum(frames for _, frames in self._areas.most_common()[MOST_AREAS:]),
            },
            "times": {
                "started_at": self._started_at,
                "first_frame_at": self._first_frame_at,
                "fps": self._fps(),
                "latency_ms": None if status.latency_ms is None else asdict(status.latency_ms),
                "stages_ms": {name: asdict(summary) for name, summary in status.stages_ms.items()},
            },
        }

    def _without_folder(self, text: str | None) -> str | None:
        """Whose folders the recording lies in concerns nobody to whom it is given."""
        return None if text is None else text.replace(f"{self._summary_path.parent}{os.sep}", "")

    def _fps(self) -> float | None:
        """Frames a second from the first written frame to the last, pauses included; None of fewer than two."""
        seconds = (self._last_ns - self._first_ns) / 1e9
        return round((self._frames - 1) / seconds, 2) if seconds > 0 else None


def peak(probability: float, frame: Frame) -> dict[str, Any]:
    """Where a class was surest: the smoothed probability, and the frame that had it."""
    return {
        "probability": round(probability, 6),
        "source": frame.source,
        "frame": frame.index,
        "pts_s": round(frame.pts_s, 6),
    }


def episode_facts(episode: Episode, in_video_s: float) -> dict[str, Any]:
    """An episode as the summary has it, with times in seconds of the source. ``in_video_s`` is when its key frame is
    shown in annotated.mp4."""
    return {
        "finding": episode.finding,
        "start_s": round(episode.start_s, 6),
        "end_s": round(episode.end_s, 6),
        "frames": episode.frames,
        "peak": peak(episode.probability, episode.key_frame) | {"video_s": round(in_video_s, 6)},
    }


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing: a full disk leaves no half a report. Raises UsageError if it refuses."""
    try:
        with written_whole(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise refused(path, error) from error
