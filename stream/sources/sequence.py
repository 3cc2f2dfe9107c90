"""What MetaImage and NRRD sequences share, as PLUS and 3D Slicer record them: times, orientation, packed pixels."""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import RecordedPicture, RecordedSource
from stream.sources.geometry import squared
from stream.sources.uri import FPS_LIMIT, options, printable

FALLBACK_FPS = 30.0
"""For frames without times."""

LATEST_S, LONGEST_STEP_S = 1e12, 86_400.0
"""Times later than LATEST_S, or further apart than LONGEST_STEP_S, are not believed: whatever waits or counts so long
would break."""

LEAST_PACKED = 1 / 1100
"""A packed picture takes at least this share of its size: zlib does no better than 1:1032."""

PACKED_AS = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is: both are met."""

PIECE = 2**16
"""Packed bytes that are read at a time."""

INVALID = "INVALID"
"""What PLUS says of a frame that the scanner did not deliver."""

Entry = Callable[[str], str]
"""An entry of the header by its key, or nothing."""


@dataclass(frozen=True)
class Slot:
    """One frame in the file: when it begins, in seconds from the first, and whether it is whole."""

    at_s: float
    valid: bool


class SequenceSource(RecordedSource):
    """A sequence whose header was read; a subclass reads the pixels.

    ``fps`` is for frames without times, or with times that do not grow; ``at_s`` are those that the header holds beside
    PLUS' own. Pictures that PLUS stored with another orientation than the screen's (MF) are turned, and oblong pixels
    made square. Raises SourceError for a picture that lies on its side.
    """

    def __init__(
        self,
        path: Path,
        entry: Entry,
        count: int,
        mm_per_px: tuple[float, float] | None,
        *,
        fps: float,
        loop: bool,
        at_s: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(printable(path.name), loop)
        self._path = path
        self._slots = slots(entry, count, fps, at_s)
        self._turn = turn(entry("UltrasoundImageOrientation"), self.name)
        self._mm_per_px = mm_per_px
        self._step_s = self._slots[-1].at_s / (count - 1) if count > 1 else 1 / fps
        self.fps = 1 / self._step_s
        self.still = count == 1

    def _once(self) -> Iterator[RecordedPicture]:
        for slot, values in zip(self._slots, self._whole(), strict=True):
            if not slot.valid:
                yield RecordedPicture(slot.at_s, self._step_s, None)
                continue
            rgb = np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))[self._turn])
            rgb, mm_per_px = squared(rgb, self._mm_per_px, self.name)
            yield RecordedPicture(slot.at_s, self._step_s, rgb, mm_per_px=mm_per_px)

    def _whole(self) -> Iterator[NDArray[np.uint8]]:
        """Each frame in order, uint8 [H, W, 1 or 3]. Raises SourceError where the file breaks off."""
        read = 0
        try:
            for values in self._values():
                yield values
                read += 1
        except (OSError, EOFError, zlib.error):
            raise SourceError(
                f"{self.name} broke off after {read} of {len(self._slots)} frames. Copy it again."
            ) from None

    def _values(self) -> Iterator[NDArray[np.uint8]]:
        """As ``_whole``; raises OSError, EOFError or zlib.error there."""
        raise NotImplementedError


class Pixels:
    """Reads the pixels of a file, packed or not, from where the file stands."""

    def __init__(self, file: BinaryIO, packed: bool) -> None:
        self._file, self._unpack = file, zlib.decompressobj(PACKED_AS) if packed else None

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes. Raises EOFError if there are fewer, zlib.error."""
        values = self._file.read(size) if self._unpack is None else b"".join(self._unpacked(size, self._unpack))
        if len(values) < size:
            raise EOFError
        return values

    def _unpacked(self, size: int, unpack: "zlib._Decompress") -> Iterator[bytes]:
        while size and not unpack.eof:
            piece = unpack.unconsumed_tail or self._file.read(PIECE)
            part = unpack.decompress(piece, size)
            size -= len(part)
            yield part
            if not piece and not part:
                return


def asked_fps(kind: str, query: str) -> float:
    """What the URI of a sequence asks for, which may be ``fps`` alone, else FALLBACK_FPS. Raises UsageError."""
    asked = options(kind, query)
    asked.expect("fps")
    return asked.fps() or FALLBACK_FPS


def slots(entry: Entry, count: int, fps: float, at_s: NDArray[np.float64] | None = None) -> list[Slot]:
    """When each frame begins, by PLUS' time stamps (Seq_Frame0000_Timestamp, seconds), else ``at_s``: the first that
    are all there and grow."""
    keys = [f"Seq_Frame{number:04d}_" for number in range(count)]
    valid = [entry(key + "ImageStatus") != INVALID for key in keys]
    stamps = np.array([float_or_nan(entry(key + "Timestamp")) for key in keys])
    found = (each for each in (stamps, at_s) if each is not None and possible(each, count))
    begins = next(found, np.arange(count) / fps)
    return [Slot(float(begin), whole) for begin, whole in zip(begins - begins[0], valid, strict=True)]


def possible(at_s: NDArray[np.float64], count: int) -> bool:
    """Whether ``count`` frames can begin then."""
    if len(at_s) != count or not (np.abs(at_s) < LATEST_S).all():
        return False
    steps_s = np.diff(at_s)
    return bool(((steps_s >= 1 / FPS_LIMIT) & (steps_s <= LONGEST_STEP_S)).all())


def turn(orientation: str, name: str) -> tuple[slice, slice]:
    """Rows and columns of a picture in PLUS' notation, so that marked side and skin lie left and on top (MF).

    Raises SourceError for a picture whose rows are the beams, as PLUS keeps radio-frequency data.
    """
    if orientation[:1] in ("F", "N"):
        raise SourceError(
            f"{name} lies on its side ({orientation[:3]}). Expected B-mode, whose orientation is like MF."
        )
    columns = slice(None, None, -1) if orientation[:1] == "U" else slice(None)
    rows = slice(None, None, -1) if orientation[1:2] == "N" else slice(None)
    return rows, columns


def spacing(row: float, column: float) -> tuple[float, float] | None:
    """mm per pixel (row, column), or None: PLUS writes 1 where nobody calibrated."""
    possible = all(math.isfinite(side) and 0 < side < 1 for side in (row, column))
    return (row, column) if possible else None


def float_or_nan(text: str) -> float:
    """nan for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
