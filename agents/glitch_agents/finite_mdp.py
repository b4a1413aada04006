"""Exact values of any finite Markov decision process, by sparse linear algebra.

Policies are evaluated by solving their linear equations and improved until no action is better;
so a discount near 1 costs no more than another, and without discount only the episodes' ends count.

Source: Howard, *Dynamic Programming and Markov Processes*, 1960; Puterman, *Markov Decision
Processes*, 1994, sections 4.5 (finite horizon), 6.4 (policy iteration) and 7.2 and 7.3 (total
reward); Blackwell, *Discrete dynamic programming*, 1962, for the policies that are optimal at all
discounts near 1, and hence without any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.mdp import Outcomes
from glitch_gym.errors import SettingError

__all__ = ["FiniteMDP", "finite_mdp", "horizon_values", "optimal_values", "values_of_policy"]

# As near to 1 as float64 still solves the equations to eight digits
_NEARLY_UNDISCOUNTED = 1 - 1e-8
_MAX_IMPROVEMENTS = 10_000
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """A finite Markov decision process as a sparse matrix.

    Args:
        transitions: SciPy CSR matrix (n_states · n_actions, n_states), probabilities of the next
            state of each action of each state; what is missing to 1 ends the episode.
        rewards: float64 (n_states, n_actions), expected reward of each action.
    """

    transitions: Any
    rewards: NDArray[np.float64]


def finite_mdp(outcomes: Outcomes) -> FiniteMDP:
    """Return the matrix of a process that is listed by outcomes."""
    # Imported here: a run that finds its policy in the cache starts faster without
    from scipy import sparse

    next_state, rewards, probs, n_actions = outcomes
    n_rows = len(next_state)
    n_states = n_rows // n_actions
    rows, columns = np.nonzero((next_state >= 0) & (probs > 0))
    entries = (probs[rows, columns], (rows, next_state[rows, columns]))
    transitions = sparse.csr_matrix(entries, shape=(n_rows, n_states))
    transitions.sum_duplicates()
    return FiniteMDP(transitions, (probs * rewards).sum(axis=1).reshape(n_states, n_actions))


def _backup(mdp: FiniteMDP, values: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Return the value of each action, (n_states, n_actions), for given values of the states."""
    ahead = mdp.transitions @ values
    return np.asarray(mdp.rewards + gamma * ahead.reshape(mdp.rewards.shape), np.float64)


def horizon_values(
    mdp: FiniteMDP, steps: int, probs: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Compute the expected sum of rewards in so many steps, from each state, by backward induction.

    Args:
        mdp: the process.
        steps: number of steps.
        probs: float64 (n_states, n_actions), a policy; by default the best plan, which may depend
            on the steps that are left.
    """
    values = np.zeros(len(mdp.rewards))
    for _ in range(steps):
        ahead = _backup(mdp, values, 1.0)
        values = ahead.max(axis=1) if probs is None else (probs * ahead).sum(axis=1)
    return values


def values_of_policy(
    mdp: FiniteMDP, probs: NDArray[np.float64], gamma: float
) -> NDArray[np.float64]:
    """Compute the value of each state under a policy.

    Args:
        mdp: the process.
        probs: float64 (n_states, n_actions), the policy.
        gamma: discount in [0, 1].

    Raises:
        SettingError: without discount, a value is infinite or undefined.
    """
    from scipy import sparse

    n_states, n_actions = probs.shape
    weights = sparse.csr_matrix(
        (probs.ravel(), np.arange(probs.size), np.arange(0, probs.size + 1, n_actions)),
        shape=(n_states, probs.size),
    )
    chain = (weights @ mdp.transitions).tocsr()
    chain.eliminate_zeros()
    return _chain_values(chain, (probs * mdp.rewards).sum(axis=1), gamma)


def _chain_values(chain: Any, rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Solve for the values of a Markov chain with rewards."""
    n_states = len(rewards)
    known = np.zeros(n_states, np.bool_)
    if gamma == 1:
        known = _settled(chain, rewards)
    values = np.zeros(n_states)
    unknown = np.flatnonzero(~known)
    if unknown.size:
        values[unknown] = _solve(chain[unknown][:, unknown], rewards[unknown], gamma)
    return values


def _solve(chain: Any, rewards: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    from scipy import sparse
    from scipy.sparse.linalg import splu

    equations = (sparse.identity(len(rewards)) - gamma * chain).tocsc()
    factors = splu(equations)
    values = factors.solve(rewards)
    # One step of iterative refinement
    return np.asarray(values + factors.solve(rewards - equations @ values), np.float64)


def _settled(chain: Any, rewards: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the states of a chain that it never leaves again, and that pay nothing.

    Raises:
        SettingError: a state that is never left pays something, so that values are infinite.
    """
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(chain, directed=True, connection="strong")
    rows, columns = chain.nonzero()
    is_open = np.zeros(count, np.bool_)
    is_open[label[rows][label[rows] != label[columns]]] = True
    ends = np.asarray(chain.sum(axis=1)).ravel() < 1 - 1e-9
    is_open[label[ends]] = True
    settled: NDArray[np.bool_] = ~is_open[label]
    paid = settled & (rewards != 0)
    if paid.any():
        state = int(paid.argmax())
        raise SettingError(
            f"without discount the value of state {state} has no bound: from there the policy "
            f"never ends the episode, and goes on to be paid; take gamma below 1"
        )
    return settled


def optimal_values(
    mdp: FiniteMDP, gamma: float, policy: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Compute the optimal value of each state by policy iteration.

    Args:
        mdp: the process.
        gamma: discount in [0, 1].
        policy: int64 (n_states,), actions to begin with; by default those with the best reward.

    Raises:
        SettingError: without discount, a value is infinite.
    """
    chosen = mdp.rewards.argmax(axis=1) if policy is None else policy
    if gamma < 1:
        return _improved(mdp, gamma, chosen)[0]
    # Policy iteration alone can stop at a policy that pays to leave where it could stay for free
    _, chosen = _improved(mdp, _NEARLY_UNDISCOUNTED, chosen)
    return _improved(mdp, 1.0, chosen)[0]


def _improved(
    mdp: FiniteMDP, gamma: float, policy: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Improve a policy until no action is better; return its values and itself."""
    states = np.arange(len(mdp.rewards))
    n_actions = mdp.rewards.shape[1]
    best: NDArray[np.float64] | None = None
    for _ in range(_MAX_IMPROVEMENTS):
        rows = states * n_actions + policy
        values = _chain_values(mdp.transitions[rows], mdp.rewards[states, policy], gamma)
        if best is not None and not (values > best).any():
            # What looked better was so by rounding
            return best, policy
        best = values
        ahead = _backup(mdp, values, gamma)
        gain = ahead.max(axis=1) - ahead[states, policy]
        better = gain > _ROUNDING * (1 + np.abs(ahead[states, policy]))
        if not better.any():
            break
        policy = np.where(better, ahead.argmax(axis=1), policy)
    assert best is not None
    return best, policy
