from __future__ import annotations

import numpy as np
import pytest
from support import reference

from glitch_gym.actions import ActionSet
from glitch_gym.activation import compute_activation
from glitch_gym.activation.base import Activation
from glitch_gym.dynamics import EXIT, grid_world, make_world, recall_world
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.settings import WorldSettings


@pytest.mark.parametrize("moves", [4, 8])
@pytest.mark.parametrize("picture", [(5, 4), (3, 4), (5, 2), (1, 1)])
def test_tables_say_what_the_dynamics_say(moves, picture):
    grid = Grid(5, 4, *picture)
    actions = ActionSet(("same", "invert"), moves)
    rewards = np.random.default_rng(1).normal(size=(5, 4, actions.n)).astype(np.float32)
    world = grid_world(grid, actions, rewards, exit_reward=3, prohibited_reward=-7)
    for state in grid.picture_cells():
        for action in range(actions.n):
            there, reward, _ = reference.step(world, state, action)
            assert world.next_state[state, action] == (EXIT if there is None else there)
            assert world.rewards[state, action] == np.float32(reward)
            blocked = there == state
            assert world.masks[state, action] == (not blocked)
        assert world.masks[state].any()


def test_the_same_picture_and_settings_share_one_world(small):
    activation = compute_activation(small, "spectral_residual")
    size = small.shape[:2]
    world = recall_world(activation, size, WorldSettings((8, 6), ["same"]))
    assert recall_world(activation, size, WorldSettings((8, 6), ["same"])) is world
    same_content = Activation(activation.map.copy(), "mask")
    assert recall_world(same_content, size, WorldSettings([8, 6], {"same": (0, 0.2)})) is world
    assert recall_world(activation, size, WorldSettings((8, 6), ["same"]), seed=1) is not world
    assert recall_world(activation, size, WorldSettings((8, 6), ["same"]), layer=1) is not world
    assert recall_world(activation, size[::-1], WorldSettings((8, 6), ["same"])) is not world


def test_a_recalled_world_is_the_one_that_would_be_made(small):
    activation = compute_activation(small, "edges")
    settings = WorldSettings((8, 6), ["same", "invert"], objective="linger", invert=True)
    recalled = recall_world(activation, small.shape[:2], settings, seed=3, layer=2)
    made = make_world(activation, small.shape[:2], settings, seed=3, layer=2)
    assert made is not recalled
    assert made.digest == recalled.digest
    assert made.digest != make_world(activation, small.shape[:2], settings, seed=3).digest


def test_worlds_cannot_be_changed(small):
    world = make_world(compute_activation(small, "edges"), (9, 9), WorldSettings((3, 3), ["same"]))
    for array in (world.reward_field, world.next_state, world.rewards, world.masks):
        with pytest.raises(ValueError, match="read-only"):
            array.flat[0] = 0


def test_bad_worlds_are_refused():
    grid, actions = Grid(2, 2, 2, 2), ActionSet(("same",))
    with pytest.raises(SettingError, match="must be"):
        grid_world(grid, actions, np.zeros((2, 2, 5)))
    with pytest.raises(SettingError, match="finite"):
        grid_world(grid, actions, np.full((2, 2, 4), np.nan))
    with pytest.raises(SettingError, match="activation must be"):
        grid_world(grid, actions, np.zeros((2, 2, 4)), activation=np.zeros((3, 2)))
