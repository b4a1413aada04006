from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from support import reference
from support.worlds import small_world

from glitch_agents import (
    DQN,
    DoubleQLearning,
    ExactPlanner,
    ExpectedSarsa,
    ModelBased,
    QLambda,
    QLearning,
    QTable,
    Sarsa,
    Schedule,
    optimality,
    state_values,
)
from glitch_agents.mdp import lifetime_of, tabular_mdp
from glitch_gym.env import GlitchGridEnv
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


def test_double_q_holds_values_and_not_twice_the_values():
    world = small_world(picture=(5, 3))
    table = DoubleQLearning(alpha=1.0, epsilon=1.0).learn(world, episodes=20_000)
    best = state_values(world, 0.95, 1e-9)
    np.testing.assert_allclose(table.by_state.max(axis=1), best, atol=1e-3)


def test_double_q_that_starts_at_a_table_of_values_keeps_them():
    world = small_world(picture=(5, 3))
    planned = ExactPlanner(tolerance=1e-9).learn(world)
    table = DoubleQLearning(alpha=0.5).learn(world, episodes=200, start=planned)
    np.testing.assert_allclose(table.values, planned.values, atol=1e-5)


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
    assert tabular_mdp(env) is None
    table = learner(alpha=0.5, epsilon=0.1, gamma=1.0).learn(env, episodes=600)
    assert episode_return(env, table) >= -19


def lake():
    return gym.make("FrozenLake-v1", is_slippery=False)


def grid():
    return gym.make("GlitchGrid-v0", grid=(4, 3))


@pytest.mark.parametrize("learner", ALL)
def test_observations_that_a_wrapper_changes_are_what_is_learned_on(learner):
    """Read through ``P``, the states are more than the wrapper's two: this was a crash."""
    env = wrappers.TransformObservation(lake(), lambda state: state % 2, spaces.Discrete(2))
    assert tabular_mdp(env) is None
    assert learner().learn(env, episodes=30).values.shape == (2, 1, 4)


@pytest.mark.parametrize("learner", ALL)
@pytest.mark.parametrize("make", [lake, grid])
def test_rewards_that_a_wrapper_changes_are_what_is_learned_from(learner, make):
    env = wrappers.TransformReward(make(), lambda reward: 5.0)
    table = learner(alpha=1.0, gamma=0.0).learn(env, episodes=30)
    # Double Q has the mean of two tables, of which one may not have learned yet
    assert set(np.unique(table.values)) <= {0.0, 2.5, 5.0}
    assert table.values.max() == 5


@pytest.mark.parametrize("make", [lake, grid])
def test_actions_that_a_wrapper_changes_are_what_is_taken(make):
    env = wrappers.TransformAction(make(), lambda action: 3 - action, spaces.Discrete(4))
    table = QLearning(alpha=1.0, epsilon=1.0, gamma=0.0).learn(env, episodes=400)
    plain = QLearning(alpha=1.0, epsilon=1.0, gamma=0.0).learn(make(), episodes=400)
    mirrored = plain.values[..., 3::-1].reshape(table.values.shape)
    np.testing.assert_allclose(table.values, mirrored, atol=1e-6)


@pytest.mark.parametrize("make", [lake, grid])
def test_wrappers_that_change_nothing_leave_the_tables_readable(make):
    env = wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(make(), 7))
    assert tabular_mdp(env) is not None
    assert lifetime_of(env) == 7


def test_a_wrapped_grid_that_is_stepped_gives_a_table_of_its_world():
    env = grid()
    table = QLearning().learn(wrappers.ClipReward(env, 0.0, 1.0), episodes=5)
    assert table.values.shape == env.unwrapped.world.reward_field.shape


def test_an_environment_with_steps_of_its_own_is_stepped():
    class Generous(GlitchGridEnv):
        def step(self, action):
            seen, _, *rest = super().step(action)
            return seen, 7.0, *rest

    table = QLearning(alpha=1.0, gamma=0.0).learn(Generous(grid=(4, 3)), episodes=30)
    assert set(np.unique(table.values)) == {0.0, 7.0}


def test_passengers_who_change_their_minds_are_stepped():
    name = "Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"
    assert tabular_mdp(gym.make(name, fickle_passenger=True)) is None
    assert tabular_mdp(gym.make(name)) is not None


@pytest.mark.parametrize("learner", [ExactPlanner(), ModelBased(), DQN()])
def test_learners_that_cannot_step_refuse_a_wrapper_that_changes_something(learner):
    with pytest.raises(SettingError, match="wrapper TransformReward may change"):
        learner.learn(wrappers.TransformReward(grid(), lambda reward: -reward), episodes=1)


def test_stochastic_problems_draw_their_outcomes():
    env = gym.make("FrozenLake-v1", is_slippery=True)
    mdp = tabular_mdp(env)
    assert mdp.tables.next_state.shape == (16, 12)
    table = QLearning(alpha=Schedule(0.5, 0.01), epsilon=0.3, gamma=0.99).learn(
        env, episodes=60_000
    )
    # The optimal policy's first choices on the slippery 4×4 map: left at the start, up beside it
    assert table.values[0, 0].argmax() == 0
    assert table.values[1, 0].argmax() == 3
    assert abs(table.values[0, 0].max() - 0.542) < 0.06  # the optimal value of the start


def test_other_spaces_are_refused():
    for name in ("CartPole-v1", "MountainCarContinuous-v0"):
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
