"""An easel: a source on which recipes are tried, with what was made of it last.

It knows of no page and no session: it is given a recipe and a view, and gives pictures.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.actions import ActionSet
from glitch_gym.activation.base import Activation
from glitch_gym.errors import GlitchError, SettingError
from glitch_gym.grid import fit_grid
from glitch_gym.picture import Picture
from glitch_render.cache import Cache
from glitch_render.layers import frame_activation
from glitch_render.media.formats import is_motion_format
from glitch_render.media.pictures import preview_size, resized, write_picture
from glitch_render.plots.figures import draw_grid
from glitch_render.plots.layer import plot_layer
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.stills import corrupt, corrupt_picture
from glitch_render.studio.image_cache import ImageCache
from glitch_render.studio.jobs import Report
from glitch_render.studio.source import LONGEST, Source, clock
from glitch_render.video.animate import animate_still
from glitch_render.video.painter import Painter, open_painter
from glitch_render.video.render import corrupt_clip
from glitch_render.video.selection import Selection

__all__ = ["Easel", "Export", "Shown", "View", "action_names", "moves", "rephrase"]

_log = logging.getLogger("glitch_gym.studio")

_THUMBNAIL = 200
_WALK_SIDE = 640

Kind = Literal["result", "activation", "rewards", "policy", "paths", "walk"]
Range = tuple[float | None, float | None]


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

    @property
    def selection(self) -> Selection:
        """The range as it is rendered."""
        start, end = self.span
        return Selection(
            start=None if start is None else Fraction(start).limit_denominator(1_000_000),
            end=None if end is None else Fraction(end).limit_denominator(1_000_000),
        )


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


class Easel:
    """A source on which recipes are tried.

    Args:
        source: that is opened.
        album: where the page finds pictures.
        folder: for files of its own.
        cache: where activations, rewards and tables are kept, and recalled from.
    """

    def __init__(
        self, source: Source, album: ImageCache, folder: Path, cache: Cache | None
    ) -> None:
        self.source = source
        self._album = album
        self._folder = folder
        self._store = cache
        self._painter: tuple[tuple[Any, ...], Painter] | None = None
        self._painting = RLock()
        self._result: tuple[Recipe, NDArray[np.uint8]] | None = None
        self._untouched: tuple[tuple[Any, ...], str] = ((), "")

    def show(self, recipe: Recipe, view: View, report: Report) -> Shown:
        """Make what a view shows of the source and a recipe.

        Raises:
            GlitchError: a setting does not go with the source.
            Stopped: by ``report``.
        """
        try:
            if view.kind == "walk":
                return self._show_walk(recipe, report)
            if view.kind != "result":
                return self._show_study(recipe, view, report)
            if self.source.kind == "still":
                return self._show_still(recipe, view, report)
            return self._show_frame(recipe, view, report)
        except GlitchError as error:
            raise rephrase(error, {self.source.path: self.source.name}) from error

    def _show_still(self, recipe: Recipe, view: View, report: Report) -> Shown:
        source, picture = self.source, self.source.picture
        assert picture is not None
        cells = _finest(recipe)
        small = source.small(cells)
        onto = picture.frame if small is None else small
        alpha = picture.alpha
        if alpha is not None and small is not None:
            alpha = np.asarray(Image.fromarray(alpha).resize((small.shape[1], small.shape[0])))
        # Taken once: the work of a newer change may put its own in its place meanwhile
        result = self._result
        if result is None or result[0] != recipe:
            activation = self._activation(recipe, report)
            report("painting", 0, None)
            painted = corrupt(
                picture.frame,
                recipe,
                onto=onto,
                activation=activation,
                cache=self._store,
                progress=_by_layer(recipe, report),
            )
            self._result = result = (recipe, painted)
        painted = result[1]
        shown = self._with_grid(painted, recipe, view)
        report("painting", 0, None)
        caption = "" if small is None else f"shown at {onto.shape[1]}×{onto.shape[0]}"
        return Shown(
            "compare",
            self._album.keep(shown, alpha),
            self._before(onto, alpha, onto.shape),
            source.width,
            source.height,
            caption,
        )

    def _before(
        self, frame: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, key: tuple[Any, ...]
    ) -> str:
        """Keep what was before, once for as long as it is the same."""
        if self._untouched[0] != key or not self._album.use(self._untouched[1]):
            self._untouched = (key, self._album.keep(frame, alpha))
        return self._untouched[1]

    def _activation(self, recipe: Recipe, report: Report) -> Activation:
        assert self.source.picture is not None
        report("looking", 0, None)
        return frame_activation(self.source.picture.frame, recipe, cache=self._store)

    def _with_grid(self, frame: NDArray[np.uint8], recipe: Recipe, view: View) -> NDArray[np.uint8]:
        if not view.grid:
            return frame
        layer = recipe.layers[view.layer]
        height, width = self.source.height, self.source.width
        grid = fit_grid(layer.grid, height, width, fit=layer.fit, orient=layer.orient)
        return draw_grid(frame, grid)

    def _open_painter(self, recipe: Recipe, view: View, report: Report) -> Painter:
        """Be ready to paint the clip; to be called while ``_painting`` is held."""
        key = (recipe, view.selection)
        if self._painter is None or self._painter[0] != key:
            opened = open_painter(
                self.source.path, recipe, view.selection, cache=self._store, progress=report
            )
            self._painter = (key, opened)
        return self._painter[1]

    def _frame_time(self, painter: Painter, view: View) -> int:
        """Return the number of the frame that is looked at: the nearest that there is."""
        footage, plan = painter.footage, painter.plan
        begins = int(painter.scan.times[0]) * footage.time_base
        at = Fraction(view.at).limit_denominator(1_000_000) - begins
        if at <= 0:
            return 0
        if at >= plan.end * plan.time_base:
            return len(plan) - 1
        return painter.frame_at(at + begins)

    def _show_frame(self, recipe: Recipe, view: View, report: Report) -> Shown:
        with self._painting:
            painter = self._open_painter(recipe, view, report)
            report("painting", 0, None)
            number = self._frame_time(painter, view)
            before = painter.untouched(number)
            pixels, _ = next(painter.frames(number, number + 1))
        painted = pixels.astype(np.uint8, copy=False)
        size = preview_size(*painted.shape[:2], longest=LONGEST)
        shown = resized(self._with_grid(painted, recipe, view), *size)
        seconds = painter.plan.seconds(number) + float(
            int(painter.scan.times[0]) * painter.footage.time_base
        )
        return Shown(
            "compare",
            self._album.keep(shown),
            self._before(resized(before, *size), None, (number, size)),
            self.source.width,
            self.source.height,
            f"frame {number + 1} of {len(painter.plan)}, at {seconds:.2f} s",
        )

    def _study_frame(
        self, recipe: Recipe, view: View, report: Report
    ) -> tuple[NDArray[np.uint8], Activation]:
        """Return the frame that is studied, and the activation that its agents learn by."""
        if self.source.picture is not None:
            return self.source.picture.frame, self._activation(recipe, report)
        with self._painting:
            painter = self._open_painter(recipe, view, report)
            number = self._frame_time(painter, view)
            assert painter.activation_of is not None
            return painter.untouched(number), painter.activation_of(number)

    def _show_study(self, recipe: Recipe, view: View, report: Report) -> Shown:
        frame, activation = self._study_frame(recipe, view, report)
        report("drawing", 0, None)
        names = action_names(recipe.layers[view.layer])
        action = view.action if view.action in names else names[0]
        drawn = plot_layer(
            view.kind,
            frame,
            recipe,
            view.layer,
            action=action if view.kind == "rewards" else None,
            activation=activation,
            cache=self._store,
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
            self._album.keep(drawn),
            width=drawn.shape[1],
            height=drawn.shape[0],
            caption=captions[view.kind],
        )

    def _show_walk(self, recipe: Recipe, report: Report) -> Shown:
        source = self.source
        if source.picture is None:
            raise SettingError("a clip walks as it plays: render a range of it under Export")
        cells = _finest(recipe)
        height, width = preview_size(source.height, source.width, longest=_WALK_SIDE, cells=cells)
        path = self._folder / f"walk-{self._album.next_number()}.mp4"
        try:
            animate_still(
                source.path,
                path,
                recipe,
                Selection(scale=f"{width}x{height}"),
                speed=20,
                agents=True,
                cache=self._store,
                learning=_by_layer(recipe, report),
                progress=report,
            )
            content = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
        address = self._album.keep_bytes(content, "mp4", "video/mp4")
        return Shown("clip", address, "", width, height, "the picture being eaten, step by step")

    def thumbnails(
        self,
        recipe: Recipe,
        view: View,
        report: Report,
        *,
        busy: Callable[[], bool],
        done: Callable[[str, str], None],
    ) -> None:
        """Paint the source small by every preset, one after another.

        Args:
            recipe: that is being edited, with whose painter a clip's frame is found.
            view: that is looked at.
            report: of the stages.
            busy: says whether something else is being waited for, which comes first.
            done: called with each preset's name, and the address of its picture.
        """
        source = self.source
        if source.picture is not None:
            frame = source.picture.frame
        else:
            with self._painting:
                painter = self._open_painter(recipe, view, report)
                frame = painter.untouched(self._frame_time(painter, view))
            frame = resized(frame, *preview_size(*frame.shape[:2], longest=640))
        names = preset_names()
        for number, name in enumerate(names):
            preset = load_preset(name)
            cells = _finest(preset)
            onto = resized(frame, *preview_size(*frame.shape[:2], longest=_THUMBNAIL, cells=cells))
            report("thumbnails", number, len(names))
            while busy():
                time.sleep(0.05)
                report("thumbnails", number, len(names))
            try:
                painted = corrupt(
                    frame,
                    preset,
                    onto=onto,
                    cache=self._store,
                    progress=lambda *_, number=number: report("thumbnails", number, len(names)),
                )
            except GlitchError as error:
                _log.info("no thumbnail of %s: %s", name, error)
                continue
            small = resized(painted, *preview_size(*painted.shape[:2], longest=_THUMBNAIL))
            done(name, self._album.keep(small))

    def export(
        self,
        recipe: Recipe,
        view: View,
        suffix: str,
        report: Report,
        *,
        called: str,
        seconds: float = 6.0,
        scale: str | None = None,
        **options: Any,
    ) -> Export:
        """Render the source in full by the recipe, as the command line would.

        Args:
            recipe: to render by.
            view: that is looked at, with the range of a clip.
            suffix: of the file; a clip's ``frame.png`` is the frame that is looked at.
            report: of the stages.
            called: what the recipe is called, for the file's name.
            seconds: that a still is shown in a clip.
            scale: of a clip, as ``parse_scale`` takes it.
            options: of ``corrupt_clip``.

        Raises:
            GlitchError: as of ``corrupt_picture`` and ``corrupt_clip``.
            Stopped: by ``report``; nothing is left behind but what an export of the same goes on
                with.
        """
        source = self.source
        ending = suffix.removeprefix("frame")
        # One place for all, so that an export that was stopped is gone on with
        path = self._folder / f"export{ending}"
        path.unlink(missing_ok=True)
        name = f"{source.stem}-{called}{ending}"
        notes: tuple[str, ...]
        try:
            if suffix.startswith("frame"):
                with self._painting:
                    painter = self._open_painter(recipe, view, report)
                    number = self._frame_time(painter, view)
                    pixels, alpha = next(painter.frames(number, number + 1))
                frame = pixels.astype(np.uint8, copy=False)
                write_picture(path, frame, like=Picture(frame, alpha), recipe=recipe, force=True)
                notes, size = (), (frame.shape[1], frame.shape[0])
                length = ""
            elif not moves(suffix, still=source.kind == "still"):
                report("painting", 0, None)
                frame, _, notes = corrupt_picture(
                    source.path, path, recipe, force=True, cache=self._store,
                    progress=_by_layer(recipe, report),
                )  # fmt: skip
                size, length = (frame.shape[1], frame.shape[0]), ""
            else:
                selection = replace(
                    view.selection if source.kind == "clip" else Selection(duration=seconds),
                    scale=scale,
                )
                done = corrupt_clip(
                    source.path, path, recipe, selection, resume=True, force=True,
                    cache=self._store, progress=report, **options,
                )  # fmt: skip
                notes = (*done.notes, *done.damage)
                size = done.size
                length = f" · {done.frames} frames, {clock(done.seconds)}"
        except GlitchError as error:
            theirs = {source.path: source.name}
            raise rephrase(error, theirs, parts=str(path.parent), whole=name) from error
        megabytes = path.stat().st_size / 1e6
        summary = f"{name} · {size[0]}×{size[1]}{length} · {megabytes:.1f} MB"
        return Export(path, name, notes, summary)


def rephrase(
    error: GlitchError, words: dict[str, str], *, parts: str = "", whole: str = ""
) -> GlitchError:
    """Return an error in words that a person on the page knows.

    Args:
        error: as it was raised.
        words: what is said in place of what.
        parts: a folder whose files are all ``whole`` to the person.
        whole: its name.
    """
    said = str(error)
    if parts:
        said = re.sub(rf"{re.escape(parts)}/\S*?(?=[:\s]|$)", whole, said)
    for theirs, ours in words.items():
        said = said.replace(theirs, ours)
    return type(error)(said)


def moves(suffix: str, *, still: bool) -> bool:
    """Return whether an export is a clip or an animation.

    Args:
        suffix: as ``Session.export`` takes it.
        still: whether it is made of a still: its ``.webp`` is a picture.
    """
    if suffix.startswith("frame"):
        return False
    return is_motion_format(suffix, still=still)


def action_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer's actions."""
    return ActionSet(tuple(layer.effects), layer.moves).names


def _finest(recipe: Recipe) -> int:
    """Count the cells of the finest grid along its longer side."""
    return max((max(layer.grid) for _, layer in recipe.painted), default=1)


def _by_layer(recipe: Recipe, report: Report) -> Callable[[int, int, int], None]:
    """Make what layers report to, as they learn."""

    def progress(index: int, done: int, episodes: int) -> None:
        report(f"layer {index + 1} of {len(recipe.layers)}: learning", done, episodes)

    return progress
