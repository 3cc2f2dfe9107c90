"""What did the user ask for? ``scheme:target?key=value&key=value``, checked at the door."""

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from stream.errors import UsageError

SIZE_LIMIT_PX = 8192
"""No side of a scanner's or capture card's picture is longer. Keeps a typing error from asking for gigabytes."""

FPS_LIMIT = 1000.0
"""No probe, card or clip is faster."""

FRAMES_LIMIT = 100_000
"""No DICOM, MetaImage or NRRD file has more: it would be an hour at 30 a second."""

STILLS_FPS = 2.0
"""The rate of pictures that have no times: slow enough to look at each."""

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Of files that are pictures."""

ADDRESSES = frozenset({"http", "https", "igtl", "rtsp", "rtsps", "srt", "tcp", "udp"})
"""Schemes of addresses, ``scheme://host:port/...``, which stay whole: they may hold any letter, and passwords."""

HERE = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)
"""Before the path of a file on this machine, of whatever kind, as a file manager copies it (RFC 8089)."""

HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]*)(:\d{1,5})?", re.ASCII)

LONGEST_NAME = 200
"""Letters of a name that a message repeats."""

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Options:
    """The ``key=value`` pairs of one URI, read by type. Every reader raises UsageError naming key and expectation."""

    scheme: str
    values: dict[str, str]

    def expect(self, *known: str) -> None:
        """Refuse any key that is not ``known``."""
        for key in self.values:
            if key not in known:
                accepted = ", ".join(known) or "none"
                raise UsageError(f"{self.scheme}: unknown option '{printable(key[:40])}'. Accepted: {accepted}.")

    def size_px(self, least_px: int = 16) -> Size | None:
        """``size=WIDTHxHEIGHT`` in pixels."""
        text = self.values.get("size")
        if text is None:
            return None
        width, by, height = text.lower().partition("x")
        if by and width.isdecimal() and height.isdecimal():
            size = int(width), int(height)
            if all(least_px <= side <= SIZE_LIMIT_PX for side in size):
                return size
        raise self._wrong("size", f"WIDTHxHEIGHT in pixels, {least_px} to {SIZE_LIMIT_PX} each, like 1280x720")

    def fps(self) -> float | None:
        """``fps=NUMBER`` of frames a second."""
        text = self.values.get("fps")
        if text is None:
            return None
        try:
            fps = float(text)
        except ValueError:
            fps = 0.0
        if 0.01 <= fps <= FPS_LIMIT:
            return fps
        raise self._wrong("fps", f"a number of frames a second from 0.01 to {FPS_LIMIT:.0f}, like 30")

    def count(self, key: str) -> int | None:
        """``key=NUMBER``, a whole number from 0."""
        text = self.values.get(key)
        if text is None:
            return None
        if text.isascii() and text.isdecimal() and len(text) <= 9:
            return int(text)
        raise self._wrong(key, "a whole number from 0 to 999999999")

    def word(self, key: str) -> str | None:
        """``key=NAME``, of letters, digits and underscores."""
        text = self.values.get(key)
        if text is None or text.replace("_", "").isalnum():
            return text
        raise self._wrong(key, "a name like mjpeg")

    def _wrong(self, key: str, expected: str) -> UsageError:
        return UsageError(f"{self.scheme}: option {key}={self.values[key][:40]!r} makes no sense. Expected {expected}.")


class Parts(NamedTuple):
    """Of a URI: its scheme, in small letters, or None for a path; the path, device or script; what follows a ``?``. The
    target of ADDRESSES is the whole URI."""

    scheme: str | None
    target: str
    query: str


def split(uri: str) -> Parts:
    """The parts of a URI. An existing path wins over any other reading."""
    if is_path(uri):
        return Parts(None, uri, "")
    if here := HERE.match(uri):
        from urllib.request import url2pathname  # slow to import

        target, _, query = uri[here.end() :].partition("?")
        return Parts(None, url2pathname(target), query)
    scheme, colon, rest = uri.partition(":")
    if not colon or not scheme.isalnum() or len(scheme) == 1:  # C:\clips is a path
        scheme, rest = "", uri
    if scheme.lower() in ADDRESSES:
        return Parts(scheme.lower(), uri, "")
    target, _, query = rest.partition("?")
    return Parts(scheme.lower() or None, target, query)


def without_secrets(uri: str) -> str:
    """``uri`` fit to be shown: of an address only ``scheme://host:port``, for names, paths and options may be secrets.

    Not even the host where it cannot be told from a password, as in ``rtsp://user:pass/word@host``.
    """
    before, slashes, rest = uri.partition("://")
    if not slashes:
        return printable(uri)
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    clear = "@" not in rest[len(authority) :] and HOST.fullmatch(host)
    return printable(f"{before}://{host if clear else '...'}")


def printable(text: str) -> str:
    """``text`` as one line that a terminal cannot be upset by: whatever cannot be printed becomes a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_NAME])


def last_name(path: Path) -> str:
    """Its last name as one line for people; ``.`` has none of its own."""
    return printable(path.name or path.absolute().name or str(path))


def is_path(text: str) -> bool:
    """Whether something lies on disk under this name."""
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


def is_clip(path: Path) -> bool:
    """By its name; a hidden file is none."""
    return not path.name.startswith(".") and (mimetypes.guess_type(path.name)[0] or "").startswith("video/")


def is_picture(path: Path) -> bool:
    """By its name; a hidden file is none: macOS puts ``._x.png`` beside each ``x.png`` on a drive of another system."""
    return not path.name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES


def holds_pictures(path: Path) -> bool:
    """By its name, also of kinds that are not read, as HEIC."""
    named = (mimetypes.guess_type(path.name)[0] or "").startswith(("image/", "video/"))
    suffixes = IMAGE_SUFFIXES | {".dcm", ".mha", ".nrrd"}
    return not path.name.startswith(".") and (named or path.suffix.lower() in suffixes)


def is_dicom(path: Path) -> bool:
    """Whether a regular file has DICOM's mark behind its preamble (PS3.10 7.1)."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):  # as in is_path
        return False


def options(scheme: str, query: str, unread: str = "") -> Options:
    """The pairs of ``key=value&key=value``. Raises UsageError for anything else, and for ``unread`` text before it."""
    if unread:
        raise UsageError(f"{scheme}: takes nothing before its options. Expected {scheme}:?key=value&key=value.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise UsageError(f"{scheme}: cannot read the options. Expected ?key=value&key=value.") from error
    return Options(scheme, dict(pairs))
