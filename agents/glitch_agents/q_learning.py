"""Tabular Q-learning, compiled: the post's learner.

Source: Watkins and Dayan, *Q-learning*, Machine Learning 8, 1992; Sutton and Barto, *Reinforcement
Learning*, second edition, section 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glitch_agents.learning import Progress, in_chunks
from glitch_agents.policy import QTable
from glitch_agents.problem import Problem, outcome, start_state
from glitch_agents.temporal_difference import Q_LEARNING, TabularLearner
from glitch_gym.compilation import compiled
from glitch_gym.randomness import below, derive_key, draw, stream, unit

__all__ = ["QLearning"]

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
    cumulative: NDArray[np.float64],
    starts: NDArray[np.int32],
    start_cumulative: NDArray[np.float64],
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
    n_outcomes = next_state.shape[1] // n_actions
    for index in range(alphas.shape[0]):
        alpha = alphas[index]
        epsilon = epsilons[index]
        episode = stream(key, first + index)
        state = start_state(starts, start_cumulative, draw(episode, 0))
        for step in range(lifetime):
            if unit(draw(episode, 2 * step + 1)) < epsilon:
                action = below(draw(episode, 2 * step + 2), n_actions)
            else:
                skip = 0
                if not first_ties and n_best[state] > 1:
                    skip = below(draw(episode, 2 * step + 2), n_best[state])
                action = _choose(ties, state, skip)
            place = outcome(cumulative, n_outcomes, state, action, episode, step)
            there = int(next_state[state, place])
            target = np.float64(rewards[state, place])
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
class QLearning(TabularLearner):
    """Vanilla tabular Q-learning with ε-greedy behaviour.

    Q(s, a) ← Q(s, a) + α (r + γ max Q(s', ·) − Q(s, a)). An episode starts on a random cell of the
    picture and ends when the agent leaves it or has lived its lifetime; truncation is no end of
    the problem, so the last step still counts the value of the cell it leads to. Settings as in
    ``TabularLearner``; the post's are α .1, ε .1 and first ties.
    """

    algorithm: ClassVar[int] = Q_LEARNING

    def _learn_tables(
        self,
        problem: Problem,
        lifetime: int,
        episodes: int,
        seed: int,
        progress: Progress | None,
    ) -> QTable:
        n_states, n_actions = len(problem.next_state), problem.n_actions
        q = np.full((n_states, n_actions), self.initial, np.float32)
        best = np.full(n_states, self.initial, np.float32)
        n_best = np.full(n_states, n_actions, np.int32)
        ties = np.zeros((n_states, (n_actions + 63) // 64), np.uint64)
        for action in range(n_actions):
            ties[:, action // 64] |= np.uint64(1) << np.uint64(action % 64)
        alphas, epsilons = self._rates(max(episodes, 1))
        key = derive_key(seed, "q_learning")

        def run(first: int, last: int) -> None:
            _learn(
                problem.next_state,
                problem.rewards,
                problem.cumulative,
                problem.starts,
                problem.start_cumulative,
                q,
                best,
                n_best,
                ties,
                alphas[first:last],
                epsilons[first:last],
                float(self.gamma),
                lifetime,
                self.ties == "first",
                key,
                first,
            )

        done, cut = in_chunks(run, episodes, progress)
        return self._finish(q, problem.shape, seed, done, cut)
