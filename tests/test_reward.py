from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from glitch_gym.activation.base import Activation
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.reward import activation_on_grid, reward_field
from glitch_gym.settings import Noise, WorldSettings, effect_noise, resolve_objective

GRID = Grid(12, 10, 9, 10)
RAMP = Activation(np.linspace(0, 1, 90, dtype=np.float32).reshape(9, 10))
SILENT = {"same": Noise(0, 0), "invert": Noise(-0.5, 0)}


def field(*, noise=SILENT, seed=0, layer=0, **given):
    settings = WorldSettings((12, 10), noise, **{"median": 1, **given})
    return reward_field(RAMP, GRID, settings, seed=seed, layer=layer)


def test_activation_maps_to_the_reward_range_and_noise_means_shift_it():
    rewards = field(reward_range=(-1, 0))
    assert rewards.dtype == np.float32
    assert rewards.shape == (12, 10, 8)
    np.testing.assert_allclose(rewards[:9, :, 0], RAMP.map - 1, atol=1e-6)
    np.testing.assert_allclose(rewards[:9, :, 4], RAMP.map - 1.5, atol=1e-6)
    assert (rewards[9:] == -1).all()


def test_invert_turns_the_activation_round_first():
    np.testing.assert_allclose(
        field(invert=True, reward_range=(0, 1))[:9, :, 0], 1 - RAMP.map, atol=1e-6
    )


def test_noise_has_the_mean_and_deviation_asked_for_and_differs_by_action():
    flat = Activation(np.full((4, 4), 0.5, np.float32))
    noise = {"same": Noise(0.2, 0.3), "invert": Noise(-0.4, 0.1)}
    settings = WorldSettings((100, 100), noise, reward_range=(0, 1), median=1)
    rewards = reward_field(flat, Grid(100, 100, 100, 100), settings)
    assert abs(rewards[:, :, 0].mean() - 0.7) < 0.02
    assert abs(rewards[:, :, 0].std() - 0.3) < 0.02
    assert abs(rewards[:, :, 7].mean() - 0.1) < 0.01
    assert abs(np.corrcoef(rewards[:, :, 0].ravel(), rewards[:, :, 1].ravel())[0, 1]) < 0.05


def test_the_median_filter_does_not_let_padding_in():
    noisy = {"same": Noise(0, 0.3), "invert": Noise(0, 0.3)}
    raw = field(noise=noisy, prohibited_reward=-100)
    smooth = field(noise=noisy, prohibited_reward=-100, median=3)
    expected = ndimage.median_filter(raw[:9, :, 3], size=3, mode="nearest")
    np.testing.assert_array_equal(smooth[:9, :, 3], expected)
    assert smooth[:9].min() > -5


def test_an_effects_noise_does_not_depend_on_its_neighbours():
    noisy = {"same": Noise(0, 0.3), "invert": Noise(0, 0.3)}
    both = field(noise=noisy, seed=5)
    alone = field(noise={"invert": noisy["invert"]}, seed=5)
    np.testing.assert_array_equal(both[:, :, 4:], alone)
    assert (field(noise=noisy, seed=6) != both).any()
    assert (field(noise=noisy, seed=5, layer=1) != both).any()


def test_maps_are_resized_straight_to_the_pictures_cells():
    coarse = Activation(np.array([[0, 1], [1, 0]], np.float32))
    on_grid = activation_on_grid(coarse, GRID)
    assert on_grid.shape == (9, 10)
    assert on_grid[0, 0] == 0
    assert on_grid[0, -1] == 1
    assert abs(on_grid[4].mean() - 0.5) < 0.01


def test_objectives_are_shorthands():
    assert resolve_objective("escape") == ((-1, 0), 1)
    assert resolve_objective("linger") == ((0, 1), 0)
    assert resolve_objective("escape", (2, 3), -4) == ((2, 3), -4)


def test_effects_take_noise_in_any_form():
    given = {"same": (0.1, 0.2), "invert": Noise(1, 2), "random": {"mean": -1, "std": 0}}
    assert effect_noise(given) == {
        "same": Noise(0.1, 0.2),
        "invert": Noise(1, 2),
        "random": Noise(-1, 0),
    }
    assert effect_noise(["invert"])["invert"].mean < effect_noise(["same"])["same"].mean


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Noise(float("nan"), 1), "finite"),
        (lambda: Noise(0, -1), "std"),
        (lambda: effect_noise("same"), "list of names"),
        (lambda: effect_noise({"same": 3}), "noise of effect 'same'"),
        (lambda: resolve_objective("escap"), "did you mean 'escape'"),
        (lambda: resolve_objective("escape", (0, float("inf"))), "reward_range"),
        (lambda: resolve_objective("escape", None, float("nan")), "exit_reward"),
        (lambda: field(median=2), "odd"),
        (lambda: Activation(np.full((2, 2), np.nan)), "finite"),
        (lambda: Activation(np.full((2, 2), 1.5)), "0…1"),
        (lambda: Activation(np.zeros((2, 2, 2))), "two-dimensional"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
