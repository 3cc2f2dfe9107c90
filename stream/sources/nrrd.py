"""NRRD sequences (.nrrd, .seq.nrrd), as 3D Slicer and PLUS record them, with the times of the frames.

Header and order of the pixels: "Definition of NRRD File Format" (teem, NRRD0001 to NRRD0005) and 3D Slicer's "Volume
sequence file format". Only files that hold their own pixels: others may name any file of the disk.
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.errors import SourceError
from stream.sources.geometry import check_size
from stream.sources.sequence import FALLBACK_FPS, LEAST_PACKED, Pixels, SequenceSource, asked_fps, float_or_nan, spacing
from stream.sources.uri import FRAMES_LIMIT, printable

FRAMES = frozenset({"list", "time"})
"""Kinds of an axis along which the frames lie."""

COLOUR = frozenset({"3-color", "rgb-color", "3-vector", "vector"})
"""Kinds of an axis along which red, green and blue lie."""

BYTES = frozenset({"uchar", "unsigned char", "uint8", "uint8_t"})

PACKED = {"raw": False, "gzip": True, "gz": True}
"""Encodings that are read, and whether they are packed."""

UNITS_S = {"": 1.0, "s": 1.0, "ms": 1e-3}
"""Of the times of the frames; SlicerHeart's are in ms."""

SKIPS = ("byte skip", "byteskip", "line skip", "lineskip")
"""Fields that tell what lies between header and pixels; each has two names."""

LONGEST_HEADER = 2**26
"""Bytes; PLUS writes a thousand for each frame."""

LARGEST_MIXED = 400 * 2**20
"""Bytes of pixels that are read at once, where those of one frame do not lie together."""


@dataclass(frozen=True)
class Layout:
    """Where in the file the pixels begin, in bytes, whether they are packed, how long each axis is, the fastest first,
    and which axes are columns, rows, frames and colours; None where there is one frame or no colour."""

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

    def arranged(self, values: bytes, count: int) -> NDArray[np.uint8]:
        """The pixels of ``count`` frames as uint8 [frames, H, W, 1 or 3]."""
        sizes = [count if axis == self.frame else size for axis, size in enumerate(self.sizes)]
        array = np.frombuffer(values, np.uint8).reshape(sizes[::-1]).T[..., None, None]  # an axis for each that is None
        order = [len(sizes) if self.frame is None else self.frame, self.row, self.column]
        order.append(len(sizes) + 1 if self.colour is None else self.colour)
        rest = [axis for axis in range(array.ndim) if axis not in order]
        return array.transpose(*order, *rest).squeeze(tuple(range(4, array.ndim)))


class NrrdSource(SequenceSource):
    """Raises SourceError if the header is damaged or makes no sense, before any memory is taken for what it declares.

    ``fps`` is for frames without times, or with times that do not grow.
    """

    def __init__(self, path: Path, *, fps: float = FALLBACK_FPS, loop: bool = False) -> None:
        fields, pairs, offset = read_header(path)
        self._layout = found = layout(fields, offset, path)
        at_s = None
        unit_s = UNITS_S.get(of_axis(fields, "units", found.frame))
        if of_axis(fields, "labels", found.frame) == "time" and unit_s is not None:
            told = pairs.get(f"axis {found.frame} index values", "").split()
            at_s = unit_s * np.array([float_or_nan(each) for each in told])
        mm_per_px = spacing(step(fields, found.row), step(fields, found.column))
        super().__init__(path, lambda key: pairs.get(key, ""), found.count, mm_per_px, fps=fps, loop=loop, at_s=at_s)

    @classmethod
    def open(cls, target: str, query: str, live: bool | None, loop: bool) -> Self:
        """See ``stream.sources.open_source``."""
        return cls(Path(target), fps=asked_fps("nrrd", query), loop=loop)

    def _values(self) -> Iterator[NDArray[np.uint8]]:
        found = self._layout
        together = found.count if found.mixed else 1
        size = math.prod(found.sizes) // found.count * together
        with self._path.open("rb") as file:
            file.seek(found.offset)
            pixels = Pixels(file, found.packed)
            for _ in range(found.count // together):
                yield from found.arranged(pixels.read(size), together)


def read_header(path: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """Its fields in small letters ("sizes: 2 3"), its pairs of key and value ("key:=value"), and where the pixels
    begin, in bytes. Raises SourceError."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    with path.open("rb") as file:
        if file.readline(16).startswith(b"NRRD000"):
            while file.tell() < LONGEST_HEADER and (line := file.readline(LONGEST_HEADER)):
                text = line.decode("utf-8", "replace").strip()
                if not text:
                    return fields, pairs, file.tell()
                key, _, value = text.partition(":")
                if value.startswith("="):
                    pairs[key] = value[1:].strip()
                elif not text.startswith("#"):
                    fields[key.strip().lower()] = value.strip()
    raise SourceError(
        f"{printable(path.name)} cannot be read as NRRD. Expected a whole .nrrd file with its own pixels."
    )


def layout(fields: Mapping[str, str], offset: int, path: Path) -> Layout:
    """Raises SourceError for what is no sequence of 8-bit pictures, or cannot be in a file of this size."""
    name = printable(path.name)
    if fields.keys() & {"data file", "datafile"} or any(fields.get(each, "0") != "0" for each in SKIPS):
        raise SourceError(
            f"{name} has its pixels elsewhere. Expected a .nrrd file that holds them, right after its header."
        )
    encoding, kind = fields.get("encoding", ""), fields.get("type", "")
    if kind not in BYTES or encoding not in PACKED:
        raise SourceError(
            f"{name} holds {printable(kind) or 'nothing'}, encoded as {printable(encoding) or 'nothing'}. "
            "Expected pictures, grey or colour, 8 bits a sample, raw or gzip."
        )
    try:
        sizes = tuple(int(size) for size in fields.get("sizes", "").split())
    except ValueError:
        sizes = ()
    kinds = fields.get("kinds", "domain " * len(sizes)).lower().split()
    if len(kinds) != len(sizes) or min(sizes, default=0) < 1:
        raise SourceError(f"{name} does not say how large it is. Copy it again.")
    frames = [axis for axis, kind in enumerate(kinds) if kind in FRAMES]
    colours = [axis for axis, kind in enumerate(kinds) if kind in COLOUR]
    sides = [axis for axis in range(len(sizes)) if axis not in (*frames, *colours)]
    if len(sides) == 3:
        depth = sides.pop()
        if not frames:
            frames = [depth]
        elif sizes[depth] > 1:
            sides.append(depth)
    if len(sides) != 2 or len(frames) > 1 or len(colours) > 1 or any(sizes[axis] not in (1, 3) for axis in colours):
        shape = " x ".join(f"{size} ({printable(kind)})" for size, kind in zip(sizes, kinds, strict=True))
        raise SourceError(f"{name} holds {shape}. Expected pictures over time, grey or colour.")
    column, row = sides
    found = Layout(
        offset, PACKED[encoding], sizes, column, row, frames[0] if frames else None, colours[0] if colours else None
    )
    check_size(sizes[column], sizes[row], name)
    size = math.prod(sizes)
    if found.count > FRAMES_LIMIT or size * LEAST_PACKED > path.stat().st_size:
        raise SourceError(
            f"{name} says that it holds {found.count} frames of {sizes[column]}x{sizes[row]}, which is impossible. "
            "Copy it again."
        )
    if found.mixed and size > LARGEST_MIXED:
        raise SourceError(
            f"{name} holds its frames pixel by pixel, and is too large to be read at once. Save it as MP4, "
            ".mha or with the frames one after the other."
        )
    return found


def of_axis(fields: Mapping[str, str], key: str, axis: int | None) -> str:
    """What a field with a word for each axis says of this one, in small letters; nothing if it says nothing."""
    try:
        words: Sequence[str] = shlex.split(fields.get(key, ""))
    except ValueError:
        words = ()
    return words[axis].lower() if axis is not None and axis < len(words) else ""


def step(fields: Mapping[str, str], axis: int) -> float:
    """mm from one pixel to the next along an axis; nan if it is not told."""
    steps = [
        math.hypot(*(float_or_nan(side) for side in told.strip("()").split(",")))
        for told in re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    ] or [float_or_nan(told) for told in fields.get("spacings", "").split()]
    return steps[axis] if axis < len(steps) else math.nan
