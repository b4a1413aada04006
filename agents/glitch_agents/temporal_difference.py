"""Textbook temporal-difference control, compiled: SARSA, expected SARSA, double Q and Q(λ).

All share one loop and one choice of actions, ε-greedy; they differ in what a step teaches. The same
compiled code runs inside the loop over the tables of a decision process, and step by step on
environments that can only be stepped.

Source: Sutton and Barto, *Reinforcement Learning*, second edition, chapters 6 and 12.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress, in_chunks
from glitch_agents.mdp import (
    MDPTables,
    TabularMDP,
    checked_reward,
    checked_state,
    lifetime_of,
    outcome,
    start_state,
    table_shape,
    tabular_mdp,
)
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_agents.schedule import Schedule, as_schedule
from glitch_gym.checks import real_number, shown
from glitch_gym.compilation import borrowing, inlined
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, derive_key, draw, stream, unit

__all__ = [
    "Q_LEARNING",
    "DoubleQLearning",
    "ExpectedSarsa",
    "QLambda",
    "Rates",
    "Rules",
    "Sarsa",
    "TabularLearner",
]

Q_LEARNING, _SARSA, _EXPECTED_SARSA, _DOUBLE_Q, _Q_LAMBDA = range(5)


ActionValues = namedtuple("ActionValues", ["q", "first", "second"])
ActionValues.__doc__ = """The action values that are learned.

Args:
    q: float64 (n_states, n_actions), the values that are acted on.
    first: float64 (n_states, n_actions), double Q's first table; (1, n_actions) for the others.
    second: float64, double Q's second table, of the same shape; ``q`` is their sum.
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
def _choose(
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
    values.q[state, action] = values.first[state, action] + values.second[state, action]


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
    if rules.algorithm == _SARSA:
        value = q[state, action]
    elif rules.algorithm == _EXPECTED_SARSA:
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
    chooses_before = rules.algorithm in (_SARSA, _Q_LAMBDA)
    next_action = 0
    if next_state >= 0 and chooses_before:
        next_action = _choose(q, next_state, epsilon, rules.first_ties, episode, step + 1)
    if rules.algorithm == _DOUBLE_Q:
        coin = draw(episode, 3 * step + 3)
        _update_double(values, transition, alpha, rules.gamma, coin)
    else:
        value = 0.0
        if next_state >= 0:
            value = _value_of_next(rules, q, next_state, next_action, epsilon)
        error = transition.reward + rules.gamma * value - q[transition.state, transition.action]
        if rules.algorithm == _Q_LAMBDA:
            is_cut = next_state < 0 or q[next_state, next_action] != value
            decay = rules.gamma * rules.lambda_
            _update_traced(q, traces, transition, alpha * error, decay, is_cut)
        else:
            q[transition.state, transition.action] += alpha * error
    if next_state >= 0 and not chooses_before:
        next_action = _choose(q, next_state, epsilon, rules.first_ties, episode, step + 1)
    return next_action


@borrowing
def _learn_step(
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
def _learn(
    mdp: MDPTables,
    rules: Rules,
    values: ActionValues,
    traces: Traces,
    rates: Rates,
    key: np.uint64,
    first: int,
) -> None:
    """Run the episodes first, first + 1, …, one for each of the rates."""
    n_outcomes = mdp.next_state.shape[1] // values.q.shape[1]
    for index in range(rates.alphas.shape[0]):
        alpha, epsilon = rates.alphas[index], rates.epsilons[index]
        episode = stream(key, first + index)
        state = start_state(mdp, draw(episode, 0))
        action = _choose(values.q, state, epsilon, rules.first_ties, episode, 0)
        traces.count[0] = 0
        for step in range(rules.lifetime):
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


@dataclass(frozen=True)
class TabularLearner:
    """The settings that the textbook's tabular learners share.

    Args:
        alpha: learning rate in [0, 1], a number or a schedule over the episodes.
        gamma: discount in [0, 1].
        epsilon: probability of a random action, a number or a schedule.
        initial: value of every action before it is tried.
        ties: which of equally good actions to take, a ``"random"`` one or the ``"first"``.

    Raises:
        SettingError: a value is out of range.
    """

    alpha: float | Schedule = 0.1
    gamma: float = 0.95
    epsilon: float | Schedule = 0.1
    initial: float = 0.0
    ties: Ties = "random"

    algorithm: ClassVar[int] = Q_LEARNING

    def __post_init__(self) -> None:
        as_schedule(self.alpha, "alpha", 0, 1)
        as_schedule(self.epsilon, "epsilon", 0, 1)
        real_number("gamma", self.gamma, 0.0, 1.0)
        real_number("initial", self.initial)
        check_ties(self.ties)

    def learn(
        self,
        env: gym.Env[Any, Any] | GridWorld,
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
        start: QTable | None = None,
    ) -> QTable:
        """Learn for a number of episodes; on Ctrl-C, return what has been learned so far.

        Args:
            env: a GlitchGrid environment or its world; or any environment with Discrete spaces.
                It is run through its tables (its world, or ``P`` and ``initial_state_distrib``) if
                it has them and no wrapper may change what they say, and stepped if not.
            episodes: number of episodes, at least 1.
            seed: seed of the starting states, exploration, ties and outcomes.
            progress: called now and then with (episodes done, episodes).
            start: table to begin with, in place of ``initial``, such as that of a similar world.

        Returns:
            the table, (rows, cols, n_actions), or (n_states, 1, n_actions) for other environments;
            ``interrupted`` is true if Ctrl-C cut learning short.

        Raises:
            SettingError: there are no episodes, the spaces are not Discrete, ``start`` does not fit
                them, the tables are wrong, or an observation lies outside its space.
        """
        mdp = tabular_mdp(env)
        if mdp is not None:
            values = self._start_values(start, mdp.shape)
            return self._learn_tables(mdp, lifetime_of(env), episodes, seed, progress, values)
        assert not isinstance(env, GridWorld)
        shape = table_shape(env)
        values = self._start_values(start, shape)
        return self._learn_by_steps(env, episodes, seed, progress, values, shape)

    def _start_values(
        self, start: QTable | None, shape: tuple[int, int, int]
    ) -> NDArray[np.float32]:
        """Return the values to begin with, (n_states, n_actions)."""
        if start is None:
            return np.full((shape[0] * shape[1], shape[2]), self.initial, np.float32)
        if not isinstance(start, QTable):
            raise SettingError(f"the table to start with is a QTable, not {shown(start)}")
        if start.values.shape != shape:
            raise SettingError(f"the table to start with is {start.values.shape}, not {shape}")
        return start.by_state

    def _rates(self, first: int, last: int, episodes: int) -> Rates:
        """Return the rates of the episodes [first, last): those of all would fill the memory."""
        alpha = as_schedule(self.alpha, "alpha", 0, 1)
        epsilon = as_schedule(self.epsilon, "epsilon", 0, 1)
        return Rates(alpha.values(first, last, episodes), epsilon.values(first, last, episodes))

    def _rules(self, lifetime: int) -> Rules:
        return Rules(
            self.algorithm, float(self.gamma), self._decay(), lifetime, self.ties == "first"
        )

    def _action_values(self, start: NDArray[np.float32]) -> ActionValues:
        # Double Q's table is the sum of two, each of which starts at half the values
        half = start.astype(np.float64)[: None if self.algorithm == _DOUBLE_Q else 1] / 2
        return ActionValues(start.astype(np.float64), half, half.copy())

    def _traces(self, lifetime: int, n_values: int) -> Traces:
        # One for each state and action that an episode can have visited
        most = min(lifetime, n_values)
        return Traces(
            np.zeros(most, np.int64),
            np.zeros(most, np.int64),
            np.zeros(most),
            np.zeros(1, np.int64),
        )

    def _decay(self) -> float:
        return 0.0

    def _finish(
        self,
        q: NDArray[np.floating],
        shape: tuple[int, int, int],
        seed: int,
        episodes: int,
        interrupted: bool,
    ) -> QTable:
        return QTable(
            q.astype(np.float32).reshape(shape),
            ties=self.ties,
            seed=seed,
            episodes=episodes,
            interrupted=interrupted,
        )

    def _learn_tables(
        self,
        mdp: TabularMDP,
        lifetime: int,
        episodes: int,
        seed: int,
        progress: Progress | None,
        start: NDArray[np.float32],
    ) -> QTable:
        rules = self._rules(lifetime)
        values = self._action_values(start)
        traces = self._traces(lifetime, start.size)
        key = derive_key(seed, type(self).__name__)

        def run(first: int, last: int) -> None:
            rates = self._rates(first, last, episodes)
            _learn(mdp.tables, rules, values, traces, rates, key, first)

        done, cut = in_chunks(run, episodes, progress)
        return self._finish(values.q, mdp.shape, seed, done, cut)

    def _learn_by_steps(
        self,
        env: gym.Env[Any, Any],
        episodes: int,
        seed: int,
        progress: Progress | None,
        start: NDArray[np.float32],
        shape: tuple[int, int, int],
    ) -> QTable:
        n_states = len(start)
        rules = self._rules(lifetime_of(env))
        values = self._action_values(start)
        traces = self._traces(rules.lifetime, start.size)
        key = derive_key(seed, type(self).__name__)
        first_seed = int(seed)
        plain = tuple(rules), tuple(values), tuple(traces)

        def run_episode(index: int, alpha: float, epsilon: float) -> None:
            episode = np.uint64(stream(key, index))
            observation = env.reset(seed=first_seed if index == 0 else None)[0]
            state = checked_state(observation, n_states)
            action = _choose(values.q, state, epsilon, rules.first_ties, episode, 0)
            traces.count[0] = 0
            for step in range(rules.lifetime):
                observation, reward, terminated, truncated, _ = env.step(action)
                next_state = -1 if terminated else checked_state(observation, n_states)
                transition = (state, action, checked_reward(reward), next_state)
                action = _learn_step(*plain, transition, alpha, epsilon, episode, step)
                if terminated or truncated:
                    return
                state = next_state

        def run(first: int, last: int) -> None:
            rates = self._rates(first, last, episodes)
            for index, alpha, epsilon in zip(range(first, last), *rates, strict=True):
                run_episode(index, float(alpha), float(epsilon))

        done, cut = in_chunks(run, episodes, progress)
        return self._finish(values.q, shape, seed, done, cut)


@dataclass(frozen=True)
class Sarsa(TabularLearner):
    """SARSA: learn from the action that is taken next.

    Q(s, a) ← Q(s, a) + α (r + γ Q(s', a') − Q(s, a)). Settings as in ``TabularLearner``.

    Source: Rummery and Niranjan, 1994; Sutton and Barto, section 6.4.
    """

    algorithm: ClassVar[int] = _SARSA


@dataclass(frozen=True)
class ExpectedSarsa(TabularLearner):
    """Expected SARSA: learn from the mean over the actions that ε-greedy may take next.

    Source: van Seijen, van Hasselt, Whiteson and Wiering, 2009; Sutton and Barto, section 6.6.
    """

    algorithm: ClassVar[int] = _EXPECTED_SARSA


@dataclass(frozen=True)
class DoubleQLearning(TabularLearner):
    """Double Q-learning: one table picks the next action, the other estimates its value.

    It acts on the sum of both, which is the table that it returns.

    Source: van Hasselt, *Double Q-learning*, NeurIPS 2010; Sutton and Barto, section 6.7.
    """

    algorithm: ClassVar[int] = _DOUBLE_Q


@dataclass(frozen=True)
class QLambda(TabularLearner):
    """Watkins's Q(λ) with replacing traces, cut after exploring actions.

    Args:
        lambda_: decay of the traces, in [0, 1], beside the settings of ``TabularLearner``.

    Source: Watkins, 1989; Sutton and Barto, section 12.10.
    """

    lambda_: float = 0.8

    algorithm: ClassVar[int] = _Q_LAMBDA

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number("lambda_", self.lambda_, 0.0, 1.0)

    def _decay(self) -> float:
        return float(self.lambda_)
