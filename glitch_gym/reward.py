"""From an activation map to a reward for every cell and action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.actions import DEFAULT_NOISE, OTHER_NOISE, ActionSet
from glitch_gym.activation.base import Activation
from glitch_gym.checks import real_number, shown, whole_number
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.grid import Grid
from glitch_gym.randomness import generator

__all__ = [
    "MOST_REWARDS",
    "OBJECTIVES",
    "Noise",
    "Objective",
    "activation_on_grid",
    "check_rewards",
    "effect_noise",
    "resolve_objective",
    "reward_field",
]

Objective = Literal["escape", "linger"]

OBJECTIVES: dict[str, tuple[tuple[float, float], float]] = {
    "escape": ((-1.0, 0.0), 1.0),
    "linger": ((0.0, 1.0), 0.0),
}
"""Reward range and exit reward that each objective stands for."""

MOST_REWARDS = 64_000_000
"""Rewards of all worlds of a recipe together: with the tables beside them they take a gigabyte."""


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the reward of an effect: its mean says how often the effect wins.

    Args:
        mean: of the noise, in units of reward.
        std: its standard deviation, at least 0.

    Raises:
        SettingError: a value is not finite, or the deviation is negative.
    """

    mean: float = 0.0
    std: float = 0.2

    def __post_init__(self) -> None:
        try:
            real_number("mean", self.mean)
            real_number("std", self.std, low=0.0)
        except SettingError as error:
            raise SettingError(
                f"noise needs a finite mean and a std of at least 0, not mean={shown(self.mean)}, "
                f"std={shown(self.std)}"
            ) from error


# The filter's work grows with the square of it
_LARGEST_MEDIAN = 999


def effect_noise(
    effects: Iterable[str] | Mapping[str, Noise | tuple[float, float] | Mapping[str, float]],
) -> dict[str, Noise]:
    """Return each effect its noise: the default one, or the one it is mapped to.

    Args:
        effects: names; or a mapping from name to ``Noise``, to (mean, std), or to a mapping with
            the keys ``mean`` and ``std``.

    Raises:
        SettingError: the noise of an effect is malformed.
    """
    if isinstance(effects, str):
        raise SettingError(f"effects is a list of names, not the text {effects!r}")
    if not isinstance(effects, Mapping):
        return {name: Noise(*DEFAULT_NOISE.get(name, OTHER_NOISE)) for name in effects}
    noise: dict[str, Noise] = {}
    for name, given in effects.items():
        try:
            if isinstance(given, Noise):
                noise[name] = given
            elif isinstance(given, Mapping):
                noise[name] = Noise(**given)
            else:
                mean, std = given
                noise[name] = Noise(float(mean), float(std))
        except TypeError as error:
            raise SettingError(
                f"noise of effect {name!r} must be (mean, std), not {given!r}"
            ) from error
    return noise


def resolve_objective(
    objective: str,
    reward_range: tuple[float, float] | None = None,
    exit_reward: float | None = None,
) -> tuple[tuple[float, float], float]:
    """Return the reward range and the exit reward of an objective, either of which can be given.

    Raises:
        SettingError: an unknown objective, or values that are not finite.
    """
    if objective not in OBJECTIVES:
        raise unknown_name_error("objective", str(objective), OBJECTIVES)
    low_high, leaving = OBJECTIVES[objective]
    if reward_range is not None:
        try:
            low, high = (real_number("reward_range", value) for value in reward_range)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"reward_range must be two finite numbers, not {shown(reward_range)}"
            ) from error
        low_high = (low, high)
    if exit_reward is not None:
        leaving = real_number("exit_reward", exit_reward)
    return low_high, leaving


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
    """Refuse a world that would take more memory than a picture is worth.

    Args:
        count: cells times actions, of all layers together.

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
    actions: ActionSet,
    *,
    noise: Mapping[str, Noise],
    reward_range: tuple[float, float] = (-1.0, 0.0),
    prohibited_reward: float = -1.0,
    invert: bool = False,
    median: int = 3,
    seed: int = 0,
    layer: int = 0,
) -> NDArray[np.float32]:
    """Make the reward for entering each cell by each action.

    The map is copied once per action, each copy gets noise of its own and then a median filter
    over picture cells only; prohibited cells get ``prohibited_reward``. The noise of an action is
    keyed by its name, so adding an effect leaves the rewards of the others as they were.

    Args:
        activation: the map, of any size.
        grid: where the picture lies.
        actions: the actions, in the order of the last axis.
        noise: for each effect of ``actions``.
        reward_range: rewards of activation 0 and 1, before noise.
        prohibited_reward: fills prohibited cells.
        invert: use 1 − activation.
        median: side of the median filter in cells, odd; 1 for none.
        seed: of the noise.
        layer: number of the layer, part of the noise's key.

    Returns:
        float32 (rows, cols, n_actions).

    Raises:
        SettingError: an even or non-positive ``median``, an effect without noise, or more rewards
            than ``MOST_REWARDS``.
    """
    # Imported here: what finds its rewards in the store starts faster without
    from scipy import ndimage

    median = whole_number("median", median, least=1, most=_LARGEST_MEDIAN)
    if median % 2 == 0:
        raise SettingError(f"median must be an odd number of cells from 1, not {median!r}")
    check_rewards(grid.n_cells * actions.n)
    shape = (grid.picture_rows, grid.picture_cols)
    base = activation_on_grid(activation, grid).astype(np.float64)
    if invert:
        base = 1.0 - base
    low, high = reward_range
    base = low + base * (high - low)
    field = np.full((grid.rows, grid.cols, actions.n), prohibited_reward, np.float32)
    for index, name in enumerate(actions.names):
        effect = actions.decode(index)[0]
        if effect not in noise:
            raise SettingError(f"effect {effect!r} has no noise")
        drawn = generator(seed, layer, "noise", name).standard_normal(shape)
        copy = (base + noise[effect].mean + noise[effect].std * drawn).astype(np.float32)
        if median > 1:
            copy = ndimage.median_filter(copy, size=median, mode="nearest")
        field[: shape[0], : shape[1], index] = copy
    return field
