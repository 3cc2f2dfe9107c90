"""MetaImage sequences (.mha), as PLUS and 3D Slicer record them, with the times of the frames.

Header: "MetaIO/Documentation" (itk.org/Wiki) and PLUS' "Sequence file format".
"""

from collections.abc import Mapping
from pathlib import Path

from stream.errors import SourceError
from stream.sources.sequence import Layout, SequenceSource, float_or_nan, header_lines, plus_spacing
from stream.sources.uri import printable

BYTES = frozenset({"MET_UCHAR", "MET_UCHAR_ARRAY"})
"""Element types of 8 bits without a sign."""


class MetaImageSource(SequenceSource):
    """Raises SourceError if the header is damaged or makes no sense."""

    SCHEME = "metaimage"

    def __init__(self, path: Path, *, fps: float | None, loop: bool) -> None:
        entries, offset = read_header(path)
        column, row, *_ = (*map(float_or_nan, entries.get("ElementSpacing", "").split()), 1.0, 1.0)
        super().__init__(path, layout(entries, offset, path), entries, plus_spacing(row, column), fps=fps, loop=loop)


def read_header(path: Path) -> tuple[dict[str, str], int]:
    """Its entries ("DimSize = 640 480 100"), and where the pixels begin, in bytes. Raises SourceError."""
    entries: dict[str, str] = {}
    with path.open("rb") as file:
        for text in header_lines(file):
            key, _, value = (part.strip() for part in text.partition("="))
            entries[key] = value
            if key == "ElementDataFile":
                break
        if entries.get("ElementDataFile") == "LOCAL" and entries.get("BinaryData", "").lower() != "false":
            return entries, file.tell()
    raise SourceError(
        f"{printable(path.name)} is cut short, or its pixels are in another file or text. "
        "Expected a .mha file that holds them, in binary."
    )


def layout(entries: Mapping[str, str], offset: int, path: Path) -> Layout:
    """Raises SourceError for what is no sequence of 8-bit pictures."""
    name = printable(path.name)
    try:
        dimensions, samples = int(entries["NDims"]), int(entries.get("ElementNumberOfChannels", "1"))
        sizes = tuple(int(size) for size in entries["DimSize"].split())
        kind = entries["ElementType"]
    except (KeyError, ValueError):
        sizes = ()
    if not sizes or len(sizes) != dimensions:
        raise SourceError(f"{name} cannot be read as a MetaImage sequence. Expected a .mha file of PLUS or 3D Slicer.")
    if dimensions not in (2, 3) or samples not in (1, 3) or kind not in BYTES:
        raise SourceError(
            f"{name} holds {dimensions} dimensions with {samples} samples as {printable(kind)}. "
            "Expected pictures, grey or colour, 8 bits a sample."
        )
    packed = entries.get("CompressedData", "").lower() == "true"
    return Layout(offset, packed, (samples, *sizes, 1), column=1, row=2, frame=3, colour=0)
