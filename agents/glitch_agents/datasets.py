"""Datasets for offline learning, straight from compiled rollouts: Minari's, and plain arrays.

``collect_episodes`` needs nothing besides NumPy; ``minari_dataset`` needs the extra ``datasets``.
Sources: the Minari documentation, for its format of episodes; d3rlpy's, for an ``MDPDataset``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.mdp import lifetime_of, world_of
from glitch_agents.rollout import as_table
from glitch_gym.checks import whole_number
from glitch_gym.dynamics import EXIT, refuse_slip
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import MissingExtraError, SettingError
from glitch_gym.policy import Policy
from glitch_gym.vector_env import GlitchGridVectorEnv

__all__ = ["DatasetEpisode", "collect_episodes", "mdp_arrays", "minari_dataset"]


@dataclass(frozen=True, eq=False)
class DatasetEpisode:
    """One episode, as datasets for offline learning keep it.

    Args:
        observations: (steps + 1, …), from the start to where the last action led; for
            ``"masked"`` a dict of two such arrays.
        actions: int64 (steps,).
        rewards: float64 (steps,).
        terminations: bool (steps,).
        truncations: bool (steps,).
        seed: seed by which ``env.reset(seed=…)`` starts this episode.
    """

    observations: Any
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    seed: int


def collect_episodes(
    env: gym.Env[Any, Any], policy: Policy | None, episodes: int, *, seed: int = 0
) -> list[DatasetEpisode]:
    """Let a policy walk, all episodes at once in one compiled loop.

    Episode i is what ``env.reset(seed=seed + i)`` starts, and its actions, taken one by one, give
    its observations and rewards again.

    Args:
        env: a GlitchGrid environment, with any kind of observation; its lifetime ends the episodes.
        policy: the policy; ``None`` for uniformly random actions.
        episodes: number of episodes, at least 1.
        seed: seed of the first episode.

    Raises:
        SettingError: an environment of another kind, one without a lifetime or with slip, a policy
            that does not fit it, or a number out of range.
    """
    world = world_of(env)
    refuse_slip(world)
    own = env.unwrapped
    if not isinstance(own, GlitchGridEnv):
        raise SettingError("a dataset is collected in a GlitchGrid environment")
    episodes = whole_number("episodes", episodes, least=1)
    lifetime = lifetime_of(env)
    vector = GlitchGridVectorEnv(episodes, env=own, max_episode_steps=lifetime)
    vector.reset(seed=seed)
    table = None if policy is None else as_table(policy, world)
    walked = vector.rollout(table, lifetime)
    ended = walked.terminations | walked.truncations
    lengths = ended.argmax(axis=0) + 1
    collected = []
    for agent, steps in enumerate(lengths.tolist()):
        actions = walked.actions[:steps, agent].astype(np.int64)
        cells = walked.observations[: steps + 1, agent].astype(np.int64)
        # The record continues with the next episode, so where the last action led is looked up
        there = int(world.next_state[cells[-2], actions[-1]])
        cells[-1] = cells[-2] if there == EXIT else there
        collected.append(
            DatasetEpisode(
                own.observe_cells(cells),
                actions,
                world.rewards[cells[:-1], actions].astype(np.float64),
                walked.terminations[:steps, agent],
                walked.truncations[:steps, agent],
                seed + agent,
            )
        )
    return collected


def mdp_arrays(episodes: list[DatasetEpisode]) -> dict[str, NDArray[Any]]:
    """Lay episodes end to end, as d3rlpy's ``MDPDataset(**arrays)`` takes them.

    Args:
        episodes: episodes from ``collect_episodes``, whose observations are arrays.

    Returns:
        observations (n, …), actions (n, 1), rewards float32 (n, 1), terminals and timeouts
        float32 (n,); n is the number of steps of all episodes.

    Raises:
        SettingError: there are no episodes, or their observations are dicts.
    """
    if not episodes or any(isinstance(one.observations, dict) for one in episodes):
        raise SettingError("this needs episodes whose observations are arrays: not 'masked' ones")
    seen = [one.observations[:-1].reshape(len(one.actions), -1) for one in episodes]
    if episodes[0].observations.ndim > 2:
        seen = [one.observations[:-1] for one in episodes]
    # A step cannot both terminate and time out there
    timeouts = [one.truncations & ~one.terminations for one in episodes]
    return {
        "observations": np.concatenate(seen),
        "actions": np.concatenate([one.actions for one in episodes])[:, None],
        "rewards": np.concatenate([one.rewards for one in episodes]).astype(np.float32)[:, None],
        "terminals": np.concatenate([one.terminations for one in episodes]).astype(np.float32),
        "timeouts": np.concatenate(timeouts).astype(np.float32),
    }


def minari_dataset(
    dataset_id: str,
    env: gym.Env[Any, Any],
    policy: Policy | None,
    episodes: int,
    *,
    seed: int = 0,
    **about: Any,
) -> Any:
    """Collect episodes, and store them as a dataset of Minari's.

    Args:
        dataset_id: name of the dataset, such as ``"glitch/linger/expert-v0"``.
        env: environment from ``gym.make``, with any kind of observation; its spec is stored too.
        policy: the policy; ``None`` for uniformly random actions.
        episodes: number of episodes, at least 1.
        seed: seed of the first episode.
        about: further settings of ``minari.create_dataset_from_buffers``, such as ``author``.

    Returns:
        the ``minari.MinariDataset``.

    Raises:
        MissingExtraError: Minari is not installed.
        SettingError: as ``collect_episodes``.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError as error:
        raise MissingExtraError(
            "a Minari dataset needs Minari: pip install 'glitch-gym[datasets]'"
        ) from error
    buffers = [
        EpisodeBuffer(
            id=index,
            seed=one.seed,
            observations=one.observations,
            actions=one.actions,
            rewards=one.rewards,
            terminations=one.terminations,
            truncations=one.truncations,
            infos={},
        )
        for index, one in enumerate(collect_episodes(env, policy, episodes, seed=seed))
    ]
    about.setdefault("eval_env", env)
    return minari.create_dataset_from_buffers(dataset_id, buffers, env=env, **about)
