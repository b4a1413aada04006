"""Q-tables in files: NumPy's ``.npz`` without pickle, with what they were made for inside."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from glitch_agents.policy import QTable
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import GlitchError, SettingError
from glitch_gym.output import write_bytes

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
        path: ends in ``.npz``.
        table: of the world's shape.
        world: that it was learned in.

    Raises:
        SettingError: another suffix, or a table that does not fit the world.
        OutputError: the file cannot be written; nothing is left behind.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise SettingError(f"a Q-table is saved as .npz, not as {target.name!r}")
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
    buffer = io.BytesIO()
    np.savez_compressed(buffer, values=table.values, about=np.array(json.dumps(about)))
    write_bytes(target, buffer.getvalue())


def load_table(path: str | Path, world: GridWorld | None = None) -> QTable:
    """Read a Q-table, and check that it fits.

    Args:
        path: of the ``.npz`` file.
        world: where it is to be used; its grid and its actions must be those it was made for.

    Raises:
        SettingError: missing, damaged, of another program or a newer version, or for another world.
    """
    if not Path(path).is_file():
        raise SettingError(f"Q-table not found: {path}")
    try:
        # Opened here, since np.load leaves a damaged archive open
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
            values = content["values"]
            about = json.loads(str(content["about"]))
        if about["format"] != _FORMAT:
            raise SettingError(f"{path} is not a Q-table of glitch-gym")
        if about["version"] > _VERSION:
            raise SettingError(
                f"{path} was written by a newer glitch-gym (format {about['version']})"
            )
        table = QTable(
            values,
            ties=about["ties"],
            epsilon=about["epsilon"],
            temperature=about["temperature"],
            seed=about["seed"],
            episodes=about["episodes"],
            interrupted=about["interrupted"],
        )
    except GlitchError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SettingError(f"{path} is not a Q-table of glitch-gym, or it is damaged") from error
    if world is not None:
        for what, wanted in _made_for(world).items():
            if about[what] != wanted:
                raise SettingError(
                    f"{path} was made for other {what}: {_short(about[what])} in the file, "
                    f"{_short(wanted)} in the environment"
                )
    return table


def _short(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:4]))
    return f"{shown}, … ({len(values)})" if len(values) > 4 else shown
