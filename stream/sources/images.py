"""A picture, or a folder of pictures in natural order, as a stream of frames."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.preprocess import too_dark
from stream.errors import SourceError
from stream.sources.base import RecordedPicture, RecordedSource
from stream.sources.uri import SIZE_LIMIT_PX, STILLS_FPS, holds_pictures, is_picture, printable

STACKS = frozenset({".tif", ".tiff"})
"""May hold several pictures each."""
ANIMATED = frozenset({".png", ".webp"})
"""May hold moving pictures, of which OpenCV gives the first alone."""

UPRIGHT = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
"""Turned as EXIF says, which ``IMREAD_UNCHANGED`` does not; without alpha; 8 or 16 bits as they are. Blue first: of a
TIFF with colours of 16 bits, ``IMREAD_COLOR_RGB`` of OpenCV 5.0 gives whatever was in memory."""

MASK = re.compile(r"_mask(_\d+)?$")
"""Lesion masks, as BUSI names them beside their pictures: no pictures to judge."""


class ImageSource(RecordedSource):
    """Raises SourceError if there is no picture. One that cannot be read is passed over and told at the end; in a loop,
    only counted."""

    SCHEME = "images"
    still = True
    fps: float

    def __init__(self, path: Path, *, fps: float | None, loop: bool) -> None:
        super().__init__(path, fps=fps or STILLS_FPS, loop=loop)
        paths = [path] if path.is_file() else list_pictures(path)
        self._pictures = [(path, page) for path in paths for page in range(pages(path))]
        if not self._pictures:
            raise SourceError(
                f"{self.name} contains no picture. Expected PNG, JPEG or TIFF; a clip, or a folder in it, is "
                "given by its own path."
            )
        if path.is_dir():
            others = (file.name for file in path.iterdir() if holds_pictures(file) and not is_picture(file))
            self._leave_out(others, "of a folder PNG, JPEG, TIFF and the like are read, a clip by its own path")

    def _once(self) -> Iterator[RecordedPicture]:
        require_depth(*self._pictures[0])
        errors = []
        for number, (path, page) in enumerate(self._pictures):
            rgb = None
            try:
                rgb = read_rgb(path, page)
            except SourceError as error:
                errors.append(str(error))
            yield RecordedPicture(number / self.fps, 1 / self.fps, rgb, printable(path.name))
        if len(errors) == len(self._pictures) or (errors and not self._loop):
            raise SourceError(self._describe_errors(errors))

    def _describe_errors(self, errors: Sequence[str]) -> str:
        if len(self._pictures) == 1:
            return errors[0]
        return (
            f"{len(errors)} of {len(self._pictures)} pictures of {self.name} could not be read, the first: {errors[0]}"
        )


def pages(path: Path) -> int:
    """How many pictures a file holds: of a TIFF, which may be a stack, all of them; of any other, also broken, 1."""
    return _count(path) if path.suffix.lower() in STACKS else 1


def _count(path: Path) -> int:
    """OpenCV cannot open every name on Windows, so what it finds nothing in is counted in memory, where it needs room
    for all pages at once."""
    try:
        found = cv2.imcount(str(path), cv2.IMREAD_UNCHANGED) if is_text(path) else 0
        return found or len(cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)[1]) or 1
    except (OSError, cv2.error, MemoryError):  # told when it is read
        return 1


def is_text(path: Path) -> bool:
    """Whether its name is UTF-8: another one crashes OpenCV."""
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def read_rgb(path: Path, page: int = 0) -> NDArray[np.uint8]:
    """One picture of an image file as uint8 [H, W, 3]: upright, grey repeated, no alpha, 16 bits divided by 256.

    Never by the picture's own brightest pixel: that would brighten one frame of a series and darken the next. Raises
    SourceError naming the file.
    """
    name = printable(path.name)
    if path.suffix.lower() in ANIMATED and (moving := _count(path)) > 1:
        raise SourceError(f"{name} is an animation of {moving} pictures. Expected a still, or a clip such as MP4.")
    try:
        image = _decoded(path, page)
    except OSError as error:
        raise SourceError(f"{name} cannot be read ({error.strerror}). Expected a readable picture.") from error
    except (cv2.error, IndexError, MemoryError):  # a gigapixel, a header that contradicts itself, or a very large file
        image = None
    if image is None:
        raise SourceError(f"{name} cannot be decoded as a picture. Expected PNG, JPEG, TIFF or the like.")
    if max(image.shape[:2]) > SIZE_LIMIT_PX:
        raise SourceError(f"{name} is {image.shape[1]}x{image.shape[0]}. Expected at most {SIZE_LIMIT_PX} a side.")
    if image.dtype == np.uint16:
        image = np.right_shift(image, 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise SourceError(f"{name} has {image.dtype} pixels. Expected 8 or 16 bits.")
    if image.ndim != 3 or image.shape[2] != 3:
        raise SourceError(f"{name} has {image.size // math.prod(image.shape[:2])} channels. Expected grey or colour.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def require_depth(path: Path, page: int) -> None:
    """Raises SourceError if this, the first of a series, has 12 bits or less in 16: it would be black."""
    with suppress(OSError, cv2.error, IndexError, MemoryError):  # told when it is read
        image = _decoded(path, page)
        if image is not None and too_dark(image):
            raise SourceError(
                f"{printable(path.name)} has 16 bits, but no value above {image.max()}. Scale it to 65535 first."
            )


def _decoded(path: Path, page: int) -> NDArray[Any] | None:
    """Also what OpenCV cannot show as colours, so that the caller can say what it is."""
    if page and is_text(path) and (found := cv2.imreadmulti(str(path), page, 1, flags=UPRIGHT)[1]):
        return np.asarray(found[0])
    data = np.fromfile(path, np.uint8)  # not imread, which cannot open every name on Windows
    if page:
        return np.asarray(cv2.imdecodemulti(data, UPRIGHT, range=(page, page + 1))[1][0])
    if not data.size:
        return None
    image = cv2.imdecode(data, UPRIGHT)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if image is None else image


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (2 before 10), without masks and hidden files. Raises SourceError."""
    try:
        found = [
            path for path in folder.iterdir() if is_picture(path) and path.is_file() and not MASK.search(path.stem)
        ]
    except OSError as error:
        raise SourceError(
            f"{printable(folder.name)} cannot be read ({error.strerror}). Expected a picture or a folder of them."
        ) from error
    return sorted(found, key=lambda path: (_natural(path.stem), path.name))


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
