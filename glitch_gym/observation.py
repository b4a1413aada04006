"""What an agent observes: its cell, its coordinates, or the rewards around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from glitch_gym.checks import real_number, shown, whole_number
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError, unknown_name_error

__all__ = ["OBSERVATIONS", "Observer", "make_observer"]


OBSERVATIONS = ("cell", "coordinates", "masked", "patch")
"""Kinds of observation."""

_LARGEST_PATCH = 255


@dataclass(frozen=True, eq=False)
class Observer:
    """Looks up the observations of agents in a world.

    Args:
        kind: kind of observation, one of ``OBSERVATIONS``.
        world: world of the agents.
        space: observation space of one agent.
        windows: float32 (rows, cols, n_actions, patch_size, patch_size), the rewards around each
            cell; ``None`` where the kind is not ``"patch"``.
    """

    kind: str
    world: GridWorld
    space: spaces.Space[Any]
    windows: NDArray[np.float32] | None

    def of_cell(self, cell: int) -> Any:
        """Return the observation of an agent in a cell, as a new array."""
        if self.kind == "cell":
            return cell
        # Without a detour by arrays of one row, which would take longer than the step
        grid = self.world.grid
        row, col = divmod(cell, grid.cols)
        if self.windows is not None:
            return np.array(self.windows[row, col].transpose(1, 2, 0), order="C").reshape(-1)
        coordinates = np.empty(2, np.float32)
        coordinates[0] = row / (grid.rows - 1 or 1)
        coordinates[1] = col / (grid.cols - 1 or 1)
        if self.kind == "coordinates":
            return coordinates
        return {"action_mask": self.world.masks[cell].copy(), "observations": coordinates}

    def of_cells(self, cells: NDArray[np.int64]) -> Any:
        """Return the observations of agents in these cells (n,), as new arrays."""
        if self.kind == "cell":
            return cells.astype(np.int64)
        grid = self.world.grid
        rows, cols = np.divmod(cells, grid.cols)
        if self.windows is not None:
            return self.windows[rows, cols].transpose(0, 2, 3, 1).reshape(len(cells), -1).copy()
        coordinates = np.empty((len(cells), 2), np.float32)
        coordinates[:, 0] = rows / (grid.rows - 1 or 1)
        coordinates[:, 1] = cols / (grid.cols - 1 or 1)
        if self.kind == "coordinates":
            return coordinates
        return {"action_mask": self.world.masks[cells], "observations": coordinates}


def make_observer(
    world: GridWorld, kind: str, patch_size: int, bounds: tuple[float, float] | None
) -> Observer:
    """Make the observer of a world, with the observation space.

    Args:
        world: world of the agents.
        kind: kind of observation, one of ``OBSERVATIONS``.
        patch_size: side of the ``"patch"``, odd.
        bounds: least and largest value of the ``"patch"``; ``None`` for the world's extremes.

    Raises:
        SettingError: an unknown kind, or a patch size or bounds out of range.
    """
    if not isinstance(kind, str) or kind not in OBSERVATIONS:
        raise unknown_name_error("observation", str(kind), OBSERVATIONS)
    patch_size = whole_number("patch_size", patch_size, least=1, most=_LARGEST_PATCH)
    if patch_size % 2 == 0:
        raise SettingError(f"patch_size must be odd and at least 1, not {patch_size!r}")
    coordinates = spaces.Box(0.0, 1.0, (2,), np.float32)
    if kind == "cell":
        return Observer(kind, world, spaces.Discrete(world.grid.n_cells), None)
    if kind == "coordinates":
        return Observer(kind, world, coordinates, None)
    if kind == "masked":
        masks = spaces.Box(0, 1, (world.actions.n,), np.int8)
        space = spaces.Dict({"action_mask": masks, "observations": coordinates})
        return Observer(kind, world, space, None)
    half = patch_size // 2
    padded = np.pad(
        world.reward_field,
        ((half, half), (half, half), (0, 0)),
        constant_values=np.float32(world.exit_reward),
    )
    low, high = (padded.min(), padded.max()) if bounds is None else _checked_bounds(bounds)
    padded = np.clip(padded, low, high)
    window = (patch_size, patch_size)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(0, 1))
    size = patch_size * patch_size * world.actions.n
    return Observer(kind, world, spaces.Box(float(low), float(high), (size,), np.float32), windows)


def _checked_bounds(bounds: tuple[float, float]) -> tuple[np.float32, np.float32]:
    try:
        low, high = (np.float32(real_number("reward_bounds", value)) for value in bounds)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"reward_bounds must be two finite numbers, not {shown(bounds)}"
        ) from error
    if low > high:
        raise SettingError(f"reward_bounds must ascend, not {shown(bounds)}")
    return low, high
