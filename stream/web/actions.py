"""What do the controls do, and what do they then show?"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from engines.errors import EngineError
from stream.errors import StreamError, UsageError
from stream.scan_area import parse_scan_area
from stream.web.control import Control
from stream.web.toolkit import gr

log = logging.getLogger(__name__)


class Actions:
    """What the controls do, and what they then show."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def shown(self) -> tuple[gr.Dropdown, gr.Dropdown, list[str | None]]:
        """The sources and operating points on offer, and what runs now, for a page that is opened, or was overtaken by
        another one."""
        now, sources = self._control.now(), self._control.sources()
        source = next((label for label, uri in sources.items() if uri == now.source_uri), None)
        points = gr.Dropdown(choices=self._control.operating_points())
        return gr.Dropdown(choices=list(sources)), points, [source, now.engine_name, now.operating_point]

    def named(self, label: str | None, engine_name: str, operating_point: str) -> gr.Button:
        """What the first button does: what is chosen runs only once it is pressed, and what runs begins anew."""
        now = self._control.now()
        if not now.runs:
            return gr.Button("Start", elem_classes=[])
        chosen = self._control.sources().get(label or ""), engine_name, operating_point
        if chosen == (now.source_uri, now.engine_name, now.operating_point):
            return gr.Button("Restart", elem_classes=[])
        return gr.Button("Switch", elem_classes=["rcd-switches"])

    def restart(self, label: str, engine_name: str, operating_point: str) -> None:
        """Run what is chosen."""
        uri = self._control.sources().get(label)
        with as_message():
            if uri is None:
                raise UsageError(f"{label} is not attached any more. Reload the page for what is.")
            started = self._control.start(uri, engine_name, operating_point)
        if started:
            log.info("started on the page: %s, engine %s, operating point %s", label, engine_name, operating_point)

    def halt(self) -> None:
        """End what runs."""
        self._control.stop()
        log.info("stopped on the page")

    def set_recording(self, on: bool) -> None:
        """Begin or end a recording."""
        with as_message():
            self._control.record(on)
        log.info("recording %s on the page", "begun" if on else "ended")

    def read_area(self) -> list[int | None]:
        """What is analysed now, to be kept or changed."""
        area = self._control.scan_area()
        return [None] * 4 if area is None else list(area.sides)

    def keep_area(self, *sides: float | None) -> None:
        """Run again with the area in the fields."""
        with as_message():
            if None in sides:
                raise UsageError("Draw the scan area on the picture, or give all four numbers.")
            started = self._control.keep_scan_area(parse_scan_area(",".join(f"{side:.0f}" for side in sides)))
        if started:
            log.info("started on the page with another scan area")

    def find_area(self) -> list[None]:
        """Look for the scan again; what is found is not what stands in the fields."""
        with as_message():
            started = self._control.keep_scan_area(None)
        if started:
            log.info("started on the page, to find the scan area again")
        return [None] * 4


@contextmanager
def as_message() -> Iterator[None]:
    """Show our own errors on the page as they are: Gradio takes them for HTML, and a file may be called anything."""
    try:
        yield
    except (StreamError, EngineError) as error:
        log.warning("refused on the page: %s", error)
        raise gr.Error(escape(str(error)), duration=None, print_exception=False) from error
