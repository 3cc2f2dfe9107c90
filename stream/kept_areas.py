"""Which scan area did the user keep for a source? A small file that holds no names, no addresses and no pictures."""

import json
import logging
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock

from stream.errors import UsageError

log = logging.getLogger(__name__)


class KeptAreas:
    """Scan areas as text, by source. ``path`` None keeps them in memory alone. Safe from any thread.

    The file is read anew each time: another process may keep areas in it as well.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._in_memory: dict[str, str] = {}
        self._keeping = Lock()

    def get(self, uri: str) -> str | None:
        """The scan area kept for this source, or None: also if the file cannot be read, which is logged."""
        try:
            return self._read().get(_key(uri))
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s): scan areas that were kept there are not used", self._path, error)
            return None

    def keep(self, uri: str, text: str | None) -> None:
        """Keep ``text`` for this source, or forget what was kept. Raises UsageError if the file cannot be written, or
        cannot be read and so would be lost; then nothing has changed.
        """
        with self._keeping:
            try:
                kept = {key: old for key, old in self._read().items() if key != _key(uri)}
                self._write(kept if text is None else kept | {_key(uri): text})
            except OSError as error:
                why = f"{error.strerror}. {self._path} must be writable"
                raise UsageError(f"the scan area cannot be kept: {why}.") from error
            except ValueError as error:
                why = f"{self._path} is damaged. Repair or delete it"
                raise UsageError(f"the scan area cannot be kept: {why}.") from error

    def _read(self) -> dict[str, str]:
        """Raises OSError, ValueError for what is no such file."""
        if self._path is None:
            return self._in_memory
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if not isinstance(told, dict):
            raise ValueError("it holds no scan areas")
        return {str(key): str(text) for key, text in told.items()}

    def _write(self, kept: dict[str, str]) -> None:
        if self._path is None:
            self._in_memory = kept
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}.new")
        try:
            part.touch(0o600)  # a weak password can be guessed from its hash
            part.write_text(json.dumps(kept, indent=1), encoding="utf-8")
            part.replace(self._path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise


def _key(uri: str) -> str:
    """A source's address may hold a password, and a path a name. A path is told whole: many a folder has a clip.mp4."""
    with suppress(OSError, ValueError):  # too long for a name, or no text
        path, mark, options = (uri, "", "") if Path(uri).exists() else uri.partition("?")
        if Path(path).exists():
            uri = f"{Path(path).resolve()}{mark}{options}"
    return sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()
