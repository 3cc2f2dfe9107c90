"""Which findings does a report list, and which of them with a picture? A list that does not grow with the run."""

from typing import Any

from stream.episodes import Episode, Episodes
from stream.jpeg import as_jpeg
from stream.session import Session
from stream.sinks.clock import RecordingClock
from stream.types import Frame, View

MOST_EPISODES = 1000
"""Findings in summary and report: malignant before benign, then by probability. The journal has all of them."""

MOST_KEY_FRAMES = 24
"""Key frames in the report, of the findings that come first in that order: 2 MB at most."""

JPEG_QUALITY = 80
"""Of the key frames."""


class EpisodeList:
    """Follows the episodes of one recording, and keeps those that summary and report list."""

    def __init__(self, session: Session) -> None:
        self._episodes, self._clock = Episodes(session), RecordingClock(session)
        self._key_in_video_s = 0.0
        self._listed: dict[int, dict[str, Any]] = {}
        self._key_frames: dict[int, bytes] = {}
        self._count = 0

    def add(self, view: View) -> None:
        """Take the next view in."""
        self._keep(self._episodes.add(view))
        in_video_s, current = self._clock.at_s(view.frame.pts_s), self._episodes.current
        if current is not None and current.key_frame is view.frame:
            self._key_in_video_s = in_video_s

    def end(self) -> None:
        """The run is over."""
        self._keep(self._episodes.end())

    @property
    def listed(self) -> list[dict[str, Any]]:
        """In order of time."""
        return list(self._listed.values())

    @property
    def unlisted(self) -> int:
        """How many were left out."""
        return self._count - len(self._listed)

    def key_frames(self) -> dict[int, bytes]:
        """JPEGs by the place of their episode in ``listed``."""
        places = enumerate(self._listed)
        return {place: self._key_frames[number] for place, number in places if number in self._key_frames}

    def _keep(self, ended: Episode | None) -> None:
        """List an episode that has ended, and its key frame. If either list is full, its least worthy entry goes."""
        if ended is None:
            return
        self._key_frames[self._count] = as_jpeg(self._episodes.key_picture(ended), JPEG_QUALITY)
        self._listed[self._count] = episode_facts(ended, self._key_in_video_s)
        self._count += 1
        if len(self._key_frames) > MOST_KEY_FRAMES:
            del self._key_frames[min(self._key_frames, key=self._worth)]
        if len(self._listed) > MOST_EPISODES:
            del self._listed[min(self._listed, key=self._worth)]

    def _worth(self, number: int) -> tuple[bool, float, int]:
        """How episodes are ranked: malignant before benign, then by probability, then the earlier one."""
        episode = self._listed[number]
        return episode["finding"] == "malignant", episode["peak"]["probability"], -number


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


def peak(probability: float, frame: Frame) -> dict[str, Any]:
    """Where a class was surest: the smoothed probability, and the frame that had it."""
    return {
        "probability": round(probability, 6),
        "source": frame.source,
        "frame": frame.index,
        "pts_s": round(frame.pts_s, 6),
    }
