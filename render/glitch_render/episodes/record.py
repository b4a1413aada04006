"""RecordEpisode: a wrapper that records any Gymnasium loop as an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import SettingError
from glitch_gym.output import check_target
from glitch_gym.pictures_env import GlitchPicturesEnv
from glitch_gym.trajectories import Trajectories
from glitch_render.episodes.episode import Episode, EpisodeLayer, save_episode

__all__ = ["RecordEpisode"]


class RecordEpisode(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Record the steps taken in an environment by hand, by a policy or by another library.

    Each episode of the environment becomes an agent of the recorded episode.

    Args:
        env: a ``GlitchGrid-v0``, wrapped or not.
        path: path of an ``.npz`` to write when the environment is closed.
        one_after_another: start each agent when the one before it is done; by default all agents
            start together.

    Raises:
        SettingError: the environment is not a ``GlitchGrid-v0`` of one picture.
        OutputError: the path cannot be written to.

    Example::

        env = RecordEpisode(gym.make("GlitchGrid-v0"), "walk.npz")
        env.reset(seed=0)
        for _ in range(20):
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        env.close()
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        path: str | Path | None = None,
        *,
        one_after_another: bool = False,
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(
            self,
            path=None if path is None else str(path),
            one_after_another=one_after_another,
        )
        gym.Wrapper.__init__(self, env)
        inner = env.unwrapped
        if not isinstance(inner, GlitchGridEnv):
            raise SettingError(f"RecordEpisode needs a GlitchGrid-v0, not {type(inner).__name__}")
        if isinstance(inner, GlitchPicturesEnv):
            # Its cells lie on many pictures, and an episode is replayed on one
            raise SettingError("RecordEpisode needs an environment of one picture: GlitchGrid-v0")
        if path is not None:
            check_target(path, suffixes=(".npz",), force=True)
        self._inner = inner
        self._path = path
        self._one_after_another = one_after_another
        self._walks: list[list[tuple[int, int]]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, and start recording an agent."""
        begun = super().reset(seed=seed, options=options)
        self._walks.append([])
        return begun

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step, and record it as the environment carried it out."""
        taken = super().step(action)
        self._walks[-1].append(self._inner.walk[-1])
        return taken

    @property
    def episode(self) -> Episode:
        """Episode recorded so far.

        Raises:
            SettingError: no step was taken yet.
        """
        walks = [walk for walk in self._walks if walk]
        if not walks:
            raise SettingError("nothing is recorded yet: reset the environment and take steps")
        begins = np.zeros(len(walks), int)
        if self._one_after_another:
            begins[1:] = np.cumsum([len(walk) for walk in walks[:-1]])
        lengths = begins + [len(walk) for walk in walks]
        cells = np.full((len(walks), int(lengths.max())), -1, np.int32)
        actions = np.full_like(cells, -1)
        for agent, (begin, walk) in enumerate(zip(begins, walks, strict=True)):
            cells[agent, begin : begin + len(walk)] = [cell for cell, _ in walk]
            actions[agent, begin : begin + len(walk)] = [action for _, action in walk]
        walked = Trajectories(cells, actions, lengths.astype(np.int32))
        world = self._inner.world
        return Episode((EpisodeLayer(world.grid, world.actions, walked),), self._inner.seed)

    def save(self, path: str | Path) -> None:
        """Write the episode recorded so far to an ``.npz``.

        Raises:
            SettingError: no step was taken yet.
            OutputError: the suffix is another, or the file cannot be written.
        """
        save_episode(path, self.episode)

    def close(self) -> None:
        """Close the environment, and write the recorded episode."""
        if self._path is not None and any(self._walks):
            self.save(self._path)
            self._path = None
        super().close()
