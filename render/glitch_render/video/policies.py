"""One policy for each shot and layer, learned when it is first needed."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from glitch_agents.policy import QTable
from glitch_agents.rollout import as_table
from glitch_gym.dynamics import GridWorld
from glitch_render.cache import Cache
from glitch_render.layers import WarmStart, layer_policy, layer_world, table_key
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.model import Recipe
from glitch_render.video.shots import Shots

__all__ = ["Policies"]


class Policies:
    """Worlds and policies of the layers of each shot, learned in the order of the shots.

    Args:
        recipe: recipe with the layers.
        shots: shots of the output.
        size: (width, height) of the frames, in pixels.
        cache: cache of rewards and tables.
        progress: called with the stage learning, in hundredths of a policy.
    """

    def __init__(
        self,
        recipe: Recipe,
        shots: Shots,
        size: tuple[int, int],
        cache: Cache | None,
        progress: OnProgress | None,
    ) -> None:
        self._recipe = recipe
        self._shots = shots
        self._width, self._height = size
        self._cache = cache
        self._progress = progress
        # Two shots at most: a film has thousands, and the cache has the others
        self._memory: OrderedDict[tuple[int, int], tuple[GridWorld, QTable]] = OrderedDict()
        self._keys: dict[tuple[int, int], str] = {}
        self._blank = np.broadcast_to(np.uint8(0), (self._height, self._width, 3))

    def __call__(self, shot: int, index: int) -> tuple[GridWorld, QTable]:
        """Return the world and the policy of a layer in a shot."""
        if (shot, index) not in self._memory:
            world = self._world(shot, index)
            layer, seed = self._recipe.layers[index], self._recipe.seed
            policy = layer_policy(
                layer,
                index,
                world,
                self._blank,
                seed=seed,
                cache=self._cache,
                start=self._start(shot, index),
                progress=self._report(shot),
            )
            self._memory[shot, index] = (world, as_table(policy, world))
            while len(self._memory) > 2 * len(self._recipe.layers):
                self._memory.popitem(last=False)
        return self._memory[shot, index]

    def learn_all(self) -> None:
        """Learn every policy, shot by shot."""
        for shot in range(len(self._shots)):
            for index, _ in self._recipe.painted:
                self(shot, index)

    def _world(self, shot: int, index: int) -> GridWorld:
        return layer_world(
            self._recipe.layers[index],
            index,
            self._shots.activation(shot),
            self._height,
            self._width,
            seed=self._recipe.seed,
            cache=self._cache,
        )

    def _start(self, shot: int, index: int) -> WarmStart | None:
        if shot == 0:
            return None

        def policy() -> QTable:
            # From the first on, so that each finds the one before it in memory
            if (shot - 1, index) not in self._memory:
                for earlier in range(shot - 1):
                    self(earlier, index)
            return self(shot - 1, index)[1]

        return WarmStart(self._key(shot - 1, index), policy)

    def _key(self, shot: int, index: int) -> str:
        for earlier in range(shot + 1):
            if (earlier, index) not in self._keys:
                self._keys[earlier, index] = table_key(
                    self._recipe.layers[index],
                    index,
                    self._world(earlier, index),
                    seed=self._recipe.seed,
                    start=self._keys.get((earlier - 1, index)),
                )
        return self._keys[shot, index]

    def _report(self, shot: int) -> OnProgress:
        numbers = [index for index, _ in self._recipe.painted]
        layers = len(numbers)

        def report(now: Progress) -> None:
            if self._progress is None or now.layer is None or not now.total:
                return
            share = shot * layers + numbers.index(now.layer) + now.done / now.total
            total = 100 * layers * len(self._shots)
            self._progress(Progress("learning", round(100 * share), total))

        return report
