"""The layout: where everything stands on the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import gradio as gr

from glitch_gym.samples import SAMPLES
from glitch_render.recipe.forms import forms
from glitch_render.studio.choices import FULL_SIZE, SIZES, STILL_FORMATS, VIEWS
from glitch_render.studio.status import status as status_line

__all__ = ["Components", "build", "new_page", "page_css", "page_theme"]


@dataclass(frozen=True)
class Components:
    """The parts of the page that events come from or change; ``updates`` names them.

    Their events, and Gradio's own among them, are made at run time, so they have no types.
    """

    undo: Any
    redo: Any
    seed: Any
    dice: Any
    uploads: Any
    view: Any
    action: Any
    grid: Any
    stage: Any
    at: Any
    status: Any
    allow: Any
    presets: Any
    source: Any
    about: Any
    own_recipe: Any
    samples: Any
    webcam: Any
    layers: Any
    text: Any
    save: Any
    recipe_file: Any
    kind: Any
    span: Any
    start: Any
    end: Any
    seconds: Any
    size: Any
    sound: Any
    export: Any
    cancel: Any
    exporting: Any
    download: Any
    tabs: Any

    def named(self, names: Iterable[str]) -> list[Any]:
        """Return the parts with these names."""
        return [getattr(self, name) for name in names]


def new_page() -> gr.Blocks:
    """Return an empty page, to be filled while it is entered."""
    return gr.Blocks(title="glitch-gym studio", fill_width=True, analytics_enabled=False)


def build() -> Components:
    """Lay out the page that is entered, and return its parts."""
    parts = _header()
    with gr.Row(elem_id="main", equal_height=False):
        parts |= _picture()
        with (
            gr.Column(scale=5, min_width=320, elem_id="right"),
            gr.Tabs(elem_id="tabs", selected="picture") as tabs,
        ):
            parts |= _source_tab() | _layers_tab() | _recipe_tab() | _export_tab()
    for name in ("source", "webcam", "recipe_file"):
        _as_uploaded(parts[name])
    return Components(**parts, tabs=tabs)


def _header() -> dict[str, Any]:
    """Lay out the top row."""
    with gr.Row(elem_id="header", equal_height=True):
        gr.HTML("<h1>glitch-gym <span>studio</span></h1>", elem_id="mark", padding=False)
        undo = gr.Button("Undo", elem_id="undo", size="sm", interactive=False, min_width=70)
        redo = gr.Button("Redo", elem_id="redo", size="sm", interactive=False, min_width=70)
        seed = gr.Number(
            0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=90, scale=0
        )
        dice = gr.Button("Roll the dice", elem_id="dice", size="sm", min_width=110)
        uploads = _part("uploads", "", {})
    return {"undo": undo, "redo": redo, "seed": seed, "dice": dice, "uploads": uploads}


def _picture() -> dict[str, Any]:
    """Lay out the picture, the views of it and the presets."""
    with gr.Column(scale=7, min_width=320, elem_id="left"):
        with gr.Row(elem_id="views"):
            view = gr.Radio(
                list(VIEWS.items()), value="result", label="View", elem_id="view",
                show_label=False, container=False, scale=4, min_width=300,
            )  # fmt: skip
            action = gr.Dropdown(
                [], label="Action", elem_id="action", show_label=False, visible=False,
                scale=1, min_width=150, container=False,
            )  # fmt: skip
            grid = gr.Checkbox(
                False, label="Grid", elem_id="grid", container=False, scale=0, min_width=60
            )
        stage = _part("stage", '<div class="stage" data-kind="empty"></div>')
        at = gr.Slider(
            0, 1, value=0, label="Time, in seconds", elem_id="at", visible=False,
            buttons=[],
        )  # fmt: skip
        line = _part(
            "status",
            '<div class="status" role="status" aria-live="polite"></div>',
            status_line("nothing is open"),
        )
        allow = gr.Button(
            "Open these files, and use the recipe", elem_id="allow", size="sm",
            visible=False,
        )  # fmt: skip
        presets = _part(
            "strip", '<div class="strip" role="group"></div>', {"items": []},
            label="Presets", elem_id="presets",
        )  # fmt: skip
    return {
        "view": view,
        "action": action,
        "grid": grid,
        "stage": stage,
        "at": at,
        "status": line,
        "allow": allow,
        "presets": presets,
    }


def _source_tab() -> dict[str, Any]:
    """Lay out where a picture or clip is opened."""
    with gr.Tab("Picture", id="picture", render_children=True):
        source = gr.File(
            label="A photograph, GIF or clip", elem_id="source", type="filepath",
            height=130,
        )  # fmt: skip
        about = gr.HTML("", elem_id="about", padding=False)
        own_recipe = gr.Button("Use the recipe it was made by", elem_id="own-recipe", visible=False)
        samples = _part(
            "strip", '<div class="strip" role="group"></div>',
            {"items": [{"name": one, "label": one} for one in SAMPLES]},
            label="Sample pictures", elem_id="samples",
        )  # fmt: skip
        with gr.Accordion("Take a picture with the webcam", open=False):
            webcam = gr.Image(
                sources=["webcam"], type="filepath", label="Webcam", elem_id="webcam",
                format="png", buttons=[],
            )  # fmt: skip
    return {
        "source": source,
        "about": about,
        "own_recipe": own_recipe,
        "samples": samples,
        "webcam": webcam,
    }


def _layers_tab() -> dict[str, Any]:
    """Lay out the form of the layers."""
    with gr.Tab("Layers", id="layers", render_children=True):
        layers = _part(
            "layers", '<div class="layers"></div>', {},
            known=f"const form = {json.dumps(forms())};",
        )  # fmt: skip
    return {"layers": layers}


def _recipe_tab() -> dict[str, Any]:
    """Lay out the recipe as text."""
    with gr.Tab("Recipe", id="recipe", render_children=True):
        text = _part("recipe", '<div class="recipe"></div>', {})
        save = gr.HTML("", elem_id="save", padding=False)
        recipe_file = gr.File(
            label="Load a recipe: a .toml, or a picture or clip made by us",
            elem_id="recipe-file", type="filepath", height=110,
        )  # fmt: skip
    return {"text": text, "save": save, "recipe_file": recipe_file}


def _export_tab() -> dict[str, Any]:
    """Lay out the export."""
    with gr.Tab("Export", id="export", render_children=True):
        kind = gr.Dropdown(
            list(STILL_FORMATS.items()), value=".png", label="Format",
            elem_id="format",
        )  # fmt: skip
        with gr.Row(visible=False) as span:
            start = gr.Number(
                label="From, in seconds",
                minimum=0,
                placeholder="the start",
                elem_id="start",
            )
            end = gr.Number(label="To, in seconds", minimum=0, placeholder="the end", elem_id="end")
        seconds = gr.Number(
            6, label="Length, in seconds", minimum=0.1, maximum=3600, visible=False,
            elem_id="seconds",
        )  # fmt: skip
        size = gr.Dropdown(
            list(SIZES), value=FULL_SIZE, label="Size", visible=False, elem_id="size"
        )
        sound = gr.Checkbox(True, label="Keep the sound", visible=False)
        with gr.Row():
            export = gr.Button("Export", variant="primary", elem_id="export-button")
            cancel = gr.Button("Cancel", elem_id="cancel", visible=False)
        exporting = _part(
            "status",
            '<div class="status" role="status" aria-live="polite"></div>',
            status_line(""), elem_id="exporting",
        )  # fmt: skip
        download = _part("download", '<div class="download"></div>', {})

    return {
        "kind": kind,
        "span": span,
        "start": start,
        "end": end,
        "seconds": seconds,
        "size": size,
        "sound": sound,
        "export": export,
        "cancel": cancel,
        "exporting": exporting,
        "download": download,
    }


def _as_uploaded(component: Any) -> None:
    """Make a component return the path of an upload, and do nothing else with it.

    Gradio's own would leave an empty file beside it, or encode the picture once more. A subclass
    would make Gradio write a file of types beside this one.
    """
    component.preprocess = lambda payload: getattr(payload, "path", None)


def _asset(name: str) -> str:
    text: str = (resources.files("glitch_render.studio") / "assets" / name).read_text("utf-8")
    return text


def page_css() -> str:
    """Return the page's style sheet."""
    return _asset("studio.css")


def page_theme() -> Any:
    """Return the page's theme: system fonts, nothing loaded from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.pink,
        neutral_hue=gr.themes.colors.zinc,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_sm,
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )


def _part(name: str, shape: str, value: Any = None, *, known: str = "", **settings: Any) -> gr.HTML:
    """Return a part of the page that has a script of its own.

    Args:
        name: name of the script among the assets, and by default the part's id.
        shape: its HTML before the script fills it.
        value: its first value.
        known: definitions that the script starts with.
        settings: further settings of ``gr.HTML``.
    """
    return gr.HTML(
        value,
        html_template=shape,
        js_on_load="\n".join([known, _asset("common.js"), _asset(f"{name}.js")]),
        elem_id=settings.pop("elem_id", name),
        apply_default_css=False,
        **settings,
    )
