"""Gradio, as the page uses it: without the files that it would write or take, and in our colours. Importing it takes
seconds."""

import atexit
import os
from collections.abc import Sequence
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from stream.web.stubs import no_stubs

os.environ["GRADIO_TEMP_DIR"] = mkdtemp(prefix="rcdnet-live-")  # else /tmp/gradio, of whoever had one first
atexit.register(rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

__all__ = ["Page", "gr", "theme"]

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


FONT = ["system-ui", "Segoe UI", "Noto Sans", "DejaVu Sans", "sans-serif"]
"""What the machine has: a font from elsewhere would be fetched, and would tell that the page is in use."""


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
