"""What is on the page beside the picture, and what happens when it is used? Gradio's part.

No pixels and no numbers pass through Gradio: its HTML blocks only hold the elements that the page's own scripts fill.
"""

from fastapi import FastAPI

from stream.web.actions import Actions
from stream.web.control import Control
from stream.web.routes import fragment
from stream.web.toolkit import Page, gr, theme

DARK = "() => document.body.classList.add('dark')"

SIDES = ("left", "top"), ("width", "height")
"""Of the scan area, in pixels of the source's picture."""

HOW_TO_DRAW = """<p class="rcd-hint">Draw it on the picture, or give it in pixels; then keep it. Meanwhile what lies
around it is shown as well, too coarse to be read.</p>"""

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
        head=fragment("head.html"),
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
    act = Actions(control)
    with Page(title="RcdNet Live", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(fragment("header.html"), apply_default_css=False)
        with gr.Row():
            with gr.Column(scale=4, min_width=640):
                gr.HTML(fragment("stage.html"), apply_default_css=False, js_on_load=loads("stage.js", "showStage"))
            with gr.Column(scale=1, min_width=320):
                add_runs(page, control, act)
                add_record(page, control, act)
                add_scan_area(act)
                add_opacity(page, control)
                gr.HTML(
                    fragment("readout.html"), apply_default_css=False, js_on_load=loads("readout.js", "showReadout")
                )
    return page


def add_runs(page: gr.Blocks, control: Control, act: Actions) -> None:
    """What is chosen, source, engine and operating point, can be started. Whatever changes that, or what runs, may
    change the name of the first button."""
    source = gr.Dropdown(label="Source", interactive=True, elem_id="source")
    with gr.Row():
        engine = gr.Dropdown(
            control.engines(), value=None, label="Engine", interactive=True, elem_id="engine", min_width=120
        )
        point = gr.Dropdown(label="Operating point", interactive=True, elem_id="operating-point", min_width=120)
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=80)
        stop = gr.Button("Stop", elem_id="stop", min_width=80)
    refresh, rename = pressed_by_script("refresh"), pressed_by_script("rename")
    running = gr.JSON(visible="hidden")

    chosen = [source, engine, point]
    told = gr.on(
        [page.load, refresh.click], act.shown, None, [source, point, running], trigger_mode="always_last", **QUIET
    )
    filled = told.then(None, [running, *chosen], chosen, js="rcdFilledIn", **QUIET)  # these are in head.html
    started = start.click(act.restart, chosen, js="rcdStarted", **AT_ONCE)
    stopped = stop.click(act.halt, **AT_ONCE)
    in_turn = QUIET | {"trigger_mode": "always_last", "concurrency_id": "named"}  # or an older answer may come last
    gr.on([one.input for one in chosen], act.named, chosen, start, **in_turn)
    for event in (rename.click, filled.then, started.then, started.failure, stopped.then):  # failed: no ``then``
        event(act.named, chosen, start, **in_turn)


def add_record(page: gr.Blocks, control: Control, act: Actions) -> None:
    """The box shows what holds, also where another page changed it, and where its folder cannot be made."""
    record = gr.Checkbox(
        label="Record", interactive=True, elem_id="record", visible=control.can_record, container=False
    )
    refresh = pressed_by_script("refresh-record")
    changed = record.input(act.set_recording, record, **AT_ONCE)
    for event in (page.load, refresh.click, changed.failure):
        event(lambda: control.records, outputs=record, **QUIET)


def add_scan_area(act: Actions) -> None:
    """The scan area in numbers, which area.js fills in where it is drawn."""
    with gr.Accordion("Scan area", open=False, elem_id="scan-area") as panel:
        gr.HTML(HOW_TO_DRAW, apply_default_css=False)
        box = []
        for pair in SIDES:
            with gr.Row():
                box += [gr.Number(label=side, precision=0, min_width=60) for side in pair]
        with gr.Row():
            keep = gr.Button("Keep", min_width=60, elem_id="keep-area")
            find = gr.Button("Find", min_width=60, elem_id="find-area")
    panel.expand(act.read_area, outputs=box, **QUIET)
    keep.click(act.keep_area, box, **QUIET)
    find.click(act.find_area, outputs=box, **QUIET)


def add_opacity(page: gr.Blocks, control: Control) -> None:
    """The slider shows what holds, and sets it at once."""
    opacity = gr.Slider(0, 1, step=0.05, label="Heat map opacity", interactive=True, elem_id="opacity", buttons=[])
    page.load(lambda: control.opacity, outputs=opacity, **QUIET)
    opacity.input(control.set_opacity, opacity, trigger_mode="always_last", **QUIET)


def pressed_by_script(elem_id: str) -> gr.Button:
    """A button that nobody sees; stage.js presses it."""
    return gr.Button(visible="hidden", elem_id=elem_id)


def loads(module: str, function: str) -> str:
    """Script that hands the element of an HTML block to one of the page's own modules.

    The address is whole: Chromium keeps the compiled script, and in the next page of a tab, also one from another port,
    would look for a bare path where it was compiled first.
    """
    return f"import(`${{location.origin}}/viewer/{module}`).then((module) => module.{function}(element));"
