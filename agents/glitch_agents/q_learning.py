"""Tabular Q-learning, compiled: the post's learner.

Source: Watkins and Dayan, *Q-learning*, Machine Learning 8, 1992; Sutton and Barto, *Reinforcement
Learning*, second edition, section 6.5.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import Policy, QTable, Ties
from glitch_agents.schedule import Schedule, as_schedule
from glitch_gym.compilation import compiled
from glitch_gym.dynamics import GridWorld
from glitch_gym.env import LIFETIME
from glitch_gym.errors import SettingError
from glitch_gym.randomness import below, derive_key, draw, stream, unit

__all__ = ["Learner", "Progress", "QLearning", "lifetime_of", "world_of"]

Progress = Callable[[int, int], None]
"""Called with the episodes that are done and the episodes in all."""

# Long enough that the calls cost nothing, short enough that Ctrl-C and the bar feel immediate.
_CHUNK_SECONDS = 0.05


class Learner(Protocol):
    """Anything that makes a policy from an environment."""

    def learn(
        self, env: Any, *, episodes: int, seed: int = 0, progress: Progress | None = None
    ) -> Policy:
        """Learn for a number of episodes."""
        ...


def world_of(env: gym.Env[Any, Any] | GridWorld) -> GridWorld:
    """Give the grid world behind an environment.

    Raises:
        SettingError: the environment has none.
    """
    world = env if isinstance(env, GridWorld) else getattr(env.unwrapped, "world", None)
    if not isinstance(world, GridWorld):
        raise SettingError(f"this learner needs a GlitchGrid environment, not {env!r}")
    return world


def lifetime_of(env: gym.Env[Any, Any] | GridWorld) -> int:
    """Give the steps after which an environment truncates; the post's 20 where it never does."""
    if isinstance(env, GridWorld):
        return LIFETIME
    limits = [getattr(env.unwrapped, "lifetime", None)]
    if env.spec is not None:
        limits.append(env.spec.max_episode_steps)
    return min((limit for limit in limits if limit is not None), default=LIFETIME)


# The place of the only bit that is set in a word: multiplying by a de Bruijn sequence brings a
# different six bits to the top for each (Leiserson, Prokop and Randall, 1998)
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACES = np.zeros(64, np.int64)
for _place in range(64):
    _PLACES[((_DE_BRUIJN << _place) & (2**64 - 1)) >> 58] = _place
_SEQUENCE = np.uint64(_DE_BRUIJN)
_ZERO, _ONE, _S58 = np.uint64(0), np.uint64(1), np.uint64(58)


@compiled
def _choose(ties: NDArray[np.uint64], state: int, skip: int) -> int:
    """Give the action whose bit is set after ``skip`` others in a state's row.

    Here as below rows are never sliced: a slice counts a reference, which costs more than the step.
    """
    for word in range(ties.shape[1]):
        bits = ties[state, word]
        while bits != _ZERO:
            lowest = bits & (~bits + _ONE)
            if skip == 0:
                return 64 * word + int(_PLACES[(lowest * _SEQUENCE) >> _S58])
            skip -= 1
            bits ^= lowest
    return 0


@compiled
def _learn(
    next_state: NDArray[np.int32],
    rewards: NDArray[np.float32],
    starts: NDArray[np.int32],
    q: NDArray[np.float32],
    best: NDArray[np.float32],
    n_best: NDArray[np.int32],
    ties: NDArray[np.uint64],
    alphas: NDArray[np.float64],
    epsilons: NDArray[np.float64],
    gamma: float,
    lifetime: int,
    first_ties: bool,
    key: np.uint64,
    first: int,
) -> None:
    """Run the episodes first, first + 1, …, one per entry of ``alphas``, updating q in place.

    ``best``, ``n_best`` and ``ties`` hold each state's highest value, how many actions share it and
    which, a bit for each: neither the target nor the choice scans the actions. Only a state whose
    last best action got worse is looked through again.
    """
    n_actions = q.shape[1]
    n_words = ties.shape[1]
    for index in range(alphas.shape[0]):
        alpha = alphas[index]
        epsilon = epsilons[index]
        episode = stream(key, first + index)
        state = starts[below(draw(episode, 0), starts.shape[0])]
        for step in range(lifetime):
            if unit(draw(episode, 2 * step + 1)) < epsilon:
                action = below(draw(episode, 2 * step + 2), n_actions)
            else:
                skip = 0
                if not first_ties and n_best[state] > 1:
                    skip = below(draw(episode, 2 * step + 2), n_best[state])
                action = _choose(ties, state, skip)
            there = next_state[state, action]
            target = np.float64(rewards[state, action])
            if there >= 0:
                target += gamma * np.float64(best[there])
            old = q[state, action]
            new = np.float32(old + alpha * (target - old))
            q[state, action] = new
            top = best[state]
            bit = _ONE << np.uint64(action & 63)
            if new > top:
                best[state] = new
                n_best[state] = 1
                for word in range(n_words):
                    ties[state, word] = _ZERO
                ties[state, action >> 6] = bit
            elif new == top:
                if old != top:
                    n_best[state] += 1
                    ties[state, action >> 6] |= bit
            elif old == top:
                n_best[state] -= 1
                ties[state, action >> 6] ^= bit
                if n_best[state] == 0:
                    top = q[state, 0]
                    for other in range(1, n_actions):
                        top = max(top, q[state, other])
                    best[state] = top
                    for other in range(n_actions):
                        if q[state, other] == top:
                            n_best[state] += 1
                            ties[state, other >> 6] |= _ONE << np.uint64(other & 63)
            if there < 0:
                break
            state = there


@dataclass(frozen=True)
class QLearning:
    """Vanilla tabular Q-learning with ε-greedy behaviour.

    Q(s, a) ← Q(s, a) + α (r + γ max Q(s', ·) − Q(s, a)). An episode starts on a random cell of the
    picture and ends when the agent leaves it or has lived its lifetime; truncation is no end of
    the problem, so the last step still counts the value of the cell it leads to.

    Args:
        alpha: learning rate in [0, 1], a number or a schedule over the episodes.
        gamma: discount in [0, 1].
        epsilon: probability of a random action, a number or a schedule.
        initial: value of every action before it is tried.
        ties: among equal best actions take one at ``"random"`` or the ``"first"``, as in the post.

    Raises:
        SettingError: a value out of its range.
    """

    alpha: float | Schedule = 0.1
    gamma: float = 0.95
    epsilon: float | Schedule = 0.1
    initial: float = 0.0
    ties: Ties = "random"

    def __post_init__(self) -> None:
        as_schedule(self.alpha, "alpha", 0, 1)
        as_schedule(self.epsilon, "epsilon", 0, 1)
        if not 0 <= self.gamma <= 1:
            raise SettingError(f"gamma must lie in 0…1, not {self.gamma!r}")
        if not np.isfinite(self.initial):
            raise SettingError(f"initial must be a finite number, not {self.initial!r}")
        if self.ties not in ("random", "first"):
            raise SettingError(f"ties must be 'random' or 'first', not {self.ties!r}")

    def learn(
        self,
        env: gym.Env[Any, Any] | GridWorld,
        *,
        episodes: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> QTable:
        """Learn for a number of episodes; on Ctrl-C, give what has been learned so far.

        Args:
            env: a GlitchGrid environment, wrapped or not, or its world.
            episodes: at least 1.
            seed: of starting cells, exploration and ties.
            progress: called now and then with (episodes done, episodes).

        Returns:
            the table; ``interrupted`` is true if Ctrl-C cut learning short.

        Raises:
            SettingError: no episodes, or an environment of another kind.
        """
        if episodes < 1:
            raise SettingError(f"episodes must be at least 1, not {episodes!r}")
        world = world_of(env)
        lifetime = lifetime_of(env)
        alpha = as_schedule(self.alpha, "alpha", 0, 1)
        epsilon = as_schedule(self.epsilon, "epsilon", 0, 1)
        shape = world.next_state.shape
        q = np.full(shape, self.initial, np.float32)
        best = np.full(shape[0], self.initial, np.float32)
        n_best = np.full(shape[0], shape[1], np.int32)
        ties = np.zeros((shape[0], (shape[1] + 63) // 64), np.uint64)
        for action in range(shape[1]):
            ties[:, action // 64] |= np.uint64(1) << np.uint64(action % 64)
        key = derive_key(seed, "q_learning")
        done = 0
        chunk = 64
        interrupted = False
        try:
            while done < episodes:
                last = min(done + chunk, episodes)
                began = time.perf_counter()
                _learn(
                    world.next_state,
                    world.rewards,
                    world.picture_cells,
                    q,
                    best,
                    n_best,
                    ties,
                    alpha.values(done, last, episodes),
                    epsilon.values(done, last, episodes),
                    float(self.gamma),
                    lifetime,
                    self.ties == "first",
                    key,
                    done,
                )
                if time.perf_counter() - began < _CHUNK_SECONDS / 2:
                    chunk *= 2
                done = last
                if progress is not None:
                    progress(done, episodes)
        except KeyboardInterrupt:
            interrupted = True
        return QTable(
            q.reshape(world.reward_field.shape),
            ties=self.ties,
            seed=seed,
            episodes=done,
            interrupted=interrupted,
        )
