"""Rollouts of a vector environment: what they record, and how they choose actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import checked_actions, checked_probabilities, shown
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.policy import HasProbabilities
from glitch_gym.vector_kernels import Choice

__all__ = ["VectorRollout", "choice_of"]


@dataclass(frozen=True, eq=False)
class VectorRollout:
    """All agents' observations and actions, step by step, with episodes reset on the way.

    Args:
        observations: int32 (steps + 1, num_envs), the cell before each step; after the end of an
            episode it is the start of the next.
        actions: int32 (steps, num_envs).
        rewards: float32 (steps, num_envs).
        terminations: bool (steps, num_envs).
        truncations: bool (steps, num_envs).
    """

    observations: NDArray[np.int32]
    actions: NDArray[np.int32]
    rewards: NDArray[np.float32]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]


def choice_of(
    policy: HasProbabilities | NDArray[np.integer[Any]] | None, world: GridWorld
) -> Choice:
    """Return how compiled code chooses actions by a policy.

    Args:
        policy: a policy with ``probabilities()``; an integer array (n_cells,) with the action
            for each cell; or ``None`` for uniformly random actions.
        world: world of the agents.

    Raises:
        SettingError: the policy has another shape, actions outside the action space, or rows that
            are not probabilities.
    """
    actions, cumulative = np.empty(0, np.int64), np.empty((0, 0))
    shape = (world.grid.n_cells, world.actions.n)
    if isinstance(policy, np.ndarray):
        actions = checked_actions(policy, *shape)
    elif policy is not None:
        if not callable(getattr(policy, "probabilities", None)):
            raise SettingError(
                f"a policy here has probabilities(), or is an array of actions: not {shown(policy)}"
            )
        probs = checked_probabilities(policy.probabilities(), shape)
        if (probs.max(axis=1) == 1).all():
            actions = probs.argmax(axis=1).astype(np.int64)
        else:
            cumulative = np.cumsum(probs, axis=1)
    return Choice(actions, cumulative)
