"""Keyframes: a setting that changes over the time of a clip."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from glitch_gym.errors import SettingError

__all__ = ["Keyframes", "highest", "last", "parse_keyframes", "value_at"]


@dataclass(frozen=True)
class Keyframes:
    """Values at times, interpolated linearly, and constant before the first and after the last.

    Args:
        times: times in seconds from the start of the output, ascending.
        values: value at each time.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times or len(self.times) != len(self.values):
            raise SettingError("keyframes need at least one time, and one value per time")
        if any(after <= before for before, after in pairwise(self.times)):
            raise SettingError("the times of keyframes must be ascending")

    def at(self, seconds: float) -> float:
        """Return the value at a time."""
        right = bisect_right(self.times, seconds)
        if right == 0:
            return self.values[0]
        if right == len(self.times):
            return self.values[-1]
        before, after = self.times[right - 1], self.times[right]
        share = (seconds - before) / (after - before)
        return self.values[right - 1] + share * (self.values[right] - self.values[right - 1])

    def table(self) -> dict[str, float]:
        """Return the keyframes as a recipe's table."""
        return {str(time): value for time, value in zip(self.times, self.values, strict=True)}


def parse_keyframes(table: Mapping[str, Any]) -> Keyframes:
    """Parse keyframes such as ``{0.0 = 0, 2.5 = 800}``, a table from seconds to values.

    TOML reads a bare ``2.5`` as a dotted key, so nested tables are accepted as well.

    Raises:
        SettingError: a time or a value is not a number.
    """
    found: dict[float, float] = {}

    def walk(table: Mapping[str, Any], path: str) -> None:
        for key, value in table.items():
            name = f"{path}.{key}" if path else str(key)
            if isinstance(value, Mapping):
                walk(value, name)
                continue
            try:
                seconds = float(name)
            except ValueError:
                raise SettingError(f"{name!r} is not a time in seconds") from None
            if not 0 <= seconds < 1e9:
                raise SettingError(f"{name!r} is not a time in seconds from 0")
            if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
                raise SettingError(f"the value at {name} s is {value!r}, not a number")
            found[seconds] = value

    walk(table, "")
    if not found:
        raise SettingError("keyframes need at least one time with its value")
    times = tuple(sorted(found))
    return Keyframes(times, tuple(found[time] for time in times))


def value_at(setting: float | Keyframes, seconds: float) -> float:
    """Return the value of a setting at a time, whether or not it is keyframed."""
    return setting.at(seconds) if isinstance(setting, Keyframes) else setting


def last(setting: float | Keyframes) -> float:
    """Return the last value of a setting, which is what a still shows."""
    return setting.values[-1] if isinstance(setting, Keyframes) else setting


def highest(setting: float | Keyframes) -> float:
    """Return the highest value of a setting."""
    return max(setting.values) if isinstance(setting, Keyframes) else setting
