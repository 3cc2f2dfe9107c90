"""What MetaImage and NRRD sequences share, as PLUS and 3D Slicer record them: times, orientation, where the pixels lie.

Only files that hold their own pixels: others may name any file of the disk.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import RecordedPicture, RecordedSource
from stream.sources.geometry import check_count, check_size, squared, valid_spacing
from stream.sources.uri import FPS_LIMIT, printable

FALLBACK_FPS = 30.0
"""For frames without times."""

LATEST_S, LONGEST_STEP_S = 1e12, 86_400.0
"""Times later than LATEST_S, or further apart than LONGEST_STEP_S, are not believed: whatever waits or counts so long
would break."""

LONGEST_HEADER = 2**26
"""Bytes; PLUS writes a thousand for each frame."""

LARGEST_MIXED = 400 * 2**20
"""Bytes of pixels that are read at once, where those of one frame do not lie together."""

MOST_PACKED = 1100
"""How many times smaller a packed picture can be: zlib does no better than 1:1032."""

PACKED_AS = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is: MetaImage has the one, NRRD the other."""

PIECE = 2**16
"""Packed bytes that are read at a time."""

INVALID = "INVALID"
"""What PLUS says of a frame that the scanner did not deliver."""


@dataclass(frozen=True)
class Layout:
    """How the pixels lie in the file, a byte for each sample: from byte ``offset`` on, ``packed`` or not. ``sizes`` are
    the lengths of the axes, the fastest first. The others tell which axis is which: ``frame`` is None for a single
    frame, ``colour`` for grey."""

    offset: int
    packed: bool
    sizes: tuple[int, ...]
    column: int
    row: int
    frame: int | None
    colour: int | None

    @property
    def count(self) -> int:
        """Of frames."""
        return 1 if self.frame is None else self.sizes[self.frame]

    @property
    def mixed(self) -> bool:
        """Whether an axis is slower than that of the frames."""
        return self.frame is not None and any(size > 1 for size in self.sizes[self.frame + 1 :])

    def require_possible(self, path: Path) -> None:
        """Raises SourceError for what cannot be in this file, or cannot be read in a bounded memory."""
        name, size = printable(path.name), math.prod(self.sizes)
        width_px, height_px = self.sizes[self.column], self.sizes[self.row]
        check_size(width_px, height_px, name)
        check_count(self.count, width_px, height_px, size // MOST_PACKED, path)
        if self.mixed and size > LARGEST_MIXED:
            raise SourceError(
                f"{name} holds its frames pixel by pixel, and is too large to be read at once. Save it as MP4, "
                ".mha or with the frames one after the other."
            )

    def arranged(self, values: bytes, count: int) -> NDArray[np.uint8]:
        """The pixels of ``count`` frames as uint8 [frames, H, W, 1 or 3]."""
        sizes = [count if axis == self.frame else size for axis, size in enumerate(self.sizes)]
        array = np.frombuffer(values, np.uint8).reshape(sizes[::-1]).T[..., None, None]  # for frame and colour if None
        order = [len(sizes) if self.frame is None else self.frame, self.row, self.column]
        order.append(len(sizes) + 1 if self.colour is None else self.colour)
        rest = [axis for axis in range(array.ndim) if axis not in order]
        return array.transpose(*order, *rest).squeeze(tuple(range(4, array.ndim)))


class SequenceSource(RecordedSource):
    """A sequence whose header was read: its ``layout``, and its ``entries`` by their keys.

    ``fps`` also serves where the times do not grow; ``at_s`` are times that the header tells otherwise than as PLUS
    does. Pictures that PLUS stored with another orientation than the screen's (MF) are turned, and oblong pixels made
    square. Raises SourceError for a picture that lies on its side, and for what cannot be in the file, before any
    memory is taken for it.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        entries: Mapping[str, str],
        mm_per_px: tuple[float, float] | None,
        *,
        fps: float | None,
        loop: bool,
        at_s: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(path, fps=fps, loop=loop)
        layout.require_possible(path)
        self._layout, count, fallback_fps = layout, layout.count, fps or FALLBACK_FPS
        self._begins_s = begins_s(entries, count, fallback_fps, at_s)
        self._whole = [entries.get(f"Seq_Frame{number:04d}_ImageStatus") != INVALID for number in range(count)]
        self._turn = turn(entries.get("UltrasoundImageOrientation", ""), self.name)
        self._mm_per_px = mm_per_px
        self._step_s = self._begins_s[-1] / (count - 1) if count > 1 else 1 / fallback_fps
        self.fps = 1 / self._step_s
        self.still = count == 1

    def _once(self) -> Iterator[RecordedPicture]:
        for at_s, whole, values in zip(self._begins_s, self._whole, self._values(), strict=True):
            if not whole:
                yield RecordedPicture(at_s, self._step_s, None)
                continue
            rgb = np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))[self._turn])
            rgb, mm_per_px = squared(rgb, self._mm_per_px, self.name)
            yield RecordedPicture(at_s, self._step_s, rgb, mm_per_px=mm_per_px)

    def _values(self) -> Iterator[NDArray[np.uint8]]:
        """Each frame in order, uint8 [H, W, 1 or 3]. Raises SourceError where the file breaks off."""
        layout, read = self._layout, 0
        together = layout.count if layout.mixed else 1
        size = math.prod(layout.sizes) // layout.count * together
        try:
            with self._path.open("rb") as file:
                file.seek(layout.offset)
                pixels = Pixels(file, layout.packed)
                for _ in range(layout.count // together):
                    for values in layout.arranged(pixels.read(size), together):
                        yield values
                        read += 1
        except (OSError, EOFError, zlib.error):
            raise SourceError(f"{self.name} broke off after {read} of {layout.count} frames. Copy it again.") from None


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
            if not piece:
                return


def header_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a header, without blanks around them; ends with the file, or beyond LONGEST_HEADER."""
    while file.tell() < LONGEST_HEADER and (line := file.readline(LONGEST_HEADER)):
        yield line.decode("utf-8", "replace").strip()


def begins_s(entries: Mapping[str, str], count: int, fps: float, at_s: NDArray[np.float64] | None) -> list[float]:
    """When each frame begins, in seconds from the first: by PLUS' time stamps, else by ``at_s``, the first that are all
    there and grow; else by ``fps``."""
    told = (entries.get(f"Seq_Frame{number:04d}_Timestamp", "") for number in range(count))
    stamps = np.array([float_or_nan(each) for each in told])
    found = (each for each in (stamps, at_s) if each is not None and possible_times(each, count))
    begins = next(found, np.arange(count) / fps)
    return [float(begin) for begin in begins - begins[0]]


def possible_times(at_s: NDArray[np.float64], count: int) -> bool:
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


def plus_spacing(row: float, column: float) -> tuple[float, float] | None:
    """mm per pixel (row, column), or None: PLUS writes 1 where nobody calibrated."""
    sides = valid_spacing(row, column)
    return None if sides is None or max(sides) >= 1 else sides


def float_or_nan(text: str) -> float:
    """nan for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
