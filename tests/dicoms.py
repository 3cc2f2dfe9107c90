"""DICOM files for the tests, written by pydicom: a made-up cine of a patient with a name that must not be seen."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from stream.sources import open_here
from stream.types import Frame

PATIENT = "Nobody^Erika"

RANDOM = np.random.default_rng(1)


def noise(*shape: int, dtype: type = np.uint8) -> NDArray[Any]:
    """Every value that the type has."""
    info = np.iinfo(dtype)
    return RANDOM.integers(info.min, info.max + 1, shape, dtype)


def read(path: Path) -> list[Frame]:
    """All that a file or folder gives."""
    with open_here(str(path)) as source:
        return list(source.frames())


def pictures(path: Path) -> NDArray[np.uint8]:
    """Uint8 [frames, H, W, 3]."""
    return np.stack([frame.rgb for frame in read(path)])


def write_dicom(
    path: Path, values: NDArray[Any], kind: str = "MONOCHROME2", *, jpegs: list[bytes] | None = None, **header: Any
) -> Path:
    """``values`` [frames, H, W] or [frames, H, W, 3], stored without compression, or as ``jpegs`` of the same shape.

    ``header`` are further elements.
    """
    found = of_patient(UltrasoundMultiFrameImageStorage)
    found.NumberOfFrames, found.Rows, found.Columns = values.shape[:3]
    found.SamplesPerPixel = 3 if values.ndim == 4 else 1
    found.PhotometricInterpretation, found.PixelRepresentation = kind, int(values.dtype.kind == "i")
    found.BitsAllocated = found.BitsStored = 8 * values.dtype.itemsize
    found.HighBit = found.BitsStored - 1
    if values.ndim == 4:
        found.PlanarConfiguration = 0
    found.PixelData = values.tobytes()
    if jpegs is not None:
        found.file_meta.TransferSyntaxUID, found.PixelData = JPEGBaseline8Bit, encapsulate(jpegs)
        found["PixelData"].VR = "OB"
    for key, value in header.items():
        setattr(found, key, value)
    found.save_as(path, enforce_file_format=True)
    return path


def write_object(path: Path, kind: UID) -> Path:
    """Something of the same patient without a picture, of this SOP class."""
    of_patient(kind).save_as(path, enforce_file_format=True)
    return path


def of_patient(kind: UID) -> Dataset:
    """What every object begins with."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID = kind, generate_uid()
    found.PatientName = found.PatientID = found.StudyDescription = PATIENT
    return found


def region(
    left: int, top: int, right: int, bottom: int, *, delta_cm: float = 0.02, higher: float = 1.0, kind: int = 1
) -> Dataset:
    """A tissue region, both corners inclusive; ``kind`` 1 is two-dimensional. A pixel is ``higher`` times its width."""
    found = Dataset()
    found.RegionSpatialFormat, found.RegionDataType = kind, 1
    found.RegionLocationMinX0, found.RegionLocationMinY0 = left, top
    found.RegionLocationMaxX1, found.RegionLocationMaxY1 = right, bottom
    found.PhysicalUnitsXDirection = found.PhysicalUnitsYDirection = 3
    found.PhysicalDeltaX, found.PhysicalDeltaY = delta_cm, -higher * delta_cm
    return found


def regions(*found: Dataset) -> Sequence:
    """The header's list of them."""
    return Sequence(found)
