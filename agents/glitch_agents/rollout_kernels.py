"""Compiled loops of rollouts: how an agent chooses, and how all of them walk."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import borrowing, compiled, inlined
from glitch_gym.dynamics import EXIT
from glitch_gym.randomness import below, draw, pick, stream, unit

__all__ = ["Births", "PolicyTables", "best_actions", "choose_action", "place", "take", "walk"]


PolicyTables = namedtuple(
    "PolicyTables", ["values", "cumulative", "best", "ties", "epsilon", "first_ties"]
)
PolicyTables.__doc__ = """What compiled code knows of a policy.

Args:
    values: float32 (n_states, n_actions), the action values.
    cumulative: float64 (n_states, n_actions), cumulative probabilities of the actions; (0, 0) for a
        policy that is greedy apart from its exploration.
    best: int32 (n_states,), the first of the best actions of each state.
    ties: int32 (n_states,), number of the best actions of each state.
    epsilon: probability of a random action.
    first_ties: whether the first of equally good actions is taken, and not a random one.
"""


@compiled
def best_actions(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find the first of the best actions of each state, and how many are equally good."""
    n_states, n_actions = values.shape
    best = np.empty(n_states, np.int32)
    ties = np.empty(n_states, np.int32)
    for state in range(n_states):
        top = 0
        count = 1
        for action in range(1, n_actions):
            if values[state, action] > values[state, top]:
                top = action
                count = 1
            elif values[state, action] == values[state, top]:
                count += 1
        best[state] = top
        ties[state] = count
    return best, ties


@inlined
def choose_action(policy: PolicyTables, state: int, own: np.uint64, at: int) -> int:
    """Choose an agent's action.

    Of the four draws of a step, ``at`` on, the first is for its birth; the others are for
    exploration, the random action, and the choice among ties or by softmax.
    """
    action = int(policy.best[state])
    if policy.epsilon > 0 and unit(draw(own, at + 1)) < policy.epsilon:
        action = below(draw(own, at + 2), policy.values.shape[1])
    elif policy.cumulative.shape[0] > 0:
        action = pick(policy.cumulative, state, 0, policy.values.shape[1], draw(own, at + 3))
    elif policy.ties[state] > 1 and not policy.first_ties:
        skip = below(draw(own, at + 3), policy.ties[state])
        top = policy.values[state, action]
        while skip > 0:
            action += 1
            if policy.values[state, action] == top:
                skip -= 1
    return action


Births = namedtuple("Births", ["starts", "own", "repeat", "key", "first"])
Births.__doc__ = """Where agents are born, and how they draw.

Args:
    starts: int32 (n,), cells that agents are placed on by chance.
    own: int32 (agents,), cell that each agent starts in instead; (0,) for none.
    repeat: whether all agents are drawn afresh at every step.
    key: key of the draws.
    first: number of the first agent.
"""


@inlined
def _birth(births: Births, agent: int, own: np.uint64, at: int) -> int:
    if births.own.shape[0] > 0:
        cell = births.own[agent]
    else:
        cell = births.starts[below(draw(own, at), births.starts.shape[0])]
    return int(cell)


@borrowing
def walk(
    next_state: NDArray[np.int32],
    policy: tuple[Any, ...],
    births: tuple[Any, ...],
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> None:
    """Walk every agent; cells and actions are (steps, agents), in the order of replay.

    It is called from Python, where Numba is much quicker to take plain tuples than named ones:
    ``PolicyTables`` and ``Births``.
    """
    tables = PolicyTables(*policy)
    born = Births(*births)
    repeat = born.repeat
    n_steps, n_agents = cells.shape
    for agent in range(n_agents):
        own = stream(born.key, born.first + agent)
        state = _birth(born, agent, own, 0)
        for step in range(n_steps):
            at = 4 * step
            if repeat and step > 0:
                state = _birth(born, agent, own, at)
            action = choose_action(tables, state, own, at)
            actions[step, agent] = action
            lengths[agent] = step + 1
            if repeat:
                cells[step, agent] = state
                continue
            successor = int(next_state[state, action])
            if successor == EXIT:
                break
            if successor != state:
                cells[step, agent] = successor
                state = successor


@borrowing
def place(births: tuple[Any, ...], step: int, states: NDArray[np.int32]) -> None:
    """Place every agent where ``walk`` would at a step."""
    born = Births(*births)
    for agent in range(states.shape[0]):
        own = stream(born.key, born.first + agent)
        states[agent] = _birth(born, agent, own, 4 * step)


@borrowing
def take(
    next_state: NDArray[np.int32],
    births: tuple[Any, ...],
    epsilon: float,
    chosen: NDArray[np.int64],
    step: int,
    states: NDArray[np.int32],
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> None:
    """Take a step with the actions that were chosen, (agents,), as ``walk`` would."""
    born = Births(*births)
    for agent in range(states.shape[0]):
        state = int(states[agent])
        if state == EXIT:
            continue
        action = int(chosen[agent])
        if epsilon > 0:
            own = stream(born.key, born.first + agent)
            if unit(draw(own, 4 * step + 1)) < epsilon:
                action = below(draw(own, 4 * step + 2), next_state.shape[1])
        actions[step, agent] = action
        lengths[agent] = step + 1
        successor = int(next_state[state, action])
        if born.repeat:
            cells[step, agent] = state
        elif successor == EXIT:
            states[agent] = EXIT
        elif successor != state:
            cells[step, agent] = successor
            states[agent] = successor
