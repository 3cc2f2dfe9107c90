"""What of a DICOM header matters here? How its pixels are stored, and when each frame is shown.

Only TAGS are read of it, so that nothing about the patient gets as far as this program.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder
from pydicom.uid import MPEGTransferSyntaxes

from rcdnet.extras import install
from stream.errors import SourceError
from stream.sources.dicom_colour import lookup_table
from stream.sources.dicom_place import with_square_pixels
from stream.sources.geometry import check_count, check_size
from stream.sources.uri import FPS_LIMIT, STILLS_FPS, printable
from stream.types import ScanArea

TAGS: Sequence[str] = (
    *("Modality", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PixelSpacing", "PixelAspectRatio", "SequenceOfUltrasoundRegions"),
    *("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)
"""Everything that is read of a header (PS3.6)."""

NO_ULTRASOUND = frozenset({"CR", "CT", "DX", "MG", "MR", "NM", "PT", "RF", "SEG", "SM", "XA", "XC"})
"""Modalities (PS3.3 C.7.3.1.1.1) of other machines, and SEG, masks drawn over pictures. Not all but US: a captured
screen of a scanner may be OT or nothing."""

COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
"""Photometric interpretations (PS3.3 C.7.6.3.1.2) that pydicom's decoders hand out as RGB."""

FFMPEG = "ffmpeg"
"""Decodes what is one stream of MPEG-2, H.264 or HEVC."""

VIDEO_COLOUR = "YBR_PARTIAL_420"
"""Photometric interpretation of such a stream."""

TABLES = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
"""Those of one number for a pixel, which a table turns into a colour."""

DEFLATED = "1.2.840.10008.1.2.1.99"
"""A transfer syntax that has to be unpacked as a whole before it can be looked at, however large it becomes."""

CINE_FPS = 25.0
"""Frames a second of a cine that tells no times."""

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote the header


class NoUltrasound(SourceError):
    """What another machine made."""


@dataclass(frozen=True)
class Header:
    """What matters of one file. ``size_px`` is what is stored, ``shown_px`` with square pixels, as ``area`` and
    ``mm_per_px`` have it. ``starts_s`` is when each frame begins, ``step_s`` what follows the last one.

    ``table`` is uint8 [stored values, 3], the colour of each stored value, or None where pixels are colours already.
    ``decoder`` is pydicom's plugin, FFMPEG where all frames are one stream of video, None where none is compressed.
    """

    path: Path
    instance: int
    size_px: tuple[int, int]
    shown_px: tuple[int, int]
    bits: int
    decoder: str | None
    starts_s: NDArray[np.float64]
    step_s: float
    area: ScanArea | None
    mm_per_px: tuple[float, float] | None
    table: NDArray[np.uint8] | None


def read_header(path: Path, fps: float | None) -> Header | None:
    """None for what contains no picture, as a DICOMDIR, a report or a presentation state.

    Raises NoUltrasound, or SourceError for what is no DICOM, contradicts itself, or is compressed as nothing here
    reads.
    """
    name = printable(path.name)
    if not path.is_file():
        raise SourceError(f"{name} does not exist, or is not a file. Expected DICOM.")
    try:
        meta = read_file_meta_info(path)
        syntax = meta.TransferSyntaxUID
        if syntax == DEFLATED:
            raise SourceError(f"{name} is packed as a whole (deflated). Expected frames that can be read one by one.")
        tags = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        if "Rows" not in tags and "Image" not in meta.MediaStorageSOPClassUID.name:  # an image has them, or is damaged
            return None
        if (modality := str(tags.get("Modality", ""))) in NO_ULTRASOUND:
            raise NoUltrasound(f"{name} is no ultrasound: its header says {modality}. Expected one of modality US.")
        return parse_header(path, tags, decoder_of(name, syntax), fps)
    except SourceError:
        raise
    except InvalidDicomError:
        raise SourceError(f"{name} does not begin as DICOM files do (PS3.10). Export it again as a file.") from None
    except Exception as error:  # noqa: BLE001  damage makes pydicom raise almost anything, quoting the header
        raise SourceError(f"{name} cannot be read as DICOM ({type(error).__name__}). Copy it again.") from None


def decoder_of(name: str, syntax: Any) -> str | None:
    """As of ``Header``. Raises SourceError if nothing here can decode this transfer syntax."""
    if not syntax.is_compressed:
        return None
    if syntax in MPEGTransferSyntaxes:
        return FFMPEG
    plugins: Sequence[str] = ()
    missing: Sequence[str] = ()
    with suppress(NotImplementedError):
        decoder = get_decoder(syntax)
        plugins, missing = decoder.available_plugins, decoder.missing_dependencies
    if not plugins:
        lacks_gdcm = any(package.startswith("gdcm ") for package in missing)
        mend = f"It needs gdcm: {install('dicom')}" if lacks_gdcm else "Export it as MP4."
        raise SourceError(f"{name} is compressed as {syntax.name}, which cannot be read. {mend}")
    return "pillow" if "pillow" in plugins else plugins[0]  # GDCM reads lossless JPEG and JPEG-LS, Pillow neither


def parse_header(path: Path, tags: Any, decoder: str | None, fps: float | None) -> Header:
    """What a header means. Raises SourceError, or anything that a wrong type leads to."""
    name = printable(path.name)
    width_px, height_px = int(tags.Columns), int(tags.Rows)
    count, samples, bits = int(tags.get("NumberOfFrames") or 1), int(tags.SamplesPerPixel), int(tags.BitsAllocated)
    check_size(width_px, height_px, name)
    kind = str(tags.PhotometricInterpretation)
    is_colour = kind in COLOURS or (decoder == FFMPEG and kind == VIDEO_COLOUR)
    if (is_colour, kind in TABLES) != (samples == 3, samples == 1) or bits not in (8, 16):
        raise SourceError(f"{name} has {samples} samples of {bits} bits as {printable(kind)}. Expected grey or colour.")
    least_bytes = count if decoder else width_px * height_px * samples * bits // 16
    check_count(count, width_px, height_px, least_bytes, path)
    starts_s, step_s = frame_times_s(tags, count, 1 / (fps or (CINE_FPS if count > 1 else STILLS_FPS)))
    size_px = width_px, height_px
    shown_px, area, mm_per_px = with_square_pixels(tags, size_px, name)
    stored_bits = int(tags.get("BitsStored") or bits)
    if not 1 <= stored_bits <= bits:
        raise SourceError(f"{name} stores {stored_bits} of {bits} bits, which is impossible. Copy it again.")
    table = lookup_table(tags, kind, stored_bits) if kind in TABLES else None
    instance = int(tags.get("InstanceNumber") or 0)
    return Header(path, instance, size_px, shown_px, stored_bits, decoder, starts_s, step_s, area, mm_per_px, table)


def frame_times_s(tags: Any, count: int, fallback_step_s: float) -> tuple[NDArray[np.float64], float]:
    """When each of ``count`` frames begins, float64 [count] from 0, and how long the last one is shown; seconds.

    By Frame Time Vector, Frame Time, Cine Rate, Recommended Display Frame Rate (PS3.3 C.7.6.5): the first that is told
    and can be.
    """
    vector = tags.get("FrameTimeVector")
    if vector is not None and count > 1:
        steps_s = np.asarray(vector, np.float64).reshape(-1)[1:] / 1e3
        if len(steps_s) == count - 1 and all(possible_step(step) for step in steps_s):
            return np.concatenate((np.zeros(1), np.cumsum(steps_s))), float(np.mean(steps_s))
    told_s = [float(tags.get("FrameTime") or 0) / 1e3]
    told_s += [1 / rate for tag in ("CineRate", "RecommendedDisplayFrameRate") if (rate := float(tags.get(tag) or 0))]
    step_s = next((step for step in told_s if possible_step(step)), fallback_step_s)
    return np.arange(count, dtype=np.float64) * step_s, step_s


def possible_step(step_s: float) -> bool:
    """Whether a frame can last this long."""
    return math.isfinite(step_s) and 1 / FPS_LIMIT <= step_s <= 100
