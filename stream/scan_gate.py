"""What of a frame may be seen, and may it be judged? All but the scan is blanked, and what is no scan is refused."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.config import StreamConfig
from stream.scan_area import blank_outside, finder, sketch, why_unfit
from stream.signal import NO_PICTURE, NO_TEXTURE, SignalGate, is_empty
from stream.timing import StageClock
from stream.types import Frame, NotAnalysed, ScanArea, State


class Admitted(NamedTuple):
    """A frame with everything outside its scan area black, that area, and why it must not be judged, if so."""

    frame: Frame
    area: ScanArea | None
    refusal: NotAnalysed | None


class ScanGate:
    """For the frames of one run, in order; the rest may be asked from any thread."""

    def __init__(self, config: StreamConfig, stages: StageClock, *, still: bool) -> None:
        self._chosen = config.scan_area is not None
        self._find_area = finder(config.scan_area, still=still)
        self._signal = SignalGate(still=still)
        self._stages = stages
        self._seen: tuple[Frame, ScanArea | None] | None = None

    def admit(self, frame: Frame, header_area: ScanArea | None) -> Admitted:
        """``header_area`` is what the source's header gives, if it does."""
        found = self._find_area(frame, header_area)
        if isinstance(found, ScanArea) and (why := why_unfit(found, frame.size_px)) is not None:
            found = NotAnalysed(why)  # it was measured on another picture, and may hold names of this one
        self._seen = frame, found if isinstance(found, ScanArea) else None
        if isinstance(found, NotAnalysed):
            dark = found.state is State.NO_SIGNAL and is_empty(frame)
            return Admitted(blank_outside(frame, None), None, NO_PICTURE if dark else found)
        blanked = blank_outside(frame, found)
        with self._stages.measure("signal"):
            refusal = self._signal.refusal(blanked, found)
        if refusal == NO_TEXTURE and not self._chosen:  # a patient's page where the scan was
            blanked = blank_outside(frame, None)
        return Admitted(blanked, found, refusal)

    @property
    def scan_area(self) -> ScanArea | None:
        """Where the scan lay in the frame that came last; None if it was not found."""
        return None if self._seen is None else self._seen[1]

    def sketch(self) -> NDArray[np.uint8] | None:
        """Where things lie around it, uint8 [h, w, 4] RGBA, too coarse to be read; None before any frame."""
        return None if self._seen is None else sketch(*self._seen)
