"""What one tab of the browser has open: a source, a recipe with its past, a view, and its jobs.

Nothing here knows of the page: plain values come in and go out.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, RLock
from typing import Any, TypeVar

from glitch_gym.errors import Problem, RecipeError, SettingError
from glitch_render.cache import Cache
from glitch_render.progress import OnProgress
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.paths import WantedPath, wanted_paths
from glitch_render.recipe.presets import DEFAULT_PRESET, load_preset, preset_names
from glitch_render.recipe.toml import parse_recipe, read_toml
from glitch_render.studio.events import as_whole
from glitch_render.studio.export import Export, ExportChoice, export
from glitch_render.studio.history import History
from glitch_render.studio.image_cache import ImageCache
from glitch_render.studio.jobs import Job
from glitch_render.studio.preview import Shown, View, Workspace, action_names
from glitch_render.studio.source import Source, open_source
from glitch_render.studio.status import Status, status
from glitch_render.studio.uploads import UploadLimits, Uploads, suffix_of

__all__ = ["Draft", "Question", "Screen", "Session", "Sessions"]

T = TypeVar("T")

_MOST_TABS = 100


@dataclass(frozen=True)
class Draft:
    """A recipe as it is being written.

    Args:
        text: the recipe in TOML.
        recipe: the recipe itself.
        preset: name of the preset that it equals, if it equals one.
    """

    text: str
    recipe: Recipe
    preset: str | None = None


@dataclass(frozen=True)
class Question:
    """A recipe from inside a picture or clip that asks for permission to open files.

    Args:
        text: the recipe in TOML.
        wanted: the files.
    """

    text: str
    wanted: tuple[WantedPath, ...]

    def __str__(self) -> str:
        files = "\n".join(map(str, self.wanted))
        return f"this recipe came inside a picture or clip, and wants to open\n{files}"


@dataclass
class Screen:
    """What a tab shows.

    Args:
        stage: the picture, as the page's script takes it.
        status: the line below it.
        shows: what the picture was made of, as ``Session.wanted`` returned it.
        failed: whether the last change was wrong.
        heard: number of the last change that came from each part of the page.
    """

    stage: dict[str, Any] = field(default_factory=lambda: {"kind": "empty"})
    status: Status = field(default_factory=lambda: status("nothing is open"))
    shows: object = None
    failed: bool = False
    heard: dict[str, int] = field(default_factory=dict)

    def is_news(self, part: str, value: Mapping[str, Any]) -> bool:
        """Return whether a change is newer than those before: they can arrive out of order."""
        number = as_whole(value.get("sent", 0), "the number of a change")
        if number <= self.heard.get(part, 0):
            return False
        self.heard[part] = number
        return True

    def refuse(self, wrong: Status) -> None:
        """Show what is wrong with a change; the picture stays."""
        self.failed, self.shows, self.status = True, None, wrong


class Session:
    """What one tab has open.

    Args:
        folder: parent of the session's own folder, which ``close`` removes.
        cache: the cache of activations, rewards and tables.
        learners: custom learners by name, as ``parse_recipe`` takes them.
        limits: limits of what may be uploaded.
    """

    def __init__(
        self,
        folder: Path,
        cache: Cache | None,
        learners: Mapping[str, Any] | None = None,
        limits: UploadLimits | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(12)
        self.folder = folder / self.token
        self.folder.mkdir(mode=0o700)
        self.uploads = Uploads(self.folder / "uploads", limits or UploadLimits())
        self.cache = cache
        self.album = ImageCache(f"shown/{self.token}")
        self.workspace: Workspace | None = None
        self.screen = Screen()
        self.names: dict[str, str] = {}
        self.view = View()
        self.history = History(_preset_draft(DEFAULT_PRESET))
        self.problems: tuple[Problem, ...] = ()
        self.unread: str | None = None
        self.question: Question | None = None
        self._learners = learners
        self.exported: Export | None = None
        self.thumbnails: dict[str, str] = {}
        self.closed = False
        self._jobs: dict[str, Job[Any]] = {}
        self._lock = RLock()

    # What is open

    @property
    def source(self) -> Source | None:
        """What is open."""
        return None if self.workspace is None else self.workspace.source

    def open(self, path: str, name: str) -> Source:
        """Open a picture or a clip, and close what was open before.

        Args:
            path: path of the file, or ``sample:NAME``.
            name: name that the person knows it by; it stands in ``names`` from now on.

        Raises:
            GlitchError: it cannot be read; what was open stays open.
        """
        self.names[path] = name
        source = open_source(path, name)
        before = self.source
        self.question = None
        self.stop("preview", "thumbnails", "export")
        with self._lock:
            self.workspace = Workspace(source, self.album, self.folder, self.cache)
            self.view = replace(
                self.view, kind="result", at=source.first_time, span=source.first_range
            )
            self.thumbnails = {}
        if before is not None:
            self.forget_upload(before.path)
        return source

    def keep_upload(self, path: str) -> tuple[str, str]:
        """Move a file that was uploaded in this tab into the session's folder.

        Args:
            path: path of the upload.

        Returns:
            its new path, and the name that the person gave it.

        Raises:
            PictureError: it was not uploaded in this tab.
        """
        name = self.uploads.claim(path)
        target = self.folder / f"upload-{self.album.next_number()}{suffix_of(name)}"
        shutil.move(path, target)
        with contextlib.suppress(OSError):
            Path(path).parent.rmdir()
        self.names[str(target)] = name
        return str(target), name

    def forget_problems(self) -> None:
        """Return to the last valid recipe."""
        self.problems, self.unread = (), None

    def forget_upload(self, path: str) -> None:
        """Delete an upload that is no longer needed."""
        if Path(path).parent == self.folder:
            Path(path).unlink(missing_ok=True)
            self.names.pop(path, None)

    def look(self, **changes: Any) -> None:
        """Change the view."""
        self.view = replace(self.view, **changes)

    def settle(self) -> None:
        """Make the next change of the recipe a step of its own."""
        self.history.settle()

    # The recipe

    @property
    def draft(self) -> Draft:
        """The recipe as it is."""
        return self.history.now

    def take_data(self, data: dict[str, Any], touched: str = "") -> bool:
        """Apply a recipe as plain data, as the layers' form has it; return whether it is valid.

        What is wrong with an invalid one is in ``problems``, and the recipe stays what it was.

        Args:
            data: the recipe, as ``parse_recipe`` takes it.
            touched: name of what was changed; changes of one thing are one step of ``undo``.
        """
        try:
            recipe = parse_recipe(json.loads(json.dumps(data)), learners=self._learners)
        except RecipeError as error:
            self.problems = error.problems or (Problem(str(error)),)
            return False
        self._put(Draft(recipe.to_toml(brief=True), recipe), touched)
        return True

    def take_text(self, text: str, *, inside: bool = False) -> bool:
        """Apply a recipe in TOML; return whether it is valid, as ``take_data`` does.

        Args:
            text: the recipe in TOML.
            inside: whether it came inside a picture or clip. One that names files is then not
                applied, but stands in ``question`` until ``allow`` is called.
        """
        self.question = None
        try:
            recipe = parse_recipe(
                read_toml(text, "the recipe"), "the recipe", text=text, learners=self._learners
            )
        except RecipeError as error:
            self.problems = error.problems or (Problem(str(error)),)
            self.unread = text
            return False
        wanted = wanted_paths(recipe) if inside else ()
        if wanted:
            self.question = Question(text, wanted)
            return False
        self._put(Draft(text, recipe), "text")
        return True

    def allow(self) -> bool:
        """Apply the recipe of ``question`` with its files; return whether it was applied."""
        question = self.question
        return question is not None and self.take_text(question.text)

    def take_preset(self, name: str) -> None:
        """Apply a preset.

        Raises:
            SettingError: the name is not known.
        """
        self._put(_preset_draft(name), "")

    def take_seed(self, seed: int, touched: str = "") -> None:
        """Set the seed.

        Raises:
            SettingError: it is not a valid seed.
        """
        data = self.draft.recipe.model_dump(mode="json", exclude_none=True)
        if not self.take_data(data | {"seed": seed}, touched):
            message = "; ".join(problem.message for problem in self.problems)
            self.problems = ()
            raise SettingError(message)

    def roll(self) -> None:
        """Pick a random seed."""
        self.take_seed(secrets.randbelow(1_000_000))

    def undo(self) -> None:
        """Go back to the recipe before the last change."""
        self.history.undo()
        self._settled()

    def redo(self) -> None:
        """Restore the last recipe that was undone."""
        self.history.redo()
        self._settled()

    def _put(self, draft: Draft, touched: str) -> None:
        for name in preset_names():
            if draft.recipe == load_preset(name):
                draft = replace(draft, preset=name)
        self.history.put(draft, touched)
        self._settled()

    def _settled(self) -> None:
        self.forget_problems()
        self.question = None
        layers = len(self.draft.recipe.layers)
        if self.view.layer >= layers:
            self.view = replace(self.view, layer=layers - 1)

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions of the layer that is looked at."""
        return action_names(self.draft.recipe.layers[self.view.layer])

    # Jobs

    def start(self, name: str, work: Callable[[OnProgress], T]) -> Job[T]:
        """Start a job, and stop an older one of that name."""
        with self._lock:
            if name in self._jobs:
                self._jobs[name].stop()
            job = Job(work)
            self._jobs[name] = job
            return job

    def stop(self, *names: str) -> None:
        """Stop the jobs of these names."""
        with self._lock:
            for name in names:
                if name in self._jobs:
                    self._jobs[name].stop()

    def job(self, name: str) -> Job[Any] | None:
        """Return the newest job of a name."""
        return self._jobs.get(name)

    def busy(self, *names: str) -> bool:
        """Return whether a job of one of these names is running."""
        with self._lock:
            jobs = [self._jobs[name] for name in names if name in self._jobs]
        return any(not job.wait(0) for job in jobs)

    def close(self) -> None:
        """Stop all work, and remove the session's files."""
        self.closed = True
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop()
        for job in jobs:
            job.wait(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is shown

    def wanted(self) -> tuple[Any, ...]:
        """Return everything that ``show`` depends on: equal values give the same picture."""
        view = self.view
        if view.kind == "result" and not view.grid:
            view = replace(view, layer=0)
        if view.kind != "rewards":
            view = replace(view, action=None)
        return (self.source, self.draft.recipe, view)

    def _opened(self) -> Workspace:
        if self.workspace is None:
            raise SettingError("nothing is open")
        return self.workspace

    def show(self, report: OnProgress) -> Shown:
        """Paint or draw what the view shows of the present source and recipe.

        Raises:
            GlitchError: nothing is open, or a setting does not go with it.
            Stopped: by ``report``.
        """
        return self._opened().show(self.draft.recipe, self.view, report)

    def make_thumbnails(self, report: OnProgress) -> None:
        """Paint the source small by every preset, one after another, into ``thumbnails``."""

        def done(name: str, address: str) -> None:
            self.thumbnails = self.thumbnails | {name: address}

        self._opened().thumbnails(
            self.draft.recipe,
            self.view,
            report,
            busy=lambda: self.busy("preview", "export"),
            done=done,
        )

    def export(self, choice: ExportChoice, report: OnProgress) -> Export:
        """Render the source in full by the recipe as it is now; see ``export.export``."""
        workspace, draft = self._opened(), self.draft
        self.exported = None
        ending = choice.suffix.removeprefix("frame")
        name = f"{workspace.source.stem}-{draft.preset or 'glitched'}{ending}"
        folder = self.folder / "export"
        self.names[str(folder)] = name
        self.exported = export(
            workspace, draft.recipe, self.view, choice, report, folder=folder, name=name
        )
        return self.exported


class Sessions:
    """The sessions of all tabs.

    Args:
        folder: folder for their files.
        cache: the cache of activations, rewards and tables.
        learners: custom learners by name, as ``parse_recipe`` takes them.
        limits: limits of what each tab may upload.
    """

    def __init__(
        self,
        folder: Path,
        cache: Cache | None,
        learners: Mapping[str, Any] | None = None,
        limits: UploadLimits | None = None,
    ) -> None:
        self._folder = folder
        self._cache = cache
        self._learners = learners
        self._limits = limits
        self._lock = Lock()
        self._by_tab: dict[str, Session] = {}

    def of(self, tab: str) -> Session:
        """Return the session of a tab, creating it on first use.

        Raises:
            SettingError: too many tabs are open.
        """
        with self._lock:
            if tab not in self._by_tab:
                if len(self._by_tab) >= _MOST_TABS:
                    raise SettingError(f"{_MOST_TABS} tabs are open: close one")
                self._by_tab[tab] = Session(self._folder, self._cache, self._learners, self._limits)
            return self._by_tab[tab]

    def uploads_of(self, tab: str) -> Container[str]:
        """Return the paths of the uploads of a tab that are not opened yet."""
        with self._lock:
            return self._by_tab[tab].uploads if tab in self._by_tab else ()

    def by_token(self, token: str) -> Session | None:
        """Return the session with a token, or ``None``."""
        with self._lock:
            return next(
                (
                    one
                    for one in self._by_tab.values()
                    if secrets.compare_digest(one.token.encode(), token.encode())
                ),
                None,
            )

    def end(self, tab: str) -> None:
        """Close the session of a tab that is gone."""
        with self._lock:
            session = self._by_tab.pop(tab, None)
        if session is not None:
            session.close()

    def close(self) -> None:
        """Close all sessions."""
        for tab in list(self._by_tab):
            self.end(tab)


def _preset_draft(name: str) -> Draft:
    recipe = load_preset(name)
    return Draft(recipe.to_toml(brief=True), recipe, name)
