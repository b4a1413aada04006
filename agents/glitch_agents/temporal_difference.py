"""Textbook temporal-difference control, compiled: SARSA, expected SARSA, double Q and Q(λ).

All share one loop and one choice of actions, ε-greedy; they differ in what a step teaches. The same
compiled code runs inside the loop over the tables of a decision process, and step by step on
environments that can only be stepped.

Source: Sutton and Barto, *Reinforcement Learning*, second edition, chapters 6 and 12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress
from glitch_agents.lessons import Figures, Lessons, OnStep, lessons
from glitch_agents.mdp import (
    AnyEnv,
    TabularMDP,
    lifetime_of,
    table_shape,
    tabular_mdp,
)
from glitch_agents.policy import QTable, Ties, check_ties
from glitch_agents.schedule import Schedule, as_schedule
from glitch_agents.states import checked_reward, state_index
from glitch_agents.td_kernels import (
    DOUBLE_Q,
    EXPECTED_SARSA,
    Q_LAMBDA,
    Q_LEARNING,
    SARSA,
    ActionValues,
    Rates,
    Rules,
    Traces,
    choose_action,
    learn_episodes,
    learn_step,
)
from glitch_agents.vector_learning import learn_in_vector
from glitch_gym.checks import real_number, shown
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.randomness import derive_key, stream

__all__ = ["Q_LEARNING", "DoubleQLearning", "ExpectedSarsa", "QLambda", "Sarsa", "TabularLearner"]


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
        env: AnyEnv | GridWorld,
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
        start: QTable | None = None,
        on_step: OnStep | None = None,
        every: int | None = None,
    ) -> QTable:
        """Learn for a number of episodes; on Ctrl-C, return what has been learned so far.

        Args:
            env: a GlitchGrid environment or its world; or any environment, for one agent or for
                many (``gym.make_vec``), with Discrete actions and observations that are Discrete,
                MultiDiscrete or a Tuple of Discrete; ``state_index`` numbers those. It is run
                through its tables (its world, or ``P`` and ``initial_state_distrib``) if it has
                them and no wrapper may change what they say, and stepped if not. The agents of a
                vector environment share the table.
            episodes: number of episodes, at least 1.
            seed: seed of the starting states, exploration, ties and outcomes.
            progress: called now and then with (episodes done, episodes).
            start: table to begin with, in place of ``initial``, such as that of a similar world.
            on_step: called every so many episodes, and at the end, with a dict of figures:
                ``episodes`` and ``steps`` so far, ``alpha`` and ``epsilon`` of the last episode;
                where the environment is stepped, ``training_return``, the mean return of the
                episodes since the last call; where its tables are known, ``greedy_return``, the
                exact mean return of the greedy policy within a lifetime, and its ``optimality`` at
                this learner's discount, unless random actions are optimal or values infinite.
            every: number of episodes between two calls; by default a twentieth of all.

        Returns:
            the table, (rows, cols, n_actions), or (n_states, 1, n_actions) for other environments;
            ``interrupted`` is true if Ctrl-C cut learning short.

        Raises:
            SettingError: there are no episodes, the spaces are of another kind, ``start`` does not
                fit them, the tables are wrong, or an observation lies outside its space.
        """

        def shown_rates(episode: int) -> Figures:
            alphas, epsilons = self._rates(episode, episode + 1, episodes)
            return {"alpha": float(alphas[0]), "epsilon": float(epsilons[0])}

        gamma = float(self.gamma)
        course = lessons(env, gamma, shown_rates, episodes, seed, progress, on_step, every)
        mdp = tabular_mdp(env)
        if mdp is not None:
            values = self._start_values(start, mdp.shape)
            return self._learn_tables(mdp, lifetime_of(env), course, values)
        assert not isinstance(env, GridWorld)
        shape = table_shape(env)
        values = self._start_values(start, shape)
        if not isinstance(env, gym.vector.VectorEnv):
            return self._learn_by_steps(env, course, values, shape)
        rules, learned = self._rules(lifetime_of(env)), self._action_values(values)
        key = derive_key(seed, type(self).__name__)

        def rates(first: int, last: int) -> Rates:
            return self._rates(first, last, course.episodes)

        policy = self._policy(learned.q, shape)
        done, cut = learn_in_vector(env, rules, learned, rates, key, course, policy)
        return self._finish(learned.q, shape, seed, done, cut)

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
        # Double Q's table is the mean of two, both of which start at the values; others have none
        own = start.astype(np.float64)[: None if self.algorithm == DOUBLE_Q else 1]
        return ActionValues(start.astype(np.float64), own, own.copy())

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

    def _policy(self, q: NDArray[np.floating], shape: tuple[int, int, int]) -> Callable[[], QTable]:
        """Return a function that makes the table of the values as they are when it is called."""
        return lambda: QTable(q.astype(np.float32).reshape(shape), ties=self.ties)

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
        self, mdp: TabularMDP, lifetime: int, course: Lessons, start: NDArray[np.float32]
    ) -> QTable:
        rules = self._rules(lifetime)
        values = self._action_values(start)
        traces = self._traces(lifetime, start.size)
        key = derive_key(course.seed, type(self).__name__)

        def run(first: int, last: int) -> Figures:
            rates = self._rates(first, last, course.episodes)
            steps = learn_episodes(mdp.tables, rules, values, traces, rates, key, first)
            return {"steps": steps}

        done, cut = course.give(run, self._policy(values.q, mdp.shape))
        return self._finish(values.q, mdp.shape, course.seed, done, cut)

    def _learn_by_steps(
        self,
        env: gym.Env[Any, Any],
        course: Lessons,
        start: NDArray[np.float32],
        shape: tuple[int, int, int],
    ) -> QTable:
        space = env.observation_space
        rules = self._rules(lifetime_of(env))
        values = self._action_values(start)
        traces = self._traces(rules.lifetime, start.size)
        key = derive_key(course.seed, type(self).__name__)
        first_seed = int(course.seed)
        plain = tuple(rules), tuple(values), tuple(traces)

        def run_episode(index: int, alpha: float, epsilon: float) -> Figures:
            episode = np.uint64(stream(key, index))
            observation = env.reset(seed=first_seed if index == 0 else None)[0]
            state = state_index(space, observation)
            action = choose_action(values.q, state, epsilon, rules.first_ties, episode, 0)
            traces.count[0] = 0
            total, step = 0.0, 0
            for step in range(rules.lifetime):
                observation, given, terminated, truncated, _ = env.step(action)
                next_state = -1 if terminated else state_index(space, observation)
                reward = checked_reward(given)
                total += reward
                transition = (state, action, reward, next_state)
                action = learn_step(*plain, transition, alpha, epsilon, episode, step)
                if terminated or truncated:
                    break
                state = next_state
            return {"steps": step + 1, "ended": 1, "return": total}

        def run(first: int, last: int) -> Figures:
            rates = self._rates(first, last, course.episodes)
            sums = {"steps": 0.0, "ended": 0.0, "return": 0.0}
            for index, alpha, epsilon in zip(range(first, last), *rates, strict=True):
                for name, amount in run_episode(index, float(alpha), float(epsilon)).items():
                    sums[name] += amount
            return sums

        done, cut = course.give(run, self._policy(values.q, shape))
        return self._finish(values.q, shape, course.seed, done, cut)


@dataclass(frozen=True)
class Sarsa(TabularLearner):
    """SARSA: learn from the action that is taken next.

    Q(s, a) ← Q(s, a) + α (r + γ Q(s', a') − Q(s, a)). Settings as in ``TabularLearner``.

    Source: Rummery and Niranjan, 1994; Sutton and Barto, section 6.4.
    """

    algorithm: ClassVar[int] = SARSA


@dataclass(frozen=True)
class ExpectedSarsa(TabularLearner):
    """Expected SARSA: learn from the mean over the actions that ε-greedy may take next.

    Source: van Seijen, van Hasselt, Whiteson and Wiering, 2009; Sutton and Barto, section 6.6.
    """

    algorithm: ClassVar[int] = EXPECTED_SARSA


@dataclass(frozen=True)
class DoubleQLearning(TabularLearner):
    """Double Q-learning: one table picks the next action, the other estimates its value.

    It acts on the mean of both, which is the table that it returns.

    Source: van Hasselt, *Double Q-learning*, NeurIPS 2010; Sutton and Barto, section 6.7.
    """

    algorithm: ClassVar[int] = DOUBLE_Q


@dataclass(frozen=True)
class QLambda(TabularLearner):
    """Watkins's Q(λ) with replacing traces, cut after exploring actions.

    Args:
        lambda_: decay of the traces, in [0, 1], beside the settings of ``TabularLearner``.

    Source: Watkins, 1989; Sutton and Barto, section 12.10.
    """

    lambda_: float = 0.8

    algorithm: ClassVar[int] = Q_LAMBDA

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number("lambda_", self.lambda_, 0.0, 1.0)

    def _decay(self) -> float:
        return float(self.lambda_)
