"""A layer through the time of a clip: who is born when, who walks, and what stays on the picture.

A layer has a clock. From its ``start`` on it ticks every ``hold`` frames, and at each tick its
agents take ``steps_per_frame`` steps. What the canvas shows is then painted on every frame until
the next tick: the stamps of this tick alone, or with ``preserve`` those of the last ``trail`` steps
or of all. Walks and symbols depend on no pixels, so any frame can be reached without rendering
those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable
from glitch_agents.population import NEVER, Population
from glitch_agents.rollout import births, check_agents, check_steps, no_birth_cell_error
from glitch_gym.dynamics import GridWorld
from glitch_gym.reward import activation_on_grid
from glitch_render.engine.canvas import Canvas
from glitch_render.engine.overlay import Overlay, paint_over
from glitch_render.layers import action_bonus, layer_overlay
from glitch_render.media.timing import FramePlan
from glitch_render.recipe.keyframes import Keyframes, highest, value_at
from glitch_render.recipe.model import Layer
from glitch_render.video.shots import Shots

__all__ = ["LayerTimeline", "Learned"]

_LIFETIMES = 10
"""Lifetimes that the trail of endless agents reaches back, where their effects need pixels."""

Learned = Callable[[int, int], tuple[GridWorld, QTable]]
"""Return the world and the policy of a shot's layer, by the numbers of both from 0."""


class LayerTimeline:
    """A layer that can be painted on the frames of a clip, in order, from any frame on.

    Args:
        layer: settings of the layer.
        index: the layer's place in the recipe, from 0; part of every random key.
        plan: times and sources of the output's frames.
        shots: shots of the output.
        learned: function that returns worlds and policies.
        height: height of the frames, in pixels.
        width: width of the frames, in pixels.
        seed: the recipe's seed.

    Raises:
        GridError: the grid is finer than the frames.
        SettingError: the layer's agents are too many, or their trails too long.
    """

    def __init__(
        self,
        layer: Layer,
        index: int,
        plan: FramePlan,
        shots: Shots,
        learned: Learned,
        height: int,
        width: int,
        *,
        seed: int,
    ) -> None:
        self._layer = layer
        self._index = index
        self._plan = plan
        self._shots = shots
        self._learned = learned
        self._seed = seed
        self._agents = max(1, int(np.ceil(highest(layer.agents))))
        check_agents(self._agents)
        self._born = self._births_by_tick()
        world, _ = learned(shots.shot_of(0), index)
        self._canvas = Canvas(
            world.grid,
            world.actions,
            height,
            width,
            parameters={name: one.parameters for name, one in layer.effects.items()},
            seed=seed,
            layer=index,
        )
        self._trail = layer.trail
        if layer.preserve and layer.trail is None and self._canvas.has_pixel_ops:
            # Pixel ops run again on every frame: an endless trail would grow without bound
            self._trail = _LIFETIMES * layer.lifetime if self._endless else None
        if layer.preserve:
            check_steps(self._agents, self._kept_steps())
        self._masked: tuple[str, NDArray[np.uint8] | None] | None = None
        self._next = 0
        self._rewind(0)

    def _kept_steps(self) -> int:
        """Return how many steps of each agent are kept: its trail, or all with pixel ops."""
        if self._trail is not None:
            return self._trail
        if self._canvas.has_pixel_ops:
            return min(self._layer.lifetime, self._ticks_by(len(self._plan) - 1))
        return 0

    @property
    def _endless(self) -> bool:
        """Whether there are agents for as long as the clip lasts."""
        return self._layer.repeat_agents or self._layer.respawn

    def _births_by_tick(self) -> NDArray[np.int64]:
        """Return the tick of each agent's first birth."""
        layer, agents = self._layer, np.arange(self._agents)
        if layer.repeat_agents:
            return np.zeros(self._agents, np.int64)
        frames = agents * layer.ramp // self._agents
        born = frames // layer.hold * layer.steps_per_frame
        if isinstance(layer.agents, Keyframes):
            ticking = range(layer.start, len(self._plan), layer.hold)
            counts = [layer.agents.at(self._plan.seconds(frame)) for frame in ticking]
            reached = np.maximum.accumulate(np.round(counts)) if counts else np.zeros(0)
            wanted = np.searchsorted(reached, agents, side="right")
            late = np.where(wanted < len(reached), wanted * layer.steps_per_frame, NEVER)
            born = np.maximum(born, late)
        return born.astype(np.int64)

    def _rewind(self, tick: int) -> None:
        """Start afresh at a tick."""
        layer = self._layer
        self._population = Population(
            self._agents,
            lifetime=layer.lifetime,
            repeat=layer.repeat_agents,
            respawn=layer.respawn,
            born=self._born,
            seed=self._seed,
            layer=self._index,
        )
        self._canvas.clear()
        rows = self._trail if layer.preserve and self._trail is not None else 0
        self._recent = (
            np.full((rows, self._agents), -1, np.int32),
            np.full((rows, self._agents), -1, np.int32),
        )
        self._following: tuple[object, ...] | None = None
        self._tick = tick

    def _ticks_by(self, frame: int) -> int:
        """Return the number of ticks that are over when a frame is painted."""
        layer = self._layer
        if frame < layer.start:
            return 0
        return ((frame - layer.start) // layer.hold + 1) * layer.steps_per_frame

    def _first_needed(self, frame: int) -> int:
        """Return the latest tick from which a frame comes out as if walked from the first."""
        layer = self._layer
        if layer.preserve and self._trail is None:
            return 0
        if not self._endless:
            return 0
        shown = self._trail if layer.preserve and self._trail else layer.steps_per_frame
        lived = 0 if layer.repeat_agents else layer.lifetime
        before = max(0, self._ticks_by(frame) - shown - lived)
        return before // layer.steps_per_frame * layer.steps_per_frame

    def _frame_of(self, tick: int) -> int:
        return self._layer.start + tick // self._layer.steps_per_frame * self._layer.hold

    def seek(self, frame: int) -> None:
        """Make ``frame`` the next one to paint."""
        if frame != self._next:
            self._next = frame
            self._rewind(self._first_needed(frame))

    @property
    def frames_back(self) -> int:
        """Number of earlier frames that the layer's effects can use."""
        return self._canvas.frames_back

    def paint(
        self, frame: int, pixels: NDArray[np.uint8], earlier: Sequence[NDArray[np.uint8]] = ()
    ) -> None:
        """Paint the layer on a frame, in place.

        Args:
            frame: number of the frame.
            pixels: uint8 (height, width, 3), contiguous.
            earlier: the frames before it as they came to this layer, the latest first.
        """
        self.seek(frame)
        wanted = self._ticks_by(frame)
        while self._tick < wanted:
            self._take_steps()
        self._next = frame + 1
        tick = max(0, frame - self._layer.start) // self._layer.hold
        paint_over(
            self._canvas, pixels, self._overlay_of(frame, *pixels.shape[:2]), earlier=earlier,
            tick=tick,
        )  # fmt: skip

    def _overlay_of(self, frame: int, height: int, width: int) -> Overlay:
        """Return how the layer is laid over a frame; its mask is made again only if it changes."""
        layer = self._layer
        by_activation = layer.mask_above is not None or layer.mask_below is not None
        activation = self._shots.activation_at(frame) if by_activation else None
        digest = "" if activation is None else activation.digest
        if self._masked is None or self._masked[0] != digest:
            # Without a threshold the activation does not matter
            shown = np.zeros((1, 1), np.float32) if activation is None else activation.map
            made = layer_overlay(layer, shown, height, width, seconds=0.0)
            self._masked = (digest, made.mask)
        opacity = value_at(layer.opacity, self._plan.seconds(frame))
        return Overlay(opacity, layer.blend, self._masked[1])

    def _take_steps(self) -> None:
        """Take a tick's steps, and stamp those that are shown on the canvas."""
        layer = self._layer
        frame = self._frame_of(self._tick)
        first, last = self._tick, self._tick + layer.steps_per_frame
        self._tick = last
        if self._all_over(first):
            # Nothing is added any more; earlier stamps stay, fade with the trail, or are gone
            if layer.preserve and self._trail is not None:
                for _ in range(first, last):
                    self._remember(-1, -1)
                self._stamp_recent()
            elif not layer.preserve:
                self._canvas.clear()
            return
        self._follow(frame)
        starts = self._starts(frame)
        active = round(value_at(layer.agents, self._plan.seconds(frame)))
        if not layer.preserve:
            self._canvas.clear()
        for tick in range(first, last):
            cells, actions = self._population.advance(tick, starts, active)
            if layer.preserve and self._trail is not None:
                self._remember(cells, actions)
            else:
                self._canvas.stamp(cells[None], actions[None], tick - self._born, check=False)
        if layer.preserve and self._trail is not None:
            self._stamp_recent()

    def _remember(self, cells: NDArray[np.int32] | int, actions: NDArray[np.int32] | int) -> None:
        """Append a step to the trail, and drop the oldest."""
        for rows, newest in zip(self._recent, (cells, actions), strict=True):
            rows[:-1] = rows[1:]
            rows[-1] = newest

    def _stamp_recent(self) -> None:
        cells, actions = self._recent
        self._canvas.clear()
        self._canvas.stamp(cells, actions, self._tick - len(cells) - self._born, check=False)

    def _all_over(self, tick: int) -> bool:
        """Return whether every agent's life is over for good."""
        layer = self._layer
        if self._endless:
            return False
        born = self._born[self._born < NEVER]
        return born.size == 0 or tick >= int(born.max()) + layer.lifetime

    def _follow(self, frame: int) -> None:
        """Switch to the policy of the frame's shot, with the weights of the frame's time."""
        layer, shot = self._layer, self._shots.shot_of(frame)
        seconds = self._plan.seconds(frame)
        weights = {name: value_at(one.weight, seconds) for name, one in layer.effects.items()}
        explore = value_at(layer.explore, seconds)
        now = (shot, explore, *weights.values())
        if now == self._following:
            return
        self._following = now
        self._world, policy = self._learned(shot, self._index)
        self._population.follow(
            self._world,
            policy,
            explore=explore,
            bonus=action_bonus(self._world.actions, weights),
        )

    def _starts(self, frame: int) -> NDArray[np.int32]:
        """Return the cells where agents can be born on a frame."""
        layer = self._layer
        if layer.born_above is None and layer.born_below is None:
            return self._world.picture_cells
        activation = self._shots.activation_at(frame)
        mapped = activation_on_grid(activation, self._world.grid)
        return births(self._world, mapped, layer.born_above, layer.born_below)

    def check_births(self) -> None:
        """Refuse a layer in which no agent can ever be born.

        Raises:
            SettingError: no activation of the clip is within ``born_above`` and ``born_below``.
        """
        layer = self._layer
        if layer.born_above is None and layer.born_below is None:
            return
        low, high = 1.0, 0.0
        for frame in range(0, len(self._plan), max(1, layer.hold)):
            world, _ = self._learned(self._shots.shot_of(frame), self._index)
            mapped = activation_on_grid(self._shots.activation_at(frame), world.grid)
            if births(world, mapped, layer.born_above, layer.born_below).size:
                return
            low, high = min(low, float(mapped.min())), max(high, float(mapped.max()))
        raise no_birth_cell_error(low, high)
