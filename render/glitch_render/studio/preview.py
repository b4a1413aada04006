"""The preview: a source on which recipes are tried, and its pictures for the page.

Nothing here knows of the page or the session: recipes and views come in, pictures go out.
"""

from __future__ import annotations

import logging
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
from glitch_render.cache import Cache
from glitch_render.layers import frame_activation
from glitch_render.media.pictures import preview_size, resized
from glitch_render.plots.figures import draw_grid
from glitch_render.plots.layer import plot_layer
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.stills import corrupt
from glitch_render.studio.image_cache import ImageCache
from glitch_render.studio.source import LONGEST, Source
from glitch_render.video.animate import Walk, animate_still
from glitch_render.video.painter import Painter, open_painter
from glitch_render.video.selection import Selection

__all__ = ["Shown", "View", "Workspace", "action_names", "by_layer"]

_log = logging.getLogger("glitch_gym.studio")

_THUMBNAIL = 200
_WALK_SIDE = 640

Kind = Literal["result", "activation", "rewards", "policy", "paths", "walk"]
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class View:
    """What a tab looks at.

    Args:
        kind: the result, or one of the steps behind it.
        layer: index of the layer whose grid, rewards, policy or paths are shown, from 0.
        action: name of the action whose rewards are shown; by default the first.
        grid: whether the layer's grid is drawn.
        at: time in a clip, in seconds of the source.
        span: range of a clip that is rendered, in seconds of the source.
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
        kind: a picture with its original, a picture alone, or a clip.
        image: address of the picture or the clip.
        before: address of the original.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        caption: a line that describes it.
    """

    kind: Literal["compare", "picture", "clip"]
    image: str
    before: str = ""
    width: int = 0
    height: int = 0
    caption: str = ""


class Workspace:
    """A source on which recipes are tried.

    Args:
        source: the source.
        album: the pictures that the page can fetch.
        folder: a folder for temporary files.
        cache: the cache of activations, rewards and tables.
    """

    def __init__(
        self, source: Source, album: ImageCache, folder: Path, cache: Cache | None
    ) -> None:
        self.source = source
        self._album = album
        self._folder = folder
        self.cache = cache
        self._painter: tuple[tuple[Any, ...], Painter] | None = None
        self._painting = RLock()
        self._result: tuple[Recipe, NDArray[np.uint8]] | None = None
        self._untouched: tuple[tuple[Any, ...], str] = ((), "")

    def show(self, recipe: Recipe, view: View, report: OnProgress) -> Shown:
        """Paint or draw what a view shows of the source and a recipe.

        Args:
            recipe: the recipe that is being edited.
            view: the view.
            report: called with each stage; may raise ``Stopped``.

        Raises:
            GlitchError: a setting does not fit the source.
            Stopped: by ``report``.
        """
        if view.kind == "walk":
            return self._show_walk(recipe, report)
        if view.kind != "result":
            return self._show_study(recipe, view, report)
        if self.source.kind == "still":
            return self._show_still(recipe, view, report)
        return self._show_frame(recipe, view, report)

    def _show_still(self, recipe: Recipe, view: View, report: OnProgress) -> Shown:
        source, picture = self.source, self.source.picture
        assert picture is not None
        cells = _finest(recipe)
        small = source.small(cells)
        onto = picture.frame if small is None else small
        alpha = picture.alpha
        if alpha is not None and small is not None:
            alpha = np.asarray(Image.fromarray(alpha).resize((small.shape[1], small.shape[0])))
        # Read once: a newer job may replace it concurrently
        result = self._result
        if result is None or result[0] != recipe:
            activation = self._activation(recipe, report)
            report(Progress("painting"))
            painted = corrupt(
                picture.frame,
                recipe,
                onto=onto,
                activation=activation,
                cache=self.cache,
                progress=by_layer(recipe, report),
            )
            self._result = result = (recipe, painted)
        painted = result[1]
        shown = self._with_grid(painted, recipe, view)
        report(Progress("painting"))
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
        """Return the address of the original, which is kept once as long as it is the same."""
        if self._untouched[0] != key or not self._album.use(self._untouched[1]):
            self._untouched = (key, self._album.keep(frame, alpha))
        return self._untouched[1]

    def _activation(self, recipe: Recipe, report: OnProgress) -> Activation:
        assert self.source.picture is not None
        report(Progress("looking"))
        return frame_activation(self.source.picture.frame, recipe, cache=self.cache)

    def _with_grid(self, frame: NDArray[np.uint8], recipe: Recipe, view: View) -> NDArray[np.uint8]:
        if not view.grid:
            return frame
        layer = recipe.layers[view.layer]
        height, width = self.source.height, self.source.width
        grid = fit_grid(layer.grid, height, width, fit=layer.fit, orient=layer.orient)
        return draw_grid(frame, grid)

    def _open_painter(self, recipe: Recipe, view: View, report: OnProgress) -> Painter:
        """Return the clip's painter; call it while ``_painting`` is held."""
        key = (recipe, view.selection)
        if self._painter is None or self._painter[0] != key:
            opened = open_painter(
                self.source.path, recipe, view.selection, cache=self.cache, progress=report
            )
            self._painter = (key, opened)
        return self._painter[1]

    def _frame_time(self, painter: Painter, view: View) -> int:
        """Return the number of the frame nearest to the view's time."""
        return painter.nearest(Fraction(view.at).limit_denominator(1_000_000))

    def _show_frame(self, recipe: Recipe, view: View, report: OnProgress) -> Shown:
        with self._painting:
            painter = self._open_painter(recipe, view, report)
            report(Progress("painting"))
            number = self._frame_time(painter, view)
            before = painter.untouched(number)
            pixels, _ = next(painter.frames(number, number + 1))
        painted = pixels.astype(np.uint8, copy=False)
        size = preview_size(*painted.shape[:2], longest=LONGEST)
        shown = resized(self._with_grid(painted, recipe, view), *size)
        seconds = painter.plan.seconds(number) + float(painter.begins)
        return Shown(
            "compare",
            self._album.keep(shown),
            self._before(resized(before, *size), None, (number, size)),
            self.source.width,
            self.source.height,
            f"frame {number + 1} of {len(painter.plan)}, at {seconds:.2f} s",
        )

    def paint_frame(
        self, recipe: Recipe, view: View, report: OnProgress
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return the frame of a clip that is looked at, painted in full, and its alpha channel.

        Raises:
            GlitchError: the clip or a setting is wrong.
            Stopped: by ``report``.
        """
        with self._painting:
            painter = self._open_painter(recipe, view, report)
            number = self._frame_time(painter, view)
            pixels, alpha = next(painter.frames(number, number + 1))
        return pixels.astype(np.uint8, copy=False), alpha

    def _study_frame(
        self, recipe: Recipe, view: View, report: OnProgress
    ) -> tuple[NDArray[np.uint8], Activation]:
        """Return the frame that is studied, and the activation that its agents learn by."""
        if self.source.picture is not None:
            return self.source.picture.frame, self._activation(recipe, report)
        with self._painting:
            painter = self._open_painter(recipe, view, report)
            number = self._frame_time(painter, view)
            assert painter.activation_of is not None
            return painter.untouched(number), painter.activation_of(number)

    def _show_study(self, recipe: Recipe, view: View, report: OnProgress) -> Shown:
        frame, activation = self._study_frame(recipe, view, report)
        report(Progress("drawing"))
        names = action_names(recipe.layers[view.layer])
        action = view.action if view.action in names else names[0]
        drawn = plot_layer(
            view.kind,
            frame,
            recipe,
            view.layer,
            action=action if view.kind == "rewards" else None,
            activation=activation,
            cache=self.cache,
            progress=by_layer(recipe, report),
        )
        if view.kind == "activation":
            drawn = resized(drawn, *preview_size(*drawn.shape[:2], longest=LONGEST))
        report(Progress("drawing"))
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

    def _show_walk(self, recipe: Recipe, report: OnProgress) -> Shown:
        source = self.source
        if source.picture is None:
            raise SettingError("Walk is for stills; to see a clip in motion, export a range")
        cells = _finest(recipe)
        height, width = preview_size(source.height, source.width, longest=_WALK_SIDE, cells=cells)
        path = self._folder / f"walk-{self._album.next_number()}.mp4"
        try:
            animate_still(
                source.path,
                path,
                recipe,
                Selection(scale=f"{width}x{height}"),
                walk=Walk(speed=20, agents=True),
                cache=self.cache,
                progress=by_layer(recipe, report),
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
        report: OnProgress,
        *,
        busy: Callable[[], bool],
        done: Callable[[str, str], None],
    ) -> None:
        """Paint the source small by every preset, one after another.

        Args:
            recipe: the recipe that is being edited; its painter finds a clip's frame.
            view: the present view.
            report: called with each stage; may raise ``Stopped``.
            busy: returns whether other work is being waited for, which comes first.
            done: called with each preset's name and the address of its picture.
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
            report(Progress("thumbnails", number, len(names)))
            while busy():
                time.sleep(0.05)
                report(Progress("thumbnails", number, len(names)))
            try:
                painted = corrupt(
                    frame,
                    preset,
                    onto=onto,
                    cache=self.cache,
                    progress=lambda *_, number=number: report(
                        Progress("thumbnails", number, len(names))
                    ),
                )
            except GlitchError as error:
                _log.info("no thumbnail of %s: %s", name, error)
                continue
            small = resized(painted, *preview_size(*painted.shape[:2], longest=_THUMBNAIL))
            done(name, self._album.keep(small))


def action_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer's actions."""
    return ActionSet(tuple(layer.effects), layer.moves).names


def _finest(recipe: Recipe) -> int:
    """Return the number of cells along the longer side of the finest grid."""
    return max((max(layer.grid) for _, layer in recipe.painted), default=1)


def by_layer(recipe: Recipe, report: OnProgress) -> OnProgress:
    """Return a callback that names the layer that is learning, in words for the page."""

    def progress(now: Progress) -> None:
        if now.layer is not None:
            stage = f"layer {now.layer + 1} of {len(recipe.layers)}: learning"
            now = replace(now, stage=stage)
        report(now)

    return progress
