"""What one tab of the browser has open: a source, a recipe with its past, a view, and its jobs.

Nothing here knows of the page: it takes plain values and gives plain values.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.activation import Activation
from glitch_gym.errors import GlitchError, Problem, RecipeError, SettingError
from glitch_gym.grid import fit_grid
from glitch_gym.picture import Picture
from glitch_render.animate import animate_still
from glitch_render.clip import Painter, Selection, corrupt_clip, open_painter, preview_frame
from glitch_render.corrupt import corrupt, frame_activation
from glitch_render.history import History
from glitch_render.media import ANIMATIONS, CLIPS, SUFFIXES, write_picture
from glitch_render.plots import draw_grid
from glitch_render.recipe import (
    DEFAULT_PRESET,
    Recipe,
    load_preset,
    parse_recipe,
    preset_names,
    read_toml,
)
from glitch_render.still import corrupt_still, preview_size, resized
from glitch_render.store import Store
from glitch_render.studies import plot_layer
from glitch_render.studio.jobs import Job, Report
from glitch_render.studio.source import LONGEST, Source, clock, open_source

__all__ = ["Draft", "Export", "Session", "Sessions", "Shown", "View", "moves"]

_log = logging.getLogger("glitch_gym.studio")

T = TypeVar("T")

_KEPT_IMAGES = 120
_THUMBNAIL = 200
_QUALITY = 92
_WALK_SIDE = 640

Kind = Literal["result", "activation", "rewards", "policy", "paths", "walk"]
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Draft:
    """A recipe as it is being written.

    Args:
        text: in TOML.
        recipe: what it says.
        preset: that it is, unchanged.
    """

    text: str
    recipe: Recipe
    preset: str | None = None


@dataclass(frozen=True)
class View:
    """What of the picture is looked at.

    Args:
        kind: the result, or what stands behind it.
        layer: whose grid, rewards, policy or paths, from 0.
        action: whose rewards; the first by default.
        grid: whether the layer's grid is drawn.
        at: of a clip, seconds of the source.
        span: of a clip, seconds of the source that are rendered.
    """

    kind: Kind = "result"
    layer: int = 0
    action: str | None = None
    grid: bool = False
    at: float = 0.0
    span: Range = (None, None)


@dataclass(frozen=True)
class Shown:
    """What the page shows of a view.

    Args:
        kind: a picture beside what it was before, a picture alone, or a clip.
        image: address of the picture or the clip.
        before: address of what it was before.
        width: in pixels.
        height: likewise.
        caption: a line on what it is.
    """

    kind: Literal["compare", "picture", "clip"]
    image: str
    before: str = ""
    width: int = 0
    height: int = 0
    caption: str = ""


@dataclass(frozen=True)
class Export:
    """A file that can be downloaded.

    Args:
        path: of the file.
        name: under which it is downloaded.
        notes: what was converted, or could not be carried.
        summary: a line on what it is.
    """

    path: Path
    name: str
    notes: tuple[str, ...]
    summary: str


class Session:
    """What one tab has open.

    Args:
        folder: for its files; made anew, and gone with ``close``.
        store: where activations, rewards and tables are kept, and recalled from.
    """

    def __init__(self, folder: Path, store: Store | None) -> None:
        self.token = secrets.token_urlsafe(12)
        self.folder = folder / self.token
        self.folder.mkdir()
        self.store = store
        self.source: Source | None = None
        self.view = View()
        self.history = History(_preset_draft(DEFAULT_PRESET))
        self.problems: tuple[Problem, ...] = ()
        self.unread: str | None = None
        self.exported: Export | None = None
        self.thumbnails: dict[str, str] = {}
        self.closed = False
        self._images: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._jobs: dict[str, Job[Any]] = {}
        self._lock = RLock()
        self._painter: tuple[tuple[Any, ...], Painter] | None = None
        self._painting = RLock()
        self._result: tuple[tuple[Any, ...], NDArray[np.uint8]] | None = None
        self._number = 0

    # What is open

    def open(self, path: str, name: str) -> Source:
        """Open a picture or a clip; what was open before is closed.

        Raises:
            GlitchError: it cannot be read; what was open stays open.
        """
        try:
            source = open_source(path, name)
        except GlitchError as error:
            raise type(error)(str(error).replace(path, name)) from error
        before = self.source
        self.stop("preview", "thumbnails", "export", "walk")
        with self._lock:
            self.source = source
            self.view = replace(
                self.view, kind="result", at=source.first_time, span=source.first_range
            )
            self.thumbnails = {}
            self._painter = self._result = None
        if before is not None:
            self.forget_upload(before.path)
        return source

    def keep_upload(self, path: str) -> str:
        """Take a file that was uploaded into the session's folder, under a name of our own.

        Args:
            path: where the upload lies.

        Returns:
            where it lies now; only a suffix that is known is left of its name.
        """
        suffix = Path(path).suffix.lower()
        plain = suffix if suffix[1:].isalnum() and len(suffix) <= 6 else ""
        target = self.folder / f"upload-{self.next_number()}{plain}"
        shutil.move(path, target)
        with contextlib.suppress(OSError):
            Path(path).parent.rmdir()
        return str(target)

    def forget_problems(self) -> None:
        """Let the recipe be what it was before what was wrong."""
        self.problems, self.unread = (), None

    def forget_upload(self, path: str) -> None:
        """Throw an upload out that is of no use."""
        if Path(path).parent == self.folder:
            Path(path).unlink(missing_ok=True)

    def look(self, **changes: Any) -> None:
        """Change the view."""
        self.view = replace(self.view, **changes)

    def settle(self) -> None:
        """Let the next change of the recipe be a step of its own."""
        self.history.settle()

    def next_number(self) -> int:
        """Give a number that the session has not given before."""
        with self._lock:
            self._number += 1
            return self._number

    # The recipe

    @property
    def draft(self) -> Draft:
        """The recipe as it is."""
        return self.history.now

    def take_data(self, data: dict[str, Any], touched: str = "") -> bool:
        """Take a recipe as plain data, as the layers' form gives it; says whether it is right.

        What is wrong with it is in ``problems``, and the recipe stays what it was.

        Args:
            data: as ``parse_recipe`` takes it.
            touched: what was changed; changes of one thing are one step of ``undo``.
        """
        try:
            recipe = parse_recipe(json.loads(json.dumps(data)))
        except RecipeError as error:
            self.problems = error.problems or (Problem(str(error)),)
            return False
        self._put(Draft(recipe.to_toml(brief=True), recipe), touched)
        return True

    def take_text(self, text: str) -> bool:
        """Take a recipe as TOML; says whether it is right, as ``take_data`` does."""
        try:
            recipe = parse_recipe(read_toml(text, "the recipe"), "the recipe", text=text)
        except RecipeError as error:
            self.problems = error.problems or (Problem(str(error)),)
            self.unread = text
            return False
        self._put(Draft(text, recipe), "text")
        return True

    def take_preset(self, name: str) -> None:
        """Take a preset.

        Raises:
            SettingError: unknown.
        """
        self._put(_preset_draft(name), "")

    def take_seed(self, seed: int, touched: str = "") -> None:
        """Take another seed.

        Raises:
            SettingError: not a seed.
        """
        data = self.draft.recipe.model_dump(mode="json", exclude_none=True)
        if not self.take_data(data | {"seed": seed}, touched):
            message = "; ".join(problem.message for problem in self.problems)
            self.problems = ()
            raise SettingError(message)

    def roll(self) -> None:
        """Take a seed by chance."""
        self.take_seed(secrets.randbelow(1_000_000))

    def undo(self) -> None:
        """Go back to the recipe before."""
        self.history.undo()
        self._settled()

    def redo(self) -> None:
        """Do again what was undone."""
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
        layers = len(self.draft.recipe.layers)
        if self.view.layer >= layers:
            self.view = replace(self.view, layer=layers - 1)

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions of the layer that is looked at."""
        from glitch_gym.actions import ActionSet

        layer = self.draft.recipe.layers[self.view.layer]
        return ActionSet(tuple(layer.effects), layer.moves).names

    # Jobs

    def start(self, name: str, work: Callable[[Report], T]) -> Job[T]:
        """Start a job; an older one of that name is stopped."""
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
        """Give the newest job of a name."""
        return self._jobs.get(name)

    def busy(self, *names: str) -> bool:
        """Say whether a job of one of these names is running."""
        with self._lock:
            jobs = [self._jobs[name] for name in names if name in self._jobs]
        return any(not job.wait(0) for job in jobs)

    def close(self) -> None:
        """Stop all work, and let nothing of the session lie about."""
        self.closed = True
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop()
        for job in jobs:
            job.wait(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Pictures for the page

    def image(self, name: str) -> tuple[bytes, str] | None:
        """Give an image of the page by its name: its bytes, and their type."""
        with self._lock:
            return self._images.get(name)

    def keep_image(self, frame: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> str:
        """Keep a frame to be fetched by the page; gives its address."""
        buffer = io.BytesIO()
        if alpha is None:
            Image.fromarray(frame).save(buffer, "jpeg", quality=_QUALITY, subsampling=0)
        else:
            Image.fromarray(np.dstack([frame, alpha])).save(buffer, "png", compress_level=1)
        kind = "jpeg" if alpha is None else "png"
        return self._keep(buffer.getvalue(), kind, f"image/{kind}")

    def _keep(self, content: bytes, suffix: str, kind: str) -> str:
        name = f"{self.next_number()}.{suffix}"
        with self._lock:
            self._images[name] = (content, kind)
            while len(self._images) > _KEPT_IMAGES:
                self._images.popitem(last=False)
        return f"/shown/{self.token}/{name}"

    # What is shown

    def wanted(self) -> tuple[Any, ...]:
        """Give all that decides what ``show`` makes: the same is the same picture."""
        view = self.view
        if view.kind == "result" and not view.grid:
            view = replace(view, layer=0)
        if view.kind != "rewards":
            view = replace(view, action=None)
        return (self.source, self.draft.recipe, view)

    def show(self, report: Report) -> Shown:
        """Make what the view shows of the source and the recipe as they are now.

        Raises:
            GlitchError: a setting does not go with the source.
            Stopped: by ``report``.
        """
        source, draft, view = self.source, self.draft, self.view
        if source is None:
            raise SettingError("nothing is open")
        if view.kind == "walk":
            return self._show_walk(source, draft.recipe, report)
        if view.kind != "result":
            return self._show_study(source, draft.recipe, view, report)
        if source.kind == "still":
            return self._show_still(source, draft.recipe, view, report)
        return self._show_frame(source, draft.recipe, view, report)

    def _show_still(self, source: Source, recipe: Recipe, view: View, report: Report) -> Shown:
        picture = source.picture
        assert picture is not None
        cells = _finest(recipe)
        small = source.small(cells)
        onto = picture.frame if small is None else small
        alpha = picture.alpha
        if alpha is not None and small is not None:
            alpha = np.asarray(Image.fromarray(alpha).resize((small.shape[1], small.shape[0])))
        key = (source.path, recipe.to_toml())
        if self._result is None or self._result[0] != key:
            activation = self._activation(source, recipe, report)
            report("painting", 0, None)
            painted = corrupt(
                picture.frame,
                recipe,
                onto=onto,
                activation=activation,
                store=self.store,
                progress=_by_layer(recipe, report),
            )
            self._result = (key, painted)
        painted = self._result[1]
        shown = self._with_grid(painted, source, recipe, view)
        report("painting", 0, None)
        caption = "" if small is None else f"shown at {onto.shape[1]}×{onto.shape[0]}"
        return Shown(
            "compare",
            self.keep_image(shown, alpha),
            self._before(onto, alpha, (source.path, onto.shape)),
            source.width,
            source.height,
            caption,
        )

    def _before(
        self, frame: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, key: tuple[Any, ...]
    ) -> str:
        """Keep what was before, once for as long as it is the same."""
        kept = getattr(self, "_kept_before", None)
        if kept is None or kept[0] != key or self.image(kept[1].rpartition("/")[2]) is None:
            self._kept_before = kept = (key, self.keep_image(frame, alpha))
        address: str = kept[1]
        with self._lock:
            self._images.move_to_end(address.rpartition("/")[2])
        return address

    def _activation(self, source: Source, recipe: Recipe, report: Report) -> Activation:
        assert source.picture is not None
        report("looking", 0, None)
        return frame_activation(source.picture.frame, recipe, store=self.store)

    def _with_grid(
        self, frame: NDArray[np.uint8], source: Source, recipe: Recipe, view: View
    ) -> NDArray[np.uint8]:
        if not view.grid:
            return frame
        layer = recipe.layers[view.layer]
        grid = fit_grid(layer.grid, source.height, source.width, fit=layer.fit, orient=layer.orient)
        return draw_grid(frame, grid)

    def selection(self) -> Selection:
        """Give the range of a clip that is rendered."""
        start, end = self.view.span
        return Selection(
            start=None if start is None else Fraction(start).limit_denominator(1_000_000),
            end=None if end is None else Fraction(end).limit_denominator(1_000_000),
        )

    def _open_painter(self, source: Source, recipe: Recipe, report: Report) -> Painter:
        """Be ready to paint the clip; to be called while ``_painting`` is held."""
        selection = self.selection()
        key = (source.path, recipe.to_toml(), selection)
        if self._painter is None or self._painter[0] != key:
            painter = open_painter(
                source.path, recipe, selection, store=self.store, progress=report
            )
            self._painter = (key, painter)
        return self._painter[1]

    def _frame_time(self, painter: Painter, view: View) -> int:
        """Give the number of the frame that is looked at: the nearest that there is."""
        footage, plan = painter.footage, painter.plan
        begins = int(painter.look.times[0]) * footage.time_base
        at = Fraction(view.at).limit_denominator(1_000_000) - begins
        if at <= 0:
            return 0
        if at >= plan.end * plan.time_base:
            return len(plan) - 1
        return painter.frame_at(at + begins)

    def _show_frame(self, source: Source, recipe: Recipe, view: View, report: Report) -> Shown:
        with self._painting:
            painter = self._open_painter(source, recipe, report)
            report("painting", 0, None)
            number = self._frame_time(painter, view)
            before = painter.untouched(number)
            pixels, _ = next(painter.frames(number, number + 1))
        painted = pixels.astype(np.uint8, copy=False)
        size = preview_size(*painted.shape[:2], longest=LONGEST)
        shown = resized(self._with_grid(painted, source, recipe, view), *size)
        seconds = painter.plan.seconds(number) + float(
            int(painter.look.times[0]) * painter.footage.time_base
        )
        return Shown(
            "compare",
            self.keep_image(shown),
            self._before(resized(before, *size), None, (source.path, number, size)),
            source.width,
            source.height,
            f"frame {number + 1} of {len(painter.plan)}, at {seconds:.2f} s",
        )

    def _study_frame(
        self, source: Source, recipe: Recipe, view: View, report: Report
    ) -> tuple[NDArray[np.uint8], Activation]:
        """Give the frame that is studied, and the activation that its agents learn by."""
        if source.picture is not None:
            return source.picture.frame, self._activation(source, recipe, report)
        with self._painting:
            painter = self._open_painter(source, recipe, report)
            number = self._frame_time(painter, view)
            assert painter.activation_of is not None
            return painter.untouched(number), painter.activation_of(number)

    def _show_study(self, source: Source, recipe: Recipe, view: View, report: Report) -> Shown:
        frame, activation = self._study_frame(source, recipe, view, report)
        report("drawing", 0, None)
        drawn = plot_layer(
            view.kind,
            frame,
            recipe,
            view.layer,
            action=(view.action or self.actions[0]) if view.kind == "rewards" else None,
            activation=activation,
            store=self.store,
            progress=_by_layer(recipe, report),
        )
        if view.kind == "activation":
            drawn = resized(drawn, *preview_size(*drawn.shape[:2], longest=LONGEST))
        report("drawing", 0, None)
        captions = {
            "activation": "where the subject is: what agents are drawn to, or run from",
            "rewards": f"layer {view.layer + 1}: reward of an action, cell by cell",
            "policy": f"layer {view.layer + 1}: what its agents learned to do",
            "paths": f"layer {view.layer + 1}: where some of its agents went",
        }
        return Shown(
            "picture",
            self.keep_image(drawn),
            width=drawn.shape[1],
            height=drawn.shape[0],
            caption=captions[view.kind],
        )

    def _show_walk(self, source: Source, recipe: Recipe, report: Report) -> Shown:
        if source.picture is None:
            raise SettingError("a clip walks as it plays: render a range of it under Export")
        cells = _finest(recipe)
        height, width = preview_size(source.height, source.width, longest=_WALK_SIDE, cells=cells)
        path = self.folder / f"walk-{self.next_number()}.mp4"
        try:
            animate_still(
                source.path,
                path,
                recipe,
                Selection(scale=f"{width}x{height}"),
                speed=20,
                agents=True,
                store=self.store,
                learning=_by_layer(recipe, report),
                progress=report,
            )
            content = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
        address = self._keep(content, "mp4", "video/mp4")
        return Shown("clip", address, "", width, height, "the picture being eaten, step by step")

    # Thumbnails of the presets

    def make_thumbnails(self, report: Report) -> None:
        """Paint the source small by every preset, one after another, into ``thumbnails``."""
        source = self.source
        if source is None:
            return
        if source.picture is not None:
            frame = source.picture.frame
        else:
            with self._painting:
                painter = self._open_painter(source, self.draft.recipe, report)
                frame = painter.untouched(self._frame_time(painter, self.view))
            frame = resized(frame, *preview_size(*frame.shape[:2], longest=640))
        names = preset_names()
        for number, name in enumerate(names):
            recipe = load_preset(name)
            cells = _finest(recipe)
            onto = resized(frame, *preview_size(*frame.shape[:2], longest=_THUMBNAIL, cells=cells))
            report("thumbnails", number, len(names))
            # What is being waited for comes first
            while self.busy("preview", "export"):
                time.sleep(0.05)
                report("thumbnails", number, len(names))
            try:
                painted = corrupt(
                    frame,
                    recipe,
                    onto=onto,
                    store=self.store,
                    progress=lambda *_, number=number: report("thumbnails", number, len(names)),
                )
            except GlitchError as error:
                _log.info("no thumbnail of %s: %s", name, error)
                continue
            small = resized(painted, *preview_size(*painted.shape[:2], longest=_THUMBNAIL))
            self.thumbnails = self.thumbnails | {name: self.keep_image(small)}

    # Export

    def export(
        self,
        suffix: str,
        report: Report,
        *,
        seconds: float = 6.0,
        scale: str | None = None,
        **options: Any,
    ) -> Export:
        """Render the source in full by the recipe, as the command line would.

        Args:
            suffix: of the file; a clip's ``frame.png`` is the frame that is looked at.
            report: of the stages.
            seconds: that a still is shown in a clip.
            scale: of a clip, as ``parse_scale`` takes it.
            options: of ``corrupt_clip``.

        Raises:
            GlitchError: as of ``corrupt_still`` and ``corrupt_clip``.
            Stopped: by ``report``; nothing is left behind but what an export of the same goes on
                with.
        """
        source, draft = self.source, self.draft
        if source is None:
            raise SettingError("nothing is open")
        recipe = draft.recipe
        ending = suffix.removeprefix("frame")
        # One place for all, so that an export that was stopped is gone on with
        path = self.folder / f"export{ending}"
        path.unlink(missing_ok=True)
        name = f"{source.stem}-{draft.preset or 'glitched'}{ending}"
        self.exported = None
        notes: tuple[str, ...]
        try:
            if suffix.startswith("frame"):
                at = Fraction(self.view.at).limit_denominator(1_000_000)
                frame, alpha = preview_frame(
                    source.path, recipe, at, self.selection(), store=self.store, progress=report
                )
                write_picture(path, frame, like=Picture(frame, alpha), recipe=recipe, force=True)
                notes, size = (), (frame.shape[1], frame.shape[0])
                length = ""
            elif not moves(suffix, still=source.kind == "still"):
                report("painting", 0, None)
                frame, _, notes = corrupt_still(
                    source.path, path, recipe, force=True, store=self.store,
                    progress=_by_layer(recipe, report),
                )  # fmt: skip
                size, length = (frame.shape[1], frame.shape[0]), ""
            else:
                selection = replace(
                    self.selection() if source.kind == "clip" else Selection(duration=seconds),
                    scale=scale,
                )
                done = corrupt_clip(
                    source.path, path, recipe, selection, resume=True, force=True,
                    store=self.store, progress=report, **options,
                )  # fmt: skip
                notes = (*done.notes, *done.damage)
                size = done.size
                length = f" · {done.frames} frames, {clock(done.seconds)}"
        except GlitchError as error:
            said = re.sub(
                rf"{re.escape(str(self.folder))}/\S*?export\S*?(?=[:\s]|$)", name, str(error)
            )
            said = said.replace(source.path, source.name).replace(": go on with --resume", "")
            raise type(error)(said) from error
        megabytes = path.stat().st_size / 1e6
        summary = f"{name} · {size[0]}×{size[1]}{length} · {megabytes:.1f} MB"
        self.exported = Export(path, name, notes, summary)
        return self.exported


class Sessions:
    """The sessions of all tabs.

    Args:
        folder: for their files.
        store: where activations, rewards and tables are kept, and recalled from.
    """

    def __init__(self, folder: Path, store: Store | None) -> None:
        self._folder = folder
        self._store = store
        self._lock = Lock()
        self._by_tab: dict[str, Session] = {}

    def of(self, tab: str) -> Session:
        """Give the session of a tab, made anew if it has none."""
        with self._lock:
            if tab not in self._by_tab:
                self._by_tab[tab] = Session(self._folder, self._store)
            return self._by_tab[tab]

    def by_token(self, token: str) -> Session | None:
        """Give the session with a token, if there is one."""
        with self._lock:
            return next((one for one in self._by_tab.values() if one.token == token), None)

    def end(self, tab: str) -> None:
        """Close the session of a tab that is gone."""
        with self._lock:
            session = self._by_tab.pop(tab, None)
        if session is not None:
            session.close()

    def close(self) -> None:
        """Close all."""
        for tab in list(self._by_tab):
            self.end(tab)


def moves(suffix: str, *, still: bool) -> bool:
    """Say whether an export is a clip or an animation.

    Args:
        suffix: as ``Session.export`` takes it.
        still: whether it is made of a still: its ``.webp`` is a picture.
    """
    if suffix.startswith("frame"):
        return False
    return suffix in (*CLIPS, *ANIMATIONS) and not (still and suffix in SUFFIXES)


def _preset_draft(name: str) -> Draft:
    recipe = load_preset(name)
    return Draft(recipe.to_toml(brief=True), recipe, name)


def _finest(recipe: Recipe) -> int:
    """Count the cells of the finest grid along its longer side."""
    return max((max(layer.grid) for _, layer in recipe.painted), default=1)


def _by_layer(recipe: Recipe, report: Report) -> Callable[[int, int, int], None]:
    """Make what layers report to, as they learn."""

    def progress(index: int, done: int, episodes: int) -> None:
        report(f"layer {index + 1} of {len(recipe.layers)}: learning", done, episodes)

    return progress
