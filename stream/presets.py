"""Which scan area did the user keep for a source? A small file that holds no names, no addresses and no pictures."""

import json
import logging
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

log = logging.getLogger(__name__)


class Presets:
    """Scan areas as text, by source. ``path`` None keeps them in memory alone; a file that cannot be read is empty.

    It is read anew each time: another process may keep areas in it as well.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[str, str] = {}

    def get(self, uri: str) -> str | None:
        """The scan area kept for this source, or None."""
        self._read()
        return self._kept.get(_key(uri))

    def keep(self, uri: str, text: str | None) -> None:
        """Keep ``text`` for this source, or forget what was kept. Raises OSError if the file cannot be written; then
        nothing has changed."""
        self._read()
        kept = {key: old for key, old in self._kept.items() if key != _key(uri)}
        if text is not None:
            kept[_key(uri)] = text
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_suffix(".new")
            written.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
            written.replace(self._path)
        self._kept = kept

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            self._kept = {str(key): str(text) for key, text in told.items()}
        except FileNotFoundError:
            self._kept = {}
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s cannot be read (%s): scan areas that were kept there are not used", self._path, error)
            self._kept = {}


def _key(uri: str) -> str:
    """A source's address may hold a password, and a path a name. A path is told whole: many a folder has a clip.mp4."""
    with suppress(OSError, ValueError):  # too long for a name, or no text
        path, mark, options = (uri, "", "") if Path(uri).exists() else uri.partition("?")
        if Path(path).exists():
            uri = f"{Path(path).resolve()}{mark}{options}"
    return sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()
