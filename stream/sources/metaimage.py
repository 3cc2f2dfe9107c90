"""MetaImage sequences (.mha), as PLUS and 3D Slicer record them: one frame at a time, with the times of the frames.

Only files that hold their own pixels: a header on its own (.mhd) may name any other file of the disk.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.base import Closing
from stream.sources.decode import check_size
from stream.sources.uri import FPS_LIMIT, FRAMES_LIMIT, options, printable
from stream.types import Frame

FALLBACK_FPS = 30.0
"""For frames without times."""

LEAST_PACKED = 1 / 1100
"""Of its size, that a picture takes when packed: zlib does no better than 1:1032."""

LONGEST_LINE = 4096
"""Bytes of the header that are looked at together; its entries are a tenth of it."""

INVALID = "INVALID"
"""What PLUS says of a frame that the scanner did not deliver."""


@dataclass(frozen=True)
class Slot:
    """One frame in the file: when it begins, in seconds from the first, and whether it is whole."""

    at_s: float
    valid: bool


class MetaImageSource(Closing):
    """Raises SourceError if the header is damaged or makes no sense, before any memory is taken for what it declares.

    ``fps`` is for frames without times, or with times that do not grow. Pictures that PLUS stored with another
    orientation than the screen's (MF) are turned.
    """

    live = False
    synthetic = False
    scan_area = None

    def __init__(self, path: Path, *, fps: float = FALLBACK_FPS, loop: bool = False) -> None:
        super().__init__()
        self.name, self.damaged = printable(path.name), 0
        self._loop = loop
        self._reader = reader(path)
        self._size_px, count = checked_size(self._reader, path)
        self._slots = slots(self._reader, count, fps)
        self._turn = turn(told(self._reader, "UltrasoundImageOrientation"))
        self._mm_per_px = spacing(self._reader)
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
                for number, slot in enumerate(self._slots):
                    pts_s = start_s + slot.at_s
                    rgb = self._pixels(number) if slot.valid else None
                    if self._closed.is_set():
                        return
                    if rgb is None:
                        self.damaged += 1
                    else:
                        yield Frame(index, time.monotonic_ns(), pts_s, rgb, self.name, self._mm_per_px)
                    index += 1
                if not self._loop:
                    return
                start_s += self._slots[-1].at_s + self._step_s

    def _pixels(self, number: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]. Raises SourceError."""
        width_px, height_px = self._size_px
        try:
            if self._reader.GetDimension() == 3:
                self._reader.SetExtractIndex([0, 0, number])
                self._reader.SetExtractSize([width_px, height_px, 0])
            values = sitk.GetArrayFromImage(self._reader.Execute())
        except RuntimeError:
            raise SourceError(
                f"{self.name} broke off after {number} of {len(self._slots)} frames. Copy it again."
            ) from None
        colour = values if values.ndim == 3 else np.repeat(values[:, :, None], 3, axis=2)
        return np.ascontiguousarray(colour[self._turn])


def reader(path: Path) -> Any:
    """SimpleITK's, with the header read. Raises SourceError."""
    if not holds_its_pixels(path):
        raise SourceError(
            f"{printable(path.name)} is cut short, or its pixels are in another file. "
            "Expected a .mha file that holds them."
        )
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


def holds_its_pixels(path: Path) -> bool:
    """Whether the header ends, and in the word LOCAL. Raises SourceError."""
    try:
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(LONGEST_LINE), b""):
                key, _, value = line.partition(b"=")
                if key.strip() == b"ElementDataFile":
                    return value.strip() == b"LOCAL"
    except OSError as error:
        raise SourceError(f"{printable(path.name)} cannot be read ({error.strerror}).") from error
    return False


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
    at_s = np.array([number(told(found, key + "Timestamp")) for key in keys])
    if not (np.isfinite(at_s).all() and (np.diff(at_s) >= 1 / FPS_LIMIT).all()):
        at_s = np.arange(count) / fps
    return [Slot(float(begin), whole) for begin, whole in zip(at_s - at_s[0], valid, strict=True)]


def turn(orientation: str) -> tuple[slice, slice]:
    """Rows and columns of a picture in PLUS' notation, so that marked side and skin lie left and on top (MF)."""
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


def number(text: str) -> float:
    """nan for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
