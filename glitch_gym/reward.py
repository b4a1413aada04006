"""From an activation map to a reward for every cell and action."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.activation.base import Activation
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.randomness import generator
from glitch_gym.settings import WorldSettings

__all__ = ["MOST_REWARDS", "activation_on_grid", "check_rewards", "reward_field"]

MOST_REWARDS = 64_000_000
"""Rewards of all worlds of a recipe together: with the tables beside them they take a gigabyte."""


def activation_on_grid(activation: Activation, grid: Grid) -> NDArray[np.float32]:
    """Resize an activation map straight to the picture's cells.

    Returns:
        float32 (picture_rows, picture_cols) in [0, 1].
    """
    image = Image.fromarray(np.asarray(activation.map))
    size = (grid.picture_cols, grid.picture_rows)
    resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32)
    return np.clip(resized, 0, 1)


def check_rewards(count: int) -> None:
    """Refuse worlds that would take too much memory.

    Args:
        count: number of rewards, cells times actions, of all layers together.

    Raises:
        SettingError: more than ``MOST_REWARDS``.
    """
    if count > MOST_REWARDS:
        raise SettingError(
            f"{count:,} rewards are too many, at most {MOST_REWARDS:,}: one for each cell, effect "
            f"and move of all layers; take a coarser grid, or fewer effects or layers"
        )


def reward_field(
    activation: Activation,
    grid: Grid,
    settings: WorldSettings,
    *,
    seed: int = 0,
    layer: int = 0,
) -> NDArray[np.float32]:
    """Return the reward for entering each cell by each action.

    The map is copied once per action, each copy gets noise of its own and then a median filter
    over picture cells only; prohibited cells get the prohibited reward. The noise of an action is
    keyed by its name, so adding an effect leaves the rewards of the others as they were.

    Args:
        activation: activation map of any size.
        grid: grid laid over the picture.
        settings: settings of the world.
        seed: seed of the noise.
        layer: number of the layer, part of the noise's key.

    Returns:
        float32 (rows, cols, n_actions).

    Raises:
        SettingError: more rewards than ``MOST_REWARDS``.
    """
    # Imported here: a reward field that is found in the cache needs no SciPy
    from scipy import ndimage

    actions, median = settings.actions, settings.median
    check_rewards(grid.n_cells * actions.n)
    shape = (grid.picture_rows, grid.picture_cols)
    base = activation_on_grid(activation, grid).astype(np.float64)
    if settings.invert:
        base = 1.0 - base
    low, high = settings.activation_rewards
    base = low + base * (high - low)
    field = np.full((grid.rows, grid.cols, actions.n), settings.prohibited_reward, np.float32)
    for index, name in enumerate(actions.names):
        noise = settings.noise[actions.decode(index)[0]]
        drawn = generator(seed, layer, "noise", name).standard_normal(shape)
        # A number too large for the type becomes infinite, which the world refuses
        with np.errstate(over="ignore"):
            copy = (base + noise.mean + noise.std * drawn).astype(np.float32)
        if median > 1:
            copy = ndimage.median_filter(copy, size=median, mode="nearest")
        field[: shape[0], : shape[1], index] = copy
    return field
