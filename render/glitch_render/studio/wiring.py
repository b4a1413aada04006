"""Which event of the page calls which handler, with what, and what it may change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from glitch_render.studio.handlers import Handlers
from glitch_render.studio.layout import Components, build, new_page
from glitch_render.studio.session import Session, Sessions
from glitch_render.studio.updates import OF_RECIPE, OF_SOURCE, UNCHANGED, Properties, Updates

__all__ = ["build_page", "wire"]

_MOST_AT_ONCE = 240
"""Events of all tabs together that can be under way."""

_FILES = ("source", "webcam", "recipe_file")
"""Parts that take files, and would keep one that was refused."""

_USUAL: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": None,
    "trigger_mode": "multiple",
    "api_visibility": "private",
}
_NEWEST = _USUAL | {"trigger_mode": "always_last"}
_SINGLE = _USUAL | {"trigger_mode": "once"}

Row = tuple[Any, Callable[..., Any], tuple[str, ...], tuple[str, ...], dict[str, Any]]
"""An event, its handler, the parts whose values it is given and those it may change, and how
Gradio queues it."""


def build_page(sessions: Sessions, opening: str | None) -> gr.Blocks:
    """Build the page.

    Args:
        sessions: the sessions of all tabs.
        opening: what a new tab opens: a file, or ``sample:NAME``.
    """
    page = new_page()
    with page:
        wire(page, build(), Handlers(sessions, opening))
    page.max_threads = _MOST_AT_ONCE
    page.queue(default_concurrency_limit=None, api_open=False)
    return page


def wire(page: gr.Blocks, components: Components, handlers: Handlers) -> None:
    """Connect every event of the page with its handler."""
    wires = _Wires(components, handlers)
    for row in _openings(page, components, handlers):
        painting = wires.stream(handlers.paint_thumbnails)
        shown = wires.show_after(wires.connect(*row))
        shown.then(painting, None, components.presets, **_USUAL)
    for row in _changes(components, handlers):
        wires.show_after(wires.connect(*row))
    options = ("seconds", "size", "sound")
    wires.connect(
        components.kind.input, handlers.set_format, ("kind",), (*options, "status"), _USUAL
    )
    components.export.click(
        wires.stream(handlers.export),
        components.named(("kind", *options)),
        components.named(("export", "cancel", "exporting", "download")),
        **_SINGLE,
    )

    def cancel(request: gr.Request) -> None:
        handlers.cancel(wires.session(request))

    def unload(request: gr.Request) -> None:
        handlers.unload(str(request.session_hash))

    async def listen(request: gr.Request) -> AsyncIterator[None]:
        # Gradio drops the event stream when idle and can lose a concurrent request, so one event
        # always stays open
        session = wires.session(request)
        yield
        while not session.closed:
            await asyncio.sleep(1)

    components.cancel.click(cancel, None, None, **_USUAL)
    page.load(listen, None, None, **_USUAL)
    page.unload(unload)


def _openings(page: gr.Blocks, on: Components, handlers: Handlers) -> tuple[Row, ...]:
    """Return the events that open a source; thumbnails follow them."""
    everything = (*OF_RECIPE, *OF_SOURCE)
    uploads = (*everything, "source", "webcam")
    return (
        (page.load, handlers.load, (), (*everything, "save", "samples", "uploads"), _USUAL),
        (on.source.upload, handlers.upload, ("source",), uploads, _USUAL),
        (on.webcam.input, handlers.upload, ("webcam",), uploads, _USUAL),
        (on.samples.choose, handlers.choose_sample, (), everything, _USUAL),
    )


def _changes(on: Components, handlers: Handlers) -> tuple[Row, ...]:
    """Return the events that change the recipe or the view; a new picture follows them."""
    beside_layers = _without(OF_RECIPE, "layers", "seed")
    beside_seed = _without(OF_RECIPE, "seed")
    beside_both = _without(beside_layers, "text")
    view, span = ("view", "action", "grid"), ("start", "end")
    loaded = (*OF_RECIPE, "recipe_file")
    return (
        (on.presets.choose, handlers.choose_preset, (), OF_RECIPE, _USUAL),
        (on.layers.edit, handlers.edit_layers, ("layers",), beside_layers, _USUAL),
        (on.layers.select, handlers.select_layer, ("layers",), beside_both, _USUAL),
        (on.text.edit, handlers.edit_text, ("text",), OF_RECIPE, _USUAL),
        (on.recipe_file.upload, handlers.load_recipe, ("recipe_file",), loaded, _USUAL),
        (on.own_recipe.click, handlers.use_own_recipe, (), OF_RECIPE, _USUAL),
        (on.allow.click, handlers.allow, (), OF_RECIPE, _USUAL),
        (on.seed.input, handlers.set_seed, ("seed",), beside_seed, _USUAL),
        (on.dice.click, handlers.roll, (), OF_RECIPE, _USUAL),
        (on.undo.click, handlers.undo, (), OF_RECIPE, _USUAL),
        (on.redo.click, handlers.redo, (), OF_RECIPE, _USUAL),
        (on.view.input, handlers.set_view, view, beside_both, _USUAL),
        (on.action.input, handlers.set_view, view, beside_both, _USUAL),
        (on.grid.input, handlers.set_view, view, beside_both, _USUAL),
        (on.at.input, handlers.set_time, ("at",), ("status",), _NEWEST),
        (on.start.input, handlers.set_span, span, ("status",), _NEWEST),
        (on.end.input, handlers.set_span, span, ("status",), _NEWEST),
    )


def _without(names: Iterable[str], *left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in left_out)


@dataclass(frozen=True)
class _Wires:
    """What makes functions for Gradio out of handlers.

    Args:
        components: the parts of the page.
        handlers: the handlers of its events.
    """

    components: Components
    handlers: Handlers

    def session(self, request: gr.Request) -> Session:
        """Return the session of the tab that sends a request."""
        return self.handlers.session(str(request.session_hash))

    def connect(
        self,
        event: Any,
        handler: Callable[..., Updates],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        options: dict[str, Any],
    ) -> Any:
        """Connect the event of a ``Row``, and return what further events can follow.

        A choice in a row of small pictures has no inputs; what was chosen comes with the event.
        """
        emptied = dict.fromkeys(name for name in outputs if name in _FILES)

        def answer(request: gr.Request, *values: Any) -> dict[Any, Any]:
            session = self.session(request)
            try:
                updates = handler(session, *values)
            except Exception as error:
                updates = self.handlers.refuse(session, error) | emptied
            return self._ui(updates)

        def answer_choice(request: gr.Request, event: gr.EventData) -> dict[Any, Any]:
            return answer(request, event._data)

        chooses = handler in (self.handlers.choose_preset, self.handlers.choose_sample)
        called = answer_choice if chooses else answer
        named = self.components.named
        return event(called, named(inputs), named(outputs), **options)

    def stream(self, handler: Callable[..., Iterator[Updates]]) -> Callable[..., Any]:
        """Return the function for a handler that takes time."""

        def answer(request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
            for updates in handler(self.session(request), *values):
                yield self._ui(updates)

        return answer

    def show_after(self, event: Any) -> Any:
        """Show each change by work of its own, which stops that of the change before."""
        shown = self.components.named(("stage", "status"))
        return event.then(self.stream(self.handlers.show), None, shown, **_USUAL)

    def _ui(self, updates: Mapping[str, Any]) -> dict[Any, Any]:
        """Return updates as Gradio takes them."""

        def value(given: Any) -> Any:
            if given is UNCHANGED:
                return gr.skip()
            return gr.update(**given) if isinstance(given, Properties) else given

        return {getattr(self.components, name): value(given) for name, given in updates.items()}
