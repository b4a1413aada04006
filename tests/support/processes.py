"""Finite Markov decision processes with ``P``, and their plain solution."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Process(gym.Env):
    """An environment that follows its ``P``, as toy-text's do."""

    def __init__(self, transitions, starts):
        self.P = transitions
        self.initial_state_distrib = np.asarray(starts, np.float64)
        self.observation_space = spaces.Discrete(len(transitions))
        self.action_space = spaces.Discrete(len(transitions[0]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        probs = self.initial_state_distrib
        self.state = int(self.np_random.choice(len(probs), p=probs))
        return self.state, {}

    def step(self, action):
        row = self.P[self.state][int(action)]
        drawn = self.np_random.choice(len(row), p=[prob for prob, *_ in row])
        _, self.state, reward, over = row[int(drawn)]
        return self.state, reward, over, False, {}


def random_process(seed, n_states=6, n_actions=3, n_outcomes=3, ending=0.2):
    """A process with random outcomes, of which a share ends the episode."""
    rng = np.random.default_rng(seed)

    def row():
        probs = rng.dirichlet(np.ones(n_outcomes))
        return [
            (float(prob), int(rng.integers(n_states)), float(rng.normal()),
             bool(rng.random() < ending))
            for prob in probs
        ]  # fmt: skip

    transitions = {
        state: {action: row() for action in range(n_actions)} for state in range(n_states)
    }
    return Process(transitions, rng.dirichlet(np.ones(n_states)))


def matrices(transitions):
    """Probabilities of going on (states, actions, states), and expected rewards."""
    n, k = len(transitions), len(transitions[0])
    moves, rewards = np.zeros((n, k, n)), np.zeros((n, k))
    for state, action in itertools.product(range(n), range(k)):
        for prob, successor, reward, over in transitions[state][action]:
            rewards[state, action] += prob * reward
            if not over:
                moves[state, action, successor] += prob
    return moves, rewards


def iterated(transitions, gamma, sweeps=20_000):
    """Value iteration until nothing changes."""
    moves, rewards = matrices(transitions)
    values = np.zeros(len(rewards))
    for _ in range(sweeps):
        after = (rewards + gamma * moves @ values).max(axis=1)
        if (after == values).all():
            break
        values = after
    return values


def solved(transitions, probs, gamma):
    """The value of a policy by a plain linear solve."""
    moves, rewards = matrices(transitions)
    chain = np.einsum("sa,sat->st", probs, moves)
    return np.linalg.solve(np.eye(len(rewards)) - gamma * chain, (probs * rewards).sum(axis=1))
