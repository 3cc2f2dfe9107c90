"""The annotated pictures as a DICOM cine: Multi-frame True Color Secondary Capture (PS3.3 A.8.5), in JPEG.

It is a new study without a patient: of the source's header it keeps only the pixels' spacing and the frames' times.
Nobody has checked whether a name is burnt in inside the scan area, so the header says that there may be one.
"""

import secrets
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import itemize_fragment
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit, MultiFrameTrueColorSecondaryCaptureImageStorage, generate_uid

from rcdnet.files import written_whole
from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.jpeg import as_jpeg
from stream.session import Session
from stream.sinks.base import made_with, refused
from stream.sinks.clock import RecordingClock
from stream.sinks.video import fit
from stream.status import Status
from stream.types import View

JPEG_QUALITY = 92
"""Keeps the panel's letters and the speckle, in some 150 KB for a scan of 1280x720."""

EVEN_MS = 1.0
"""If every picture is this close to an even spacing, one frame time serves for all: clips count in milliseconds."""

LONGEST_VECTOR = 2**16 - 2
"""Bytes that an element of this kind (DS) can have: the times of some 9000 pictures."""


class DicomSink:
    """Encodes every view's picture; the file is there once the run is over. Raises UsageError if the disk refuses.

    Pictures of another size are fitted into that of the first. Their number is known only at the end, so they wait in a
    nameless file on the same disk. The disk needs room for both, and if the process is killed they are lost, while the
    video is not.
    """

    on_disk = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pictures: IO[bytes] | None = None
        self._at_ms: list[float] = []
        self._rows_and_columns = (0, 0)
        self._spacings: set[tuple[float, float] | None] = set()

    def open(self, session: Session) -> None:
        """Make room for the pictures."""
        self._session, self._clock = session, RecordingClock(session)
        try:
            self._pictures = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115  closed by close()
            self._pictures.write(itemize_fragment(b""))  # no table of offsets
        except OSError as error:
            raise refused(self._path, error) from error

    def write(self, view: View) -> None:
        """Encode one picture."""
        assert self._pictures is not None
        if not self._at_ms:
            self._rows_and_columns = view.picture.shape[:2]
        picture = fit(view.picture, *self._rows_and_columns)
        jpeg = as_jpeg(picture, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)
        try:
            self._pictures.write(itemize_fragment(jpeg + b"\0" * (len(jpeg) % 2)))  # even, by PS3.5 A.4
        except OSError as error:
            self._drop()  # the room is needed to finish the other files
            raise refused(self._path, error) from error
        self._at_ms.append(1000 * self._clock.at_s(view.frame.pts_s))
        self._spacings.add(view.frame.mm_per_px if picture is view.picture else None)

    def close(self, status: Status) -> None:
        """Write the file, if there was any picture."""
        pictures = self._pictures
        if pictures is None:
            return
        try:
            if self._at_ms:
                cine = self._cine(self._session, pictures)
                instead = " (in place of one that failed)" * bool(status.engine.replaced)
                cine.DerivationDescription += f" Engine {status.engine.name}, {status.engine.precision}{instead}."
                if status.error is not None:  # it may quote a file's name
                    cine.ImageComments += " Incomplete: the run broke off."
                with written_whole(self._path) as part:
                    cine.save_as(part, enforce_file_format=True)
        except OSError as error:
            cause = error.__cause__  # pydicom's message has a traceback in it
            raise refused(self._path, cause if isinstance(cause, OSError) else error) from error
        finally:
            self._drop()

    def _drop(self) -> None:
        """Free the room that the pictures take."""
        pictures, self._pictures = self._pictures, None
        if pictures is not None:
            with suppress(OSError):  # from data that was not yet written
                pictures.close()

    def _cine(self, session: Session, pictures: IO[bytes]) -> Dataset:
        cine, now = Dataset(), datetime.now(UTC)
        cine.file_meta = FileMetaDataset()
        cine.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        cine.SpecificCharacterSet = "ISO_IR 192"
        cine.SOPClassUID, cine.SOPInstanceUID = MultiFrameTrueColorSecondaryCaptureImageStorage, generate_uid()
        cine.StudyInstanceUID, cine.SeriesInstanceUID = generate_uid(), generate_uid()
        cine.PatientID = f"RcdNet-{secrets.token_hex(6)}"  # archives merge all that have none
        for nobodys in ("PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"):
            setattr(cine, nobodys, "")
        for unknown in ("AccessionNumber", "Laterality", "PatientOrientation"):
            setattr(cine, unknown, "")
        cine.StudyDate = cine.ContentDate = cine.InstanceCreationDate = now.strftime("%Y%m%d")
        cine.StudyTime = cine.ContentTime = cine.InstanceCreationTime = now.strftime("%H%M%S")
        cine.TimezoneOffsetFromUTC = "+0000"
        cine.StudyID, cine.SeriesNumber, cine.InstanceNumber, cine.Modality = "1", 1, 1, "US"
        cine.StudyDescription = cine.SeriesDescription = f"RcdNet Live. {RESEARCH_NOTICE}"
        cine.ImageComments = f"{RESEARCH_NOTICE} {SCOPE}{' A synthetic scan.' * session.synthetic}"
        cine.ContentQualification = "RESEARCH"
        cine.Manufacturer, cine.ManufacturerModelName = "RcdNet Live", f"RcdNet {session.spec.version}"
        cine.SoftwareVersions = [version("rcdnet-live"), f"weights {session.spec.weights_sha256[:16]}"]
        cine.ImageType, cine.ConversionType, cine.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "WSD", "YES"
        cine.DerivationDescription = f"heat map drawn in, panel with the network's answer added. {made_with(session)}"
        cine.SamplesPerPixel, cine.PhotometricInterpretation, cine.PlanarConfiguration = 3, "YBR_FULL_422", 0
        cine.BitsAllocated, cine.BitsStored, cine.HighBit, cine.PixelRepresentation = 8, 8, 7, 0
        cine.Rows, cine.Columns = self._rows_and_columns
        size = pictures.seek(0, 2)
        cine.LossyImageCompression, cine.LossyImageCompressionMethod = "01", "ISO_10918_1"
        cine.LossyImageCompressionRatio = f"{3 * len(self._at_ms) * np.prod(self._rows_and_columns) / size:.2f}"
        if len(self._spacings) == 1 and (spacing := self._spacings.pop()) is not None:
            cine.PixelSpacing = [f"{mm:.8g}" for mm in spacing]
        self._write_frame_times(cine)
        pictures.seek(0)
        cine.PixelData = pictures
        cine["PixelData"].VR, cine["PixelData"].is_undefined_length = "OB", True
        return cine

    def _write_frame_times(self, cine: Dataset) -> None:
        """One frame time, in ms, where the pictures come evenly or are too many for a list of intervals."""
        count = cine.NumberOfFrames = len(self._at_ms)
        mean_ms = self._at_ms[-1] / max(1, count - 1)
        uneven = np.abs(self._at_ms - mean_ms * np.arange(count)).max() > EVEN_MS
        vector = [f"{interval:.3f}" for interval in np.diff(self._at_ms, prepend=0.0)]
        if uneven and len("\\".join(vector)) <= LONGEST_VECTOR:
            cine.FrameTimeVector, cine.FrameIncrementPointer = vector, Tag("FrameTimeVector")
        else:  # 0 for a single picture, as in the standard (C.7.6.6.1.2)
            cine.FrameTime, cine.FrameIncrementPointer = f"{mean_ms:.9g}", Tag("FrameTime")
