"""Q-tables in files: NumPy's ``.npz`` without pickle, with what they were made for inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable, Ties, check_ties
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import ArrayFileError, SettingError
from glitch_gym.npz import describe, encode_arrays, read_arrays, read_description
from glitch_gym.output import check_target, write_bytes

__all__ = ["load_table", "save_table"]

_FORMAT = "glitch-gym Q-table"
_VERSION = 1


def _made_for(world: GridWorld) -> dict[str, Any]:
    grid = world.grid
    return {
        "grid": [grid.rows, grid.cols, grid.picture_rows, grid.picture_cols],
        "actions": list(world.actions.names),
    }


def save_table(path: str | Path, table: QTable, world: GridWorld) -> None:
    """Write a Q-table with the grid and the actions that it is for.

    Args:
        path: path of the file, which ends in ``.npz``.
        table: table to write, of the world's shape.
        world: world that it was learned in.

    Raises:
        SettingError: the table does not fit the world.
        OutputError: the suffix is another, or the file cannot be written; nothing is left behind.
    """
    check_target(path, suffixes=(".npz",), force=True)
    if table.values.shape != world.reward_field.shape:
        raise SettingError(
            f"the Q-table is {table.values.shape}, the world is {world.reward_field.shape}"
        )
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        **_made_for(world),
        "ties": table.ties,
        "epsilon": table.epsilon,
        "temperature": table.temperature,
        "seed": table.seed,
        "episodes": table.episodes,
        "interrupted": table.interrupted,
    }
    write_bytes(Path(path), encode_arrays({"values": table.values, **describe(about)}))


def load_table(path: str | Path, world: GridWorld | None = None) -> QTable:
    """Read a Q-table, and check that it fits.

    Args:
        path: path of the ``.npz`` file.
        world: world to use it in, whose grid and actions must be those that it was made for.

    Raises:
        ArrayFileError: the file is missing, damaged, or of another program or a newer version.
        SettingError: the table was made for another world.
    """
    arrays = read_arrays(path, "Q-table")
    about = read_description(arrays, path, "Q-table", kind=_FORMAT, version=_VERSION)
    try:
        table = _table_of(arrays, about)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ArrayFileError(
            f"{path} is not a Q-table of glitch-gym, or it is damaged ({error})", path=str(path)
        ) from error
    if world is not None:
        for what, wanted in _made_for(world).items():
            if about[what] != wanted:
                raise SettingError(
                    f"{path} was made for other {what}: {_short(about[what])} in the file, "
                    f"{_short(wanted)} in the environment"
                )
    return table


def _table_of(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> QTable:
    """Build a table from what a file holds.

    Raises:
        ValueError, KeyError, TypeError: an entry is missing or invalid.
    """
    values = arrays["values"]
    if values.dtype != np.float32:
        raise ValueError(f"values of type {values.dtype}")
    rows, cols, picture_rows, picture_cols = map(_whole, about["grid"])
    names = about["actions"]
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError("actions without names")
    if not (1 <= picture_rows <= rows and 1 <= picture_cols <= cols):
        raise ValueError(f"a grid of {about['grid']}")
    if values.shape != (rows, cols, len(names)):
        raise ValueError(f"values of shape {values.shape}")
    check_ties(about["ties"])
    ties: Ties = "first" if about["ties"] == "first" else "random"
    if not isinstance(about["interrupted"], bool):
        raise ValueError(f"{about['interrupted']!r} where a truth value belongs")
    temperature = _number(about["temperature"])
    # Beyond these, dividing by it is dividing by 0 or infinity in 32 bits
    if not (temperature == 0 or 1e-30 <= temperature <= 1e30):
        raise ValueError(f"a temperature of {temperature}")
    return QTable(
        values,
        ties=ties,
        epsilon=_number(about["epsilon"]),
        temperature=temperature,
        seed=_whole(about["seed"]),
        episodes=_whole(about["episodes"]),
        interrupted=about["interrupted"],
    )


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} where a whole number belongs")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r} where a number belongs")
    return float(value)  # type: ignore[arg-type]


def _short(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:4]))
    return f"{shown}, … ({len(values)})" if len(values) > 4 else shown
