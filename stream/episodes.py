"""When was a lesion flagged, for how long, and on which frame was the network surest? Views -> episodes."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.config import OverlayStyle
from stream.overlay import Labels, draw
from stream.scan_detection import shrunk
from stream.session import Session
from stream.types import Assessment, Frame, State, View

KEY_PICTURE_PX = 800
"""The longer side, at most: the words in the panel are still legible."""


@dataclass(frozen=True)
class Episode:
    """A stretch in which one class of lesion was flagged.

    ``start_s`` and ``end_s`` are the source's times (``Frame.pts_s``) of its first and last flagged frame; ``last_ns``
    is when the last was captured, monotonic. ``frames`` counts the flagged ones. ``key_frame`` is the one with the
    highest smoothed ``probability``, 0..1, of the finding; ``assessment`` is what was said about it.
    """

    finding: str
    start_s: float
    end_s: float
    last_ns: int
    frames: int
    probability: float
    key_frame: Frame
    assessment: Assessment


class Episodes:
    """Joins the findings of one run. Frames on which nothing is called belong to the episode around them.

    Another finding ends it, as does a frame that is not judged, another ``Frame.source``, and ``gap_s`` seconds without
    the finding. Stills are never joined. ``current`` is the episode under way.
    """

    current: Episode | None = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self._labels = replace(Labels.of(session), live=False)

    def add(self, view: View) -> Episode | None:
        """Take the next view in. Returns the episode that ended before it, if one did."""
        ended = None if self.current is not None and self._goes_on(self.current, view) else self.end()
        frame, says = view.frame, view.assessment
        if says.lesion is not None:
            probability = float(says.smoothed[self._session.spec.index(says.lesion)])
            this = Episode(says.lesion, frame.pts_s, frame.pts_s, frame.captured_ns, 1, probability, frame, says)
            self.current = this if self.current is None else _joined(self.current, this)
        return ended

    def end(self) -> Episode | None:
        """End the run. Returns the episode under way, if there was one."""
        ended, self.current = self.current, None
        return ended

    def key_picture(self, episode: Episode) -> NDArray[np.uint8]:
        """The scan of the key frame with its annotation, uint8 [H, W, 3] RGB, no side longer than KEY_PICTURE_PX.

        Drawn as in a replay: with the time, and always with the heat map, which marks this frame's own tissue however
        late it came.
        """
        chosen = self._session.config.overlay
        style = chosen if chosen.opacity > 0 else OverlayStyle()
        frame, says = _cut_to_scan(episode.key_frame, episode.assessment)
        return shrunk(draw(frame, says, style, self._labels), KEY_PICTURE_PX)

    def _goes_on(self, episode: Episode, view: View) -> bool:
        says = view.assessment
        return (
            not self._session.still
            and (says.finding == episode.finding or says.state is State.INDETERMINATE)
            and view.frame.source == episode.key_frame.source
            and 0 <= view.frame.pts_s - episode.end_s <= self._session.config.gap_s
        )


def _cut_to_scan(frame: Frame, says: Assessment) -> tuple[Frame, Assessment]:
    """Without what is blanked around the scan: on a scanner's screen that would be most of a small picture."""
    area = says.scan_area
    if area is None:
        return frame, says
    whole = replace(area, x_px=0, y_px=0, corners=())  # what lies outside the corners is black already
    return replace(frame, rgb=frame.rgb[area.pixels]), replace(says, scan_area=whole)


def _joined(first: Episode, then: Episode) -> Episode:
    surer = max(first, then, key=lambda episode: episode.probability)
    frames = first.frames + then.frames
    return replace(surer, start_s=first.start_s, end_s=then.end_s, last_ns=then.last_ns, frames=frames)
