"""Observations as the numbers of states, which a table has a row for each of.

Observations may be ``Discrete``, ``MultiDiscrete`` or a ``Tuple`` of ``Discrete`` spaces, such as
Blackjack's; the last number of an observation varies fastest, as in a C-ordered array.
"""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from glitch_gym.checks import shown
from glitch_gym.errors import SettingError

__all__ = [
    "MOST_VALUES",
    "checked_reward",
    "checked_rewards",
    "checked_state",
    "discrete_sizes",
    "state_index",
    "state_indices",
    "state_sizes",
]

MOST_VALUES = 10**8
"""Largest number of values in a table."""

_LARGEST_REWARD = float(np.finfo(np.float32).max)


def checked_state(given: object, n_states: int, what: str = "the observation") -> int:
    """Return an observation of a Discrete space as a number.

    Args:
        given: the observation.
        n_states: size of the space.
        what: name of the observation in an error message.

    Raises:
        SettingError: the observation is not a whole number, or lies outside the space.
    """
    try:
        state = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        state = -1
    if not 0 <= state < n_states:
        raise SettingError(
            f"{what} is {shown(given)}, outside Discrete({n_states}): mend the environment or its "
            f"space"
        )
    return state


def checked_reward(given: SupportsFloat, what: str = "a step") -> float:
    """Return a reward as a number.

    Args:
        given: the reward.
        what: name of its origin in an error message.

    Raises:
        SettingError: the reward is not a number, or does not fit single precision.
    """
    try:
        reward = float(given)
    except (TypeError, ValueError, OverflowError):
        reward = math.nan
    if not abs(reward) <= _LARGEST_REWARD:
        raise SettingError(f"the reward of {what} must be a finite number, not {shown(given)}")
    return reward


def checked_rewards(given: object, n: int) -> NDArray[np.float64]:
    """Return the rewards of many agents, (n,).

    Raises:
        SettingError: they are not so many finite numbers, or do not fit single precision.
    """
    rewards = np.asarray(given)
    if rewards.shape != (n,) or rewards.dtype.kind not in "biuf":
        raise SettingError(f"the rewards of a step must be {n} numbers, not {shown(given)}")
    rewards = rewards.astype(np.float64)
    wrong = ~(np.abs(rewards) <= _LARGEST_REWARD)
    if wrong.any():
        checked_reward(rewards[wrong][0], f"agent {int(wrong.argmax())}")
    return rewards


def state_sizes(space: object) -> tuple[int, ...]:
    """Return how many values each number of an observation has.

    Raises:
        SettingError: the space is of another kind, or does not start at 0.
    """
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1 and not space.start.any():
        return tuple(int(size) for size in space.nvec)
    if isinstance(space, spaces.Tuple) and len(space) > 0:
        parts = [part for part in space if isinstance(part, spaces.Discrete) and part.start == 0]
        if len(parts) == len(space):
            return tuple(int(part.n) for part in parts)
    raise SettingError(
        f"a tabular learner needs observations of Discrete spaces from 0, or of Tuple or "
        f"MultiDiscrete ones, not {shown(space)}"
    )


def state_index(space: gym.Space[Any], observation: Any) -> int:
    """Return the number of the state that an observation stands for: its row in a Q-table.

    Args:
        space: the observation space: ``Discrete``, ``MultiDiscrete`` or a ``Tuple`` of
            ``Discrete``.
        observation: an observation in it.

    Raises:
        SettingError: the space is of another kind, or the observation lies outside.
    """
    sizes = state_sizes(space)
    if isinstance(space, spaces.Discrete):
        return checked_state(observation, sizes[0])
    try:
        parts = list(observation)
    except TypeError:
        parts = []
    if len(parts) != len(sizes):
        raise SettingError(f"the observation is {shown(observation)}, outside {shown(space)}")
    state = 0
    for size, part in zip(sizes, parts, strict=True):
        state = state * size + checked_state(part, size)
    return state


def state_indices(space: gym.Space[Any], observations: Any, n: int) -> NDArray[np.int64]:
    """Return the numbers of the states that a batch of observations stands for, int64 (n,).

    Args:
        space: the observation space of a single agent, as for ``state_index``.
        observations: the observations of n agents, as a vector environment returns them.
        n: number of agents.

    Raises:
        SettingError: the space is of another kind, or an observation lies outside.
    """
    sizes = state_sizes(space)
    if isinstance(space, spaces.Discrete):
        columns = [np.asarray(observations)]
    elif isinstance(space, spaces.Tuple):
        columns = [np.asarray(column) for column in observations]
    else:
        columns = list(np.asarray(observations).T)
    states = np.zeros(n, np.int64)
    if len(columns) != len(sizes):
        raise SettingError(f"the observations are {shown(observations)}, outside {shown(space)}")
    for size, column in zip(sizes, columns, strict=True):
        if column.shape != (n,) or column.dtype.kind not in "iu":
            raise SettingError(f"the observations of {n} agents are {shown(observations)}")
        outside = (column < 0) | (column >= size)
        if outside.any():
            checked_state(column[outside][0], size)
        states = states * size + column.astype(np.int64)
    return states


def discrete_sizes(env: Any) -> tuple[int, int]:
    """Return the numbers of states and actions of an environment, for one agent or for many.

    Raises:
        SettingError: a space is not made of Discrete ones from 0, or too large for a table.
    """
    many = isinstance(env, gym.vector.VectorEnv)
    seen = env.single_observation_space if many else env.observation_space
    action_space = env.single_action_space if many else env.action_space
    n_states = math.prod(state_sizes(seen))
    if not isinstance(action_space, spaces.Discrete) or action_space.start != 0:
        raise SettingError(
            f"a tabular learner needs a Discrete action space from 0, not {shown(action_space)}"
        )
    n_actions = int(action_space.n)
    if n_states * n_actions > MOST_VALUES:
        raise SettingError(
            f"a table of {n_states:,} states and {n_actions:,} actions is too large for a tabular "
            f"learner: at most {MOST_VALUES:,} values"
        )
    return n_states, n_actions
