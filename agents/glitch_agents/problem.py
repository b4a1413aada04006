"""The problem that a tabular learner faces, as arrays.

It is a grid world's, or that of any environment with Discrete spaces.

A problem that is stochastic has several outcomes for an action; they lie side by side in the last
axis, and a learner draws one. A grid world has one outcome, and its tables are used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from glitch_gym.compilation import compiled
from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.env import LIFETIME
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, draw, stream, unit

__all__ = ["Problem", "lifetime_of", "outcome", "problem_of", "start_state", "world_of"]

_ENDLESS = 1000


@dataclass(frozen=True, eq=False)
class Problem:
    """A tabular Markov decision process.

    Args:
        next_state: int32 (states, actions · outcomes), −1 for the end of an episode.
        rewards: float32 (states, actions · outcomes).
        cumulative: float64 (states, actions · outcomes), cumulative probabilities of each action's
            outcomes; (0, 0) for a deterministic problem.
        starts: int32, states that episodes start in.
        start_cumulative: float64, their cumulative probabilities; empty if they are equally likely.
        n_actions: number of actions.
        n_moves: actions that are alike modulo this lead to the same state.
        shape: of the Q-table, (rows, cols, n_actions).
    """

    next_state: NDArray[np.int32]
    rewards: NDArray[np.float32]
    cumulative: NDArray[np.float64]
    starts: NDArray[np.int32]
    start_cumulative: NDArray[np.float64]
    n_actions: int
    n_moves: int
    shape: tuple[int, int, int]


@compiled
def start_state(
    starts: NDArray[np.int32], start_cumulative: NDArray[np.float64], bits: np.uint64
) -> int:
    """Draw the state that an episode starts in."""
    if start_cumulative.shape[0] == 0:
        return int(starts[below(bits, starts.shape[0])])
    level = unit(bits)
    place = 0
    while place < starts.shape[0] - 1 and start_cumulative[place] <= level:
        place += 1
    return int(starts[place])


@compiled
def outcome(
    cumulative: NDArray[np.float64],
    n_outcomes: int,
    state: int,
    action: int,
    episode: np.uint64,
    step: int,
) -> int:
    """Draw what an action leads to, as a column of the problem's tables."""
    if n_outcomes == 1:
        return action
    level = unit(draw(stream(episode, 1), step))
    first = action * n_outcomes
    place = first
    while place < first + n_outcomes - 1 and cumulative[state, place] <= level:
        place += 1
    return place


def _world_behind(env: gym.Env[Any, Any] | GridWorld) -> GridWorld | None:
    world = env if isinstance(env, GridWorld) else getattr(env.unwrapped, "world", None)
    return world if isinstance(world, GridWorld) else None


def world_of(env: gym.Env[Any, Any] | GridWorld) -> GridWorld:
    """Give the grid world behind an environment.

    Raises:
        SettingError: the environment has none.
    """
    world = _world_behind(env)
    if world is None:
        raise SettingError(f"this needs a GlitchGrid environment, not {env!r}")
    return world


def lifetime_of(env: gym.Env[Any, Any] | GridWorld) -> int:
    """Give the steps after which an environment truncates.

    The post's 20 for a grid world, and 1000 for another environment, where there is no limit.
    """
    if isinstance(env, GridWorld):
        return LIFETIME
    limits = [getattr(env.unwrapped, "lifetime", None)]
    if env.spec is not None:
        limits.append(env.spec.max_episode_steps)
    own = _ENDLESS if _world_behind(env) is None else LIFETIME
    return min((limit for limit in limits if limit is not None), default=own)


def problem_of(env: gym.Env[Any, Any] | GridWorld) -> Problem | None:
    """Read the tables of an environment: its grid world's, or its ``P`` as toy-text has it.

    Returns:
        ``None`` for an environment that has neither: it can only be stepped.

    Raises:
        SettingError: the environment's spaces are not Discrete.
    """
    world = _world_behind(env)
    if world is not None:
        return Problem(
            world.next_state,
            world.rewards,
            np.empty((0, 0)),
            world.picture_cells,
            np.empty(0),
            world.actions.n,
            world.actions.n_moves,
            (world.grid.rows, world.grid.cols, world.actions.n),
        )
    assert not isinstance(env, GridWorld)
    n_states, n_actions = discrete_sizes(env)
    transitions = getattr(env.unwrapped, "P", None)
    odds = getattr(env.unwrapped, "initial_state_distrib", None)
    if transitions is None or odds is None:
        return None
    n_outcomes = max(
        len(transitions[state][action]) for state in range(n_states) for action in range(n_actions)
    )
    shape = (n_states, n_actions, n_outcomes)
    next_state = np.full(shape, EXIT, np.int32)
    rewards = np.zeros(shape, np.float32)
    probability = np.zeros(shape)
    for state in range(n_states):
        for action in range(n_actions):
            for place, (share, there, reward, over) in enumerate(transitions[state][action]):
                next_state[state, action, place] = EXIT if over else there
                rewards[state, action, place] = reward
                probability[state, action, place] = share
    flat = (n_states, n_actions * n_outcomes)
    cumulative = np.cumsum(probability, axis=2).reshape(flat)
    starts = np.flatnonzero(np.asarray(odds) > 0).astype(np.int32)
    return Problem(
        next_state.reshape(flat),
        rewards.reshape(flat),
        cumulative if n_outcomes > 1 else np.empty((0, 0)),
        starts,
        np.cumsum(np.asarray(odds, np.float64)[starts]),
        n_actions,
        n_actions,
        (n_states, 1, n_actions),
    )


def discrete_sizes(env: gym.Env[Any, Any]) -> tuple[int, int]:
    """Give the numbers of states and actions of an environment.

    Raises:
        SettingError: its spaces are not Discrete from 0.
    """
    for space in (env.observation_space, env.action_space):
        if not isinstance(space, spaces.Discrete) or space.start != 0:
            raise SettingError(f"a tabular learner needs Discrete spaces from 0, not {space}")
    return int(env.observation_space.n), int(env.action_space.n)  # type: ignore[attr-defined]
