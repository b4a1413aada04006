"""Checks of what comes from outside, made once at the border.

Compiled code trusts every index: all that reaches it has passed one of these checks, or was
computed by this project.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import SettingError

__all__ = [
    "MOST_STEPS",
    "checked_actions",
    "checked_probabilities",
    "frozen_array",
    "real_number",
    "shown",
    "truth",
    "whole_number",
]

MOST_STEPS = 2**31 - 1
"""Largest number of steps, agents or episodes: they are numbered in 32 bits."""

_SHOWN = 60


def shown(value: object) -> str:
    """Return a value as an error message shows it: on one line, and not at length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # What comes from outside may even fail to describe itself
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def whole_number(name: str, value: object, least: int = 0, most: int | None = MOST_STEPS) -> int:
    """Return a setting that is a whole number, NumPy's integers included.

    Args:
        name: name of the setting.
        value: value of the setting.
        least: smallest number allowed.
        most: largest number allowed; ``None`` for no limit.

    Raises:
        SettingError: the value is not a whole number, or out of range.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise SettingError(f"{name} must be a whole number, at least {least}, not {shown(value)}")
    if most is not None and number > most:
        raise SettingError(f"{name} must be at most {most:,}, not {shown(value)}")
    return number


def truth(name: str, value: object) -> bool:
    """Return a setting that is true or false.

    Args:
        name: name of the setting.
        value: value of the setting.

    Raises:
        SettingError: the value is neither ``True`` nor ``False``.
    """
    if not isinstance(value, bool | np.bool_):
        raise SettingError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def real_number(
    name: str,
    value: object,
    low: float = -float(np.finfo(np.float32).max),
    high: float = float(np.finfo(np.float32).max),
) -> float:
    """Return a setting that is a finite number, by default one that fits single precision.

    Args:
        name: name of the setting.
        value: value of the setting.
        low: smallest number allowed.
        high: largest number allowed.

    Raises:
        SettingError: the value is not a number, not finite, or out of range.
    """
    try:
        unfit = isinstance(value, str | bytes | bool | np.bool_)
        number = math.nan if unfit else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(f"{name} must be a finite number, not {shown(value)}")
    if not low <= number <= high:
        raise SettingError(f"{name} must lie in {low:g}…{high:g}, not {shown(value)}")
    return number


def frozen_array(
    name: str, given: object, dtype: type[np.generic], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a read-only array of finite numbers.

    An array that is read-only already, and owns its numbers, is returned as it is; others are
    copied.

    Args:
        name: name of the array in error messages.
        given: the array.
        dtype: type to convert it to; only integers are converted to integers.
        shape: shape that it must have.

    Raises:
        SettingError: the array has another shape or an unsuitable type, or holds numbers that are
            not finite.
    """
    array = np.asarray(given)
    wanted = np.dtype(dtype)
    if array.shape != shape:
        raise SettingError(f"{name} must be of shape {shape}, not {array.shape}")
    if array.dtype.kind not in ("iu" if wanted.kind == "i" else "iuf"):
        kind = "whole numbers" if wanted.kind == "i" else "numbers"
        raise SettingError(f"{name} must hold {kind}, not {array.dtype}")
    if wanted.kind == "i" and array.size and array.dtype != wanted:
        low, high, limits = array.min(), array.max(), np.iinfo(wanted)
        if low < limits.min or high > limits.max:
            raise SettingError(f"{name} holds {low if low < limits.min else high}, out of range")
    flags = array.flags
    if (
        array.dtype != wanted
        or not flags.c_contiguous
        or not flags.owndata
        or flags.writeable
        or type(array) is not np.ndarray
    ):
        # A number too large for the type becomes infinite, which is checked next
        with np.errstate(over="ignore"):
            array = np.array(array, wanted, order="C", subok=False)
        array.setflags(write=False)
    if wanted.kind == "f" and not np.isfinite(array).all():
        raise SettingError(f"{name} holds values that are not finite numbers")
    return array


def checked_actions(given: object, n_cells: int, n_actions: int) -> NDArray[np.int64]:
    """Return a policy's action for each cell.

    Args:
        given: integers (n_cells,).
        n_cells: the number of cells.
        n_actions: the number of actions.

    Raises:
        SettingError: the array has another shape or type, or an action outside 0…n_actions − 1.
    """
    try:
        chosen = np.asarray(given)
    except ValueError:  # Lists of lists of unequal lengths
        chosen = np.empty(0, object)
    if chosen.shape != (n_cells,) or chosen.dtype.kind not in "iu":
        raise SettingError(
            f"the policy gave {chosen.dtype} of shape {chosen.shape} for {n_cells} cells; it must "
            f"hold one integer action for each of {n_cells} cells"
        )
    if chosen.size and (chosen.min() < 0 or chosen.max() >= n_actions):
        wrong = chosen.min() if chosen.min() < 0 else chosen.max()
        raise SettingError(f"the policy has an action outside 0…{n_actions - 1}: {wrong}")
    return chosen.astype(np.int64)


def checked_probabilities(given: object, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return a policy's probabilities of each action in each cell.

    Args:
        given: numbers (n_cells, n_actions).
        shape: (n_cells, n_actions).

    Raises:
        SettingError: the array has another shape, or rows that are not probabilities.
    """
    try:
        probs = np.asarray(given)
    except ValueError:
        probs = np.empty(0, object)
    if probs.shape != shape:
        raise SettingError(f"the policy's probabilities are {probs.shape}, not {shape}")
    if probs.dtype.kind not in "iuf":
        raise SettingError(f"the policy's probabilities are {probs.dtype}, not numbers")
    probs = np.ascontiguousarray(probs, np.float64)
    # NaN fails the first comparison, infinity the second
    wrong = ~((probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) <= 1e-5))
    if wrong.any():
        cell = int(wrong.argmax())
        raise SettingError(
            f"the policy's probabilities must be at least 0 and sum to 1 by cell; those of cell "
            f"{cell} are {shown(probs[cell].tolist())}"
        )
    return probs
