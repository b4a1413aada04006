"""Exact planning in a grid world, which is deterministic: by sweeps, and by following its policies.

Source: Sutton and Barto, *Reinforcement Learning*, second edition, sections 4.3 and 4.4; Howard,
*Dynamic Programming and Markov Processes*, 1960; Bertsekas, *Dynamic Programming and Optimal
Control*, volume II, on Gauss–Seidel value iteration and its bound.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import frozen_array, real_number
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError

__all__ = [
    "Plan",
    "check_gamma",
    "check_tolerance",
    "evaluate_in_grid",
    "horizon_in_grid",
    "plan",
    "policy_horizon_in_grid",
]

# Far more than policy iteration ever takes; reached only if rounding made it go round in circles
_MAX_SWEEPS = 100_000
_MAX_REFINEMENTS = 10_000


class Plan(NamedTuple):
    """The optimal values of a grid world, in two parts.

    Near a discount of 1 the values of states that lead to the same cycle share millions of units,
    and what tells them apart would be lost in the rounding of one number.

    Args:
        base: float64 (n_cells,), the shared part; 0 unless a discount near 1 needs it.
        offset: float64 (n_cells,), what to add.
    """

    base: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        """The values, float64 (n_cells,)."""
        return np.asarray(self.base + self.offset)

    def action_values(
        self, next_state: NDArray[np.int32], rewards: NDArray[np.float32], gamma: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the value of each action in two parts: of each state, and what to add."""
        goes_on = next_state >= 0
        bases = np.where(goes_on, self.base[next_state], 0.0)
        shared = bases.max(axis=1)
        ahead = bases - shared[:, None] + np.where(goes_on, self.offset[next_state], 0.0)
        return gamma * shared, rewards + gamma * ahead


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


@compiled
def _follow_exactly(
    best: NDArray[np.float64],
    successors: NDArray[np.int32],
    cells: NDArray[np.int32],
    gamma: float,
    policy: NDArray[np.int32],
    base: NDArray[np.float64],
    offset: NDArray[np.float64],
    mark: NDArray[np.int32],
    path: NDArray[np.int32],
) -> None:
    """Evaluate a policy as ``_follow_moves`` does, in two parts: a cycle's value, and the rest."""
    mark[:] = -1
    for index in range(cells.shape[0]):
        start = cells[index]
        if mark[start] >= 0:
            continue
        length = 0
        state = int(start)
        while state >= 0 and mark[state] == -1:
            mark[state] = -2 - length
            path[length] = state
            length += 1
            state = int(successors[state, policy[state]])
        shared = 0.0
        rest = 0.0
        if state >= 0 and mark[state] == 0:
            shared, rest = base[state], offset[state]
        elif state >= 0:
            entry = -2 - mark[state]
            for place in range(length - 1, entry - 1, -1):
                shared = best[path[place], policy[path[place]]] + gamma * shared
            # 1 − γⁿ would lose the digits that γ has lost to 1
            shared /= -math.expm1((length - entry) * math.log(gamma)) if gamma > 0 else 1.0
        for place in range(length - 1, -1, -1):
            state = int(path[place])
            rest = best[state, policy[state]] - (1.0 - gamma) * shared + gamma * rest
            base[state] = shared
            offset[state] = rest
            mark[state] = 0


@compiled
def _improve_exactly(
    best: NDArray[np.float64],
    successors: NDArray[np.int32],
    cells: NDArray[np.int32],
    gamma: float,
    base: NDArray[np.float64],
    offset: NDArray[np.float64],
    policy: NDArray[np.int32],
) -> int:
    """Improve a policy where another move is better by more than rounding; return how often."""
    changes = 0
    for index in range(cells.shape[0]):
        state = cells[index]
        chosen = int(policy[state])
        kept = chosen
        shared = 0.0
        rest = 0.0
        if successors[state, chosen] >= 0:
            shared = base[successors[state, chosen]]
            rest = offset[successors[state, chosen]]
        for move in range(best.shape[1]):
            successor = successors[state, move]
            other_shared = base[successor] if successor >= 0 else 0.0
            other_rest = offset[successor] if successor >= 0 else 0.0
            apart = (other_shared - shared) + (other_rest - rest)
            gain = best[state, move] - best[state, chosen] + gamma * apart
            size = abs(best[state, move]) + abs(best[state, chosen]) + abs(rest) + abs(other_rest)
            if gain > 2e-16 * size:
                chosen, shared, rest = move, other_shared, other_rest
        if chosen != kept:
            policy[state] = chosen
            changes += 1
    return changes


def plan(world: GridWorld, rewards: NDArray[np.float32], gamma: float, tolerance: float) -> Plan:
    """Compute the optimal values of a world, for rewards that a learner believes it to have.

    Policy iteration over moves. A policy is improved by Gauss–Seidel sweeps, forwards and
    backwards, so that a value crosses the grid in one; and it is evaluated exactly, by following
    it. It stops when γ / (1 − γ) times the largest change of a sweep, which bounds the error, is
    within the tolerance. Where γ is so near 1 that rounding hides this, policy iteration goes on
    with values in two parts, until no move is better.

    Args:
        world: the grid world.
        rewards: float32 (n_cells, n_actions), by the cell that an action starts from.
        gamma: discount in [0, 1).
        tolerance: largest error of any value, above 0.

    Raises:
        SettingError: a value is out of range, or the rewards do not fit the world.
    """
    check_gamma(gamma)
    check_tolerance(tolerance)
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
    base = np.zeros(len(next_state))
    # A sweep sees no change that is smaller than one step of the values
    if np.spacing(np.abs(values).max()) * gamma > tolerance * (1 - gamma):
        offset = np.zeros(len(next_state))
        for _ in range(_MAX_REFINEMENTS):
            _follow_exactly(best, successors, cells, gamma, policy, base, offset, mark, path)
            if not _improve_exactly(best, successors, cells, gamma, base, offset, policy):
                break
        return Plan(base, offset)
    return Plan(base, values)


@compiled
def evaluate_in_grid(
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    probs: NDArray[np.float64],
    cells: NDArray[np.int32],
    gamma: float,
    tolerance: float,
    values: NDArray[np.float64],
) -> None:
    """Evaluate a policy by sweeps, forwards and backwards, until the error is within tolerance."""
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


def check_gamma(gamma: float) -> float:
    """Return a discount, and refuse one outside [0, 1): without it a value may have no bound.

    Raises:
        SettingError: out of range.
    """
    if not 0 <= real_number("gamma", gamma) < 1:
        raise SettingError(f"values without an end need gamma in [0, 1), not {gamma!r}")
    return float(gamma)


def check_tolerance(tolerance: float) -> float:
    """Return a tolerance, and refuse one that is not above 0.

    Raises:
        SettingError: out of range.
    """
    if not real_number("tolerance", tolerance) > 0:
        raise SettingError(f"tolerance must be above 0, not {tolerance!r}")
    return float(tolerance)


def policy_horizon_in_grid(
    world: GridWorld, probs: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    """Compute the expected sum of a policy's rewards in so many steps from each cell."""
    expected = (probs * world.rewards).sum(axis=1)
    values = np.zeros(len(probs) + 1)
    for _ in range(steps):
        values[:-1] = expected + (probs * values[world.next_state]).sum(axis=1)
        values[:-1][world.grid.prohibited().ravel()] = 0.0
    return values[:-1]


def horizon_in_grid(world: GridWorld, steps: int) -> NDArray[np.float64]:
    """Compute the largest sum of rewards in so many steps from each cell, by backward induction."""
    n_cells, n_moves = len(world.next_state), world.actions.n_moves
    best = np.empty((n_cells, n_moves))
    successors = np.empty((n_cells, n_moves), np.int32)
    _best_per_move(world.next_state, world.rewards, n_moves, best, successors)
    # EXIT, −1, takes the place behind the last cell
    values = np.zeros(n_cells + 1)
    for _ in range(steps):
        values[:-1] = (best + values[successors]).max(axis=1)
    values[:-1][world.grid.prohibited().ravel()] = 0.0
    return values[:-1]
