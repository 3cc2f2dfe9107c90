"""Where frames come from: one URI, one source. Every kind lives in its own file and is imported when asked for."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from threading import Event

from rcdnet.extras import install
from stream.errors import SourceError, UsageError
from stream.sources.base import Source
from stream.sources.uri import ADDRESSES, IMAGE_SUFFIXES, is_clip, is_dicom, is_path, is_picture, split, without_secrets

SOURCES = {
    "file": "stream.sources.file:FileSource",
    "images": "stream.sources.images:ImageSource",
    "dicom": "stream.sources.dicom:DicomSource",
    "metaimage": "stream.sources.metaimage:MetaImageSource",
    "nrrd": "stream.sources.nrrd:NrrdSource",
    "faults": "stream.sources.faults:FaultySource",
    "v4l2": "stream.sources.device:DeviceSource",
    "dshow": "stream.sources.device:DshowSource",
    "avfoundation": "stream.sources.device:AvfoundationSource",
    "lavfi": "stream.sources.device:LavfiSource",
    "phantom": "stream.sources.phantom:PhantomSource",
    "igtl": "stream.sources.igtlink:IgtlinkSource",
} | dict.fromkeys(sorted(ADDRESSES - {"igtl"}), "stream.sources.network:NetworkSource")
"""Scheme of the URI -> module:Class. Those of ON_DISK are also what a plain path becomes."""

COMES_AND_GOES = ADDRESSES | {"avfoundation", "dshow", "v4l2"}
"""Kinds of SOURCES that can be unplugged or lost, and come back."""

ON_DISK = frozenset({"dicom", "file", "images", "metaimage", "nrrd"})
"""Kinds of SOURCES that decode what somebody else wrote."""

SEQUENCES = {".mha": "metaimage", ".mhd": "metaimage", ".nhdr": "nrrd", ".nrrd": "nrrd"}
"""Suffix -> kind of SOURCES. Two have their pixels in another file, and are told how they must be saved."""

LOOKED_AT = 100
"""Files of a folder that may come before the first DICOM file, beside pictures and clips."""

EXTRAS = {"pydicom": "dicom", "pyigtl": "igtlink"}
"""Package that a source needs -> extra of this project that installs it."""

EXPECTED = "a path to a video, a picture, a DICOM file or a folder of them, or one of " + ", ".join(
    f"{key}:" for key in SOURCES
)


def open_source(
    uri: str,
    *,
    live: bool | None = None,
    loop: bool = False,
    given_up: Event | None = None,
    before: Source | None = None,
) -> Source:
    """Open what ``uri`` names: a path to a video, picture or folder of pictures, or ``scheme:target?key=value``.

    ``live`` None takes what is natural: replay for paths, real time for the rest. ``live=True`` on a path paces it in
    real time; ``loop`` then starts it again at its end. What lies on disk may come from anywhere, so it is decoded in a
    process of its own; what can be unplugged is opened again when it is back. Raises UsageError (makes no sense) or
    SourceError (cannot be opened); setting ``given_up`` ends the wait for a sender that does not answer. What was open
    ``before``, in a run that this one goes on with, is waited for as if it were lost now.
    """
    found = kind(uri)
    if found in ON_DISK and is_path(split(uri).target):  # else there is nothing to decode
        from stream.sources.isolated import IsolatedSource

        return IsolatedSource(uri, live=bool(live), loop=loop)
    if found in COMES_AND_GOES and live is not False:
        from stream.sources.supervised import SupervisedSource

        return SupervisedSource(partial(open_here, uri), given_up, before)
    return open_here(uri, live=live, loop=loop)


def open_here(uri: str, *, live: bool | None = None, loop: bool = False) -> Source:
    """``open_source`` without the process of its own, and without the second chance."""
    open_it = opener(uri, live=live, loop=loop)
    try:
        return open_it()
    except OSError as error:  # as where a folder on the way may not be entered
        target = split(uri).target
        why = error.strerror or type(error).__name__
        last = target if "://" in target else Path(target).name  # the page tells it: folders may name a patient
        message = f"{without_secrets(last)} cannot be opened ({why}). Expected a path that you may read."
        raise SourceError(message) from None


def opener(uri: str, *, live: bool | None = None, loop: bool = False) -> Callable[[], Source]:
    """What opens ``uri`` as ``open_here`` does. Raises UsageError for what makes no sense, and opens nothing."""
    _, target, query = split(uri)
    scheme = kind(uri)
    module, _, class_name = SOURCES[scheme].partition(":")
    try:
        source: type[Source] = getattr(import_module(module), class_name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None:
            raise
        raise UsageError(f"{scheme}: needs {package}: {install(extra)}") from error
    return source.opener(target, query, live, loop)


def kind(uri: str) -> str:
    """Which of SOURCES ``uri`` names; for a path, as it looks from outside. Raises UsageError."""
    scheme, target, _ = split(uri)
    if not target and (scheme is None or scheme in ON_DISK):  # the current folder is named by a dot
        raise UsageError(f"no source is named. Expected {EXPECTED}")
    if scheme is None and "://" in target and not is_path(target):  # a slip in an address, which may hold a password
        raise UsageError(f"no such kind of address is known. Expected {EXPECTED}")
    if scheme is None:
        return _kind_on_disk(Path(target))
    if scheme not in SOURCES:
        raise UsageError(f"unknown kind of source '{scheme[:20]}:'. Expected {EXPECTED}")
    return scheme


def _kind_on_disk(path: Path) -> str:
    suffix = path.suffix.lower()
    if is_dicom(path) or suffix == ".dcm":
        return "dicom"
    try:
        if path.is_dir():
            others = (file for file in path.iterdir() if not is_picture(file) and not is_clip(file))
            return "dicom" if any(map(is_dicom, islice(others, LOOKED_AT))) else "images"
    except OSError:  # whoever opens it will tell
        return "images"
    return SEQUENCES.get(suffix, "images" if suffix in IMAGE_SUFFIXES else "file")


__all__ = ["ON_DISK", "SOURCES", "Source", "kind", "open_here", "open_source", "opener"]
