"""Tabular learning in vector environments: many agents walk, and learn in one table.

At every step all agents act by the table as it is. Then, one after another in the order of their
numbers, each learns from its step and chooses its next action. Episodes are numbered in the order
in which they begin, the agents that begin at the same time by their numbers; draws are keyed by
(seed, episode, step). A vector environment of one agent therefore teaches what the environment
alone does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from glitch_agents.lessons import Lessons
from glitch_agents.states import MOST_VALUES, checked_rewards, state_index, state_indices
from glitch_agents.td_kernels import (
    ActionValues,
    Rates,
    Rules,
    Walkers,
    begin_episodes,
    learn_tick,
)
from glitch_gym.checks import shown
from glitch_gym.errors import SettingError
from glitch_gym.policy import Policy

__all__ = ["learn_in_vector"]

VectorEnv = gym.vector.VectorEnv[Any, Any, Any]

_PROGRESS_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class _Step:
    """What a step brought to each agent; arrays (agents,)."""

    states: NDArray[np.int64]  # observed after it, which with autoreset may be a new episode's
    final_states: NDArray[np.int64]  # those that the step itself led to
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class _Stepper:
    """A vector environment whose observations are numbers of states."""

    def __init__(self, envs: VectorEnv) -> None:
        self.envs = envs
        self.n = envs.num_envs
        mode = envs.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise SettingError(
                f"a vector environment says in metadata['autoreset_mode'] how it resets: an "
                f"AutoresetMode, not {shown(mode)}"
            )
        self.mode = mode
        self._space = envs.single_observation_space

    def reset(self, **settings: Any) -> NDArray[np.int64]:
        observations, _ = self.envs.reset(**settings)
        return state_indices(self._space, observations, self.n)

    def step(self, actions: NDArray[np.int64]) -> _Step:
        observations, rewards, terminated, truncated, infos = self.envs.step(actions)
        ends = [np.asarray(one) for one in (terminated, truncated)]
        if any(one.shape != (self.n,) or one.dtype.kind != "b" for one in ends):
            raise SettingError(
                f"terminations and truncations must be bool ({self.n},), not {shown(terminated)} "
                f"and {shown(truncated)}"
            )
        states = state_indices(self._space, observations, self.n)
        final = states
        cut = ends[1] & ~ends[0]
        if self.mode is AutoresetMode.SAME_STEP and cut.any():
            final = states.copy()
            for agent in np.flatnonzero(cut):
                try:
                    last = infos["final_obs"][agent]
                except (KeyError, IndexError, TypeError) as error:
                    raise SettingError(
                        "a vector environment that resets in the same step keeps what was observed "
                        "last in infos['final_obs'], which is missing"
                    ) from error
                final[agent] = state_index(self._space, last)
        rewards = checked_rewards(rewards, self.n)
        return _Step(states, final, rewards, ends[0], ends[1])


def learn_in_vector(
    envs: VectorEnv,
    rules: Rules,
    values: ActionValues,
    rates: Callable[[int, int], Rates],
    key: np.uint64,
    lessons: Lessons,
    policy: Callable[[], Policy],
) -> tuple[int, bool]:
    """Learn in a vector environment.

    An episode that the environment does not end within the lifetime counts as ended there; the
    agent begins the next one where it stands.

    Args:
        envs: the vector environment.
        rules: settings of the learner.
        values: values to learn.
        rates: returns the rates of the episodes [first, last).
        key: key of the draws.
        lessons: the episodes to run, and whom to tell.
        policy: returns the greedy policy of what has been learned so far.

    Returns:
        the number of episodes that were run, and whether Ctrl-C cut them short.

    Raises:
        SettingError: the environment does not keep to Gymnasium's rules, or its traces would fill
            the memory.
    """
    stepper = _Stepper(envs)
    n, episodes = stepper.n, lessons.episodes
    walkers = _walkers(n)
    state_arrays = tuple(walkers)
    traces = _traces(n, rules, values.q.size)
    plain = tuple(rules), tuple(values)
    ended, begins = np.zeros(n, np.bool_), np.ones(n, np.bool_)
    returns = np.zeros(n)
    begun = done = 0

    def begin(agents: NDArray[np.bool_]) -> int:
        count = min(int(agents.sum()), episodes - begun)
        own = tuple(rates(begun, begun + count))
        begin_episodes(*plain, state_arrays, agents, own, key, begun)
        return begun + count

    walkers.states[:] = stepper.reset(seed=lessons.seed)
    begun = begin(begins)
    waiting = np.zeros(n, np.bool_)
    told = time.perf_counter()
    try:
        while done < episodes:
            step = stepper.step(walkers.actions.copy())
            learning = walkers.active.copy()
            tick = (step.final_states, step.rewards, step.terminated, step.truncated)
            learn_tick(*plain, traces, state_arrays, tick, ended)
            returns += np.where(learning, step.rewards, 0.0)
            over = step.terminated | step.truncated
            begins = ended & ~over
            walkers.active[ended] = False
            if stepper.mode is AutoresetMode.SAME_STEP:
                begins = ended
                walkers.states[over] = step.states[over]
            elif stepper.mode is AutoresetMode.NEXT_STEP:
                # This step was the reset of those that waited
                begins = begins | waiting
                walkers.states[waiting] = step.states[waiting]
                waiting = ended & over
            elif over.any():
                fresh = stepper.reset(options={"reset_mask": over})
                begins = ended
                walkers.states[over] = fresh[over]
            walkers.actions[ended] = 0
            before = done
            done += int(ended.sum())
            lessons.count({
                "steps": int(learning.sum()),
                "ended": done - before,
                "return": float(returns[ended].sum()),
            })  # fmt: skip
            returns[ended] = 0.0
            if begins.any():
                begun = begin(begins)
            if done > before:
                lessons.report(before, done, policy)
            now = time.perf_counter()
            if lessons.progress is not None and (
                now - told > _PROGRESS_SECONDS or done == episodes
            ):
                lessons.progress(done, episodes)
                told = now
    except KeyboardInterrupt:
        return done, True
    return done, False


def _walkers(n: int) -> Walkers:
    return Walkers(
        states=np.zeros(n, np.int64),
        actions=np.zeros(n, np.int64),
        keys=np.zeros(n, np.uint64),
        steps=np.zeros(n, np.int64),
        alphas=np.zeros(n),
        epsilons=np.zeros(n),
        active=np.zeros(n, np.bool_),
    )


def _traces(n: int, rules: Rules, n_values: int) -> tuple[NDArray[Any], ...]:
    """Return the fields of ``Traces`` with a row for each agent."""
    most = min(rules.lifetime, n_values) if rules.lambda_ > 0 else 1
    if n * most > MOST_VALUES:
        raise SettingError(
            f"{n:,} agents with up to {most:,} traces each are too many for Q(λ): take fewer "
            f"agents, or shorter episodes"
        )
    shape = (n, most)
    return (
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape),
        np.zeros((n, 1), np.int64),
    )
