"""MetaImage sequences (.mha), as PLUS and 3D Slicer record them: one frame at a time, with the times of the frames.

Only files that hold their own pixels: a header on its own (.mhd) may name any other file of the disk.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.geometry import check_size
from stream.sources.sequence import FALLBACK_FPS, LEAST_PACKED, Pixels, SequenceSource, asked_fps, spacing
from stream.sources.uri import FRAMES_LIMIT, printable

LONGEST_LINE = 4096
"""Bytes of the header that are looked at together; its entries are a tenth of it."""


@dataclass(frozen=True)
class Layout:
    """Where in the file the pixels begin, in bytes, and whether they are packed."""

    offset: int
    packed: bool


class MetaImageSource(SequenceSource):
    """Raises SourceError if the header is damaged or makes no sense, before any memory is taken for what it declares.

    ``fps`` is for frames without times, or with times that do not grow.
    """

    def __init__(self, path: Path, *, fps: float = FALLBACK_FPS, loop: bool = False) -> None:
        self._layout = layout(path)
        header = read_header(path)
        (width_px, height_px), count = checked_size(header, path)
        self._shape = height_px, width_px, int(header.GetNumberOfComponents())

        def entry(key: str) -> str:
            return str(header.GetMetaData(key)).strip() if header.HasMetaDataKey(key) else ""

        column, row, *_ = header.GetSpacing()
        super().__init__(path, entry, count, spacing(row, column), fps=fps, loop=loop)

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        return cls(Path(target), fps=asked_fps("metaimage", query), loop=loop)

    def _values(self) -> Iterator[NDArray[np.uint8]]:
        """Not by SimpleITK, which reads the header anew for each frame, and unpacks all that lies before it."""
        with self._path.open("rb") as file:
            file.seek(self._layout.offset)
            pixels = Pixels(file, self._layout.packed)
            for _ in self._slots:
                yield np.frombuffer(pixels.read(math.prod(self._shape)), np.uint8).reshape(self._shape)


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
            f"{name} says that it holds {count} frames of {width_px}x{height_px}, which is impossible. Copy it again."
        )
    return (width_px, height_px), count
