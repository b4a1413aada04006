"""What the page's events do: one method for each, from plain values to what the page shows.

Nothing here knows of Gradio. A quick event returns its updates; one that takes time yields them:
how far the work has come, then what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glitch_gym.errors import GlitchError, SettingError
from glitch_gym.samples import SAMPLES
from glitch_render.media.formats import CLIPS, is_motion_format
from glitch_render.media.metadata import carries_recipe
from glitch_render.recipe.files import recipe_text
from glitch_render.studio.choices import FORMATS, FULL_SIZE, SIZES, VIEWS
from glitch_render.studio.events import as_flag, as_number, as_table, as_text, as_whole
from glitch_render.studio.export import Export, ExportChoice
from glitch_render.studio.jobs import Job, Stopped
from glitch_render.studio.session import Session, Sessions
from glitch_render.studio.status import error_message, error_status, progress_status, status
from glitch_render.studio.updates import (
    Properties,
    Updates,
    history_updates,
    preset_strip,
    recipe_updates,
    sample_strip,
    source_updates,
    text_updates,
)

__all__ = ["Handlers"]

_TICK = 0.05
_SHOW_AFTER = 4
"""Ticks before progress is shown: shorter work needs none."""


class Handlers:
    """The events of the page.

    Args:
        sessions: the sessions of all tabs.
        opening: what a new tab opens: a file, or ``sample:NAME``.
    """

    def __init__(self, sessions: Sessions, opening: str | None = None) -> None:
        self._sessions = sessions
        self._opening = opening

    def session(self, tab: str) -> Session:
        """Return the session of a tab."""
        return self._sessions.of(tab)

    def unload(self, tab: str) -> None:
        """End the session of a tab that is closed."""
        self._sessions.end(tab)

    def refuse(self, session: Session, error: Exception) -> Updates:
        """Show an error that a handler raised; the picture stays."""
        session.screen.refuse(error_status(error, session.names))
        return {"status": session.screen.status}

    # The source

    def load(self, session: Session) -> Updates:
        """Fill a new tab."""
        opening = self._opening
        if opening is not None and session.source is None:
            _open(session, opening, Path(opening.removeprefix("sample:")).name)
        link = f'<a class="save" href="recipe/{session.token}" download>Save the recipe</a>'
        more = {"save": link, "samples": sample_strip(), "uploads": {"tab": session.token}}
        return recipe_updates(session) | source_updates(session) | more

    def upload(self, session: Session, path: str | None) -> Updates:
        """Open a file that was uploaded or taken with the webcam."""
        if path is not None:
            _open(session, *session.keep_upload(as_text(path, "the file")))
        emptied = {"source": None, "webcam": None}
        return recipe_updates(session) | source_updates(session) | emptied

    def choose_sample(self, session: Session, choice: Any) -> Updates:
        """Open a sample picture."""
        name = _chosen(choice)
        if name not in SAMPLES:
            raise SettingError(f"{name!r} is no sample")
        _open(session, f"sample:{name}", name)
        return recipe_updates(session) | source_updates(session)

    # The recipe

    def choose_preset(self, session: Session, choice: Any) -> Updates:
        """Apply a preset."""
        session.take_preset(_chosen(choice))
        _accept(session)
        return recipe_updates(session)

    def edit_layers(self, session: Session, value: Any) -> Updates:
        """Apply the recipe of the layers' form."""
        value = as_table(value, "the recipe")
        if not session.screen.is_news("layers", value):
            return history_updates(session) | text_updates(session)
        touched = as_text(value.get("touched", ""), "what was touched")
        if session.take_data(as_table(value.get("recipe"), "the recipe"), touched):
            _accept(session)
        else:
            _refuse(session, "\n".join(one.message for one in session.problems))
            session.forget_problems()
        _look_at_layer(session, value)
        return history_updates(session) | text_updates(session)

    def select_layer(self, session: Session, value: Any) -> Updates:
        """Look at another layer."""
        _look_at_layer(session, as_table(value, "the layer"))
        _accept(session)
        return history_updates(session)

    def edit_text(self, session: Session, value: Any) -> Updates:
        """Apply the recipe as it is written."""
        value = as_table(value, "the recipe")
        if session.screen.is_news("text", value):
            if session.take_text(as_text(value.get("text"), "the recipe")):
                _accept(session)
            else:
                _refuse(session, "the recipe has errors, so the one before them is shown")
        return recipe_updates(session, own=True)

    def load_recipe(self, session: Session, path: str | None) -> Updates:
        """Apply the recipe of a file that was uploaded."""
        if path is not None:
            kept, _ = session.keep_upload(as_text(path, "the file"))
            try:
                _take_recipe(session, recipe_text(kept), inside=carries_recipe(kept))
            except GlitchError as error:
                _refuse(session, error_message(error, session.names))
            finally:
                session.forget_upload(kept)
        return recipe_updates(session) | {"recipe_file": None}

    def use_own_recipe(self, session: Session) -> Updates:
        """Apply the recipe that the source was made by."""
        if session.source is not None and session.source.recipe is not None:
            _take_recipe(session, session.source.recipe, inside=True)
        return recipe_updates(session)

    def allow(self, session: Session) -> Updates:
        """Apply the recipe that asks for its files."""
        session.settle()
        if session.allow():
            _accept(session)
        session.settle()
        return recipe_updates(session)

    def set_seed(self, session: Session, value: float | None) -> Updates:
        """Set the seed; its own control stays as the person types it."""
        if value is not None:
            try:
                session.take_seed(as_whole(value, "the seed"), "seed")
                _accept(session)
            except GlitchError as error:
                _refuse(session, str(error))
        shown = recipe_updates(session)
        del shown["seed"]
        return shown

    def roll(self, session: Session) -> Updates:
        """Pick a random seed."""
        session.roll()
        _accept(session)
        return recipe_updates(session)

    def undo(self, session: Session) -> Updates:
        """Go back to the recipe before the last change."""
        session.undo()
        _accept(session)
        return recipe_updates(session)

    def redo(self, session: Session) -> Updates:
        """Restore the last recipe that was undone."""
        session.redo()
        _accept(session)
        return recipe_updates(session)

    # The view

    def set_view(self, session: Session, kind: Any, action: Any, grid: Any) -> Updates:
        """Look at another side of the picture."""
        if kind not in VIEWS.values():
            raise SettingError(f"{kind!r} is no view")
        named = None if action is None else as_text(action, "the action")
        session.look(kind=kind, action=named, grid=as_flag(grid, "the grid"))
        _accept(session)
        return history_updates(session)

    def set_time(self, session: Session, value: Any) -> Updates:
        """Look at another time of a clip."""
        session.look(at=as_number(value, "the time"))
        _accept(session)
        return {"status": session.screen.status}

    def set_span(self, session: Session, begin: Any, finish: Any) -> Updates:
        """Choose the range of a clip that is rendered."""
        first = None if begin is None else as_number(begin, "the start")
        last = None if finish is None else as_number(finish, "the end")
        if first is not None and last is not None and last <= first:
            _refuse(session, "the end must come after the start")
        else:
            session.look(span=(first or None, last))
            _accept(session)
        return {"status": session.screen.status}

    def set_format(self, session: Session, suffix: Any) -> Updates:
        """Offer the options that go with a format."""
        found = session.source
        still = found is None or found.kind == "still"
        suffix = as_text(suffix, "the format")
        motion = is_motion_format(suffix, still=still)
        audible = found is not None and found.footage is not None and bool(found.footage.audio)
        return {
            "seconds": Properties(visible=motion and still),
            "size": Properties(visible=motion),
            "sound": Properties(visible=audible and suffix in CLIPS),
        }

    # What takes time

    def show(self, session: Session) -> Iterator[Updates]:
        """Paint or draw what the view shows."""
        screen = session.screen
        wanted = session.wanted()
        if session.source is None or screen.failed or screen.shows == wanted:
            yield {"stage": screen.stage, "status": screen.status}
            return
        job = session.start("preview", session.show)
        ticks = 0
        while not job.wait(_TICK):
            ticks += 1
            if ticks >= _SHOW_AFTER and ticks % 3 == 0 and not job.stopped:
                yield {"stage": screen.stage, "status": progress_status(job)}
        try:
            shown = job.result()
        except Stopped:
            shown = None
        except BaseException as error:
            if not job.stopped:
                screen.shows, screen.status = None, error_status(error, session.names)
            shown = None
        if shown is not None and session.job("preview") is job and not screen.failed:
            line = session.source.describe()
            screen.status = status(f"{line} — {shown.caption}" if shown.caption else line)
            screen.shows = wanted
            screen.stage = asdict(shown) | {"number": session.album.next_number()}
        yield {"stage": screen.stage, "status": screen.status}

    def paint_thumbnails(self, session: Session) -> Iterator[Updates]:
        """Paint the source small by every preset."""
        yield {"presets": preset_strip(session)}
        if session.source is None or session.thumbnails:
            return
        job = session.start("thumbnails", session.make_thumbnails)
        count, over = 0, False
        while not over and not job.stopped:
            over = job.wait(0.3)
            if len(session.thumbnails) != count:
                count = len(session.thumbnails)
                yield {"presets": preset_strip(session)}

    def export(
        self, session: Session, suffix: Any, length: Any, scale: Any, sound: Any
    ) -> Iterator[Updates]:
        """Render the source in full."""
        try:
            if session.source is None:
                raise SettingError("nothing is open")
            choice = _export_choice(suffix, length, scale, sound)
        except GlitchError as error:
            yield {"exporting": error_status(error, session.names), "download": {}}
            return
        job = session.start("export", lambda report: session.export(choice, report))
        yield {
            "export": Properties(interactive=False),
            "cancel": Properties(visible=True),
            "exporting": status("starting…", "working"),
            "download": {},
        }
        while not job.wait(0.2):
            yield {"exporting": progress_status(job), "download": {}}
        yield {
            "export": Properties(interactive=True),
            "cancel": Properties(visible=False),
            **_exported(session, job),
        }

    def cancel(self, session: Session) -> None:
        """Stop the export."""
        session.stop("export")


def _chosen(choice: Any) -> str:
    """Return the name of what was chosen in a row of small pictures."""
    return as_text(as_table(choice, "a choice").get("name"), "the name of a choice")


def _open(session: Session, path: str, name: str) -> None:
    try:
        session.open(path, name)
    except Exception as error:
        session.screen.refuse(error_status(error, session.names))
        session.forget_upload(path)
        return
    session.settle()
    _accept(session)
    session.screen.stage = {"kind": "empty"}


def _accept(session: Session) -> None:
    """Have the next event of ``show`` show what is new."""
    session.screen.failed = False
    session.stop("preview")


def _refuse(session: Session, message: str) -> None:
    session.screen.refuse(status(message, "wrong"))


def _look_at_layer(session: Session, value: dict[str, Any]) -> None:
    layer = as_whole(value.get("layer", 0), "the layer")
    session.look(layer=max(0, min(layer, len(session.draft.recipe.layers) - 1)))


def _take_recipe(session: Session, found: str, *, inside: bool) -> None:
    session.settle()
    if session.take_text(found, inside=inside):
        _accept(session)
    elif session.question is not None:
        _refuse(session, str(session.question))
    else:
        _refuse(session, "this recipe has errors; they stand under Recipe")
    session.settle()


def _export_choice(suffix: Any, length: Any, scale: Any, sound: Any) -> ExportChoice:
    chosen = as_text(suffix, "the format")
    if chosen not in FORMATS:
        raise SettingError(f"{chosen!r} is no format")
    if scale not in SIZES:
        raise SettingError("the size is not one of those offered")
    seconds = 6.0 if length is None else as_number(length, "the length")
    return ExportChoice(
        chosen, seconds or 6.0, None if scale == FULL_SIZE else scale, as_flag(sound, "the sound")
    )


def _exported(session: Session, job: Job[Export]) -> Updates:
    """Return what came of an export."""
    try:
        done = job.result()
    except Stopped:
        return {"exporting": status("the export was stopped"), "download": {}}
    except BaseException as error:
        return {"exporting": error_status(error, session.names), "download": {}}
    notes = "".join(f"\n{note}" for note in done.notes)
    address = f"download/{session.token}/{session.album.next_number()}"
    return {
        "exporting": status(f"{done.summary}{notes}", "done"),
        "download": {"address": address, "name": done.name},
    }
