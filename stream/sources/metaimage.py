"""MetaImage sequences (.mha), as PLUS and 3D Slicer record them: one frame at a time, with the times of the frames.

Only files that hold their own pixels: a header on its own (.mhd) may name any other file of the disk.
"""

import math
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import Closing
from stream.sources.geometry import check_size, squared
from stream.sources.uri import FPS_LIMIT, FRAMES_LIMIT, options, printable
from stream.types import Frame

FALLBACK_FPS = 30.0
"""For frames without times."""

LEAST_PACKED = 1 / 1100
"""Of its size, that a picture takes when packed: zlib does no better than 1:1032."""

LONGEST_LINE = 4096
"""Bytes of the header that are looked at together; its entries are a tenth of it."""

PACKED_AS = 32 + zlib.MAX_WBITS
"""zlib or gzip, whichever it is: both are met."""

PIECE = 2**16
"""Packed bytes that are read at a time."""

INVALID = "INVALID"
"""What PLUS says of a frame that the scanner did not deliver."""


@dataclass(frozen=True)
class Layout:
    """Where in the file the pixels begin, in bytes, and whether they are packed."""

    offset: int
    packed: bool


@dataclass(frozen=True)
class Slot:
    """One frame in the file: when it begins, in seconds from the first, and whether it is whole."""

    at_s: float
    valid: bool


class MetaImageSource(Closing):
    """Raises SourceError if the header is damaged or makes no sense, before any memory is taken for what it declares.

    ``fps`` is for frames without times, or with times that do not grow. Pictures that PLUS stored with another
    orientation than the screen's (MF) are turned, and oblong pixels made square.
    """

    live = False
    synthetic = False
    scan_area = None

    def __init__(self, path: Path, *, fps: float = FALLBACK_FPS, loop: bool = False) -> None:
        super().__init__()
        self.name, self.damaged = printable(path.name), 0
        self._loop = loop
        self._path, self._layout = path, layout(path)
        header = read_header(path)
        (width_px, height_px), count = checked_size(header, path)
        self._shape = height_px, width_px, int(header.GetNumberOfComponents())
        self._slots = slots(header, count, fps)
        self._turn = turn(told(header, "UltrasoundImageOrientation"), self.name)
        self._mm_per_px = spacing(header)
        self._step_s = self._slots[-1].at_s / (count - 1) if count > 1 else 1 / fps
        self.fps: float | None = 1 / self._step_s
        self.still = count == 1

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        asked = options("metaimage", query)
        asked.expect("fps")
        return cls(Path(target), fps=asked.fps() or FALLBACK_FPS, loop=loop)

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``. A loop goes on counting: ``pts_s`` is the time since the first start."""
        with self:
            index, start_s = 0, 0.0
            while True:
                for slot, values in zip(self._slots, self._values(), strict=True):
                    if self._closed.is_set():
                        return
                    if slot.valid:
                        rgb = np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))[self._turn])
                        rgb, mm_per_px = squared(rgb, self._mm_per_px, self.name)
                        yield Frame(index, time.perf_counter_ns(), start_s + slot.at_s, rgb, self.name, mm_per_px)
                    else:
                        self.damaged += 1
                    index += 1
                if not self._loop:
                    return
                start_s += self._slots[-1].at_s + self._step_s

    def _values(self) -> Iterator[NDArray[np.uint8]]:
        """Each frame in order, uint8 [H, W, 1 or 3]. Raises SourceError where the file breaks off.

        Not by SimpleITK, which reads the header anew for each frame, and unpacks all that lies before it.
        """
        size, read = math.prod(self._shape), 0
        try:
            with self._path.open("rb") as file:
                file.seek(self._layout.offset)
                pixels = _Unpacked(file) if self._layout.packed else file
                for _ in self._slots:
                    values = pixels.read(size)
                    if len(values) < size:
                        raise EOFError
                    yield np.frombuffer(values, np.uint8).reshape(self._shape)
                    read += 1
        except (OSError, EOFError, zlib.error):
            raise SourceError(
                f"{self.name} broke off after {read} of {len(self._slots)} frames. Copy it again."
            ) from None


class _Unpacked:
    """Reads what is packed in a file, from where the file stands."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._unpack = file, zlib.decompressobj(PACKED_AS)

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end. Raises zlib.error."""
        parts, left = [], size
        while left and not self._unpack.eof:
            piece = self._unpack.unconsumed_tail or self._file.read(PIECE)
            parts.append(self._unpack.decompress(piece, left))
            left -= len(parts[-1])
            if not piece and not parts[-1]:
                break
        return b"".join(parts)


def layout(path: Path) -> Layout:
    """By the header, which must end in the word LOCAL. Raises SourceError."""
    packed = False
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(LONGEST_LINE), b""):
            key, _, value = (part.strip() for part in line.partition(b"="))
            if key == b"CompressedData":
                packed = value.lower() == b"true"
            if key == b"ElementDataFile" and value == b"LOCAL":
                return Layout(file.tell(), packed)
            if key == b"ElementDataFile" or (key == b"BinaryData" and value.lower() == b"false"):
                break
    raise SourceError(
        f"{printable(path.name)} is cut short, or its pixels are in another file or text. "
        "Expected a .mha file that holds them, in binary."
    )


def read_header(path: Path) -> Any:
    """SimpleITK's reader, with the header read. Raises SourceError."""
    found = sitk.ImageFileReader()
    found.SetImageIO("MetaImageIO")
    found.SetFileName(str(path))
    try:
        found.ReadImageInformation()
    except RuntimeError:
        raise SourceError(
            f"{printable(path.name)} cannot be read as a MetaImage sequence. Expected a .mha file of PLUS or 3D Slicer."
        ) from None
    return found


def checked_size(found: Any, path: Path) -> tuple[tuple[int, int], int]:
    """Width and height, and how many frames. Raises SourceError for what is no sequence of 8-bit pictures, or cannot
    be in a file of this size."""
    name, samples = printable(path.name), int(found.GetNumberOfComponents())
    size = [int(side) for side in found.GetSize()]
    if len(size) not in (2, 3) or found.GetPixelID() not in (sitk.sitkUInt8, sitk.sitkVectorUInt8) or samples > 3:
        kind = printable(sitk.GetPixelIDValueAsString(found.GetPixelID()))
        raise SourceError(
            f"{name} holds {len(size)} dimensions with {samples} samples as {kind}. "
            "Expected pictures, grey or colour, 8 bits a sample."
        )
    width_px, height_px, count = (*size, 1)[:3]
    check_size(width_px, height_px, name)
    least_bytes = width_px * height_px * samples * count * LEAST_PACKED
    if samples == 2 or min(size) < 1 or count > FRAMES_LIMIT or least_bytes > path.stat().st_size:
        raise SourceError(
            f"{name} says that it holds {count} frames of {width_px}x{height_px}, which cannot be. Copy it again."
        )
    return (width_px, height_px), count


def slots(found: Any, count: int, fps: float) -> list[Slot]:
    """When each frame begins, by PLUS' time stamps (Seq_Frame0000_Timestamp, seconds) if all are there and grow."""
    keys = [f"Seq_Frame{number:04d}_" for number in range(count)]
    valid = [told(found, key + "ImageStatus") != INVALID for key in keys]
    at_s = np.array([float_or_nan(told(found, key + "Timestamp")) for key in keys])
    if not (np.isfinite(at_s).all() and (np.diff(at_s) >= 1 / FPS_LIMIT).all()):
        at_s = np.arange(count) / fps
    return [Slot(float(begin), whole) for begin, whole in zip(at_s - at_s[0], valid, strict=True)]


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


def spacing(found: Any) -> tuple[float, float] | None:
    """mm per pixel (row, column), or None: PLUS writes 1 where nobody calibrated."""
    column, row, *_ = found.GetSpacing()
    possible = all(math.isfinite(side) and 0 < side < 1 for side in (row, column))
    return (float(row), float(column)) if possible else None


def told(found: Any, key: str) -> str:
    """An entry of the header, or nothing."""
    return str(found.GetMetaData(key)).strip() if found.HasMetaDataKey(key) else ""


def float_or_nan(text: str) -> float:
    """nan for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
