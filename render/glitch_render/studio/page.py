"""The page: where everything stands, and which function of the session each control calls.

Each handler yields what changes on the page: at once what is known at once, then how far the work
is, then what came of it.
"""

from __future__ import annotations

import functools
import html
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr

from glitch_gym.errors import GlitchError
from glitch_gym.picture import SAMPLES
from glitch_render.controls import forms
from glitch_render.media import recipe_text
from glitch_render.recipe import load_preset, preset_names
from glitch_render.studio.jobs import Job, Stopped
from glitch_render.studio.masks import keep_mask
from glitch_render.studio.session import Session, Sessions
from glitch_render.studio.source import clock

__all__ = ["build_page", "page_css", "page_theme"]

_log = logging.getLogger("glitch_gym.studio")

Updates = dict[Any, Any]

_VIEWS = {
    "Result": "result",
    "Activation": "activation",
    "Rewards": "rewards",
    "Policy": "policy",
    "Paths": "paths",
    "Walk": "walk",
}
_STILL_FORMATS = {
    "PNG picture": ".png",
    "JPEG picture": ".jpg",
    "WebP picture": ".webp",
    "MP4 of the agents at work": ".mp4",
    "WebM of the agents at work": ".webm",
    "GIF of the agents at work": ".gif",
}
_CLIP_FORMATS = {
    "MP4": ".mp4",
    "WebM": ".webm",
    "MOV (ProRes)": ".mov",
    "MKV": ".mkv",
    "GIF": ".gif",
    "WebP": ".webp",
    "APNG": ".apng",
    "PNG of this frame": "frame.png",
}
_SIZES = ("as it is", "1080p", "720p", "480p", "360p")
_TICK = 0.05
_SAY_AFTER = 4
"""Ticks before progress is shown: what is over sooner needs none."""


def _asset(name: str) -> str:
    text: str = (resources.files("glitch_render.studio") / "assets" / name).read_text("utf-8")
    return text


def page_css() -> str:
    """Give the page's style sheet."""
    return _asset("studio.css")


def page_theme() -> Any:
    """Give the page's theme: fonts of the system, nothing from elsewhere."""
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
    """Make a part of the page that has a script of its own, and what the script knows from here."""
    return gr.HTML(
        value,
        html_template=shape,
        js_on_load="\n".join([known, _asset("common.js"), _asset(f"{name}.js")]),
        elem_id=settings.pop("elem_id", name),
        apply_default_css=False,
        **settings,
    )


def said(message: str, kind: str = "quiet", share: float | None = None) -> dict[str, Any]:
    """Give what the line of the status shows."""
    return {"message": message, "kind": kind, "share": share}


def _progress(job: Job[Any]) -> dict[str, Any]:
    """Say how far a job is."""
    stage, done, total = job.stage
    words = {
        "": "starting",
        "looking": "looking through the picture or clip",
        "thumbnails": "painting the presets",
        "joining": "writing the file",
    }
    message = words.get(stage, stage)
    if total and stage in ("looking", "painting"):
        message += f" · frame {done} of {total}"
    left = job.time_left
    if left is not None and left > 1.5:
        message += f" · {clock(left)} left"
    return said(f"{message}…", "working", done / total if total else None)


def _trouble(error: BaseException) -> dict[str, Any]:
    """Say what went wrong in words for a person."""
    if isinstance(error, GlitchError):
        return said(str(error), "wrong")
    if isinstance(error, MemoryError):
        return said("not enough memory for a picture and recipe of this size", "wrong")
    _log.error("a job of the studio failed", exc_info=error)
    return said(f"that should not have happened: {error!r}", "wrong")


def build_page(sessions: Sessions, opening: str | None) -> gr.Blocks:
    """Lay out the page.

    Args:
        sessions: of all tabs.
        opening: what a new tab opens: a file, or ``sample:NAME``.
    """

    def session_of(request: gr.Request) -> Session:
        return sessions.of(str(request.session_hash))

    def on_unload(request: gr.Request) -> None:
        sessions.end(str(request.session_hash))

    def mask_kept(path: str) -> dict[str, str]:
        try:
            return {"path": keep_mask(path)}
        except GlitchError as error:
            return {"error": str(error)}

    with gr.Blocks(title="glitch-gym studio", fill_width=True, analytics_enabled=False) as page:
        with gr.Row(elem_id="header", equal_height=True):
            gr.HTML("<h1>glitch-gym <span>studio</span></h1>", elem_id="mark", padding=False)
            undo = gr.Button("Undo", elem_id="undo", size="sm", interactive=False, min_width=70)
            redo = gr.Button("Redo", elem_id="redo", size="sm", interactive=False, min_width=70)
            seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=90, scale=0
            )
            dice = gr.Button("Roll the dice", elem_id="dice", size="sm", min_width=110)
        with gr.Row(elem_id="main", equal_height=False):
            with gr.Column(scale=7, min_width=320, elem_id="left"):
                with gr.Row(elem_id="views"):
                    view = gr.Radio(
                        list(_VIEWS.items()), value="result", label="View", elem_id="view",
                        show_label=False, container=False, scale=4, min_width=300,
                    )  # fmt: skip
                    action = gr.Dropdown(
                        [], label="Action", elem_id="action", show_label=False, visible=False,
                        scale=1, min_width=150, container=False,
                    )  # fmt: skip
                    grid = gr.Checkbox(
                        False, label="Grid", elem_id="grid", container=False, scale=0, min_width=70
                    )
                stage = _part("stage", '<div class="stage" data-kind="empty"></div>')
                at = gr.Slider(
                    0, 1, value=0, label="Time, in seconds", elem_id="at", visible=False,
                    buttons=[],
                )  # fmt: skip
                status = _part(
                    "status",
                    '<div class="status" role="status" aria-live="polite"></div>',
                    said("nothing is open"),
                )
                presets = _part(
                    "strip", '<div class="strip" role="group"></div>', {"items": []},
                    label="Presets", elem_id="presets",
                )  # fmt: skip
            with (
                gr.Column(scale=5, min_width=320, elem_id="right"),
                gr.Tabs(elem_id="tabs", selected="picture") as tabs,
            ):
                with gr.Tab("Picture", id="picture"):
                    source = gr.File(
                        label="A photograph, GIF or clip", elem_id="source", type="filepath",
                        height=130,
                    )  # fmt: skip
                    about = gr.HTML("", elem_id="about", padding=False)
                    own_recipe = gr.Button(
                        "Use the recipe it was made by", elem_id="own-recipe", visible=False
                    )
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
                with gr.Tab("Layers", id="layers"):
                    layers = _part(
                        "layers", '<div class="layers"></div>', {}, known=f"const form = {json.dumps(forms())};",
                        server_functions=[_named(mask_kept, "keep_mask")],
                    )  # fmt: skip
                with gr.Tab("Recipe", id="recipe"):
                    text = _part("recipe", '<div class="recipe"></div>', {})
                    save = gr.HTML("", elem_id="save", padding=False)
                    recipe_file = gr.File(
                        label="Load a recipe: a .toml, or a picture or clip made by us",
                        elem_id="recipe-file", type="filepath", height=110,
                    )  # fmt: skip
                with gr.Tab("Export", id="export"):
                    kind = gr.Dropdown(
                        list(_STILL_FORMATS.items()), value=".png", label="Format",
                        elem_id="format",
                    )  # fmt: skip
                    with gr.Row(visible=False) as span:
                        start = gr.Number(label="From, in seconds", minimum=0, elem_id="start")
                        end = gr.Number(label="To, in seconds", minimum=0, elem_id="end")
                    seconds = gr.Number(
                        6, label="Length, in seconds", minimum=0.1, maximum=3600, visible=False,
                        elem_id="seconds",
                    )  # fmt: skip
                    size = gr.Dropdown(
                        list(_SIZES), value=_SIZES[0], label="Size", visible=False, elem_id="size"
                    )
                    sound = gr.Checkbox(True, label="Keep the sound", visible=False)
                    with gr.Row():
                        export = gr.Button("Export", variant="primary", elem_id="export-button")
                        cancel = gr.Button("Cancel", elem_id="cancel", visible=False)
                    exporting = _part(
                        "status",
                        '<div class="status" role="status" aria-live="polite"></div>',
                        said(""), elem_id="exporting",
                    )  # fmt: skip
                    download = _part("download", '<div class="download"></div>', {})

        everything = [
            undo, redo, seed, view, action, grid, stage, at, status, presets, tabs, source, about,
            own_recipe, samples, webcam, layers, text, save, recipe_file, kind, span, start, end,
            seconds, size, sound, export, cancel, exporting, download,
        ]  # fmt: skip

        # What the page shows of a session

        def strip(session: Session) -> Updates:
            items = [
                {
                    "name": name,
                    "label": name,
                    "title": load_preset(name).description,
                    "image": session.thumbnails.get(name),
                }
                for name in preset_names()
            ]
            return {presets: {"items": items, "chosen": session.draft.preset}}

        def written(session: Session, *, own: bool = False) -> Updates:
            problems = [{"line": one.line, "message": one.message} for one in session.problems]
            shown = session.draft.text if session.unread is None else session.unread
            return {text: {"text": shown, "problems": problems, "own": own}}

        def layered(session: Session) -> Updates:
            data = session.draft.recipe.model_dump(mode="json", exclude_none=True)
            clip = session.source is not None and session.source.kind == "clip"
            return {layers: {"recipe": data, "layer": session.view.layer, "clip": clip}}

        def steps(session: Session) -> Updates:
            history = session.history
            return {
                undo: gr.update(interactive=history.can_undo),
                redo: gr.update(interactive=history.can_redo),
                action: gr.update(
                    choices=session.actions,
                    value=_in(session.view.action, session.actions),
                    visible=session.view.kind == "rewards",
                ),
            }

        def all_of_it(session: Session) -> Updates:
            return (
                strip(session) | written(session) | layered(session) | steps(session)
                | {seed: session.draft.recipe.seed}
            )  # fmt: skip

        def opened(session: Session) -> Updates:
            """Show what was opened, and what goes with its kind."""
            found = session.source
            assert found is not None
            clip = found.kind == "clip"
            length = found.seconds or 0.0
            begin, finish = session.view.span
            notes = [*found.notes]
            if begin is not None or finish is not None:
                notes.append(
                    f"This clip is long, so its first {clock(finish or 0)} are chosen under "
                    f"Export; every frame of what is chosen is looked through first."
                )
            formats = _CLIP_FORMATS if clip else _STILL_FORMATS
            first = next(iter(formats.values()))
            return {
                about: gr.update(value=_about(found.describe(), notes)),
                own_recipe: gr.update(visible=found.recipe is not None),
                at: gr.update(
                    visible=clip, minimum=0, maximum=max(length, 0.1), value=0,
                    step=1 / float(found.footage.rate) if found.footage else 0.1,
                ),
                view: "result",
                source: None,
                webcam: None,
                kind: gr.update(choices=list(formats.items()), value=first),
                span: gr.update(visible=clip),
                start: begin if clip else None,
                end: finish if clip else None,
                seconds: gr.update(visible=False),
                size: gr.update(visible=clip),
                sound: gr.update(visible=bool(found.footage and found.footage.audio)),
                exporting: said(""),
                download: {},
                tabs: gr.update(selected="layers"),
                stage: {"kind": "empty"},
            }  # fmt: skip

        def refresh(session: Session, first: Updates) -> Iterator[Updates]:
            """Show what is known at once, then what the view shows of it."""
            if session.source is None:
                yield first
                return
            job = session.start("preview", session.show)
            if first:
                yield first
            ticks = 0
            while not job.wait(_TICK):
                ticks += 1
                if job.stopped:
                    return
                if ticks >= _SAY_AFTER and ticks % 3 == 0:
                    yield {status: _progress(job)}
            if job.stopped or session.job("preview") is not job:
                return
            try:
                shown = job.result()
            except Stopped:
                return
            except BaseException as error:
                yield {status: _trouble(error)}
                return
            looked_at = {
                "kind": shown.kind, "image": shown.image, "before": shown.before,
                "width": shown.width, "height": shown.height, "caption": shown.caption,
                "number": session.next_number(),
            }  # fmt: skip
            yield {stage: looked_at, status: said(session.source.describe())}

        # What each control does

        def on_load(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            link = f'<a class="save" href="/recipe/{session.token}" download>Save the recipe</a>'
            first = all_of_it(session) | {save: link, samples: _samples()}
            if opening is None:
                yield first
                return
            yield from show_opened(session, opening, opening.rpartition("/")[2], first)

        def show_opened(
            session: Session, path: str, name: str, first: Updates | None = None
        ) -> Iterator[Updates]:
            try:
                session.open(path, name)
            except GlitchError as error:
                session.forget_upload(path)
                yield (first or {}) | {status: said(str(error), "wrong"), source: None,
                                       webcam: None}  # fmt: skip
                return
            session.settle()
            yield from refresh(session, (first or {}) | opened(session) | all_of_it(session))

        def on_upload(path: str | None, request: gr.Request) -> Iterator[Updates]:
            if not path:
                return
            session = session_of(request)
            try:
                kept = session.keep_upload(path)
            except OSError as error:
                yield {status: said(f"the upload cannot be kept: {error.strerror}", "wrong")}
                return
            yield from show_opened(session, kept, Path(path).name)

        def on_sample(request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
            name = str(event._data.get("name"))
            yield from show_opened(session_of(request), f"sample:{name}", name)

        def on_thumbnails(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            if session.source is None or session.thumbnails:
                return
            job = session.start("thumbnails", session.make_thumbnails)
            count = 0
            over = False
            while not over:
                over = job.wait(0.3)
                if job.stopped:
                    return
                if len(session.thumbnails) != count:
                    count = len(session.thumbnails)
                    yield strip(session)

        def on_preset(request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
            session = session_of(request)
            session.take_preset(str(event._data.get("name")))
            yield from refresh(session, all_of_it(session))

        def on_layers(value: dict[str, Any], request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.look(layer=int(value.get("layer", 0)))
            if not session.take_data(value["recipe"], str(value.get("touched", ""))):
                message = "; ".join(one.message for one in session.problems)
                yield {status: said(message, "wrong")}
                return
            first = written(session) | steps(session) | strip(session)
            yield from refresh(session, first)

        def on_select(value: dict[str, Any], request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.look(layer=int(value.get("layer", 0)))
            if session.view.kind == "result" and not session.view.grid:
                yield steps(session)
                return
            yield from refresh(session, steps(session))

        def on_text(value: dict[str, Any], request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            if not session.take_text(str(value.get("text", ""))):
                yield written(session, own=True)
                return
            yield from refresh(session, all_of_it(session) | written(session, own=True))

        def on_recipe_file(path: str | None, request: gr.Request) -> Iterator[Updates]:
            if not path:
                return
            session = session_of(request)
            kept = session.keep_upload(path)
            try:
                found = recipe_text(kept)
            except GlitchError as error:
                message = str(error).replace(kept, Path(path).name)
                yield {status: said(message, "wrong"), recipe_file: None}
                return
            finally:
                session.forget_upload(kept)
            yield from take_recipe(session, found, {recipe_file: None})

        def on_own_recipe(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            if session.source is not None and session.source.recipe is not None:
                yield from take_recipe(session, session.source.recipe, {})

        def take_recipe(session: Session, found: str, first: Updates) -> Iterator[Updates]:
            session.settle()
            if not session.take_text(found):
                yield (
                    first
                    | written(session)
                    | {
                        status: said("this recipe has errors: they stand under Recipe", "wrong"),
                        tabs: gr.update(selected="recipe"),
                    }
                )
                return
            session.settle()
            yield from refresh(session, first | all_of_it(session))

        def on_seed(value: float | None, request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            if value is None:
                return
            try:
                session.take_seed(int(value), "seed")
            except GlitchError as error:
                yield {status: said(str(error), "wrong")}
                return
            changed = all_of_it(session)
            del changed[seed]
            yield from refresh(session, changed)

        def on_dice(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.roll()
            yield from refresh(session, all_of_it(session))

        def on_undo(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.undo()
            yield from refresh(session, all_of_it(session))

        def on_redo(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.redo()
            yield from refresh(session, all_of_it(session))

        def on_view(
            chosen: str, named: str | None, lines: bool, request: gr.Request
        ) -> Iterator[Updates]:
            session = session_of(request)
            session.look(kind=chosen, action=named, grid=lines)
            yield from refresh(session, steps(session))

        def on_time(value: float, request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            session.look(at=float(value))
            yield from refresh(session, {})

        def on_span(
            begin: float | None, finish: float | None, request: gr.Request
        ) -> Iterator[Updates]:
            session = session_of(request)
            if begin is not None and finish is not None and finish <= begin:
                yield {status: said("the end must come after the start", "wrong")}
                return
            session.look(span=(begin or None, finish))
            yield from refresh(session, {})

        def on_format(suffix: str, request: gr.Request) -> Updates:
            session = session_of(request)
            still = session.source is None or session.source.kind == "still"
            moving = suffix not in (".png", ".jpg", "frame.png") and not (
                still and suffix == ".webp"
            )
            heard = (
                session.source is not None and session.source.footage is not None
                and bool(session.source.footage.audio)
            )  # fmt: skip
            animation = suffix in (".gif", ".webp", ".apng", "frame.png")
            return {
                seconds: gr.update(visible=moving and still),
                size: gr.update(visible=moving),
                sound: gr.update(visible=heard and not animation),
            }

        def on_export(
            suffix: str,
            length: float | None,
            scale: str,
            heard: bool,
            request: gr.Request,
        ) -> Iterator[Updates]:
            session = session_of(request)
            if session.source is None:
                yield {exporting: said("nothing is open", "wrong")}
                return
            asked = {
                "seconds": float(length or 6.0),
                "scale": None if scale == _SIZES[0] else scale,
                "sound": heard,
            }
            job = session.start("export", lambda report: session.export(suffix, report, **asked))
            yield {
                export: gr.update(interactive=False), cancel: gr.update(visible=True),
                exporting: said("starting…", "working"), download: {},
            }  # fmt: skip
            ended: Updates = {export: gr.update(interactive=True), cancel: gr.update(visible=False)}
            while not job.wait(0.2):
                yield {exporting: _progress(job)}
            try:
                done = job.result()
            except Stopped:
                yield ended | {exporting: said("the export was stopped")}
            except BaseException as error:
                yield ended | {exporting: _trouble(error)}
            else:
                notes = "".join(f" · {note}" for note in done.notes)
                address = f"/download/{session.token}/{session.next_number()}"
                yield ended | {
                    exporting: said(f"{done.summary}{notes}", "done"),
                    download: {"address": address, "name": done.name},
                }

        def on_cancel(request: gr.Request) -> None:
            session_of(request).stop("export")

        # Every change starts work of its own, which stops that of the change before
        usual: dict[str, Any] = {
            "show_progress": "hidden",
            "concurrency_limit": None,
            "trigger_mode": "multiple",
            "api_visibility": "private",
        }
        one_by_one = usual | {"trigger_mode": "always_last"}

        def listen(event: Any, handler: Any, inputs: Any = None, **settings: Any) -> Any:
            return event(_heard(handler, {status: gr.skip()}), inputs, everything,
                         **(usual | settings))  # fmt: skip

        for event, handler, inputs in (
            (page.load, on_load, None),
            (source.upload, on_upload, source),
            (webcam.input, on_upload, webcam),
            (samples.choose, on_sample, None),
        ):
            listen(listen(event, handler, inputs).then, on_thumbnails)
        listen(presets.choose, on_preset)
        listen(layers.edit, on_layers, layers)
        listen(layers.select, on_select, layers)
        listen(text.edit, on_text, text)
        listen(recipe_file.upload, on_recipe_file, recipe_file)
        listen(own_recipe.click, on_own_recipe)
        listen(seed.input, on_seed, seed)
        listen(dice.click, on_dice)
        listen(undo.click, on_undo)
        listen(redo.click, on_redo)
        for control in (view, action, grid):
            listen(control.input, on_view, [view, action, grid])
        listen(at.input, on_time, at, **one_by_one)
        for control in (start, end):
            listen(control.input, on_span, [start, end], **one_by_one)
        listen(kind.input, on_format, kind)
        listen(export.click, on_export, [kind, seconds, size, sound], trigger_mode="once")
        cancel.click(on_cancel, None, None, **usual)
        page.unload(on_unload)
    return page


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Give a function the name that the page calls it by."""
    function.__name__ = name
    return function


def _heard(handler: Callable[..., Any], nothing: Updates) -> Callable[..., Any]:
    """Let a handler that may have nothing to say say so: gradio would empty the whole page."""
    if not inspect.isgeneratorfunction(handler):
        return handler

    @functools.wraps(handler)
    def heard(*arguments: Any) -> Iterator[Updates]:
        silent = True
        for updates in handler(*arguments):
            silent = False
            yield updates or nothing
        if silent:
            yield nothing

    return heard


def _in(name: str | None, names: tuple[str, ...]) -> str:
    return name if name in names else names[0]


def _samples() -> dict[str, Any]:
    return {"items": [{"name": one, "label": one, "image": f"/sample/{one}"} for one in SAMPLES]}


def _about(line: str, notes: list[str]) -> str:
    more = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p><strong>{html.escape(line)}</strong></p>{more}"
