from __future__ import annotations

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from support.worlds import photograph_world, small_world

import glitch_agents.learner as learning
from glitch_agents import ExactPlanner, ModelBased, QLearning, optimality
from glitch_gym.errors import SettingError


@pytest.mark.parametrize("moves", [4, 8])
@pytest.mark.parametrize("objective", ["escape", "linger"])
def test_with_enough_episodes_it_knows_the_optimum(objective, moves):
    world = photograph_world(grid=(20, 10), objective=objective, moves=moves)
    table = ModelBased().learn(world, episodes=3000)
    planned = ExactPlanner().learn(world)
    assert optimality(world, table) == pytest.approx(1, abs=1e-5)
    cells = world.picture_cells
    np.testing.assert_allclose(table.by_state[cells], planned.by_state[cells], atol=1e-4)


def test_few_episodes_are_enough_where_vanilla_learns_nothing():
    # 15,000 pairs of cell and action, some 8,000 steps
    world = photograph_world(grid=(50, 25), fit="stretch")
    swept = optimality(world, ModelBased().learn(world, episodes=400))
    vanilla = optimality(world, QLearning().learn(world, episodes=400))
    assert swept > 0.9
    assert vanilla < 0.5


def test_it_sees_no_reward_that_it_has_not_stepped_on():
    """With rewards that nobody can step on made absurd, it believes what it believed."""
    world = photograph_world(grid=(30, 20), effects=["same"])
    few = ModelBased().learn(world, episodes=1, seed=3)
    hidden = world.rewards.copy()
    # Its first episode walks 20 steps at most, from where every other seed of the world would too
    walked = _steps_of_first_episode(world)
    hidden[~walked] = 1e6
    blind = dataclasses.replace(world, rewards=hidden)
    np.testing.assert_array_equal(ModelBased().learn(blind, episodes=1, seed=3).values, few.values)


def _steps_of_first_episode(world):
    """Find which rewards matter to one episode, by changing each block of them in turn."""
    believed = ModelBased().learn(world, episodes=1, seed=3).values
    matters = np.zeros(world.rewards.shape, bool)
    for state in world.picture_cells:
        changed = world.rewards.copy()
        changed[state] += 1
        table = ModelBased().learn(dataclasses.replace(world, rewards=changed), episodes=1, seed=3)
        matters[state] = (table.values != believed).any()
    assert 1 <= matters.any(axis=1).sum() <= 20
    return matters


def test_chunks_do_not_change_what_is_learned(monkeypatch):
    world = photograph_world(grid=(20, 10))
    tables = []
    for seconds in (0.0, 1.0):
        monkeypatch.setattr(learning, "_CHUNK_SECONDS", seconds)
        tables.append(ModelBased().learn(world, episodes=500, seed=2).values)
        tables.append(QLearning().learn(world, episodes=500, seed=2).values)
    np.testing.assert_array_equal(tables[0], tables[2])
    np.testing.assert_array_equal(tables[1], tables[3])


def test_worlds_of_one_cell_and_walled_corners_are_no_trouble():
    for world in (photograph_world(grid=(1, 3), fit="stretch"), small_world(picture=(1, 1))):
        table = ModelBased().learn(world, episodes=50)
        assert np.isfinite(table.values).all()
        assert optimality(world, table) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ModelBased(gamma=1), "gamma"),
        (lambda: ModelBased(ties="none"), "ties"),
        (lambda: ModelBased(prune_below=-1), "prune_below"),
        (lambda: ModelBased().learn(small_world(), episodes=0), "episodes"),
        (lambda: ModelBased().learn(gym.make("FrozenLake-v1"), episodes=1), "GlitchGrid"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
