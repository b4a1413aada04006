from __future__ import annotations

import numpy as np
import pytest

from glitch_agents import QLearning, rollout
from glitch_agents.policy import QTable
from glitch_agents.population import NEVER, Population
from glitch_agents.rollout import as_table, births
from glitch_gym.activation import compute_activation
from glitch_gym.dynamics import make_world
from glitch_gym.errors import SettingError
from glitch_gym.settings import WorldSettings


@pytest.fixture(scope="module")
def world(small):
    activation = compute_activation(small, "spectral_residual")
    settings = WorldSettings((12, 18), ["same", "invert"], fit="stretch")
    return make_world(activation, small.shape[:2], settings)


@pytest.fixture(scope="module", params=["greedy", "epsilon", "softmax", "first"])
def policy(request, world):
    table = QLearning(ties="first" if request.param == "first" else "random").learn(
        world, episodes=300
    )
    return {
        "greedy": table,
        "first": table,
        "epsilon": table.epsilon_greedy(0.3),
        "softmax": table.softmax(0.2),
    }[request.param]


def walked(population, world, ticks, starts=None):
    starts = world.picture_cells if starts is None else starts
    steps = [population.advance(tick, starts) for tick in ticks]
    return np.array([cells for cells, _ in steps]), np.array([actions for _, actions in steps])


@pytest.mark.parametrize("repeat", [False, True])
def test_the_first_life_is_the_one_of_a_rollout(world, policy, repeat):
    whole = rollout(world, policy, 60, lifetime=15, repeat=repeat, seed=4, layer=2)
    population = Population(60, lifetime=15, repeat=repeat, seed=4, layer=2)
    population.follow(world, policy)
    cells, actions = walked(population, world, range(15))
    np.testing.assert_array_equal(cells, whole.cells.T)
    np.testing.assert_array_equal(actions, whole.actions.T)


def test_agents_die_unless_they_are_born_again(world, policy):
    for respawn in (False, True):
        population = Population(40, lifetime=5, respawn=respawn)
        population.follow(world, policy)
        _, actions = walked(population, world, range(12))
        assert (actions[5] >= 0).all() == respawn
        assert (actions[11] >= 0).any() == respawn


def test_a_crowd_can_be_taken_up_a_lifetime_ahead(world, policy):
    born = np.arange(50, dtype=np.int64) % 7
    crowds = []
    for first in (0, 12):
        population = Population(50, lifetime=8, respawn=True, born=born, seed=1)
        population.follow(world, policy)
        crowds.append(walked(population, world, range(first, 40)))
    for whole, later in zip(*crowds, strict=True):
        np.testing.assert_array_equal(whole[20:], later[8:])


def test_births_are_at_their_ticks_and_for_active_agents_only(world, policy):
    born = np.array([0, 3, NEVER, 1], np.int64)
    population = Population(4, lifetime=50, born=born)
    population.follow(world, policy)
    _, actions = walked(population, world, range(5))
    assert [int((column >= 0).argmax()) for column in actions.T if (column >= 0).any()] == [0, 3, 1]
    assert (actions[:, 2] == -1).all()
    population = Population(4, lifetime=50)
    population.follow(world, policy)
    _, actions = population.advance(0, world.picture_cells, 2)
    assert (actions >= 0).tolist() == [True, True, False, False]
    _, nobody = population.advance(50, np.empty(0, np.int32))
    assert (nobody == -1).all()


def test_a_bonus_makes_an_effect_win(world, policy):
    for effect in (0, 1):
        population = Population(80, lifetime=9)
        bonus = np.zeros(world.actions.n, np.float32)
        bonus[4 * effect : 4 * effect + 4] = 100
        population.follow(world, policy, explore=0.0, bonus=bonus)
        _, actions = walked(population, world, range(3))
        assert set(actions[actions >= 0] // 4) == {effect}


class Right:
    """Acts, and says no more."""

    def __init__(self):
        self.asked = 0

    def act(self, cells):
        self.asked += 1
        return np.full(cells.shape, 3)


class Doubts:
    """Says how likely each action is, and would act otherwise."""

    def act(self, cells):
        raise AssertionError("not asked: it has probabilities")

    def probabilities(self):
        probs = np.zeros((216, 8))
        probs[:, 1], probs[:, 3] = 0.3, 0.7
        return probs


@pytest.mark.parametrize("explore", [None, 0.25])
@pytest.mark.parametrize("kind", [Right, Doubts])
def test_a_policy_of_another_kind_does_the_same_on_a_still_and_in_a_clip(world, kind, explore):
    still = rollout(world, kind(), 60, lifetime=15, explore=explore, seed=4)
    population = Population(60, lifetime=15, seed=4)
    population.follow(world, kind(), explore=explore)
    cells, actions = walked(population, world, range(15))
    np.testing.assert_array_equal(cells, still.cells.T)
    np.testing.assert_array_equal(actions, still.actions.T)


def test_a_table_that_is_changed_later_changes_no_walk(world):
    """Ties were counted before: a choice among them would run past the end of its row."""
    values = np.zeros(world.reward_field.shape, np.float32)
    population, again = (Population(60, lifetime=15, seed=4) for _ in range(2))
    population.follow(world, QTable(values))
    again.follow(world, QTable(values.copy()))
    values[:] = np.arange(values.size).reshape(values.shape)
    np.testing.assert_array_equal(
        walked(population, world, range(15)), walked(again, world, range(15))
    )


def test_probabilities_are_drawn_from_at_every_step_and_actions_asked_for_once(world):
    drawn = rollout(world, Doubts(), 4000, lifetime=1, repeat=True).actions
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=8) / 4000,
                               [0, 0.3, 0, 0.7, 0, 0, 0, 0], atol=0.03)  # fmt: skip
    assert len(np.unique(rollout(world, Doubts(), 50, lifetime=9).actions[:, 5])) > 1
    policy = Right()
    rollout(world, policy, 50, lifetime=9)
    assert policy.asked == 1


def test_a_policy_of_another_kind_is_written_down(world):
    class Right:
        def act(self, cells):
            return np.full(cells.shape, 3)

    class Half:
        def act(self, cells):
            return np.zeros(cells.shape, int)

        def probabilities(self):
            probs = np.zeros((world.grid.n_cells, world.actions.n))
            probs[:, 1] = probs[:, 2] = 0.5
            return probs

    assert (as_table(Right(), world).act(np.arange(5)) == 3).all()
    written = as_table(Half(), world)
    np.testing.assert_allclose(written.probabilities()[:, 1:3], 0.5, atol=1e-6)
    with pytest.raises(SettingError, match="the world is"):
        as_table(QTable(np.zeros((2, 2, 8), np.float32)), world)


def test_births_follow_the_activation(world):
    high = births(world, world.activation, born_above=0.5)
    low = births(world, world.activation, born_below=0.49999)
    assert sorted([*high, *low]) == world.picture_cells.tolist()
    assert births(world, world.activation, 0.9, 0.1).size == 0


def test_bad_crowds_are_refused():
    with pytest.raises(SettingError, match="agents"):
        Population(0, lifetime=3)
    with pytest.raises(SettingError, match="lifetime"):
        Population(3, lifetime=0)
    with pytest.raises(SettingError, match="born"):
        Population(3, lifetime=2, born=np.zeros(2, np.int64))
