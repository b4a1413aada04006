"""Textbook temporal-difference control, compiled: SARSA, expected SARSA, double Q and Q(λ).

All share one loop and one choice of actions, ε-greedy; they differ in what a step teaches. The same
compiled functions run inside the loop over a problem's tables, and one at a time on environments
that can only be stepped.

Source: Sutton and Barto, *Reinforcement Learning*, second edition, chapters 6 and 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress, in_chunks
from glitch_agents.mdp import (
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
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, derive_key, draw, stream, unit

__all__ = ["Q_LEARNING", "DoubleQLearning", "ExpectedSarsa", "QLambda", "Sarsa", "TabularLearner"]

Q_LEARNING, _SARSA, _EXPECTED_SARSA, _DOUBLE_Q, _Q_LAMBDA = range(5)


@compiled
def _best(q: NDArray[np.float64], state: int) -> float:
    top = q[state, 0]
    for action in range(1, q.shape[1]):
        top = max(top, q[state, action])
    return float(top)


@compiled
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


@compiled
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


@compiled
def _update(
    algorithm: int,
    q: NDArray[np.float64],
    first_q: NDArray[np.float64],
    second_q: NDArray[np.float64],
    trace: NDArray[np.float64],
    trace_state: NDArray[np.int64],
    trace_action: NDArray[np.int64],
    traced: int,
    state: int,
    action: int,
    reward: float,
    there: int,
    following: int,
    alpha: float,
    gamma: float,
    epsilon: float,
    lambda_: float,
    coin: np.uint64,
) -> int:
    """Learn from one step, which led to ``there`` (−1 for the end), where ``following`` is chosen.

    Gives the number of traces that are left.
    """
    n_actions = q.shape[1]
    if algorithm == _DOUBLE_Q:
        learns, judges = first_q, second_q
        if coin >> np.uint64(63) == np.uint64(1):
            learns, judges = second_q, first_q
        target = reward
        if there >= 0:
            target += gamma * judges[there, _greedy(learns, there, True, coin)]
        learns[state, action] += alpha * (target - learns[state, action])
        q[state, action] = first_q[state, action] + second_q[state, action]
        return 0
    value = 0.0
    if there >= 0:
        if algorithm == _SARSA:
            value = q[there, following]
        elif algorithm == _EXPECTED_SARSA:
            total = 0.0
            for other in range(n_actions):
                total += q[there, other]
            value = epsilon * total / n_actions + (1.0 - epsilon) * _best(q, there)
        else:
            value = _best(q, there)
    error = reward + gamma * value - q[state, action]
    if algorithm != _Q_LAMBDA:
        q[state, action] += alpha * error
        return 0
    # Watkins's Q(λ) with replacing traces: they are cut where the next action is not greedy
    place = 0
    while place < traced and not (trace_state[place] == state and trace_action[place] == action):
        place += 1
    trace_state[place] = state
    trace_action[place] = action
    trace[place] = 1.0
    traced = max(traced, place + 1)
    greedy_next = there >= 0 and q[there, following] == value
    for place in range(traced):
        q[trace_state[place], trace_action[place]] += alpha * error * trace[place]
        trace[place] *= gamma * lambda_
    return traced if greedy_next else 0


@compiled
def _learn(
    algorithm: int,
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    cumulative: NDArray[np.float64],
    starts: NDArray[np.int32],
    start_cumulative: NDArray[np.float64],
    q: NDArray[np.float64],
    first_q: NDArray[np.float64],
    second_q: NDArray[np.float64],
    trace: NDArray[np.float64],
    trace_state: NDArray[np.int64],
    trace_action: NDArray[np.int64],
    alphas: NDArray[np.float64],
    epsilons: NDArray[np.float64],
    gamma: float,
    lambda_: float,
    lifetime: int,
    first_ties: bool,
    key: np.uint64,
    first: int,
) -> None:
    n_outcomes = next_state.shape[1] // q.shape[1]
    for index in range(alphas.shape[0]):
        episode = stream(key, first + index)
        state = start_state(starts, start_cumulative, draw(episode, 0))
        action = _choose(q, state, epsilons[index], first_ties, episode, 0)
        traced = 0
        for step in range(lifetime):
            place = outcome(cumulative, n_outcomes, state, action, episode, step)
            there = int(next_state[state, place])
            following = 0
            if there >= 0:
                following = _choose(q, there, epsilons[index], first_ties, episode, step + 1)
            traced = _update(
                algorithm, q, first_q, second_q, trace, trace_state, trace_action, traced, state,
                action, np.float64(rewards[state, place]), there, following, alphas[index], gamma,
                epsilons[index], lambda_, draw(episode, 3 * step + 3),
            )  # fmt: skip
            if there < 0:
                break
            state = there
            # Learned since: only SARSA is bound to the action that it was taught by
            if algorithm in (_SARSA, _Q_LAMBDA):
                action = following
            else:
                action = _choose(q, state, epsilons[index], first_ties, episode, step + 1)


@dataclass(frozen=True)
class TabularLearner:
    """What the textbook's tabular learners can be told.

    Args:
        alpha: learning rate in [0, 1], a number or a schedule over the episodes.
        gamma: discount in [0, 1].
        epsilon: probability of a random action, a number or a schedule.
        initial: value of every action before it is tried.
        ties: among equal best actions take one at ``"random"`` or the ``"first"``.

    Raises:
        SettingError: a value out of its range.
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
        """Learn for a number of episodes; on Ctrl-C, give what has been learned so far.

        Args:
            env: a GlitchGrid environment or its world; or any environment with Discrete spaces.
                It is run through its tables (its world, or ``P`` and ``initial_state_distrib``) if
                it has them and no wrapper may change what they say, and stepped if not.
            episodes: at least 1.
            seed: of starting states, exploration, ties and outcomes.
            progress: called now and then with (episodes done, episodes).
            start: a table to begin with, in place of ``initial``: of a world much like this one.

        Returns:
            the table, (rows, cols, n_actions), or (n_states, 1, n_actions) for other environments;
            ``interrupted`` is true if Ctrl-C cut learning short.

        Raises:
            SettingError: no episodes, spaces that are not Discrete, a ``start`` that does not fit
                them, tables that are wrong, or observations outside their space.
        """
        problem = tabular_mdp(env)
        if problem is not None:
            values = self._start_values(start, problem.shape)
            return self._learn_tables(problem, lifetime_of(env), episodes, seed, progress, values)
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

    def _rates(
        self, first: int, last: int, episodes: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give α and ε of the episodes [first, last): of all at once they would fill the memory."""
        alpha = as_schedule(self.alpha, "alpha", 0, 1)
        epsilon = as_schedule(self.epsilon, "epsilon", 0, 1)
        return alpha.values(first, last, episodes), epsilon.values(first, last, episodes)

    def _tables(
        self, values: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        # Double Q's table is the sum of two, each of which starts at half the values
        half = values.astype(np.float64)[: None if self.algorithm == _DOUBLE_Q else 1] / 2
        return values.astype(np.float64), half, half.copy()

    def _traces(
        self, lifetime: int, values: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        # One for each state and action that an episode can have visited
        most = min(lifetime, values.size)
        return np.zeros(most), np.zeros(most, np.int64), np.zeros(most, np.int64)

    def _decay(self) -> float:
        return 0.0

    def _finish(
        self, q: NDArray[np.floating], shape: tuple[int, int, int], seed: int, done: int, cut: bool
    ) -> QTable:
        values = q.astype(np.float32).reshape(shape)
        return QTable(values, ties=self.ties, seed=seed, episodes=done, interrupted=cut)

    def _learn_tables(
        self,
        problem: TabularMDP,
        lifetime: int,
        episodes: int,
        seed: int,
        progress: Progress | None,
        values: NDArray[np.float32],
    ) -> QTable:
        tables = self._tables(values)
        traces = self._traces(lifetime, values)
        key = derive_key(seed, type(self).__name__)

        def run(first: int, last: int) -> None:
            _learn(
                self.algorithm,
                problem.next_state,
                problem.rewards,
                problem.cumulative,
                problem.starts,
                problem.start_cumulative,
                *tables,
                *traces,
                *self._rates(first, last, episodes),
                float(self.gamma),
                self._decay(),
                lifetime,
                self.ties == "first",
                key,
                first,
            )

        done, cut = in_chunks(run, episodes, progress)
        return self._finish(tables[0], problem.shape, seed, done, cut)

    def _learn_by_steps(
        self,
        env: gym.Env[Any, Any],
        episodes: int,
        seed: int,
        progress: Progress | None,
        values: NDArray[np.float32],
        shape: tuple[int, int, int],
    ) -> QTable:
        n_states = len(values)
        lifetime = lifetime_of(env)
        tables = self._tables(values)
        traces = self._traces(lifetime, values)
        key = derive_key(seed, type(self).__name__)
        first_seed = int(seed)
        first_ties = self.ties == "first"

        def run(first: int, last: int) -> None:
            alphas, epsilons = self._rates(first, last, episodes)
            for index in range(first, last):
                episode, epsilon = np.uint64(stream(key, index)), float(epsilons[index - first])
                begun = env.reset(seed=first_seed if index == 0 else None)[0]
                state = checked_state(begun, n_states)
                action = _choose(tables[0], state, epsilon, first_ties, episode, 0)
                traced = 0
                for step in range(lifetime):
                    seen, reward, terminated, truncated, _ = env.step(action)
                    there = -1 if terminated else checked_state(seen, n_states)
                    following = 0
                    if there >= 0:
                        following = _choose(
                            tables[0], there, epsilon, first_ties, episode, step + 1
                        )
                    traced = _update(
                        self.algorithm, *tables, *traces, traced, state, action,
                        checked_reward(reward), there, following, float(alphas[index - first]),
                        float(self.gamma), epsilon, self._decay(),
                        np.uint64(draw(episode, 3 * step + 3)),
                    )  # fmt: skip
                    if terminated or truncated:
                        break
                    state = there
                    if self.algorithm in (_SARSA, _Q_LAMBDA):
                        action = following
                    else:
                        action = _choose(tables[0], state, epsilon, first_ties, episode, step + 1)

        done, cut = in_chunks(run, episodes, progress)
        return self._finish(tables[0], shape, seed, done, cut)


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
    """Double Q-learning: one table picks the next action, the other says what it is worth.

    Acts on the sum of both, which is the table that is given.

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
