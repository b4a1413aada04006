"""Tabular Q-learning, compiled: the post's learner.

Source: Watkins and Dayan, *Q-learning*, Machine Learning 8, 1992; Sutton and Barto, *Reinforcement
Learning*, second edition, section 6.5.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glitch_agents.lessons import Figures, Lessons
from glitch_agents.mdp import MDPTables, TabularMDP, start_state
from glitch_agents.policy import QTable
from glitch_agents.td_kernels import Rates, Rules
from glitch_agents.temporal_difference import Q_LEARNING, TabularLearner
from glitch_gym.compilation import borrowing
from glitch_gym.randomness import below, derive_key, draw, stream, unit

__all__ = ["QLearning"]

# The place of the only bit that is set in a word: multiplying by a de Bruijn sequence brings a
# different six bits to the top for each (Leiserson, Prokop and Randall, 1998)
_DE_BRUIJN = 0x03F79D71B4CB0A89
_PLACES = np.zeros(64, np.int64)
_PLACES[[((_DE_BRUIJN << place) & (2**64 - 1)) >> 58 for place in range(64)]] = np.arange(64)
_SEQUENCE = np.uint64(_DE_BRUIJN)
_ZERO, _ONE, _TWO, _FOUR, _S56, _S58 = (np.uint64(n) for n in (0, 1, 2, 4, 56, 58))
# Masks of the parallel count of set bits (Wilkes, Wheeler and Gill, 1957)
_FIVES, _THREES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_NIBBLES, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


ValueRows = namedtuple("ValueRows", ["table", "ties"])
ValueRows.__doc__ = """Action values, with what one step needs side by side.

So neither the target nor the choice scans the actions; only a state whose last best action got
worse is looked through again.

Args:
    table: float32 (n_states, 2 · n_actions + 2), each row a state's highest value, a gap, and then
        value and reward of each action in turn.
    ties: uint64 (n_states, n_words), a bit for each action that has the highest value.
"""


@borrowing
def _count(ties: NDArray[np.uint64], state: int) -> int:
    count = 0
    for word in range(ties.shape[1]):
        bits = ties[state, word]
        bits = bits - ((bits >> _ONE) & _FIVES)
        bits = (bits & _THREES) + ((bits >> _TWO) & _THREES)
        bits = (bits + (bits >> _FOUR)) & _NIBBLES
        count += int(np.int64((bits * _BYTES) >> _S56))
    return count


@borrowing
def _choose(ties: NDArray[np.uint64], state: int, skip: int) -> int:
    """Return the action whose bit is set after ``skip`` others in a state's row.

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


@borrowing
def _highest(table: NDArray[np.float32], state: int, n_actions: int) -> np.float32:
    """Return the highest value of a state: four maxima side by side, so that none waits."""
    a = b = c = d = table[state, 2]
    whole = n_actions & ~3
    for place in range(2, 2 * whole + 2, 8):
        a = max(a, table[state, place])
        b = max(b, table[state, place + 2])
        c = max(c, table[state, place + 4])
        d = max(d, table[state, place + 6])
    for action in range(whole, n_actions):
        a = max(a, table[state, 2 * action + 2])
    return max(max(a, b), max(c, d))


@borrowing
def _learn(
    mdp: MDPTables,
    move_of: NDArray[np.int64],
    rules: Rules,
    rows: ValueRows,
    rates: Rates,
    key: np.uint64,
    first: int,
) -> int:
    """Run the episodes first, first + 1, …, one for each of the rates; return their steps.

    Args:
        mdp: the tables, with a column of ``next_state`` for each move; rewards are in the rows.
        move_of: move of each action.
        rules: settings of the learner.
        rows: values to learn.
        rates: rates of the episodes.
        key: key of the draws.
        first: number of the first episode.
    """
    successors = mdp.next_state
    table, ties = rows
    gamma, lifetime, first_ties = rules.gamma, rules.lifetime, rules.first_ties
    n_actions = move_of.shape[0]
    n_words = ties.shape[1]
    steps = 0
    for index in range(rates.alphas.shape[0]):
        alpha = rates.alphas[index]
        epsilon = rates.epsilons[index]
        episode = stream(key, first + index)
        state = start_state(mdp, draw(episode, 0))
        step = 0
        for step in range(lifetime):
            if unit(draw(episode, 2 * step + 1)) < epsilon:
                action = below(draw(episode, 2 * step + 2), n_actions)
            else:
                skip = 0
                if not first_ties:
                    skip = below(draw(episode, 2 * step + 2), _count(ties, state))
                action = _choose(ties, state, skip)
            next_state = int(successors[state, move_of[action]])
            place = 2 * action + 2
            target = np.float64(table[state, place + 1])
            if next_state >= 0:
                target += gamma * np.float64(table[next_state, 0])
            old = table[state, place]
            new = np.float32(old + alpha * (target - old))
            table[state, place] = new
            top = table[state, 0]
            word, bit = action >> 6, _ONE << np.uint64(action & 63)
            if new > top:
                table[state, 0] = new
                for other in range(n_words):
                    ties[state, other] = _ZERO
                ties[state, word] = bit
            elif new == top:
                ties[state, word] |= bit
            elif old == top:
                ties[state, word] ^= bit
                left = _ZERO
                for other in range(n_words):
                    left |= ties[state, other]
                if left == _ZERO:
                    top = _highest(table, state, n_actions)
                    table[state, 0] = top
                    for other in range(n_actions):
                        same = np.uint64(table[state, 2 * other + 2] == top)
                        ties[state, other >> 6] |= same << np.uint64(other & 63)
            if next_state < 0:
                break
            state = next_state
        steps += step + 1
    return steps


@dataclass(frozen=True)
class QLearning(TabularLearner):
    """Vanilla tabular Q-learning with ε-greedy behaviour.

    Q(s, a) ← Q(s, a) + α (r + γ max Q(s', ·) − Q(s, a)). An episode starts on a random cell of the
    picture and ends when the agent leaves it or has lived its lifetime; truncation does not end
    the task, so the last step still counts the value of the cell it leads to. Settings as in
    ``TabularLearner``; the post's are α .1, ε .1 and first ties.
    """

    algorithm: ClassVar[int] = Q_LEARNING

    def _learn_tables(
        self,
        mdp: TabularMDP,
        lifetime: int,
        course: Lessons,
        start: NDArray[np.float32],
    ) -> QTable:
        n_states, n_actions = len(mdp.tables.next_state), mdp.n_actions
        if mdp.tables.next_state.shape[1] != n_actions:
            # Actions with several outcomes: the textbook's loop draws them
            return super()._learn_tables(mdp, lifetime, course, start)
        table = np.empty((n_states, 2 * n_actions + 2), np.float32)
        table[:, 0] = start.max(axis=1)
        table[:, 2::2] = start
        table[:, 3::2] = mdp.tables.rewards
        ties = np.zeros((n_states, (n_actions + 63) // 64), np.uint64)
        for action in range(n_actions):
            best = (start[:, action] == table[:, 0]).astype(np.uint64)
            ties[:, action // 64] |= best << np.uint64(action % 64)
        successors = np.ascontiguousarray(mdp.tables.next_state[:, : mdp.n_moves])
        tables = mdp.tables._replace(next_state=successors)
        move_of = np.arange(n_actions) % mdp.n_moves
        rows = ValueRows(table, ties)
        rules = self._rules(lifetime)
        key = derive_key(course.seed, "q_learning")

        def run(first: int, last: int) -> Figures:
            rates = self._rates(first, last, course.episodes)
            return {"steps": _learn(tables, move_of, rules, rows, rates, key, first)}

        learned = table[:, 2::2]
        done, cut = course.give(run, self._policy(learned, mdp.shape))
        return self._finish(learned.copy(), mdp.shape, course.seed, done, cut)
