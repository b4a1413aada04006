"""Exact planning: the optimum of any finite process, with a bound on the error, and how near it is.

A planner reads the dynamics and the rewards, and learns nothing from episodes. It is the yardstick
for learners that do, and a learner in its own right where only the picture matters. It plans in
grid worlds and in environments that have ``P[state][action] = [(probability, next state, reward,
terminated), …]``, as toy-text has it; a step that terminates is worth its reward alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.finite_mdp import finite_mdp, horizon_values, optimal_values, values_of_policy
from glitch_agents.grid_planning import (
    check_tolerance,
    evaluate_in_grid,
    horizon_in_grid,
    plan,
    policy_horizon_in_grid,
)
from glitch_agents.learner import Progress
from glitch_agents.mdp import AnyEnv, FiniteModel, Outcomes, lifetime_of, model_of
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_gym.checks import (
    checked_actions,
    checked_probabilities,
    real_number,
    shown,
    whole_number,
)
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.policy import HasProbabilities, Policy

__all__ = [
    "ExactPlanner",
    "expected_return",
    "finite_horizon_values",
    "greedy_figures",
    "optimal_return",
    "optimality",
    "policy_values",
    "state_values",
]

Model = GridWorld | FiniteModel


def _check_gamma(gamma: float) -> float:
    return real_number("gamma", gamma, 0.0, 1.0)


def _picture_outcomes(world: GridWorld) -> Outcomes:
    """Return a grid world's dynamics on its picture cells, numbered in their order."""
    cells = world.picture_cells
    number = np.full(len(world.next_state) + 1, -1, np.int32)
    number[cells] = np.arange(len(cells), dtype=np.int32)
    next_state = number[world.next_state[cells]].reshape(-1, 1)
    rewards = world.rewards[cells].astype(np.float64).reshape(-1, 1)
    return Outcomes(next_state, rewards, np.ones(next_state.shape), world.actions.n)


def _on_grid(world: GridWorld, by_picture_cell: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.zeros(len(world.next_state))
    values[world.picture_cells] = by_picture_cell
    return values


def _optimum(model: Model, gamma: float, tolerance: float) -> NDArray[np.float64]:
    if isinstance(model, FiniteModel):
        return optimal_values(finite_mdp(model.outcomes), gamma)
    if gamma < 1:
        return plan(model, model.rewards, gamma, tolerance).values
    return _on_grid(model, optimal_values(finite_mdp(_picture_outcomes(model)), 1.0))


def state_values(
    env: AnyEnv | GridWorld, gamma: float = 0.95, tolerance: float = 1e-6
) -> NDArray[np.float64]:
    """Compute the optimal value of every state, without a time limit.

    Args:
        env: a grid world, or an environment that has one, or one with ``P``.
        gamma: discount in [0, 1]; with 1, episodes must end.
        tolerance: largest error of any value, above 0, as far as float64 can hold such values.
            Those of an environment with ``P`` come from solving their equations, whatever it is.

    Returns:
        float64 (n_states,); prohibited cells hold 0.

    Raises:
        SettingError: a number is out of range, the environment cannot be planned in, or without
            discount a value is infinite.
    """
    gamma, tolerance = _check_gamma(gamma), check_tolerance(tolerance)
    return _optimum(model_of(env), gamma, tolerance)


def _sizes(model: Model) -> tuple[int, int]:
    if isinstance(model, GridWorld):
        return len(model.next_state), model.actions.n
    return len(model.outcomes.next_state) // model.outcomes.n_actions, model.outcomes.n_actions


def _probabilities(policy: object, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the probability of each action in each state under any kind of policy."""
    n_states, n_actions = shape
    says, acts = getattr(policy, "probabilities", None), getattr(policy, "act", None)
    if isinstance(policy, np.ndarray) and policy.ndim != 1:
        return checked_probabilities(policy, shape)
    if callable(says):
        return checked_probabilities(says(), shape)
    if not isinstance(policy, np.ndarray) and not callable(acts):
        raise SettingError(f"a policy has act(observations), which {shown(policy)} has not")
    chosen = policy if isinstance(policy, np.ndarray) else acts(np.arange(n_states))  # type: ignore[misc]
    return np.eye(n_actions)[checked_actions(chosen, n_states, n_actions)]


def _evaluated(
    model: Model, probs: NDArray[np.float64], gamma: float, tolerance: float
) -> NDArray[np.float64]:
    if isinstance(model, FiniteModel):
        return values_of_policy(finite_mdp(model.outcomes), probs, gamma)
    # Sweeps take 1 / (1 − γ) of them; beyond a few thousand, solving is quicker and surer
    if gamma > 0.999:
        mdp = finite_mdp(_picture_outcomes(model))
        return _on_grid(model, values_of_policy(mdp, probs[model.picture_cells], gamma))
    values = np.zeros(len(probs))
    evaluate_in_grid(
        model.next_state, model.rewards, probs, model.picture_cells, gamma, tolerance, values
    )
    return values


def policy_values(
    env: AnyEnv | GridWorld,
    policy: HasProbabilities | Policy | NDArray[Any],
    gamma: float = 0.95,
    tolerance: float = 1e-9,
) -> NDArray[np.float64]:
    """Compute the value of every state under a policy, exactly and without a time limit.

    Args:
        env: a grid world, or an environment that has one, or one with ``P``.
        policy: a policy with ``probabilities()``, such as a ``QTable``, or with ``act`` alone; an
            array (n_states, n_actions) of probabilities; or an integer array (n_states,) of
            actions.
        gamma: discount in [0, 1]; with 1, the policy's episodes must end.
        tolerance: largest error of any value, above 0, as far as float64 can hold such values.

    Returns:
        float64 (n_states,); prohibited cells hold 0.

    Raises:
        SettingError: a number is out of range, the environment cannot be planned in, the policy has
            another shape, actions outside the action space, or rows that are not probabilities, or
            without discount a value is infinite.
    """
    gamma, tolerance = _check_gamma(gamma), check_tolerance(tolerance)
    model = model_of(env)
    return _evaluated(model, _probabilities(policy, _sizes(model)), gamma, tolerance)


def _mean_over_starts(model: Model, values: NDArray[np.float64]) -> float:
    if isinstance(model, GridWorld):
        return float(values[model.picture_cells].mean())
    if model.starts is None:
        raise SettingError(
            "a mean over starting states needs the environment's initial_state_distrib, an array "
            "of each state's probability, which it has not"
        )
    return float(model.starts @ values)


def optimality(
    env: AnyEnv | GridWorld,
    policy: HasProbabilities | Policy | NDArray[Any],
    gamma: float = 0.95,
) -> float:
    """Return how near a policy comes to the optimum: 0 for random actions, 1 for the optimum.

    The mean discounted value over the states that episodes start in (in a grid world all cells of
    the picture), computed exactly and without truncation (a time limit is not part of the problem),
    shifted and scaled.

    Args:
        env: a grid world, or an environment that has one, or one with ``P`` and
            ``initial_state_distrib``.
        policy: as in ``policy_values``.
        gamma: discount in [0, 1]; with 1, the episodes of the policy and of random actions must
            end.

    Raises:
        SettingError: as for ``policy_values``, or random actions are optimal in this environment.
    """
    return _scale(model_of(env), _check_gamma(gamma))(policy)


def _scale(model: Model, gamma: float) -> Callable[[object], float]:
    """Return the function that places policies on the scale from random to optimal."""
    shape = _sizes(model)
    best = _mean_over_starts(model, _optimum(model, gamma, 1e-9))
    random = np.full(shape, 1 / shape[1])
    chance = _mean_over_starts(model, _evaluated(model, random, gamma, 1e-9))
    if best - chance < 1e-9:
        raise SettingError("random actions are optimal here: there is nothing to measure")

    def place(policy: object) -> float:
        values = _evaluated(model, _probabilities(policy, shape), gamma, 1e-9)
        return (_mean_over_starts(model, values) - chance) / (best - chance)

    return place


def finite_horizon_values(
    env: AnyEnv | GridWorld, lifetime: int | None = None
) -> NDArray[np.float64]:
    """Compute the largest expected return of an episode from each state: without discount, in time.

    By backward induction over the steps that are left, which the best policy may depend on.

    Args:
        env: a grid world, or an environment that has one, or one with ``P``.
        lifetime: number of steps, at least 1; by default that after which the environment
            truncates: 20 for a grid world, 1000 for another without a limit.

    Returns:
        float64 (n_states,); prohibited cells hold 0.

    Raises:
        SettingError: the lifetime is out of range, or the environment cannot be planned in.
    """
    steps = lifetime_of(env) if lifetime is None else whole_number("lifetime", lifetime, least=1)
    model = model_of(env)
    if isinstance(model, GridWorld):
        return horizon_in_grid(model, steps)
    return horizon_values(finite_mdp(model.outcomes), steps)


def optimal_return(env: AnyEnv | GridWorld, lifetime: int | None = None) -> float:
    """Return the largest mean return of an episode that any policy can have.

    The mean of ``finite_horizon_values`` over the states that episodes start in: what a mean return
    that was measured in episodes is a share of.

    Args:
        env: a grid world, or an environment that has one, or one with ``P`` and
            ``initial_state_distrib``.
        lifetime: number of steps, as for ``finite_horizon_values``.

    Raises:
        SettingError: as for ``finite_horizon_values``.
    """
    return _mean_over_starts(model_of(env), finite_horizon_values(env, lifetime))


def expected_return(
    env: AnyEnv | GridWorld,
    policy: HasProbabilities | Policy | NDArray[Any],
    lifetime: int | None = None,
) -> float:
    """Compute the mean return of a policy's episodes exactly: without discount, within a lifetime.

    Divided by ``optimal_return``, it is the share of what is possible, where returns are positive.

    Args:
        env: as for ``optimal_return``.
        policy: as in ``policy_values``.
        lifetime: number of steps, as for ``finite_horizon_values``.

    Raises:
        SettingError: as for ``finite_horizon_values`` and ``policy_values``.
    """
    steps = lifetime_of(env) if lifetime is None else whole_number("lifetime", lifetime, least=1)
    model = model_of(env)
    probs = _probabilities(policy, _sizes(model))
    if isinstance(model, GridWorld):
        return _mean_over_starts(model, policy_horizon_in_grid(model, probs, steps))
    return _mean_over_starts(model, horizon_values(finite_mdp(model.outcomes), steps, probs))


def greedy_figures(env: AnyEnv | GridWorld, gamma: float) -> Callable[[Policy], dict[str, float]]:
    """Return a function that measures a learner's greedy policy, as far as this is possible.

    Its figures are ``greedy_return``, from ``expected_return``, and ``optimality``; there are none
    for an environment that cannot be planned in.
    """
    measures: dict[str, Callable[[Policy], float]] = {}
    with contextlib.suppress(SettingError):
        model = model_of(env)
        if isinstance(model, GridWorld) or model.starts is not None:
            measures["greedy_return"] = lambda policy: expected_return(env, policy)
            measures["optimality"] = _scale(model, gamma)

    def measure(policy: Policy) -> dict[str, float]:
        figures = {}
        for name, of in measures.items():
            # Without discount, the episodes of a policy that has learned little may not end
            with contextlib.suppress(SettingError):
                figures[name] = of(policy)
        return figures

    return measure


@dataclass(frozen=True)
class ExactPlanner:
    """The optimum, from the dynamics and rewards; episodes do not matter to it.

    Args:
        gamma: discount in [0, 1]; with 1, episodes must end.
        tolerance: largest error of any state's value, above 0.
        ties: which of equally good actions to take, a ``"random"`` one or the ``"first"``.
    """

    gamma: float = 0.95
    tolerance: float = 1e-6
    ties: Ties = "random"

    def __post_init__(self) -> None:
        _check_gamma(self.gamma)
        check_tolerance(self.tolerance)
        check_ties(self.ties)

    def learn(
        self,
        env: AnyEnv | GridWorld,
        *,
        episodes: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> QTable:
        """Plan. ``episodes`` is not used, but reported to ``progress`` as done.

        Returns:
            the action values, (rows, cols, n_actions), or (n_states, 1, n_actions) for another
            environment with ``P``. Where single precision would make an action equal to a better
            one, its value is the next lower number.

        Raises:
            SettingError: the environment cannot be planned in, or without discount a value is
                infinite.
        """
        model = model_of(env)
        values = self._action_values(model)
        if progress is not None:
            progress(episodes, episodes)
        if isinstance(model, GridWorld):
            shape = (model.grid.rows, model.grid.cols, model.actions.n)
        else:
            shape = model.shape
        return QTable(values.reshape(shape), ties=self.ties, seed=seed, episodes=episodes)

    def _action_values(self, model: Model) -> NDArray[np.float32]:
        gamma = float(self.gamma)
        if isinstance(model, GridWorld) and gamma < 1:
            planned = plan(model, model.rewards, gamma, self.tolerance)
            shared, rest = planned.action_values(model.next_state, model.rewards, gamma)
        elif isinstance(model, GridWorld):
            values = _optimum(model, gamma, self.tolerance)
            ahead = np.where(model.next_state >= 0, values[model.next_state], 0.0)
            shared, rest = np.zeros(len(values)), model.rewards.astype(np.float64) + ahead
        else:
            mdp = finite_mdp(model.outcomes)
            ahead = mdp.transitions @ optimal_values(mdp, gamma)
            rest = mdp.rewards + gamma * ahead.reshape(mdp.rewards.shape)
            shared = np.zeros(len(rest))
        return _in_single_precision(shared, rest, self.tolerance * (1 - min(gamma, 0.999999)))


def _in_single_precision(
    shared: NDArray[np.float64], rest: NDArray[np.float64], apart: float
) -> NDArray[np.float32]:
    """Round action values so that the best of a state stay the best.

    Args:
        shared: float64 (n_states,), one part of the values.
        rest: float64 (n_states, n_actions), the other.
        apart: actions whose values differ by no more are equally good.
    """
    rounded: NDArray[np.float32] = (shared[:, None] + rest).astype(np.float32)
    best = rest.max(axis=1, keepdims=True)
    top = rounded.max(axis=1, keepdims=True)
    below = np.nextafter(top, np.float32(-np.inf), dtype=np.float32)
    worse = (rest < best - apart) & (rounded == top)
    return np.asarray(np.where(worse, below, rounded), np.float32)
