"""Replay episodes on pictures, and frame by frame on clips."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from glitch_gym.picture import check_frame
from glitch_render.engine.canvas import Canvas
from glitch_render.engine.overlay import paint_over
from glitch_render.episodes.episode import Episode, EpisodeLayer

__all__ = ["EpisodeTimeline", "replay_episode", "replay_layer"]


def _canvas(layer: EpisodeLayer, number: int, seed: int, height: int, width: int) -> Canvas:
    return Canvas(
        layer.grid,
        layer.actions,
        height,
        width,
        parameters=layer.parameters,
        seed=seed,
        layer=number,
    )


def replay_episode(frame: NDArray[np.uint8], episode: Episode) -> NDArray[np.uint8]:
    """Replay all steps of an episode on a frame of any size that its grids fit.

    Args:
        frame: uint8 (height, width, 3), RGB; left unchanged.
        episode: the episode.

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        PictureError: the array is not a frame.
        GridError: a grid is finer than the frame.
    """
    check_frame(frame)
    painted = frame
    for number, layer in enumerate(episode.layers):
        painted = replay_layer(painted, layer, number, episode.seed)
    return painted


def replay_layer(
    frame: NDArray[np.uint8], layer: EpisodeLayer, number: int, seed: int
) -> NDArray[np.uint8]:
    """Replay all steps of one layer on a still.

    Args:
        frame: uint8 (height, width, 3), RGB; left unchanged.
        layer: the layer.
        number: number of the layer, from 0; part of the key of random draws.
        seed: seed of random draws.

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        GridError: the grid is finer than the frame.
        SettingError: stamps do not fit the grid.
    """
    canvas = _canvas(layer, number, seed, *frame.shape[:2])
    canvas.stamp(layer.trajectories.cells.T, layer.trajectories.actions.T)
    out = np.array(frame, order="C")
    paint_over(canvas, out, layer.overlay)
    return out


class EpisodeTimeline:
    """A layer of an episode on the frames of a clip, where its trails stay.

    Args:
        episode: the episode.
        number: number of the layer, from 0.
        height: height of the frames in pixels.
        width: width of the frames in pixels.
        start: frame of the first step.
        pace: steps per frame.

    Raises:
        GridError: the grid is finer than the frames.
    """

    def __init__(
        self,
        episode: Episode,
        number: int,
        height: int,
        width: int,
        *,
        start: int = 0,
        pace: Fraction = Fraction(1),
    ) -> None:
        self._start, self._pace = start, pace
        walked = episode.layers[number].trajectories
        self._cells = np.ascontiguousarray(walked.cells.T)
        self._actions = np.ascontiguousarray(walked.actions.T)
        self._canvas = _canvas(episode.layers[number], number, episode.seed, height, width)
        self._overlay = episode.layers[number].overlay
        self._done = 0

    @property
    def frames_back(self) -> int:
        """Number of earlier frames that painting can use."""
        return self._canvas.frames_back

    def steps_by(self, frame: int) -> int:
        """Return the number of steps that a frame shows."""
        steps = int((frame + 1 - self._start) * self._pace) if frame >= self._start else 0
        return min(steps, len(self._cells))

    def paint(
        self, frame: int, pixels: NDArray[np.uint8], earlier: Sequence[NDArray[np.uint8]] = ()
    ) -> None:
        """Paint all steps up to a frame, in place.

        Args:
            frame: number of the frame.
            pixels: uint8 (height, width, 3), contiguous.
            earlier: earlier frames as this layer received them, latest first.
        """
        wanted = self.steps_by(frame)
        if wanted < self._done:
            self._canvas.clear()
            self._done = 0
        if wanted > self._done:
            steps = slice(self._done, wanted)
            first = np.full(self._cells.shape[1], self._done, np.int64)
            self._canvas.stamp(self._cells[steps], self._actions[steps], first)
            self._done = wanted
        paint_over(self._canvas, pixels, self._overlay, earlier=earlier)
