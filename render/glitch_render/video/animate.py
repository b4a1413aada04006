"""Animations of a still: the picture being eaten step by step, layer after layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.errors import SettingError
from glitch_gym.picture import read_picture
from glitch_render.cache import Cache
from glitch_render.episodes.episode import Episode
from glitch_render.episodes.playback import EpisodeTimeline
from glitch_render.layers import recipe_files
from glitch_render.media.footage import Footage
from glitch_render.media.sources import is_footage
from glitch_render.progress import OnProgress
from glitch_render.recipe.model import Recipe
from glitch_render.stills import corrupt_with_episode
from glitch_render.video.painter import PaintedLayer, Painter, open_episode_painter
from glitch_render.video.render import Report, check_clip_target, write_clip
from glitch_render.video.selection import ExportOptions, Selection, parse_scale

__all__ = ["Walk", "animate_still", "animation_selection", "check_speed", "open_animation_painter"]

_REST = Fraction(3, 2)
"""Seconds for which the whole picture is shown at the end."""


class _Agents:
    """Shows where the agents of all layers are, while they walk."""

    def __init__(self, episode: Episode, layers: Sequence[EpisodeTimeline]) -> None:
        self._walks = [
            (layer.grid, layer.trajectories.cells, timeline)
            for layer, timeline in zip(episode.layers, layers, strict=True)
        ]

    @property
    def frames_back(self) -> int:
        """Number of earlier frames that the marks need: none."""
        return 0

    def paint(
        self, frame: int, pixels: NDArray[np.uint8], earlier: Sequence[NDArray[np.uint8]] = ()
    ) -> None:
        """Mark each cell where an agent is: white on dark, to be seen on any picture."""
        for grid, cells, timeline in self._walks:
            steps = timeline.steps_by(frame)
            if steps == 0 or steps >= cells.shape[1]:
                continue
            row_edges, col_edges = grid.edges(*pixels.shape[:2])
            here = np.unique(cells[:, steps - 1])
            for cell in here[here >= 0].tolist():
                row, col = divmod(cell, grid.cols)
                top, bottom = int(row_edges[row]), int(row_edges[row + 1])
                start, end = int(col_edges[col]), int(col_edges[col + 1])
                y, x = (top + bottom) // 2, (start + end) // 2
                half = max(1, min(bottom - top, end - start) // 6)
                pixels[max(0, y - half - 1) : y + half + 1, max(0, x - half - 1) : x + half + 1] = 0
                pixels[max(0, y - half) : y + half, max(0, x - half) : x + half] = 255


@dataclass(frozen=True)
class Walk:
    """How a still is shown being eaten.

    Args:
        speed: steps a second.
        agents: show where the agents are.

    Raises:
        SettingError: the speed is out of its range.
    """

    speed: float = 10.0
    agents: bool = False

    def __post_init__(self) -> None:
        check_speed(self.speed)


def check_speed(speed: Fraction | float) -> None:
    """Refuse a speed that is out of its range.

    Raises:
        SettingError: the speed is below 0.01 or above 100,000 steps a second.
    """
    if not 0.01 <= speed <= 100_000:
        raise SettingError(f"speed must lie in 0.01…100,000 steps a second, not {float(speed):g}")


def animation_selection(episode: Episode, selection: Selection, speed: Fraction) -> Selection:
    """Return a selection that shows a still for all steps of an episode, and a rest.

    Args:
        episode: episode to show.
        selection: frames a second, 25 by default, and how large.
        speed: steps a second.

    Raises:
        SettingError: the speed is out of its range, or so low that the clip lasts over a day.
    """
    check_speed(speed)
    steps = sum(layer.trajectories.cells.shape[1] for layer in episode.layers)
    return replace(
        selection,
        rate=selection.rate or Fraction(25),
        duration=float(Fraction(steps) / speed + _REST),
    )


def open_animation_painter(
    source: str,
    episode: Episode,
    selection: Selection,
    *,
    speed: Fraction,
    agents: bool = False,
    footage: Footage | None = None,
) -> Painter:
    """Return a painter of a still as it is being eaten; its last frame is the whole corruption.

    Args:
        source: the still.
        episode: episode that corrupts it.
        selection: from ``animation_selection``.
        speed: steps a second.
        agents: show where the agents are.
        footage: the still, where it has been opened already with the selection's rate and
            duration.

    Raises:
        GlitchError: the source is wrong, or a grid is finer than it.
    """
    painter = open_episode_painter(source, episode, selection, footage=footage)
    width, height = painter.size
    rate = selection.rate or Fraction(25)
    layers = []
    before = 0
    for number, layer in enumerate(episode.layers):
        start = -(-before * rate // speed)
        layers.append(
            EpisodeTimeline(episode, number, height, width, start=start, pace=speed / rate)
        )
        before += layer.trajectories.cells.shape[1]
    shown: tuple[PaintedLayer, ...] = tuple(layers)
    if agents:
        shown = (*shown, _Agents(episode, layers))
    return painter.with_layers(shown, f"{painter.identity} {speed} {agents}")


def animate_still(
    source: str,
    output: str | Path,
    recipe: Recipe,
    selection: Selection | None = None,
    options: ExportOptions | None = None,
    *,
    walk: Walk | None = None,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
) -> Report:
    """Show a picture being eaten step by step, layer after layer, in a clip.

    Args:
        source: a picture, or ``sample:NAME``.
        output: as for ``corrupt_clip``.
        recipe: what to do.
        selection: frames a second, 25 by default, and how large it is shown.
        options: how the output is encoded and written.
        walk: speed of the steps, and whether the agents are shown.
        cache: cache of activations, rewards and tables.
        progress: called as layers learn, and then with the stages painting and joining.

    Raises:
        GlitchError: the source, the recipe, an option or the output is wrong.
        Interrupted: as ``corrupt_clip``.
    """
    if is_footage(source):
        raise SettingError(f"{source} moves already; give a still", path=source)
    options, walk = options or ExportOptions(), walk or Walk()
    check_clip_target(output, source, named=recipe_files(recipe), force=options.force)
    selection = selection or Selection()
    frame = read_picture(source).frame
    width, height = parse_scale(selection.scale, frame.shape[1], frame.shape[0])
    # Learned on the whole picture, so that a small animation shows what becomes of the large still
    shown = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
    _, episode = corrupt_with_episode(frame, recipe, onto=shown, progress=progress, cache=cache)
    pace = Fraction(walk.speed).limit_denominator(1000)

    def paint(footage: Footage, wanted: Selection) -> Painter:
        return open_animation_painter(
            source, episode, wanted, speed=pace, agents=walk.agents, footage=footage
        )

    return write_clip(
        source,
        output,
        paint,
        animation_selection(episode, selection, pace),
        options,
        progress=progress,
        named=recipe_files(recipe),
    )
