"""Tabular learning in vector environments, on any discrete observations, and figures on the way."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers
from support.worlds import small_world

from glitch_agents import (
    DQN,
    DoubleQLearning,
    ExpectedSarsa,
    ModelBased,
    QLambda,
    QLearning,
    QTable,
    Sarsa,
    Schedule,
    expected_return,
    optimal_return,
    optimality,
    state_index,
)
from glitch_agents.mdp import tabular_mdp
from glitch_gym.errors import SettingError

ALL = [QLearning, Sarsa, ExpectedSarsa, DoubleQLearning, QLambda]
MODES = list(AutoresetMode)


def grid():
    return gym.make("GlitchGrid-v0", grid=(6, 5), max_episode_steps=9)


def cliff():
    return gym.make("CliffWalking-v1", max_episode_steps=60)


def clipped(make):
    """An environment that must be stepped: a wrapper may change what its tables say."""
    return lambda: wrappers.TransformReward(make(), float)


@pytest.mark.parametrize("learner", ALL)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [grid, cliff])
def test_a_vector_environment_of_one_teaches_what_the_environment_does(learner, mode, make):
    alone = learner(epsilon=0.3).learn(clipped(make)(), episodes=40, seed=4)
    envs = SyncVectorEnv([clipped(make)], autoreset_mode=mode)
    together = learner(epsilon=0.3).learn(envs, episodes=40, seed=4)
    np.testing.assert_array_equal(together.by_state, alone.by_state)
    assert together.values.any()


@pytest.mark.parametrize("mode", MODES)
def test_many_agents_learn_in_one_table_and_the_same_again(mode):
    def learned():
        envs = SyncVectorEnv([clipped(cliff)] * 7, autoreset_mode=mode)
        table = ExpectedSarsa(alpha=0.5, epsilon=0.05, gamma=1.0).learn(envs, episodes=900, seed=1)
        return table.values

    values = learned()
    np.testing.assert_array_equal(values, learned())
    env, steps, over = cliff(), 0, False
    state, _ = env.reset(seed=0)
    while not over and steps < 60:
        state, _, over, _, _ = env.step(int(values[state, 0].argmax()))
        steps += 1
    assert 13 <= steps <= 17


def test_a_wrapped_grid_of_many_agents_comes_near_the_optimum():
    plain = gym.make_vec("GlitchGrid-v0", num_envs=64, grid=(6, 5))
    world = plain.unwrapped.world  # type: ignore[attr-defined]
    envs = vector_wrappers.TransformReward(plain, lambda rewards: rewards)
    assert tabular_mdp(envs) is None
    table = QLearning(alpha=1.0, epsilon=1.0).learn(envs, episodes=4000)
    assert table.values.shape == world.reward_field.shape
    assert optimality(world, table) > 0.999


def test_our_own_vector_environment_is_read_through_its_tables():
    envs = gym.make_vec("GlitchGrid-v0", num_envs=3, max_episode_steps=9, grid=(6, 5))
    table = QLearning().learn(envs, episodes=50, seed=2)
    np.testing.assert_array_equal(
        table.values, QLearning().learn(grid(), episodes=50, seed=2).values
    )


def test_an_environment_without_a_limit_has_episodes_of_the_longest_lifetime():
    class Endless(gym.Env):
        observation_space = spaces.Discrete(2)
        action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return int(action), 1.0, False, False, {}

    seen: list[dict[str, float]] = []
    QLambda().learn(SyncVectorEnv([Endless] * 2), episodes=4, on_step=seen.append, every=4)
    assert seen[-1]["steps"] == 4000
    assert seen[-1]["training_return"] == 1000


def broken(change):
    """A vector environment that breaks a rule of Gymnasium's."""

    class Broken(gym.vector.VectorEnv):
        num_envs = 2
        metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP}
        single_observation_space = spaces.Discrete(3)
        single_action_space = spaces.Discrete(2)
        answer: ClassVar = {
            "seen": np.array([0, 1]),
            "rewards": np.zeros(2),
            "over": np.zeros(2, bool),
            "cut": np.zeros(2, bool),
            "infos": {},
        } | change  # fmt: skip

        def reset(self, *, seed=None, options=None):
            return np.array([0, 1]), {}

        def step(self, actions):
            return tuple(self.answer.values())

    return Broken()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": np.array([0, 3])}, "outside Discrete"),
        ({"seen": np.array([0, -1])}, "outside Discrete"),
        ({"seen": np.array([0.0, 1.0])}, "observations of 2 agents"),
        ({"seen": np.array([0])}, "observations of 2 agents"),
        ({"rewards": np.array([0, np.nan])}, "reward of agent 1"),
        ({"rewards": np.zeros(3)}, "rewards of a step must be 2"),
        ({"over": np.zeros(3, bool)}, "terminations and truncations"),
        ({"over": np.zeros(2)}, "terminations and truncations"),
        ({"cut": np.ones(2, bool)}, "final_obs"),
        ({"cut": np.ones(2, bool), "infos": {"final_obs": [5, 0]}}, "outside Discrete"),
    ],
)
def test_a_vector_environment_that_breaks_the_rules_is_refused(change, message):
    with pytest.raises(SettingError, match=message):
        QLambda().learn(broken(change), episodes=5)


def test_a_vector_environment_says_how_it_resets():
    envs = broken({})
    envs.metadata = {}
    with pytest.raises(SettingError, match="autoreset_mode"):
        Sarsa().learn(envs, episodes=5)


def test_states_are_numbered_as_in_an_array():
    pair = spaces.Tuple([spaces.Discrete(4), spaces.Discrete(3)])
    several = spaces.MultiDiscrete([4, 3])
    numbers = [state_index(pair, (row, col)) for row in range(4) for col in range(3)]
    assert numbers == list(range(12))
    assert state_index(several, np.array([2, 1])) == 7
    assert state_index(spaces.Discrete(5), np.int64(3)) == 3
    for wrong in ((4, 0), (0, 3), (-1, 0), (0,), 5, (0.5, 0)):
        with pytest.raises(SettingError, match="outside"):
            state_index(pair, wrong)
    for space in (spaces.Discrete(3, start=1), spaces.MultiDiscrete([[2, 2]]),
                  spaces.Tuple([spaces.Box(0, 1)]), spaces.MultiBinary(3)):  # fmt: skip
        with pytest.raises(SettingError, match="tabular learner needs"):
            state_index(space, 0)


@pytest.mark.parametrize("several", [False, True])
def test_observations_of_several_numbers_teach_what_one_number_does(several):
    def split():
        inner = wrappers.TransformReward(cliff(), float)
        if several:
            space: gym.Space[Any] = spaces.MultiDiscrete([4, 12])
            return wrappers.TransformObservation(inner, lambda s: np.array(divmod(s, 12)), space)
        space = spaces.Tuple([spaces.Discrete(4), spaces.Discrete(12)])
        return wrappers.TransformObservation(inner, lambda s: divmod(s, 12), space)

    plain = QLearning(epsilon=0.3).learn(clipped(cliff)(), episodes=30, seed=3)
    table = QLearning(epsilon=0.3).learn(split(), episodes=30, seed=3)
    np.testing.assert_array_equal(table.values, plain.values)
    envs = SyncVectorEnv([split])
    together = QLearning(epsilon=0.3).learn(envs, episodes=30, seed=3)
    np.testing.assert_array_equal(together.values, plain.values)


@pytest.mark.slow
def test_blackjack_is_learned():
    """The best policy loses .046 a hand, one that stands at 20 and 21 only loses .35."""
    envs = gym.make_vec("Blackjack-v1", num_envs=32, sab=True)
    learner = ExpectedSarsa(alpha=Schedule(0.1, 0.001), epsilon=Schedule(1.0, 0.1), gamma=1.0)
    table = learner.learn(envs, episodes=300_000, seed=1)
    space = envs.single_observation_space
    env = gym.make("Blackjack-v1", sab=True)
    best = table.by_state.argmax(axis=1)
    total, hands = 0.0, 30_000
    observation, _ = env.reset(seed=3)
    for _ in range(hands):
        over = False
        while not over:
            observation, reward, over, _, _ = env.step(int(best[state_index(space, observation)]))
            total += float(reward)
        observation, _ = env.reset()
    assert total / hands > -0.06, total / hands


@pytest.mark.parametrize("learner", ALL)
def test_figures_of_a_training_on_tables_are_those_of_its_table(learner):
    world = small_world(picture=(5, 3))
    seen: list[dict[str, float]] = []
    settings = {"alpha": Schedule(1.0, 0.5), "epsilon": 0.4}
    table = learner(**settings).learn(world, episodes=90, on_step=seen.append, every=40, seed=2)
    assert [figures["episodes"] for figures in seen] == [40, 80, 90]
    assert [type(value) for value in seen[0].values()] == [int, int, float, float, float, float]
    assert seen[-1]["optimality"] == optimality(world, table)
    assert seen[-1]["greedy_return"] == expected_return(world, table)
    assert seen[0]["alpha"] == 1 - 0.5 * 39 / 89
    assert seen[0]["epsilon"] == 0.4
    assert 90 < seen[-1]["steps"] <= 90 * 20
    part = learner(**settings).learn(world, episodes=90, seed=2)
    np.testing.assert_array_equal(part.values, table.values)


def test_figures_of_the_learners_that_know_the_grid():
    env = gym.make("GlitchGrid-v0", grid=(5, 4))
    seen: list[dict[str, float]] = []
    table = ModelBased().learn(env, episodes=50, on_step=seen.append, every=25)
    assert [figures["episodes"] for figures in seen] == [25, 50]
    assert set(seen[0]) == {"episodes", "steps", "greedy_return", "optimality"}
    assert seen[-1]["optimality"] == optimality(env, table)
    np.testing.assert_array_equal(table.values, ModelBased().learn(env, episodes=50).values)
    seen.clear()
    policy = DQN(batch=16).learn(env, episodes=40, on_step=seen.append, every=30)
    assert [figures["episodes"] for figures in seen] == [30, 40]
    assert {"steps", "epsilon", "training_return", "greedy_return"} <= set(seen[0])
    assert seen[-1]["optimality"] == optimality(env, policy)


@pytest.mark.parametrize("vector", [False, True])
def test_figures_of_a_training_by_steps_have_the_return_of_its_episodes(vector):
    env: Any = SyncVectorEnv([clipped(cliff)] * 3) if vector else clipped(cliff)()
    seen: list[dict[str, float]] = []
    QLearning(epsilon=0.2).learn(env, episodes=60, on_step=seen.append)
    assert [figures["episodes"] for figures in seen][-1] == 60
    assert len(seen) >= 15
    assert set(seen[0]) == {"episodes", "steps", "alpha", "epsilon", "training_return"}
    assert seen[-1]["training_return"] > 2 * seen[0]["training_return"]


def test_a_share_of_what_is_possible_is_told_exactly():
    env: Any = gym.make("GlitchGrid-v0", objective="linger")
    world = env.unwrapped.world
    table = QLearning(alpha=1.0, epsilon=1.0, gamma=0.99).learn(env, episodes=30_000)
    policy = table.by_state.argmax(axis=1)
    envs: Any = gym.make_vec("GlitchGrid-v0", num_envs=4000, objective="linger")
    envs.reset(seed=1)
    walked = envs.rollout(policy, 20)
    measured = np.asarray(walked.rewards).sum() / 4000
    assert expected_return(world, policy) == pytest.approx(measured, abs=0.15)
    assert 0.9 < expected_return(world, policy) / optimal_return(world) <= 1
    zeros = QTable(np.zeros_like(table.values))
    assert expected_return(world, zeros) < expected_return(world, policy)


def test_bad_intervals_are_refused():
    with pytest.raises(SettingError, match="every"):
        Sarsa().learn(small_world(), episodes=5, on_step=print, every=0)
