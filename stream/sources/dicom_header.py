"""What does a DICOM header say about time, place and colour of its pixels?

Only TAGS are read of it, so that nothing about the patient gets as far as this program.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import MPEGTransferSyntaxes

from rcdnet.extras import install
from stream.errors import SourceError
from stream.scan_detection import scaled
from stream.scan_parts import TWIN_SHARE, are_aligned
from stream.sources.geometry import check_count, check_size, square_px, valid_spacing
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

MM_PER_UNIT = {3: 10.0}
"""Physical Units (PS3.3 C.8.5.5.1.15) that are a length: 3 is cm."""

CINE_FPS = 25.0
"""Frames a second of a cine that tells no times."""

SHRUNK = range(1, 9)
"""How many times smaller a picture may be than its regions say: some archives shrink pictures and keep the header."""

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


def with_square_pixels(
    tags: Any, size_px: tuple[int, int], name: str
) -> tuple[tuple[int, int], ScanArea | None, tuple[float, float] | None]:
    """Width and height once pixels are square, and scan area and mm per pixel (row, column) at that size.

    Raises SourceError if that is larger than any scanner's.
    """
    area, mm_per_px = region_calibration(tags, *size_px)
    shown_px = square_px(*size_px, aspect(tags, mm_per_px))
    check_size(*shown_px, name)
    wider, higher = shown_px[0] / size_px[0], shown_px[1] / size_px[1]
    if area is not None:
        area = scaled(area, wider, higher)
    if mm_per_px is not None:
        mm_per_px = mm_per_px[0] / higher, mm_per_px[1] / wider
    return shown_px, area, mm_per_px


def region_calibration(tags: Any, width_px: int, height_px: int) -> tuple[ScanArea | None, tuple[float, float] | None]:
    """Scan area and mm per pixel (row, column) of the largest two-dimensional tissue region (PS3.3 C.8.5.5). The area
    is None if another picture stands ``beside`` it. Without such a region: None, and the Pixel Spacing (10.7.1.3).
    """
    told = tags.get("PixelSpacing")
    pixel_spacing = None if told is None else valid_spacing(float(told[0]), float(told[1]))
    regions = list(tissue_regions(tags, width_px, height_px))
    if not regions:
        return None, pixel_spacing
    best, mm_per_px = max(regions, key=lambda region: region[0].count_px)
    if any(beside(best, other) for other, _ in regions):
        return None, mm_per_px  # nobody knows which is meant: the scan is looked for, and refused if it shows both
    return best, mm_per_px


def tissue_regions(tags: Any, width_px: int, height_px: int) -> Iterator[tuple[ScanArea, tuple[float, float] | None]]:
    """Each two-dimensional tissue region of the header that fits the picture, with its mm per pixel.

    A region that is larger than the picture is divided by the least whole number that makes it fit, rounded inwards.
    """
    for region in tags.get("SequenceOfUltrasoundRegions") or ():
        if (region.get("RegionSpatialFormat"), region.get("RegionDataType")) != (1, 1):
            continue
        corners = [region.get(f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if None in corners:
            continue
        left, top, right, bottom = (int(corner) for corner in corners)
        right, bottom = right + 1, bottom + 1  # inclusive there
        shrunk = next((by for by in SHRUNK if right <= width_px * by and bottom <= height_px * by), None)
        if shrunk is None or not (0 <= left < right and 0 <= top < bottom):
            continue
        x_px, y_px = -(-left // shrunk), -(-top // shrunk)
        size = right // shrunk - x_px, bottom // shrunk - y_px
        if min(size) < 1:
            continue
        row, column = (
            MM_PER_UNIT.get(region.get(f"PhysicalUnits{axis}Direction"), 0.0)
            * shrunk
            * float(region.get(f"PhysicalDelta{axis}") or 0)
            for axis in "YX"
        )
        yield ScanArea(x_px, y_px, *size, "header"), valid_spacing(row, column)


def beside(one: ScanArea, other: ScanArea) -> bool:
    """Whether these are two pictures side by side, or one above the other, as ``scan_parts`` has it."""
    aligned = are_aligned(one.rows, other.rows) or are_aligned(one.columns, other.columns)
    return aligned and not one.common_px(other) and other.count_px >= TWIN_SHARE * one.count_px


def aspect(tags: Any, mm_per_px: tuple[float, float] | None) -> float:
    """How many times as wide as high a pixel is: by its spacing, else by Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7)."""
    told = tags.get("PixelAspectRatio") if mm_per_px is None else mm_per_px
    sides = None if told is None else valid_spacing(float(told[0]), float(told[1]))
    return 1.0 if sides is None else sides[1] / sides[0]


def lookup_table(tags: Any, kind: str, bits: int) -> NDArray[np.uint8]:
    """The colour of each stored value, uint8 [2**bits, 3], by palette (PS3.3 C.7.9), or rescale and window (C.11.2).

    Without a window the whole range of stored values is shown, so that no frame decides about the brightness of others.
    """
    values = np.arange(2**bits, dtype=np.uint8 if bits <= 8 else np.uint16)
    if kind == "PALETTE COLOR":
        colour = apply_color_lut(values, tags)[:, :3]
        return np.asarray(colour if colour.dtype == np.uint8 else colour >> 8, np.uint8)
    stored = values.astype(np.float64)
    if tags.get("PixelRepresentation") == 1:  # two's complement
        stored[2 ** (bits - 1) :] -= 2**bits
    real = stored * float(tags.get("RescaleSlope") or 1) + float(tags.get("RescaleIntercept") or 0)
    grey = window(real, *first_window(tags, real), str(tags.get("VOILUTFunction") or "LINEAR"))
    grey = 1 - grey if kind == "MONOCHROME1" else grey
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[:, None], 3, axis=1)


def first_window(tags: Any, real: NDArray[np.float64]) -> tuple[float, float]:
    """Centre and width of the header's first window, or such that LINEAR maps all of ``real`` to all of the greys."""
    centre, width = (np.asarray(tags.get(tag), np.float64).reshape(-1) for tag in ("WindowCenter", "WindowWidth"))
    if math.isfinite(centre[0]) and width[0] >= 1:  # nan where there is none
        return float(centre[0]), float(width[0])
    low, high = float(real.min()), float(real.max())
    return (low + high + 1) / 2, high - low + 1


def window(real: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Grey, 0..1, of real values (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (real - centre) / width))
    if function == "LINEAR_EXACT":
        return np.clip((real - centre) / width + 0.5, 0, 1)
    return np.clip((real - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
