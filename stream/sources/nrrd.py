"""NRRD sequences (.nrrd, .seq.nrrd), as 3D Slicer and PLUS record them, with the times of the frames.

Header and order of the pixels: "Definition of NRRD File Format" (teem, NRRD0001 to NRRD0005) and 3D Slicer's "Volume
sequence file format".
"""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stream.errors import SourceError
from stream.sources.sequence import Layout, SequenceSource, float_or_nan, header_lines, plus_spacing
from stream.sources.uri import printable

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


class NrrdSource(SequenceSource):
    """Raises SourceError if the header is damaged or makes no sense."""

    SCHEME = "nrrd"

    def __init__(self, path: Path, *, fps: float | None, loop: bool) -> None:
        fields, pairs, offset = read_header(path)
        found = layout(fields, offset, path)
        at_s = None
        unit_s = UNITS_S.get(of_axis(fields, "units", found.frame))
        if of_axis(fields, "labels", found.frame) == "time" and unit_s is not None:
            told = pairs.get(f"axis {found.frame} index values", "").split()
            at_s = unit_s * np.array([float_or_nan(each) for each in told])
        mm_per_px = plus_spacing(step(fields, found.row), step(fields, found.column))
        super().__init__(path, found, pairs, mm_per_px, fps=fps, loop=loop, at_s=at_s)


def read_header(path: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """Its fields in small letters ("sizes: 2 3"), its pairs of key and value ("key:=value"), and where the pixels
    begin, in bytes. Raises SourceError."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    with path.open("rb") as file:
        if file.readline(16).startswith(b"NRRD000"):
            for text in header_lines(file):
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
    """Raises SourceError for what is no sequence of 8-bit pictures in the file itself."""
    name = printable(path.name)
    packed = is_packed(fields, name)
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
    return Layout(offset, packed, sizes, column, row, frames[0] if frames else None, colours[0] if colours else None)


def is_packed(fields: Mapping[str, str], name: str) -> bool:
    """Whether the pixels are packed. Raises SourceError unless they are in the file itself and of 8 bits."""
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
    return PACKED[encoding]


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
