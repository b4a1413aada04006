"""The page: where everything stands, and which function of the session each control calls.

Each handler yields what changes on the page: at once what is known at once, then how far the work
is, then what came of it.
"""

from __future__ import annotations

import asyncio
import functools
import html
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import gradio as gr

from glitch_gym.errors import GlitchError, SettingError
from glitch_gym.samples import SAMPLES
from glitch_render.media.formats import CLIPS
from glitch_render.media.metadata import carries_recipe
from glitch_render.recipe.files import recipe_text
from glitch_render.recipe.forms import forms
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.studio.events import as_flag, as_number, as_table, as_text, as_whole
from glitch_render.studio.jobs import Job, Stopped
from glitch_render.studio.preview import moves
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
_MOST_AT_ONCE = 240
"""Events of all tabs together that can be under way."""
_TICK = 0.05
_SAY_AFTER = 4
"""Ticks before progress is shown: what is over sooner needs none."""


@dataclass
class _Screen:
    """What a tab shows.

    Args:
        stage: the picture.
        status: the line below it.
        shows: what it was made of.
        failed: whether the last change was wrong.
        heard: the number of the last change that came from each part.
    """

    stage: dict[str, Any] = field(default_factory=lambda: {"kind": "empty"})
    status: dict[str, Any] = field(default_factory=lambda: said("nothing is open"))
    shows: object = None
    failed: bool = False
    heard: dict[str, int] = field(default_factory=dict)

    def is_news(self, part: str, value: dict[str, Any]) -> bool:
        """Return whether a change is newer than those before: they can come in another order."""
        number = as_whole(value.get("sent", 0), "the number of a change")
        if number <= self.heard.get(part, 0):
            return False
        self.heard[part] = number
        return True


def _as_uploaded(component: Any) -> None:
    """Have a component give the path of the upload, and nothing else.

    Gradio's own would leave an empty file beside it, or encode the picture once more. A subclass
    would have gradio write a file of types beside this one.
    """
    component.preprocess = lambda payload: getattr(payload, "path", None)


def _asset(name: str) -> str:
    text: str = (resources.files("glitch_render.studio") / "assets" / name).read_text("utf-8")
    return text


def page_css() -> str:
    """Return the page's style sheet."""
    return _asset("studio.css")


def page_theme() -> Any:
    """Return the page's theme: fonts of the system, nothing from elsewhere."""
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
    """Return what the line of the status shows."""
    return {"message": message, "kind": kind, "share": share}


def _progress(job: Job[Any]) -> dict[str, Any]:
    """Say how far a job is."""
    now = job.progress
    stage, done, total = now.stage, now.done, now.total
    words = {
        "": "starting",
        "looking": "looking through the picture or clip",
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

    screens: WeakKeyDictionary[Session, _Screen] = WeakKeyDictionary()

    def screen_of(session: Session) -> _Screen:
        return screens.setdefault(session, _Screen())

    def on_unload(request: gr.Request) -> None:
        sessions.end(str(request.session_hash))

    with gr.Blocks(title="glitch-gym studio", fill_width=True, analytics_enabled=False) as page:
        with gr.Row(elem_id="header", equal_height=True):
            gr.HTML("<h1>glitch-gym <span>studio</span></h1>", elem_id="mark", padding=False)
            undo = gr.Button("Undo", elem_id="undo", size="sm", interactive=False, min_width=70)
            redo = gr.Button("Redo", elem_id="redo", size="sm", interactive=False, min_width=70)
            seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, elem_id="seed", min_width=90, scale=0
            )
            dice = gr.Button("Roll the dice", elem_id="dice", size="sm", min_width=110)
            uploads = _part("uploads", "", {})
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
                        False, label="Grid", elem_id="grid", container=False, scale=0, min_width=60
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
                allow = gr.Button(
                    "Open these files, and use the recipe", elem_id="allow", size="sm",
                    visible=False,
                )  # fmt: skip
                presets = _part(
                    "strip", '<div class="strip" role="group"></div>', {"items": []},
                    label="Presets", elem_id="presets",
                )  # fmt: skip
            with (
                gr.Column(scale=5, min_width=320, elem_id="right"),
                gr.Tabs(elem_id="tabs", selected="picture") as tabs,
            ):
                with gr.Tab("Picture", id="picture", render_children=True):
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
                with gr.Tab("Layers", id="layers", render_children=True):
                    layers = _part(
                        "layers", '<div class="layers"></div>', {},
                        known=f"const form = {json.dumps(forms())};",
                    )  # fmt: skip
                with gr.Tab("Recipe", id="recipe", render_children=True):
                    text = _part("recipe", '<div class="recipe"></div>', {})
                    save = gr.HTML("", elem_id="save", padding=False)
                    recipe_file = gr.File(
                        label="Load a recipe: a .toml, or a picture or clip made by us",
                        elem_id="recipe-file", type="filepath", height=110,
                    )  # fmt: skip
                with gr.Tab("Export", id="export", render_children=True):
                    kind = gr.Dropdown(
                        list(_STILL_FORMATS.items()), value=".png", label="Format",
                        elem_id="format",
                    )  # fmt: skip
                    with gr.Row(visible=False) as span:
                        start = gr.Number(
                            label="From, in seconds",
                            minimum=0,
                            placeholder="the start",
                            elem_id="start",
                        )
                        end = gr.Number(
                            label="To, in seconds", minimum=0, placeholder="the end", elem_id="end"
                        )
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

        for uploaded in (source, webcam, recipe_file):
            _as_uploaded(uploaded)

        # What the page shows of a session. An update of a part that has a script is its whole
        # value: told that there is none, gradio gives a part that is not on the page yet nonsense.

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
                presets: _strip(session),
                status: screen_of(session).status,
                allow: gr.update(visible=session.question is not None),
            }

        def written(session: Session, *, own: bool = False) -> Updates:
            problems = [{"line": one.line, "message": one.message} for one in session.problems]
            shown = session.draft.text if session.unread is None else session.unread
            return {text: {"text": shown, "problems": problems, "own": own}}

        def layered(session: Session) -> Updates:
            data = session.draft.recipe.model_dump(mode="json", exclude_none=True)
            return {layers: {"recipe": data, "layer": session.view.layer}}

        def whole_recipe(session: Session) -> Updates:
            return steps(session) | written(session) | layered(session) | {
                seed: session.draft.recipe.seed
            }  # fmt: skip

        def opened(session: Session) -> Updates:
            """Show what is open, and what goes with its kind."""
            found = session.source
            if found is None or screen_of(session).failed:
                # What was open stays open, as it was
                line = "" if found is None else _about(found.describe(), [])
                return {one: gr.skip() for one in of_source} | {about: line}
            clip = found.kind == "clip"
            begin, finish = session.view.span
            notes = [*found.notes]
            if begin is not None or finish is not None:
                notes.append(
                    f"This clip is long: its first {clock(finish or 0)} are chosen under Export. "
                    f"Every frame of what is chosen is looked through first."
                )
            formats = _CLIP_FORMATS if clip else _STILL_FORMATS
            first = next(iter(formats.values()))
            return {
                about: _about(found.describe(), notes),
                own_recipe: gr.update(visible=found.recipe is not None),
                at: gr.update(
                    visible=clip,
                    maximum=max(found.seconds or 0.0, 0.1),
                    value=session.view.at,
                    step=1 / float(found.footage.rate) if found.footage else 0.1,
                ),
                view: "result",
                kind: gr.update(choices=list(formats.items()), value=first),
                span: gr.update(visible=clip),
                start: begin if clip else None,
                end: finish if clip else None,
                seconds: gr.update(visible=False),
                size: gr.update(visible=clip),
                sound: gr.update(visible=bool(found.footage and found.footage.audio)),
                tabs: gr.update(selected="layers"),
            }

        of_recipe = [undo, redo, action, presets, status, allow, text, layers, seed]
        of_source = [
            about, own_recipe, at, view, kind, span, start, end, seconds, size, sound, tabs,
        ]  # fmt: skip

        def wrong(session: Session, message: str) -> None:
            """Say what is wrong; what is shown stays."""
            screen = screen_of(session)
            screen.failed, screen.shows = True, None
            screen.status = said(message, "wrong")

        def right(session: Session) -> None:
            """Have what is new shown."""
            screen_of(session).failed = False
            session.stop("preview")

        # What each control does: at once what is known at once

        def careful(handler: Callable[..., Updates], *emptied: Any) -> Callable[..., Updates]:
            """Return a handler that says what is wrong with what it was sent, and goes on.

            Args:
                handler: of a change.
                emptied: what takes files, and would keep one that was refused.
            """

            @functools.wraps(handler)
            def answered(*values: Any) -> Updates:
                try:
                    return handler(*values)
                except Exception as error:
                    (request,) = (one for one in values if isinstance(one, gr.Request))
                    session = session_of(request)
                    wrong(session, _trouble(error)["message"])
                    return {status: screen_of(session).status} | dict.fromkeys(emptied)

            return answered

        def on_load(request: gr.Request) -> Updates:
            session = session_of(request)
            if opening is not None and session.source is None:
                open_it(session, opening, Path(opening.removeprefix("sample:")).name)
            link = f'<a class="save" href="recipe/{session.token}" download>Save the recipe</a>'
            more = {save: link, samples: _samples(), uploads: {"tab": session.token}}
            return whole_recipe(session) | opened(session) | more

        def look_at_layer(session: Session, value: dict[str, Any]) -> None:
            layer = as_whole(value.get("layer", 0), "the layer")
            session.look(layer=max(0, min(layer, len(session.draft.recipe.layers) - 1)))

        def open_it(session: Session, path: str, name: str) -> None:
            try:
                session.open(path, name)
            except Exception as error:
                session.forget_upload(path)
                wrong(session, _trouble(error)["message"])
                return
            session.settle()
            right(session)
            screen_of(session).stage = {"kind": "empty"}

        def on_upload(path: str | None, request: gr.Request) -> Updates:
            session = session_of(request)
            if path is not None:
                open_it(session, *session.keep_upload(as_text(path, "the file")))
            return whole_recipe(session) | opened(session) | {source: None, webcam: None}

        def on_sample(request: gr.Request, event: gr.EventData) -> Updates:
            session = session_of(request)
            name = _chosen(event)
            if name not in SAMPLES:
                raise SettingError(f"{name!r} is no sample")
            open_it(session, f"sample:{name}", name)
            return whole_recipe(session) | opened(session)

        def on_preset(request: gr.Request, event: gr.EventData) -> Updates:
            session = session_of(request)
            session.take_preset(_chosen(event))
            right(session)
            return whole_recipe(session)

        def on_layers(value: dict[str, Any], request: gr.Request) -> Updates:
            session = session_of(request)
            value = as_table(value, "the recipe")
            if not screen_of(session).is_news("layers", value):
                return steps(session) | written(session)
            touched = as_text(value.get("touched", ""), "what was touched")
            if session.take_data(as_table(value.get("recipe"), "the recipe"), touched):
                right(session)
            else:
                wrong(session, "\n".join(one.message for one in session.problems))
                session.forget_problems()
            look_at_layer(session, value)
            return steps(session) | written(session)

        def on_select(value: dict[str, Any], request: gr.Request) -> Updates:
            session = session_of(request)
            look_at_layer(session, as_table(value, "the layer"))
            right(session)
            return steps(session)

        def on_text(value: dict[str, Any], request: gr.Request) -> Updates:
            session = session_of(request)
            value = as_table(value, "the recipe")
            if not screen_of(session).is_news("text", value):
                return whole_recipe(session) | written(session, own=True)
            if session.take_text(as_text(value.get("text"), "the recipe")):
                right(session)
            else:
                wrong(session, "the recipe has errors, so the one before them is shown")
            return whole_recipe(session) | written(session, own=True)

        def on_recipe_file(path: str | None, request: gr.Request) -> Updates:
            session = session_of(request)
            if path is not None:
                kept, name = session.keep_upload(as_text(path, "the file"))
                try:
                    take_recipe(session, recipe_text(kept), inside=carries_recipe(kept))
                except GlitchError as error:
                    wrong(session, str(error).replace(kept, name))
                finally:
                    session.forget_upload(kept)
            return whole_recipe(session) | {recipe_file: None}

        def on_own_recipe(request: gr.Request) -> Updates:
            session = session_of(request)
            if session.source is not None and session.source.recipe is not None:
                take_recipe(session, session.source.recipe, inside=True)
            return whole_recipe(session)

        def on_allow(request: gr.Request) -> Updates:
            session = session_of(request)
            session.settle()
            if session.allow():
                right(session)
            session.settle()
            return whole_recipe(session)

        def take_recipe(session: Session, found: str, *, inside: bool) -> None:
            session.settle()
            if session.take_text(found, inside=inside):
                right(session)
            elif session.question is not None:
                wrong(session, str(session.question))
            else:
                wrong(session, "this recipe has errors; they stand under Recipe")
            session.settle()

        def on_seed(value: float | None, request: gr.Request) -> Updates:
            session = session_of(request)
            if value is not None:
                try:
                    session.take_seed(as_whole(value, "the seed"), "seed")
                    right(session)
                except GlitchError as error:
                    wrong(session, str(error))
            shown = whole_recipe(session)
            del shown[seed]
            return shown

        def on_dice(request: gr.Request) -> Updates:
            session = session_of(request)
            session.roll()
            right(session)
            return whole_recipe(session)

        def on_undo(request: gr.Request) -> Updates:
            session = session_of(request)
            session.undo()
            right(session)
            return whole_recipe(session)

        def on_redo(request: gr.Request) -> Updates:
            session = session_of(request)
            session.redo()
            right(session)
            return whole_recipe(session)

        def on_view(chosen: str, named: str | None, lines: bool, request: gr.Request) -> Updates:
            session = session_of(request)
            if chosen not in _VIEWS.values():
                raise SettingError(f"{chosen!r} is no view")
            action_named = None if named is None else as_text(named, "the action")
            session.look(kind=chosen, action=action_named, grid=as_flag(lines, "the grid"))
            right(session)
            return steps(session)

        def on_time(value: float, request: gr.Request) -> Updates:
            session = session_of(request)
            session.look(at=as_number(value, "the time"))
            right(session)
            return {status: screen_of(session).status}

        def on_span(begin: float | None, finish: float | None, request: gr.Request) -> Updates:
            session = session_of(request)
            first = None if begin is None else as_number(begin, "the start")
            last = None if finish is None else as_number(finish, "the end")
            if first is not None and last is not None and last <= first:
                wrong(session, "the end must come after the start")
            else:
                session.look(span=(first or None, last))
                right(session)
            return {status: screen_of(session).status}

        def on_format(suffix: str, request: gr.Request) -> Updates:
            session = session_of(request)
            found = session.source
            still = found is None or found.kind == "still"
            suffix = as_text(suffix, "the format")
            moving = moves(suffix, still=still)
            heard = found is not None and found.footage is not None and bool(found.footage.audio)
            return {
                seconds: gr.update(visible=moving and still),
                size: gr.update(visible=moving),
                sound: gr.update(visible=heard and suffix in CLIPS),
            }

        # What takes time

        def on_show(request: gr.Request) -> Iterator[Updates]:
            """Show what the view shows, when it is there; until then how far it is."""
            session = session_of(request)
            screen = screen_of(session)
            wanted = session.wanted()
            if session.source is None or screen.failed or screen.shows == wanted:
                yield {stage: screen.stage, status: screen.status}
                return
            job = session.start("preview", session.show)
            ticks = 0
            while not job.wait(_TICK):
                ticks += 1
                if ticks >= _SAY_AFTER and ticks % 3 == 0 and not job.stopped:
                    yield {stage: screen.stage, status: _progress(job)}
            try:
                shown = job.result()
            except Stopped:
                shown = None
            except BaseException as error:
                if not job.stopped:
                    screen.shows, screen.status = None, _trouble(error)
                shown = None
            if shown is not None and session.job("preview") is job and not screen.failed:
                line = session.source.describe()
                screen.status = said(f"{line} — {shown.caption}" if shown.caption else line)
                screen.shows = wanted
                screen.stage = asdict(shown) | {"number": session.album.next_number()}
            yield {stage: screen.stage, status: screen.status}

        def on_thumbnails(request: gr.Request) -> Iterator[Updates]:
            session = session_of(request)
            yield {presets: _strip(session)}
            if session.source is None or session.thumbnails:
                return
            job = session.start("thumbnails", session.make_thumbnails)
            count, over = 0, False
            while not over and not job.stopped:
                over = job.wait(0.3)
                if len(session.thumbnails) != count:
                    count = len(session.thumbnails)
                    yield {presets: _strip(session)}

        def on_export(
            suffix: str, length: float | None, scale: str, heard: bool, request: gr.Request
        ) -> Iterator[Updates]:
            session = session_of(request)
            if session.source is None:
                yield {exporting: said("nothing is open", "wrong"), download: {}}
                return
            try:
                chosen = as_text(suffix, "the format")
                if chosen not in (*_STILL_FORMATS.values(), *_CLIP_FORMATS.values()):
                    raise SettingError(f"{chosen!r} is no format")
                if scale not in _SIZES:
                    raise SettingError("the size is none of those offered")
                shown_for = 6.0 if length is None else as_number(length, "the length")
                with_sound = as_flag(heard, "the sound")
            except GlitchError as error:
                yield {exporting: _trouble(error), download: {}}
                return
            chosen_size = None if scale == _SIZES[0] else scale
            job = session.start(
                "export",
                lambda report: session.export(
                    chosen, report, seconds=shown_for or 6, scale=chosen_size, sound=with_sound
                ),
            )
            yield {
                export: gr.update(interactive=False),
                cancel: gr.update(visible=True),
                exporting: said("starting…", "working"),
                download: {},
            }
            while not job.wait(0.2):
                yield {exporting: _progress(job), download: {}}
            saved: dict[str, str] = {}
            try:
                done = job.result()
            except Stopped:
                line = said("the export was stopped")
            except BaseException as error:
                line = _trouble(error)
            else:
                notes = "".join(f"\n{note}" for note in done.notes)
                line = said(f"{done.summary}{notes}", "done")
                address = f"download/{session.token}/{session.album.next_number()}"
                saved = {"address": address, "name": done.name}
            yield {
                export: gr.update(interactive=True),
                cancel: gr.update(visible=False),
                exporting: line,
                download: saved,
            }

        def on_cancel(request: gr.Request) -> None:
            session_of(request).stop("export")

        async def listening(request: gr.Request) -> AsyncIterator[None]:
            # A page that has nothing under way closes its line to the server, and can lose what is
            # asked at that very moment: something is always under way
            session = session_of(request)
            yield
            while not session.closed:
                await asyncio.sleep(1)

        usual: dict[str, Any] = {
            "show_progress": "hidden",
            "concurrency_limit": None,
            "trigger_mode": "multiple",
            "api_visibility": "private",
        }
        one_by_one = usual | {"trigger_mode": "always_last"}

        def shown_after(event: Any) -> Any:
            # Each change is shown by work of its own, which stops that of the change before
            return event.then(on_show, None, [stage, status], **usual)

        files = (source, webcam, recipe_file)
        openings: tuple[tuple[Any, Any, Any, list[Any]], ...] = (
            (page.load, on_load, None, [save, samples, uploads]),
            (source.upload, on_upload, source, [source, webcam]),
            (webcam.input, on_upload, webcam, [source, webcam]),
            (samples.choose, on_sample, None, []),
        )
        for event, handler, inputs, more in openings:
            emptied = [one for one in more if one in files]
            opens = event(
                careful(handler, *emptied), inputs, [*of_recipe, *of_source, *more], **usual
            )
            shown_after(opens).then(on_thumbnails, None, presets, **usual)
        beside_layers = [one for one in of_recipe if one not in (layers, seed)]
        beside_seed = [one for one in of_recipe if one is not seed]
        beside_both = [one for one in beside_layers if one is not text]
        changes: tuple[tuple[Any, Any, Any, list[Any]], ...] = (
            (presets.choose, on_preset, None, of_recipe),
            (layers.edit, on_layers, layers, beside_layers),
            (layers.select, on_select, layers, beside_both),
            (text.edit, on_text, text, of_recipe),
            (recipe_file.upload, on_recipe_file, recipe_file, [*of_recipe, recipe_file]),
            (own_recipe.click, on_own_recipe, None, of_recipe),
            (allow.click, on_allow, None, of_recipe),
            (seed.input, on_seed, seed, beside_seed),
            (dice.click, on_dice, None, of_recipe),
            (undo.click, on_undo, None, of_recipe),
            (redo.click, on_redo, None, of_recipe),
            (view.input, on_view, [view, action, grid], beside_both),
            (action.input, on_view, [view, action, grid], beside_both),
            (grid.input, on_view, [view, action, grid], beside_both),
        )
        for event, handler, inputs, outputs in changes:
            emptied = [one for one in outputs if one in files]
            shown_after(event(careful(handler, *emptied), inputs, outputs, **usual))
        shown_after(at.input(careful(on_time), at, status, **one_by_one))
        for control in (start, end):
            shown_after(control.input(careful(on_span), [start, end], status, **one_by_one))
        kind.input(careful(on_format), kind, [seconds, size, sound, status], **usual)
        export.click(
            on_export,
            [kind, seconds, size, sound],
            [export, cancel, exporting, download],
            **(usual | {"trigger_mode": "once"}),
        )
        cancel.click(on_cancel, None, None, **usual)
        page.load(listening, None, None, **usual)
        page.unload(on_unload)
    page.max_threads = _MOST_AT_ONCE
    page.queue(default_concurrency_limit=None, api_open=False)
    return cast(gr.Blocks, page)


def _chosen(event: gr.EventData) -> str:
    """Return the name of what was chosen in a row of small pictures."""
    return as_text(as_table(event._data, "a choice").get("name"), "the name of a choice")


def _in(name: str | None, names: tuple[str, ...]) -> str:
    return name if name in names else names[0]


def _strip(session: Session) -> dict[str, Any]:
    items = [
        {
            "name": name,
            "label": name,
            "title": load_preset(name).description,
            "image": session.thumbnails.get(name),
        }
        for name in preset_names()
    ]
    return {"items": items, "chosen": session.draft.preset}


def _samples() -> dict[str, Any]:
    return {"items": [{"name": one, "label": one, "image": f"sample/{one}"} for one in SAMPLES]}


def _about(line: str, notes: list[str]) -> str:
    more = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p><strong>{html.escape(line)}</strong></p>{more}"
