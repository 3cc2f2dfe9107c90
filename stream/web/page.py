"""What can be done on the page? Gradio's part: the controls beside the picture. Importing it takes seconds.

No pixels and no numbers pass through Gradio: its HTML blocks only hold the elements that the page's own scripts fill.
"""

import atexit
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from fastapi import FastAPI

from engines.errors import EngineError
from stream.errors import StreamError, UsageError
from stream.scan_area import parse_scan_area
from stream.web.control import Control
from stream.web.routes import fragment
from stream.web.stubs import no_stubs

os.environ["GRADIO_TEMP_DIR"] = mkdtemp(prefix="rcdnet-live-")  # else /tmp/gradio, of whoever had one first
atexit.register(rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

with no_stubs():
    import gradio as gr

    class Page(gr.Blocks):  # type: ignore[misc]  # it is Any to mypy
        """Takes words and numbers alone. Whatever looks like a file, Gradio would first copy into a folder of its own,
        or fetch if it is an address, while all viewers wait; and only then let the control refuse it.
        """

        def validate_inputs(self, block_fn: Any, inputs: Sequence[Any]) -> None:
            """Called by Gradio before it looks at what a browser sent."""
            if not all(isinstance(value, str | int | float | None) for value in inputs):
                raise gr.Error("The live page takes no files and no addresses.", print_exception=False)
            super().validate_inputs(block_fn, inputs)


log = logging.getLogger(__name__)

HEAD = """<link rel="stylesheet" href="/viewer/live.css"><meta name="color-scheme" content="dark">
<script>
    addEventListener("keydown", (event) => { // Gradio would open the list again that is being left
        if (["Tab", "Shift"].includes(event.key) && event.target.matches("[role=combobox]")) event.stopPropagation();
    }, true);
    addEventListener("beforeinput", (event) => { // it tells; Gradio cannot take it empty
        if (event.target.matches("#opacity input[type=number]")) event.preventDefault();
    }, true);
    const dismissError = () => document.querySelector(".toast-close")?.click();
    addEventListener("click", (event) => { // what is tried again has not been refused yet
        if (event.target.closest("#start, #stop, #record, #keep-area, #find-area")) dismissError();
    }, true);
    addEventListener("animationend", (event) => { // Gradio's own clock would take the next error away as well
        if (event.animationName === "rcd-read") dismissError();
    });
</script>"""
"""Gradio runs a script of the head before it draws the first control, and ``js`` up to 0.1 s after."""

DARK = "() => document.body.classList.add('dark')"

STARTED = "(...chosen) => { window.rcdKnown = chosen; return chosen; }"
FILL_IN = """(running, ...chosen) => {
    const known = window.rcdKnown ?? [null, null, null];
    window.rcdKnown = running;
    return chosen.map((value, at) => value === known[at] ? running[at] : value);
}"""
"""In the browser: what runs goes into each control, unless something else was chosen there since it was filled in or
started. An answer of the server that goes straight into the controls undoes what is chosen while it is on its way."""

SIDES = ("left", "top"), ("width", "height")
"""Of the scan area, in pixels of the source's picture."""

HOW_TO_DRAW = """<p class="rcd-hint">Draw it on the picture, or give it in pixels; then keep it. Meanwhile what lies
around it is shown as well, too coarse to be read.</p>"""

FONT = ["system-ui", "Segoe UI", "Noto Sans", "DejaVu Sans", "sans-serif"]
"""What the machine has: a font from elsewhere would be fetched, and would tell that the page is in use."""

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
"""Of every event: nothing is covered while it is handled, and no program is offered it."""

AT_ONCE = QUIET | {"trigger_mode": "multiple", "concurrency_limit": None}
"""Of one that waits for nothing that is under way."""


def create_control_room(control: Control) -> FastAPI:
    """Gradio's application for the page at /, with every door shut that the page does not need."""
    room = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        room,
        build(control),
        path="/",
        theme=theme(),
        head=HEAD,
        js=DARK,
        allowed_paths=[],
        max_file_size="1kb",
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        run_history=False,
        footer_links=[],
    )
    return room


def build(control: Control) -> gr.Blocks:
    """The page: picture and timeline on the left, controls and numbers on the right."""
    with Page(title="RcdNet Live", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(fragment("header.html"), apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=4, min_width=640):
                gr.HTML(fragment("stage.html"), apply_default_css=False, js_on_load=loads("stage.js", "showStage"))
            with gr.Column(scale=1, min_width=320):
                source = gr.Dropdown(label="Source", interactive=True, elem_id="source")
                with gr.Row():
                    engine = gr.Dropdown(
                        control.engines(), value=None, label="Engine", interactive=True, elem_id="engine", min_width=120
                    )
                    point = gr.Dropdown(
                        label="Operating point", interactive=True, elem_id="operating-point", min_width=120
                    )
                with gr.Row():
                    start = gr.Button("Start", variant="primary", elem_id="start", min_width=80)
                    stop = gr.Button("Stop", elem_id="stop", min_width=80)
                record = gr.Checkbox(
                    label="Record", interactive=True, elem_id="record", visible=control.can_record, container=False
                )
                with gr.Accordion("Scan area", open=False, elem_id="scan-area") as panel:
                    gr.HTML(HOW_TO_DRAW, apply_default_css=False)
                    box = []
                    for pair in SIDES:
                        with gr.Row():
                            box += [gr.Number(label=side, precision=0, min_width=60) for side in pair]
                    with gr.Row():
                        keep = gr.Button("Keep", min_width=60, elem_id="keep-area")
                        find = gr.Button("Find", min_width=60, elem_id="find-area")
                opacity = gr.Slider(
                    0, 1, step=0.05, label="Heat map opacity", interactive=True, elem_id="opacity", buttons=[]
                )
                refresh, refresh_record, rename = (  # pressed by stage.js
                    gr.Button(visible="hidden", elem_id=name) for name in ("refresh", "refresh-record", "rename")
                )
                running = gr.JSON(visible="hidden")
                gr.HTML(
                    fragment("readout.html"), apply_default_css=False, js_on_load=loads("readout.js", "showReadout")
                )

        act = Actions(control)
        connect_opacity(page, control, opacity)
        connect_record(page, control, act, record, refresh_record)
        connect_runs(page, act, [source, engine, point], running, start, stop, refresh, rename)
        panel.expand(act.read_area, outputs=box, **QUIET)
        keep.click(act.keep_area, box, **QUIET)
        find.click(act.find_area, outputs=box, **QUIET)
    return page


def connect_opacity(page: gr.Blocks, control: Control, opacity: gr.Slider) -> None:
    """The slider shows what holds, and sets it at once."""
    page.load(lambda: control.opacity, outputs=opacity, **QUIET)
    opacity.input(control.set_opacity, opacity, trigger_mode="always_last", **QUIET)


def connect_record(
    page: gr.Blocks, control: Control, act: "Actions", record: gr.Checkbox, refresh_record: gr.Button
) -> None:
    """The box shows what holds, also where another page changed it, and where its folder cannot be made."""
    changed = record.input(act.set_recording, record, **AT_ONCE)
    for event in (page.load, refresh_record.click, changed.failure):
        event(lambda: control.records, outputs=record, **QUIET)


def connect_runs(
    page: gr.Blocks,
    act: "Actions",
    chosen: list[gr.Dropdown],
    running: gr.JSON,
    start: gr.Button,
    stop: gr.Button,
    refresh: gr.Button,
    rename: gr.Button,
) -> None:
    """What is ``chosen``, source, engine and operating point, can be started, and ``running`` holds what runs. Whatever
    changes either may change the name of the first button."""
    source, _, point = chosen
    told = gr.on(
        [page.load, refresh.click], act.shown, None, [source, point, running], trigger_mode="always_last", **QUIET
    )
    filled = told.then(None, [running, *chosen], chosen, js=FILL_IN, **QUIET)
    started = start.click(act.restart, chosen, js=STARTED, **AT_ONCE)
    stopped = stop.click(act.halt, **AT_ONCE)
    in_turn = QUIET | {"trigger_mode": "always_last", "concurrency_id": "named"}  # or an older answer may come last
    gr.on([one.input for one in chosen], act.named, chosen, start, **in_turn)
    for event in (rename.click, filled.then, started.then, started.failure, stopped.then):  # failed: no ``then``
        event(act.named, chosen, start, **in_turn)


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


def loads(module: str, function: str) -> str:
    """Script that hands the element of an HTML block to one of the page's own modules.

    The address is whole: Chromium keeps the compiled script, and in the next page of a tab, also one from another port,
    would look for a bare path where it was compiled first.
    """
    return f"import(`${{location.origin}}/viewer/{module}`).then((module) => module.{function}(element));"


def theme() -> gr.themes.Base:
    """Dark in every mode, in the colours of live.css."""
    colours = {
        "body_background_fill": "var(--room)",
        "body_text_color": "var(--text)",
        "body_text_color_subdued": "var(--grey)",
        "background_fill_primary": "var(--panel)",
        "background_fill_secondary": "var(--panel)",
        "block_background_fill": "var(--panel)",
        "block_border_color": "var(--line)",
        "block_label_text_color": "var(--grey)",
        "block_title_text_color": "var(--grey)",
        "border_color_primary": "var(--line)",
        "input_background_fill": "var(--raised)",
        "input_border_color": "var(--line)",
        "slider_color": "var(--slider)",
        "checkbox_border_color": "var(--grey)",
        "checkbox_border_color_selected": "var(--grey)",
        "checkbox_background_color_selected": "var(--slate)",
        "button_primary_background_fill": "var(--bright-button)",
        "button_primary_background_fill_hover": "white",
        "button_primary_text_color": "var(--room)",
        "button_secondary_background_fill": "var(--button)",
        "button_secondary_background_fill_hover": "var(--button-hover)",
        "button_secondary_text_color": "var(--text)",
    }
    both = colours | {f"{name}_dark": value for name, value in colours.items()}
    return gr.themes.Base(font=FONT, font_mono=["ui-monospace", "monospace"]).set(**both)
