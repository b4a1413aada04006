from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from support import reference
from support.worlds import small_world

from glitch_agents import (
    DoubleQLearning,
    ExpectedSarsa,
    QLambda,
    QLearning,
    QTable,
    Sarsa,
    Schedule,
    optimality,
)
from glitch_agents.problem import problem_of
from glitch_gym.errors import SettingError
from glitch_gym.randomness import derive_key

TEXTBOOK = [Sarsa, ExpectedSarsa, DoubleQLearning, QLambda]
ALL = [QLearning, *TEXTBOOK]


@pytest.mark.parametrize("learner", TEXTBOOK)
@pytest.mark.parametrize("ties", ["random", "first"])
@pytest.mark.parametrize("rates", [(0.1, 0.1, 0.95), (1.0, 0.5, 0.9), (0.5, 0.02, 1.0)])
@pytest.mark.parametrize("quantum", [None, 0.5])
def test_learning_matches_the_plain_version_step_for_step(learner, ties, rates, quantum):
    world = small_world(quantum=quantum)
    alpha, epsilon, gamma = rates
    table = learner(alpha=alpha, epsilon=epsilon, gamma=gamma, ties=ties).learn(
        world, episodes=250, seed=6
    )
    expected = reference.temporal_difference(
        learner.__name__,
        world,
        episodes=250,
        lifetime=20,
        alpha=alpha,
        epsilon=epsilon,
        gamma=gamma,
        ties=ties,
        key=derive_key(6, learner.__name__),
    )
    np.testing.assert_array_equal(table.by_state, expected)


@pytest.mark.parametrize("learner", ALL)
def test_every_learner_comes_near_the_optimum_of_a_small_world(learner):
    world = small_world(picture=(5, 3))
    table = learner(alpha=0.3, epsilon=Schedule(1.0, 0.0)).learn(world, episodes=30_000)
    # SARSA is bound to what it did while it explored, and this world has rewards to go round for
    assert optimality(world, table) > (0.6 if learner is Sarsa else 0.97)


class WithoutP(gym.Wrapper):
    """An environment that can only be stepped."""

    @property
    def unwrapped(self):
        return self


def episode_return(env, table, limit=300):
    state, _ = env.reset(seed=5)
    total = 0
    for _ in range(limit):
        state, reward, terminated, truncated, _ = env.step(int(table.act(np.array([state]))[0]))
        total += reward
        if terminated or truncated:
            break
    return total


FADING = {"epsilon": Schedule(1.0, 0.0, over=0.9)}


@pytest.mark.parametrize(
    ("learner", "settings"),
    [
        (QLearning, FADING),
        (DoubleQLearning, FADING),
        (QLambda, FADING),
        # On-policy: it learns what ε-greedy can have, so ε must be near 0 for the edge to be safe
        (ExpectedSarsa, {"epsilon": 0.001}),
    ],
)
def test_cliff_walking_is_solved_to_the_optimum_through_its_p(learner, settings):
    env = gym.make("CliffWalking-v1")
    table = learner(alpha=0.5, gamma=1.0, **settings).learn(env, episodes=40_000)
    assert table.values.shape == (48, 1, 4)
    assert episode_return(env, table) == -13


def test_sarsa_that_goes_on_exploring_keeps_away_from_the_cliff():
    env = gym.make("CliffWalking-v1")
    table = Sarsa(alpha=0.1, epsilon=0.1, gamma=1.0).learn(env, episodes=20_000)
    assert -19 <= episode_return(env, table) < -13


def optimal_values(transitions, gamma):
    """Value iteration over a deterministic P, until nothing changes."""
    outcomes = np.array([[row[action][0] for action in range(len(row))]
                         for _, row in sorted(transitions.items())])  # fmt: skip
    there, rewards, over = outcomes[:, :, 1].astype(int), outcomes[:, :, 2], outcomes[:, :, 3]
    values = np.zeros(len(there))
    for _ in range(1000):
        values = (rewards + gamma * (1 - over) * values[there]).max(axis=1)
    return values


@pytest.mark.parametrize("learner", ALL)
def test_taxi_is_solved_to_the_optimum_through_its_p(learner):
    env = gym.make("Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3")
    table = learner(alpha=0.1, **FADING).learn(env, episodes=100_000)
    optimum = optimal_values(env.unwrapped.P, 0.95)
    starts = np.flatnonzero(env.unwrapped.initial_state_distrib)
    returns = []
    for start in starts:
        state, total = int(start), 0.0
        for step in range(60):
            action = int(table.act(np.array([state]))[0])
            ((_, state, reward, over),) = env.unwrapped.P[state][action]
            total += 0.95**step * reward
            if over:
                break
        returns.append(total)
    np.testing.assert_allclose(np.mean(returns), optimum[starts].mean(), atol=0.02)


@pytest.mark.parametrize("learner", ALL)
def test_environments_without_p_are_stepped(learner):
    env = WithoutP(gym.make("CliffWalking-v1", max_episode_steps=200))
    assert problem_of(env) is None
    table = learner(alpha=0.5, epsilon=0.1, gamma=1.0).learn(env, episodes=600)
    assert episode_return(env, table) >= -19


def test_stochastic_problems_draw_their_outcomes():
    env = gym.make("FrozenLake-v1", is_slippery=True)
    problem = problem_of(env)
    assert problem.next_state.shape == (16, 12)
    table = QLearning(alpha=Schedule(0.5, 0.01), epsilon=0.3, gamma=0.99).learn(
        env, episodes=60_000
    )
    # The optimal policy's first choices on the slippery 4×4 map: left at the start, up beside it
    assert table.values[0, 0].argmax() == 0
    assert table.values[1, 0].argmax() == 3
    assert abs(table.values[0, 0].max() - 0.542) < 0.06  # the optimal value of the start


def test_other_spaces_are_refused():
    for name in ("CartPole-v1", "Blackjack-v1"):
        with pytest.raises(SettingError, match="Discrete"):
            Sarsa().learn(gym.make(name), episodes=1)
    with pytest.raises(SettingError, match="episodes"):
        Sarsa().learn(small_world(), episodes=0)
    with pytest.raises(SettingError, match="lambda_"):
        QLambda(lambda_=2)


def test_tables_are_policies_of_their_env():
    table = Sarsa().learn(gym.make("FrozenLake-v1"), episodes=10)
    assert isinstance(table, QTable)
    assert table.act(np.arange(16)).max() < 4
