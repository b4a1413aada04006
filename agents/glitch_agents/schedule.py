"""Values that change as training goes on: learning rates, exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import real_number, shown
from glitch_gym.errors import SettingError

__all__ = ["Schedule", "as_schedule"]


@dataclass(frozen=True)
class Schedule:
    """A value that goes from ``start`` to ``end`` over a share of the episodes, then stays.

    Args:
        start: value of the first episode.
        end: value once the share is over.
        over: share of all episodes over which the value changes, in (0, 1].
        shape: ``"linear"``, or ``"exponential"`` (both values positive).

    Raises:
        SettingError: a value is out of range.
    """

    # Read by pydantic where a schedule stands in a recipe: unknown keys are errors there
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    start: float
    end: float
    over: float = 1.0
    shape: Literal["linear", "exponential"] = "linear"

    def __post_init__(self) -> None:
        try:
            real_number("start", self.start)
            real_number("end", self.end)
        except SettingError as error:
            raise SettingError(
                f"a schedule needs finite values, not {shown(self.start)}…{shown(self.end)}"
            ) from error
        if not 0 < real_number("a schedule's share", self.over) <= 1:
            raise SettingError(f"a schedule's share must be in (0, 1], not {self.over!r}")
        if self.shape not in ("linear", "exponential"):
            raise SettingError(f"a schedule is 'linear' or 'exponential', not {self.shape!r}")
        if self.shape == "exponential" and min(self.start, self.end) <= 0:
            raise SettingError("an exponential schedule needs values above 0")

    def values(self, first: int, last: int, episodes: int) -> NDArray[np.float64]:
        """Return the value for each of the episodes [first, last) out of ``episodes``."""
        way = np.arange(first, last) / max(self.over * max(episodes - 1, 1), 1e-12)
        way = np.minimum(way, 1.0)
        if self.shape == "exponential":
            return np.asarray(self.start * (self.end / self.start) ** way, np.float64)
        return np.asarray(self.start + (self.end - self.start) * way, np.float64)


def as_schedule(value: float | Schedule, name: str, low: float, high: float) -> Schedule:
    """Return a number or a schedule, within [low, high], as a schedule.

    Raises:
        SettingError: a value is out of range.
    """
    if isinstance(value, Schedule):
        schedule = value
    else:
        number = real_number(name, value)
        schedule = Schedule(number, number)
    for end in (schedule.start, schedule.end):
        if not low <= end <= high:
            raise SettingError(f"{name} must lie in {low:g}…{high:g}, not {end:g}")
    return schedule
