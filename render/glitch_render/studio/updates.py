"""What the page shows of a session, as values for its parts; nothing here knows of Gradio.

A part of the page with a script of its own always gets its whole value: a skipped update makes
Gradio send garbage to parts that are not mounted yet.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any, Final

from glitch_gym.samples import SAMPLES
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.studio.choices import CLIP_FORMATS, STILL_FORMATS
from glitch_render.studio.session import Session
from glitch_render.studio.source import clock

__all__ = [
    "OF_RECIPE",
    "OF_SOURCE",
    "UNCHANGED",
    "Properties",
    "Updates",
    "history_updates",
    "layer_updates",
    "preset_strip",
    "recipe_updates",
    "sample_strip",
    "source_updates",
    "text_updates",
]

Updates = dict[str, Any]
"""New values by the names of ``Components``: a value, ``Properties`` or ``UNCHANGED``."""

UNCHANGED: Final = object()
"""Stands for a part of the page that stays as it is."""

OF_RECIPE: Final = (
    "undo", "redo", "action", "presets", "status", "allow", "text", "layers", "seed",
)  # fmt: skip
"""Parts of the page that ``recipe_updates`` sets."""

OF_SOURCE: Final = (
    "about", "own_recipe", "at", "view", "kind", "span", "start", "end", "seconds", "size", "sound",
    "tabs",
)  # fmt: skip
"""Parts of the page that ``source_updates`` sets."""


class Properties(dict[str, Any]):
    """Properties of a control, such as whether it is visible; the others stay as they are."""


def history_updates(session: Session) -> Updates:
    """Return what follows from any change: undo and redo, the chosen preset, the status."""
    history, actions = session.history, session.actions
    chosen = session.view.action if session.view.action in actions else actions[0]
    return {
        "undo": Properties(interactive=history.can_undo),
        "redo": Properties(interactive=history.can_redo),
        "action": Properties(choices=actions, value=chosen, visible=session.view.kind == "rewards"),
        "presets": preset_strip(session),
        "status": session.screen.status,
        "allow": Properties(visible=session.question is not None),
    }


def text_updates(session: Session, *, own: bool = False) -> Updates:
    """Return the recipe's text and its problems.

    Args:
        session: the session of the tab.
        own: whether the text is the person's own, which the page then leaves as it is.
    """
    problems = [{"line": one.line, "message": one.message} for one in session.problems]
    shown = session.draft.text if session.unread is None else session.unread
    return {"text": {"text": shown, "problems": problems, "own": own}}


def layer_updates(session: Session) -> Updates:
    """Return the layers' form."""
    data = session.draft.recipe.model_dump(mode="json", exclude_none=True)
    return {"layers": {"recipe": data, "layer": session.view.layer}}


def recipe_updates(session: Session, *, own: bool = False) -> Updates:
    """Return everything that shows the recipe; ``own`` as for ``text_updates``."""
    return (
        history_updates(session)
        | text_updates(session, own=own)
        | layer_updates(session)
        | {"seed": session.draft.recipe.seed}
    )


def source_updates(session: Session) -> Updates:
    """Return what shows the source, and the controls that go with its kind."""
    found = session.source
    if found is None or session.screen.failed:
        # What was open before stays open
        line = "" if found is None else _about(found.describe(), [])
        return dict.fromkeys(OF_SOURCE, UNCHANGED) | {"about": line}
    clip = found.kind == "clip"
    begin, finish = session.view.span
    notes = [*found.notes]
    if begin is not None or finish is not None:
        notes.append(
            f"This clip is long: its first {clock(finish or 0)} are chosen under Export. "
            f"Every frame of what is chosen is looked through first."
        )
    formats = CLIP_FORMATS if clip else STILL_FORMATS
    return {
        "about": _about(found.describe(), notes),
        "own_recipe": Properties(visible=found.recipe is not None),
        "at": Properties(
            visible=clip,
            maximum=max(found.seconds or 0.0, 0.1),
            value=session.view.at,
            step=1 / float(found.footage.rate) if found.footage else 0.1,
        ),
        "view": "result",
        "kind": Properties(choices=list(formats.items()), value=next(iter(formats.values()))),
        "span": Properties(visible=clip),
        "start": begin if clip else None,
        "end": finish if clip else None,
        "seconds": Properties(visible=False),
        "size": Properties(visible=clip),
        "sound": Properties(visible=bool(found.footage and found.footage.audio)),
        "tabs": Properties(selected="layers"),
    }


def preset_strip(session: Session) -> dict[str, Any]:
    """Return the row of presets, with the thumbnails that are painted so far."""
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


def sample_strip() -> dict[str, Any]:
    """Return the row of sample pictures."""
    return {"items": [{"name": one, "label": one, "image": f"sample/{one}"} for one in SAMPLES]}


def _about(line: str, notes: Iterable[str]) -> str:
    more = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p><strong>{html.escape(line)}</strong></p>{more}"
