"""Which scan area did the user keep for a source? A small file that holds no names, no addresses and no pictures."""

import json
import logging
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

log = logging.getLogger(__name__)


class Presets:
    """Scan areas as text, by source. ``path`` None keeps them in memory alone; a file that cannot be read is empty."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[str, str] = {}
        if path is not None:
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
                self._kept = {str(key): str(text) for key, text in told.items()}
            except FileNotFoundError:
                return
            except (OSError, ValueError, AttributeError) as error:
                log.warning("%s cannot be read (%s): scan areas that were kept there are not used", path, error)

    def get(self, uri: str) -> str | None:
        """The scan area kept for this source, or None."""
        return self._kept.get(_key(uri))

    def keep(self, uri: str, text: str | None) -> None:
        """Keep ``text`` for this source, or forget what was kept. Raises OSError if the file cannot be written."""
        self._kept.pop(_key(uri), None)
        if text is not None:
            self._kept[_key(uri)] = text
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_suffix(".new")
            written.write_text(json.dumps(self._kept, indent=1, sort_keys=True), encoding="utf-8")
            written.replace(self._path)


def _key(uri: str) -> str:
    """A source's address may hold a password, and a path a name. A path is told whole: many a folder has a clip.mp4."""
    with suppress(OSError, ValueError):  # too long for a name, or no text
        if Path(uri).exists():
            uri = str(Path(uri).resolve())
    return sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()
