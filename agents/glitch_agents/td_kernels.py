"""Compiled loops of the temporal-difference learners."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.mdp import MDPTables, outcome, start_state
from glitch_gym.compilation import borrowing, inlined
from glitch_gym.randomness import below, draw, stream, unit

__all__ = [
    "DOUBLE_Q",
    "EXPECTED_SARSA",
    "Q_LAMBDA",
    "Q_LEARNING",
    "SARSA",
    "ActionValues",
    "Rates",
    "Rules",
    "Traces",
    "Transition",
    "Walkers",
    "begin_episodes",
    "choose_action",
    "learn_episodes",
    "learn_step",
    "learn_tick",
]


Q_LEARNING, SARSA, EXPECTED_SARSA, DOUBLE_Q, Q_LAMBDA = range(5)
"""Algorithms, by the number that compiled code knows them by."""

ActionValues = namedtuple("ActionValues", ["q", "first", "second"])


ActionValues.__doc__ = """The action values that are learned.

Args:
    q: float64 (n_states, n_actions), the values that are acted on.
    first: float64 (n_states, n_actions), double Q's first table; (1, n_actions) for the others.
    second: float64, double Q's second table, of the same shape; ``q`` is their mean.
"""


Traces = namedtuple("Traces", ["states", "actions", "strengths", "count"])


Traces.__doc__ = """The eligibility traces of an episode.

Args:
    states: int64 (capacity,), the states that were visited.
    actions: int64 (capacity,), the actions that were taken there.
    strengths: float64 (capacity,), how far each still learns.
    count: int64 (1,), number of traces in use.
"""


Rates = namedtuple("Rates", ["alphas", "epsilons"])


Rates.__doc__ = """The rates of consecutive episodes.

Args:
    alphas: float64 (episodes,), learning rates.
    epsilons: float64 (episodes,), probabilities of a random action.
"""


Rules = namedtuple("Rules", ["algorithm", "gamma", "lambda_", "lifetime", "first_ties"])


Rules.__doc__ = """The settings of a learner that hold for all episodes.

Args:
    algorithm: number of the algorithm.
    gamma: discount.
    lambda_: decay of the traces.
    lifetime: largest number of steps in an episode.
    first_ties: whether the first of equally good actions is taken, and not a random one.
"""


Walkers = namedtuple(
    "Walkers", ["states", "actions", "keys", "steps", "alphas", "epsilons", "active"]
)


Walkers.__doc__ = """Agents that walk at the same time and learn in one table; arrays (agents,).

Args:
    states: int64, state of each agent.
    actions: int64, action that it takes next; 0 for one that does not learn.
    keys: uint64, key of its episode's draws.
    steps: int64, steps of its episode so far.
    alphas: float64, learning rate of its episode.
    epsilons: float64, probability of a random action in its episode.
    active: bool, whether it is in an episode.
"""


Transition = namedtuple("Transition", ["state", "action", "reward", "next_state"])
"""A step of an episode; the next state is −1 if the step ended the episode."""


@borrowing
def _best(q: NDArray[np.float64], state: int) -> float:
    top = q[state, 0]
    for action in range(1, q.shape[1]):
        top = max(top, q[state, action])
    return float(top)


@borrowing
def _greedy(q: NDArray[np.float64], state: int, first_ties: bool, bits: np.uint64) -> int:
    top = _best(q, state)
    skip = 0
    if not first_ties:
        count = 0
        for action in range(q.shape[1]):
            if q[state, action] == top:
                count += 1
        skip = below(bits, count)
    for action in range(q.shape[1]):
        if q[state, action] == top:
            if skip == 0:
                return action
            skip -= 1
    return 0


@borrowing
def choose_action(
    q: NDArray[np.float64],
    state: int,
    epsilon: float,
    first_ties: bool,
    episode: np.uint64,
    step: int,
) -> int:
    """Choose ε-greedily. Three draws a step: exploration, the action, and double Q's coin."""
    bits = draw(episode, 3 * step + 2)
    if unit(draw(episode, 3 * step + 1)) < epsilon:
        return below(bits, q.shape[1])
    return _greedy(q, state, first_ties, bits)


@inlined
def _update_double(
    values: ActionValues, transition: Transition, alpha: float, gamma: float, coin: np.uint64
) -> None:
    """Update one of double Q's tables, which the coin picks, by the judgement of the other."""
    state, action, reward, next_state = transition
    learning, judging = values.first, values.second
    if coin >> np.uint64(63) == np.uint64(1):
        learning, judging = values.second, values.first
    target = reward
    if next_state >= 0:
        target += gamma * judging[next_state, _greedy(learning, next_state, True, coin)]
    learning[state, action] += alpha * (target - learning[state, action])
    values.q[state, action] = 0.5 * (values.first[state, action] + values.second[state, action])


@inlined
def _update_traced(
    q: NDArray[np.float64],
    traces: Traces,
    transition: Transition,
    step_size: float,
    decay: float,
    is_cut: bool,
) -> None:
    """Update what the episode visited, by Watkins's Q(λ) with replacing traces.

    The traces are cut where the next action is not greedy.
    """
    count = int(traces.count[0])
    place = 0
    while place < count and not (
        traces.states[place] == transition.state and traces.actions[place] == transition.action
    ):
        place += 1
    traces.states[place] = transition.state
    traces.actions[place] = transition.action
    traces.strengths[place] = 1.0
    count = max(count, place + 1)
    for place in range(count):
        q[traces.states[place], traces.actions[place]] += step_size * traces.strengths[place]
        traces.strengths[place] *= decay
    traces.count[0] = 0 if is_cut else count


@inlined
def _value_of_next(
    rules: Rules, q: NDArray[np.float64], state: int, action: int, epsilon: float
) -> float:
    """Return what the algorithm takes the next state to be worth, where an action is chosen."""
    if rules.algorithm == SARSA:
        value = q[state, action]
    elif rules.algorithm == EXPECTED_SARSA:
        n_actions = q.shape[1]
        total = 0.0
        for other in range(n_actions):
            total += q[state, other]
        value = epsilon * total / n_actions + (1.0 - epsilon) * _best(q, state)
    else:
        value = _best(q, state)
    return float(value)


@inlined
def _learn_transition(
    rules: Rules,
    values: ActionValues,
    traces: Traces,
    transition: Transition,
    alpha: float,
    epsilon: float,
    episode: np.uint64,
    step: int,
) -> int:
    """Learn from one step; return the action to take next, or 0 if the episode has ended."""
    q, next_state = values.q, transition.next_state
    # The other algorithms choose the next action by what they learn from this step
    chooses_before = rules.algorithm in (SARSA, Q_LAMBDA)
    next_action = 0
    if next_state >= 0 and chooses_before:
        next_action = choose_action(q, next_state, epsilon, rules.first_ties, episode, step + 1)
    if rules.algorithm == DOUBLE_Q:
        coin = draw(episode, 3 * step + 3)
        _update_double(values, transition, alpha, rules.gamma, coin)
    else:
        value = 0.0
        if next_state >= 0:
            value = _value_of_next(rules, q, next_state, next_action, epsilon)
        error = transition.reward + rules.gamma * value - q[transition.state, transition.action]
        if rules.algorithm == Q_LAMBDA:
            is_cut = next_state < 0 or q[next_state, next_action] != value
            decay = rules.gamma * rules.lambda_
            _update_traced(q, traces, transition, alpha * error, decay, is_cut)
        else:
            q[transition.state, transition.action] += alpha * error
    if next_state >= 0 and not chooses_before:
        next_action = choose_action(q, next_state, epsilon, rules.first_ties, episode, step + 1)
    return next_action


@borrowing
def learn_step(
    rules: tuple[Any, ...],
    values: tuple[NDArray[np.float64], ...],
    traces: tuple[NDArray[Any], ...],
    transition: tuple[Any, ...],
    alpha: float,
    epsilon: float,
    episode: np.uint64,
    step: int,
) -> int:
    """Do as ``_learn_transition``, for environments that can only be stepped.

    It is called from Python at every step, and Numba is ten times as quick to take a plain tuple
    from there as a named one.
    """
    return _learn_transition(
        Rules(*rules),
        ActionValues(*values),
        Traces(*traces),
        Transition(*transition),
        alpha,
        epsilon,
        episode,
        step,
    )


@borrowing
def begin_episodes(
    rules: tuple[Any, ...],
    values: tuple[NDArray[np.float64], ...],
    walkers: tuple[NDArray[Any], ...],
    begins: NDArray[np.bool_],
    rates: tuple[NDArray[np.float64], ...],
    key: np.uint64,
    first: int,
) -> None:
    """Begin the episodes first, first + 1, …, one for each of the rates, in the order of agents.

    Agents that begin after the last of them have no episode, and are no longer active.
    """
    learner = Rules(*rules)
    agents = Walkers(*walkers)
    alphas, epsilons = rates
    q = values[0]
    count = 0
    for agent in range(begins.shape[0]):
        if not begins[agent]:
            continue
        agents.active[agent] = count < alphas.shape[0]
        agents.actions[agent] = 0
        if not agents.active[agent]:
            continue
        agents.keys[agent] = stream(key, first + count)
        agents.steps[agent] = 0
        agents.alphas[agent] = alphas[count]
        agents.epsilons[agent] = epsilons[count]
        agents.actions[agent] = choose_action(
            q,
            agents.states[agent],
            epsilons[count],
            learner.first_ties,
            agents.keys[agent],
            0,
        )
        count += 1


@borrowing
def learn_tick(
    rules: tuple[Any, ...],
    values: tuple[NDArray[np.float64], ...],
    traces: tuple[NDArray[Any], ...],
    walkers: tuple[NDArray[Any], ...],
    step: tuple[NDArray[Any], ...],
    ended: NDArray[np.bool_],
) -> None:
    """Learn from a step of every active agent, one after another, and choose its next action.

    Args:
        rules: the fields of ``Rules``.
        values: the fields of ``ActionValues``.
        traces: the fields of ``Traces``, each with a row for each agent.
        walkers: the fields of ``Walkers``.
        step: next state int64, reward float64, whether it terminated and whether it was truncated,
            (agents,).
        ended: bool (agents,), filled with whether the agent's episode has ended.
    """
    learner = Rules(*rules)
    table = ActionValues(*values)
    agents = Walkers(*walkers)
    trace_states, trace_actions, strengths, counts = traces
    next_states, rewards, terminated, truncated = step
    for agent in range(ended.shape[0]):
        ended[agent] = False
        if not agents.active[agent]:
            continue
        own = Traces(trace_states[agent], trace_actions[agent], strengths[agent], counts[agent])
        if agents.steps[agent] == 0:
            own.count[0] = 0
        next_state = -1 if terminated[agent] else int(next_states[agent])
        transition = Transition(
            int(agents.states[agent]), int(agents.actions[agent]), rewards[agent], next_state
        )
        action = _learn_transition(
            learner,
            table,
            own,
            transition,
            agents.alphas[agent],
            agents.epsilons[agent],
            agents.keys[agent],
            int(agents.steps[agent]),
        )
        agents.steps[agent] += 1
        ended[agent] = (
            terminated[agent] or truncated[agent] or agents.steps[agent] >= learner.lifetime
        )
        agents.actions[agent] = action
        agents.states[agent] = next_states[agent]


@borrowing
def learn_episodes(
    mdp: MDPTables,
    rules: Rules,
    values: ActionValues,
    traces: Traces,
    rates: Rates,
    key: np.uint64,
    first: int,
) -> int:
    """Run the episodes first, first + 1, …, one for each of the rates; return their steps."""
    steps = 0
    n_outcomes = mdp.next_state.shape[1] // values.q.shape[1]
    for index in range(rates.alphas.shape[0]):
        alpha, epsilon = rates.alphas[index], rates.epsilons[index]
        episode = stream(key, first + index)
        state = start_state(mdp, draw(episode, 0))
        action = choose_action(values.q, state, epsilon, rules.first_ties, episode, 0)
        traces.count[0] = 0
        for step in range(rules.lifetime):
            steps += 1
            column = outcome(mdp, n_outcomes, state, action, episode, step)
            next_state = int(mdp.next_state[state, column])
            reward = np.float64(mdp.rewards[state, column])
            transition = Transition(state, action, reward, next_state)
            action = _learn_transition(
                rules, values, traces, transition, alpha, epsilon, episode, step
            )
            if next_state < 0:
                break
            state = next_state
    return steps
