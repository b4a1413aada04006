"""The settings of a world, as one value that is checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from glitch_gym.actions import DEFAULT_NOISE, OTHER_NOISE, ActionSet
from glitch_gym.checks import real_number, shown, truth, whole_number
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.grid import Fit, Grid, Orient, check_grid, fit_grid
from glitch_gym.memory import content_key

__all__ = [
    "OBJECTIVES",
    "Effects",
    "Noise",
    "Objective",
    "WorldSettings",
    "effect_noise",
    "resolve_objective",
]

Objective = Literal["escape", "linger"]

OBJECTIVES: dict[str, tuple[tuple[float, float], float]] = {
    "escape": ((-1.0, 0.0), 1.0),
    "linger": ((0.0, 1.0), 0.0),
}
"""Reward range and exit reward that each objective stands for."""

# The filter's work grows with the square of it
_LARGEST_MEDIAN = 999


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the reward of an effect: its mean decides how often the effect wins.

    Args:
        mean: mean of the noise, in units of reward.
        std: standard deviation of the noise, at least 0.

    Raises:
        SettingError: a value is not finite, or the deviation is negative.
    """

    mean: float = 0.0
    std: float = 0.2

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "mean", real_number("mean", self.mean))
            object.__setattr__(self, "std", real_number("std", self.std, low=0.0))
        except SettingError as error:
            raise SettingError(
                f"noise needs a finite mean and a std of at least 0, not mean={shown(self.mean)}, "
                f"std={shown(self.std)}"
            ) from error


Effects: TypeAlias = Iterable[str] | Mapping[str, Noise | tuple[float, float] | Mapping[str, float]]
"""Effect names; or a mapping from name to noise: ``Noise``, (mean, std), or a table of the two."""


def effect_noise(effects: Effects) -> dict[str, Noise]:
    """Return the noise of each effect: the default one, or the one it is mapped to.

    Args:
        effects: effect names; or a mapping from name to ``Noise``, to (mean, std), or to a mapping
            with the keys ``mean`` and ``std``.

    Raises:
        SettingError: the noise of an effect is malformed.
    """
    if isinstance(effects, str):
        raise SettingError(f"effects is a list of names, not the text {effects!r}")
    try:
        names = list(effects)
    except TypeError as error:
        raise SettingError(f"effects is a list of names, not {shown(effects)}") from error
    for name in names:
        if not isinstance(name, str):
            raise SettingError(f"effects holds names, not {shown(name)}")
    if not isinstance(effects, Mapping):
        if len(set(names)) != len(names):
            raise SettingError(f"effects lists a name twice: {', '.join(names)}")
        return {name: Noise(*DEFAULT_NOISE.get(name, OTHER_NOISE)) for name in names}
    noise: dict[str, Noise] = {}
    for name, given in effects.items():
        try:
            if isinstance(given, Noise):
                noise[name] = given
            elif isinstance(given, Mapping):
                noise[name] = Noise(**given)
            else:
                mean, std = given
                noise[name] = Noise(mean, std)
        except SettingError:
            raise
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"noise of effect {name!r} must be (mean, std), not {shown(given)}"
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
    if not isinstance(objective, str) or objective not in OBJECTIVES:
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


@dataclass(frozen=True, eq=False)
class WorldSettings:
    """Everything that decides how a picture becomes a world, besides its activation and the seed.

    Settings with the same content are equal. Once made, they cannot be changed;
    ``dataclasses.replace`` makes others.

    Args:
        grid: (rows, cols).
        effects: effect names, or a mapping from name to noise (see ``effect_noise``); afterwards
            a mapping from name to ``Noise``, in the order of the actions.
        fit: ``"pad"`` or ``"stretch"`` (see ``fit_grid``).
        orient: ``"auto"`` lays the grid's longer side along the picture's.
        moves: 4 or 8.
        objective: ``"escape"`` (rewards −1…0, 1 for leaving) or ``"linger"`` (0…1, 0).
        reward_range: rewards of activation 0 and 1, in place of the objective's.
        exit_reward: reward for leaving the picture, in place of the objective's.
        prohibited_reward: reward for walking into a prohibited cell.
        invert: whether 1 − activation takes the activation's place.
        median: side of the median filter over the rewards, in cells, odd; 1 for no filter.
        slip: probability that an action's move is replaced by another one, each as likely as the
            rest; the effect stays.

    Raises:
        SettingError: a setting is out of its range.
    """

    grid: tuple[int, int]
    effects: Effects
    fit: Fit = "pad"
    orient: Orient = "fixed"
    moves: int = 4
    objective: str = "escape"
    reward_range: tuple[float, float] | None = None
    exit_reward: float | None = None
    prohibited_reward: float = -1.0
    invert: bool = False
    median: int = 3
    slip: float = 0.0

    def __post_init__(self) -> None:
        median = whole_number("median", self.median, least=1, most=_LARGEST_MEDIAN)
        if median % 2 == 0:
            raise SettingError(f"median must be an odd number of cells from 1, not {median!r}")
        low_high, leaving = resolve_objective(self.objective, self.reward_range, self.exit_reward)
        checked: dict[str, Any] = {
            "grid": check_grid(self.grid, self.fit, self.orient),
            "effects": MappingProxyType(effect_noise(self.effects)),
            "moves": whole_number("moves", self.moves),
            "reward_range": None if self.reward_range is None else low_high,
            "exit_reward": None if self.exit_reward is None else leaving,
            "prohibited_reward": real_number("prohibited_reward", self.prohibited_reward),
            "invert": truth("invert", self.invert),
            "median": median,
            "slip": real_number("slip", self.slip, low=0.0, high=1.0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        # Effects and moves are checked as actions
        _ = self.actions

    @property
    def noise(self) -> Mapping[str, Noise]:
        """Noise of each effect, in the order of the actions."""
        return cast(Mapping[str, Noise], self.effects)

    @cached_property
    def actions(self) -> ActionSet:
        """Actions of the world."""
        return ActionSet(tuple(self.noise), self.moves)

    @property
    def activation_rewards(self) -> tuple[float, float]:
        """Rewards of activation 0 and 1: the range that is set, or the objective's."""
        return resolve_objective(self.objective, self.reward_range)[0]

    @property
    def leaving_reward(self) -> float:
        """Reward for leaving the picture: the one that is set, or the objective's."""
        return resolve_objective(self.objective, None, self.exit_reward)[1]

    @property
    def reward_bounds(self) -> tuple[float, float]:
        """Least and largest reward that these settings give on any picture.

        Of the noise five standard deviations count; a reward in two million lies beyond.
        """
        low, high = sorted(self.activation_rewards)
        others = [self.leaving_reward, self.prohibited_reward]
        lows = [low + noise.mean - 5 * noise.std for noise in self.noise.values()]
        highs = [high + noise.mean + 5 * noise.std for noise in self.noise.values()]
        most = float(np.finfo(np.float32).max)
        return max(min(lows + others), -most), min(max(highs + others), most)

    @cached_property
    def digest(self) -> str:
        """Digest of all settings: equal digests mean equal settings."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.slip:
            # So that the settings of every world without slip keep the digest they always had
            del named["slip"]
        return content_key(**named)

    def grid_over(self, height: int, width: int) -> Grid:
        """Lay the grid over a picture.

        Args:
            height: height of the picture in pixels.
            width: width of the picture in pixels.

        Raises:
            GridError: the grid is finer than the picture.
        """
        return fit_grid(self.grid, height, width, fit=self.fit, orient=self.orient)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorldSettings) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping cannot be pickled, so the settings are made again from a dict
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return WorldSettings, tuple({**given, "effects": dict(self.noise)}.values())
