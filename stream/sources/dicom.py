"""DICOM: a cine, a picture, or a folder of them in order of their instance numbers, read one frame at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import iter_pixels

from stream.errors import SourceError
from stream.sources.base import RecordedPicture, RecordedSource
from stream.sources.dicom_header import FFMPEG, Header, NoUltrasound, read_header
from stream.sources.dicom_video import video_frames
from stream.sources.geometry import stretched
from stream.sources.uri import holds_pictures, is_dicom, printable


class DicomSource(RecordedSource):
    """Raises SourceError if a header is damaged or makes no sense, before any memory is taken for what it declares.

    Of a folder, what other machines made is left out. The scan area and mm_per_px are those of the largest
    two-dimensional tissue region in the header. Oblong pixels are made square.
    """

    SCHEME = "dicom"

    def __init__(self, path: Path, *, fps: float | None, loop: bool) -> None:
        super().__init__(path, fps=fps, loop=loop)
        paths, others = [path], set[Path]()
        if path.is_dir():
            paths = sorted(file for file in path.iterdir() if is_dicom(file))
            others = set(filter(holds_pictures, path.iterdir())).difference(paths)
        headers, why = [], f"{self.name} contains no DICOM picture. Expected one, or the folder that holds them."
        for file in paths:
            try:
                if (header := read_header(file, fps)) is not None:
                    headers.append(header)
            except NoUltrasound as error:
                others.add(file)
                why = str(error)
        if not headers:
            raise SourceError(why)
        self._leave_out((file.name for file in others), "beside DICOM ultrasound nothing else is read")
        self._headers = sorted(headers, key=lambda header: (header.instance, header.path.name))
        places = {(header.shown_px, header.area): printable(header.path.name) for header in reversed(self._headers)}
        if len(places) > 1 and any(area is not None for _, area in places):
            two = " and ".join(sorted(places.values())[:2])
            raise SourceError(
                f"{self.name} contains pictures of different sizes or regions, as {two}. Expected a folder for each."
            )
        self.scan_area = self._headers[0].area
        self.fps = 1 / max(header.step_s for header in headers)  # its slowest is not to look silent
        self.still = all(len(header.starts_s) == 1 for header in headers)

    def _once(self) -> Iterator[RecordedPicture]:
        start_s = 0.0
        for header in self._headers:
            name, still = printable(header.path.name), len(header.starts_s) == 1
            for at_s, rgb in zip(header.starts_s.tolist(), pictures(header), strict=False):
                shown = None if rgb is None else stretched(rgb, header.shown_px)
                yield RecordedPicture(start_s + at_s, header.step_s, shown, name, header.mm_per_px, still)
            start_s += at_s + header.step_s


def pictures(header: Header) -> Iterator[NDArray[np.uint8] | None]:
    """Each frame as uint8 [H, W, 3], None if it is damaged. Raises SourceError where the file breaks off."""
    name, read, count = printable(header.path.name), 0, len(header.starts_s)
    frames = video_frames(header.path, name, header.size_px) if header.decoder == FFMPEG else still_frames(header)
    try:
        for rgb in frames:
            yield rgb
            read += 1
    except Exception as error:  # noqa: BLE001  as in read_header
        raise SourceError(
            f"{name} broke off after {read} of {count} frames ({type(error).__name__}). Copy it again."
        ) from None
    if read < count:
        raise SourceError(f"{name} is cut short: {read} of {count} frames could be read. Copy it again.")


def still_frames(header: Header) -> Iterator[NDArray[np.uint8]]:
    """Each frame as uint8 [H, W, 3], where each is stored by itself."""
    if header.decoder:
        for values in iter_pixels(header.path, decoding_plugin=header.decoder):
            yield to_rgb(values, header)
    else:  # one by one, for pydicom 3.0.2 stumbles over the second frame of uncompressed YBR_FULL_422
        for index in range(len(header.starts_s)):
            for values in iter_pixels(header.path, indices=[index]):
                yield to_rgb(values, header)


def to_rgb(values: NDArray[Any], header: Header) -> NDArray[np.uint8]:
    """Decoded values [H, W] or [H, W, 3] as uint8 [H, W, 3]. Raises ValueError for another shape."""
    if values.shape != header.size_px[::-1] + (() if header.table is not None else (3,)):
        raise ValueError("the picture has another size than its header says")
    if header.table is not None:
        return np.asarray(header.table[values.astype(np.int64) & (len(header.table) - 1)], np.uint8)
    return np.asarray(values >> (header.bits - 8) if values.dtype != np.uint8 else values, np.uint8)
