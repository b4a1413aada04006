"""Small worlds to learn in."""

from __future__ import annotations

import numpy as np

from glitch_gym.actions import ActionSet
from glitch_gym.activation import compute_activation
from glitch_gym.dynamics import grid_world, make_world
from glitch_gym.grid import Grid
from glitch_gym.picture import read_picture
from glitch_gym.settings import WorldSettings


def small_world(picture=(4, 3), moves=4, quantum=None):
    actions = ActionSet(("same", "invert"), moves)
    rewards = np.random.default_rng(2).normal(size=(5, 3, actions.n)).astype(np.float32)
    if quantum is not None:  # Coarse rewards make ties of values that were learned
        rewards = np.round(rewards / quantum) * np.float32(quantum)
    return grid_world(Grid(5, 3, *picture), actions, rewards)


def photograph_world(grid=(30, 20), effects=("same", "pixelate", "desaturate"), **settings):
    frame = read_picture("sample:coffee").frame
    settings = WorldSettings(grid, effects, **settings)
    return make_world(compute_activation(frame, "spectral_residual"), frame.shape[:2], settings)
