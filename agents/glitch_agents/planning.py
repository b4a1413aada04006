"""Exact planning: the optimum of a grid world, with a bound on the error, and how near a policy is.

A planner reads the dynamics and the rewards, and learns nothing from episodes. It is the yardstick
for learners that do, and a learner in its own right where only the picture matters.

Source: Sutton and Barto, *Reinforcement Learning*, second edition, sections 4.3 and 4.4; Howard,
*Dynamic Programming and Markov Processes*, 1960; Bertsekas,
*Dynamic Programming and Optimal Control*, volume II, on Gauss–Seidel value iteration and its bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress
from glitch_agents.mdp import world_of
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_agents.rollout import as_table
from glitch_gym.checks import (
    checked_actions,
    checked_probabilities,
    frozen_array,
    real_number,
    shown,
)
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import GridWorld, refuse_slip
from glitch_gym.errors import SettingError
from glitch_gym.policy import HasProbabilities, Policy

__all__ = ["ExactPlanner", "check_gamma", "optimality", "plan", "policy_values", "state_values"]

# Far more than policy iteration ever takes; reached only if rounding made it go round in circles
_MAX_SWEEPS = 100_000


@compiled
def _best_per_move(
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    n_moves: int,
    best: NDArray[np.float64],
    successors: NDArray[np.int32],
) -> None:
    """Reduce each move to its best effect: all effects of a move lead to the same cell."""
    n_effects = rewards.shape[1] // n_moves
    for state in range(rewards.shape[0]):
        for move in range(n_moves):
            top = np.float64(rewards[state, move])
            for effect in range(1, n_effects):
                top = max(top, np.float64(rewards[state, effect * n_moves + move]))
            best[state, move] = top
            successors[state, move] = next_state[state, move]


@compiled
def _sweep(
    best: NDArray[np.float64],
    successors: NDArray[np.int32],
    cells: NDArray[np.int32],
    gamma: float,
    backwards: bool,
    values: NDArray[np.float64],
    policy: NDArray[np.int32],
) -> float:
    """Improve every state in place, in one order or its reverse; return the largest change."""
    largest = 0.0
    count = cells.shape[0]
    for index in range(count):
        state = cells[count - 1 - index if backwards else index]
        top = -np.inf
        for move in range(best.shape[1]):
            value = best[state, move]
            successor = successors[state, move]
            if successor >= 0:
                value += gamma * values[successor]
            if value > top:
                top = value
                policy[state] = move
        largest = max(largest, abs(top - values[state]))
        values[state] = top
    return largest


@compiled
def _follow_moves(
    best: NDArray[np.float64],
    successors: NDArray[np.int32],
    cells: NDArray[np.int32],
    gamma: float,
    policy: NDArray[np.int32],
    values: NDArray[np.float64],
    mark: NDArray[np.int32],
    path: NDArray[np.int32],
) -> None:
    """Evaluate a policy exactly, in one pass.

    In a deterministic world a policy leads from each state along a path that ends outside, in a
    state whose value is known, or in a cycle, whose value has a closed form.
    """
    mark[:] = -1
    for index in range(cells.shape[0]):
        start = cells[index]
        if mark[start] >= 0:
            continue
        length = 0
        state = int(start)
        # Unseen states are -1, those of the present path -2 and lower, finished ones 0
        while state >= 0 and mark[state] == -1:
            mark[state] = -2 - length
            path[length] = state
            length += 1
            state = int(successors[state, policy[state]])
        value = 0.0
        if state >= 0 and mark[state] == 0:
            value = values[state]
        elif state >= 0:
            # Once round the cycle, from the state that the path ran into
            entry = -2 - mark[state]
            for place in range(length - 1, entry - 1, -1):
                value = best[path[place], policy[path[place]]] + gamma * value
            value /= 1.0 - gamma ** (length - entry)
        for place in range(length - 1, -1, -1):
            state = int(path[place])
            value = best[state, policy[state]] + gamma * value
            values[state] = value
            mark[state] = 0


def check_gamma(gamma: float) -> None:
    """Refuse a discount outside [0, 1): without discount a value may have no bound.

    Raises:
        SettingError: out of range.
    """
    if not 0 <= real_number("gamma", gamma) < 1:
        raise SettingError(f"exact values need gamma in [0, 1), not {gamma!r}")


def state_values(
    world: GridWorld, gamma: float = 0.95, tolerance: float = 1e-6
) -> NDArray[np.float64]:
    """Compute the optimal value of every cell, without a time limit.

    Policy iteration over moves. A policy is improved by Gauss–Seidel sweeps, forwards and
    backwards, so that a value crosses the grid in one; and it is evaluated exactly, by following
    it. It stops when γ / (1 − γ) times the largest change of a sweep, which bounds the error, is
    within the tolerance.

    Args:
        world: the grid world.
        gamma: discount in [0, 1).
        tolerance: largest error of any value, above 0.

    Returns:
        float64 (n_cells,); prohibited cells hold 0.

    Raises:
        SettingError: a value is out of range.
    """
    _check_world(world)
    return plan(world, world.rewards, gamma, tolerance)


def _check_world(world: object) -> None:
    if not isinstance(world, GridWorld):
        raise SettingError(f"a planner needs a GridWorld, not {shown(world)}")
    refuse_slip(world)


def _check_tolerance(tolerance: float) -> None:
    if not real_number("tolerance", tolerance) > 0:
        raise SettingError(f"tolerance must be above 0, not {tolerance!r}")


def plan(
    world: GridWorld, rewards: NDArray[np.float32], gamma: float, tolerance: float
) -> NDArray[np.float64]:
    """Compute what ``state_values`` does, for rewards that a learner believes a world to have.

    Args:
        world: the grid world.
        rewards: float32 (n_cells, n_actions), by the cell that an action starts from.
        gamma: discount in [0, 1).
        tolerance: largest error of any value, above 0.

    Raises:
        SettingError: a value is out of range, or the rewards do not fit the world.
    """
    check_gamma(gamma)
    _check_tolerance(tolerance)
    next_state, cells, n_moves = world.next_state, world.picture_cells, world.actions.n_moves
    rewards = frozen_array("the rewards", rewards, np.float32, next_state.shape)
    gamma = float(gamma)
    best = np.empty((len(next_state), n_moves))
    successors = np.empty((len(next_state), n_moves), np.int32)
    _best_per_move(next_state, rewards, n_moves, best, successors)
    values = np.zeros(len(next_state))
    policy = np.zeros(len(next_state), np.int32)
    mark, path = np.empty(len(next_state), np.int32), np.empty(len(next_state), np.int32)
    for sweep in range(_MAX_SWEEPS):
        change = _sweep(best, successors, cells, gamma, sweep % 2 == 1, values, policy)
        # One float64 step of the values themselves is as near as they can come
        if change * gamma <= tolerance * (1 - gamma) or change <= 1e-15 * np.abs(values).max():
            break
        # Two sweeps carry a value across the grid; only then is it worth following the policy
        if sweep % 2 == 1:
            _follow_moves(best, successors, cells, gamma, policy, values, mark, path)
    return values


@compiled
def _evaluate(
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    probs: NDArray[np.float64],
    cells: NDArray[np.int32],
    gamma: float,
    tolerance: float,
    values: NDArray[np.float64],
) -> None:
    n_states, n_actions = probs.shape
    mean_rewards = np.zeros(n_states)
    for state in cells:
        for action in range(n_actions):
            mean_rewards[state] += probs[state, action] * rewards[state, action]
    backwards = False
    while True:
        largest = 0.0
        scale = 0.0
        count = cells.shape[0]
        for index in range(count):
            state = cells[count - 1 - index if backwards else index]
            value = mean_rewards[state]
            for action in range(n_actions):
                prob = probs[state, action]
                successor = next_state[state, action]
                if prob > 0 and successor >= 0:
                    value += gamma * prob * values[successor]
            largest = max(largest, abs(value - values[state]))
            scale = max(scale, abs(value))
            values[state] = value
        backwards = not backwards
        # One float64 step of the values themselves is as near as they can come
        if largest * gamma <= tolerance * (1 - gamma) or largest < max(1e-14, 1e-15 * scale):
            break


def policy_values(
    world: GridWorld,
    policy: HasProbabilities | Policy | NDArray[Any],
    gamma: float = 0.95,
    tolerance: float = 1e-9,
) -> NDArray[np.float64]:
    """Compute the value of every cell under a policy, exactly and without a time limit.

    Args:
        world: the grid world.
        policy: a policy with ``probabilities()``, such as a ``QTable``, or with ``act`` alone; an
            array (n_cells, n_actions) of probabilities; or an integer array (n_cells,) of actions.
        gamma: discount in [0, 1).
        tolerance: largest error of any value, above 0.

    Returns:
        float64 (n_cells,); prohibited cells hold 0.

    Raises:
        SettingError: gamma or tolerance is out of range, or the policy has another shape, actions
            outside the action space, or rows that are not probabilities.
    """
    check_gamma(gamma)
    _check_tolerance(tolerance)
    _check_world(world)
    n_cells, n_actions = shape = world.next_state.shape
    says = getattr(policy, "probabilities", None)
    if isinstance(policy, np.ndarray) and policy.ndim == 1:
        probs = np.eye(n_actions)[checked_actions(policy, n_cells, n_actions)]
    elif isinstance(policy, np.ndarray):
        probs = checked_probabilities(policy, shape)
    elif callable(says):
        probs = checked_probabilities(says(), shape)
    else:
        probs = as_table(cast(Policy, policy), world).probabilities()
    values = np.zeros(shape[0])
    _evaluate(
        world.next_state,
        world.rewards,
        probs,
        world.picture_cells,
        float(gamma),
        float(tolerance),
        values,
    )
    return values


def optimality(
    world: GridWorld, policy: HasProbabilities | Policy | NDArray[Any], gamma: float = 0.95
) -> float:
    """Return how near a policy comes to the optimum: 0 for random actions, 1 for the optimum.

    The mean discounted value over all cells of the picture, computed exactly and without truncation
    (a time limit is not part of the problem), shifted and scaled.

    Args:
        world: the grid world.
        policy: as in ``policy_values``.
        gamma: discount in [0, 1).

    Raises:
        SettingError: gamma is out of range, the policy has another shape, or random actions are
            optimal in this world.
    """
    _check_world(world)
    cells = world.picture_cells
    shape = world.next_state.shape
    best = state_values(world, gamma, 1e-9)[cells].mean()
    chance = policy_values(world, np.full(shape, 1 / shape[1]), gamma)[cells].mean()
    if best - chance < 1e-9:
        raise SettingError("random actions are optimal here: there is nothing to measure")
    reached = policy_values(world, policy, gamma)[cells].mean()
    return float((reached - chance) / (best - chance))


@dataclass(frozen=True)
class ExactPlanner:
    """The optimum of a grid world, from its dynamics and rewards; episodes do not matter to it.

    Args:
        gamma: discount in [0, 1).
        tolerance: largest error of any state's value, above 0.
        ties: which of equally good actions to take, a ``"random"`` one or the ``"first"``.
    """

    gamma: float = 0.95
    tolerance: float = 1e-6
    ties: Ties = "random"

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        _check_tolerance(self.tolerance)
        check_ties(self.ties)

    def learn(
        self,
        env: gym.Env[Any, Any] | GridWorld,
        *,
        episodes: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> QTable:
        """Plan. ``episodes`` is not used, but reported to ``progress`` as done.

        Raises:
            SettingError: the environment has no grid world.
        """
        world = world_of(env)
        values = state_values(world, self.gamma, self.tolerance)
        ahead = np.where(world.next_state >= 0, values[world.next_state], 0.0)
        q = (world.rewards + self.gamma * ahead).astype(np.float32)
        if progress is not None:
            progress(episodes, episodes)
        return QTable(
            q.reshape(world.reward_field.shape), ties=self.ties, seed=seed, episodes=episodes
        )
