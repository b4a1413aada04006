"""What an agent observes: its cell, its coordinates, the rewards around it, or a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from glitch_gym.checks import real_number, shown, whole_number
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.grid import Grid
from glitch_gym.pixel_view import PixelView, make_pixel_view

__all__ = ["OBSERVATIONS", "Observer", "View", "make_observer"]


OBSERVATIONS = ("cell", "coordinates", "masked", "patch", "pixels")
"""Kinds of observation."""

_LARGEST_PATCH = 255
_LARGEST_PIXEL_SIZE = 512
_MOST_PIXELS = 2**28


@dataclass(frozen=True)
class View:
    """What an agent is to observe.

    Args:
        kind: kind of observation, one of ``OBSERVATIONS``.
        patch_size: side of the ``"patch"`` in cells, odd.
        pixel_size: side of the ``"pixels"``, in pixels.
        bounds: least and largest value of the ``"patch"``; ``None`` for the world's extremes.

    Raises:
        SettingError: an unknown kind, or a size or bounds out of range.
    """

    kind: str = "cell"
    patch_size: int = 5
    pixel_size: int = 84
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in OBSERVATIONS:
            raise unknown_name_error("observation", str(self.kind), OBSERVATIONS)
        patch_size = whole_number("patch_size", self.patch_size, least=1, most=_LARGEST_PATCH)
        if patch_size % 2 == 0:
            raise SettingError(f"patch_size must be odd and at least 1, not {patch_size!r}")
        object.__setattr__(self, "patch_size", patch_size)
        pixel_size = whole_number("pixel_size", self.pixel_size, least=1, most=_LARGEST_PIXEL_SIZE)
        object.__setattr__(self, "pixel_size", pixel_size)
        if self.bounds is not None:
            object.__setattr__(self, "bounds", _checked_bounds(self.bounds))


@dataclass(frozen=True, eq=False)
class Observer:
    """Looks up the observations of agents in a world of one or more pictures.

    The pictures of a world lie one below the other in its grid, and each has as many rows.

    Args:
        kind: kind of observation, one of ``OBSERVATIONS``.
        world: world of the agents.
        space: observation space of one agent.
        rows: rows of cells of each picture.
        windows: float32 (n_pictures, rows, cols, n_actions, patch_size, patch_size), the rewards
            around each cell; ``None`` where the kind is not ``"patch"``.
        pixels: the pictures; ``None`` where the kind is not ``"pixels"``.
    """

    kind: str
    world: GridWorld
    space: spaces.Space[Any]
    rows: int
    windows: NDArray[np.float32] | None = None
    pixels: PixelView | None = None

    def of_cell(self, cell: int) -> Any:
        """Return the observation of an agent in a cell, as a new array."""
        if self.kind == "cell":
            return cell
        # Without a detour by arrays of one row, which would take longer than the step
        cols = self.world.grid.cols
        row, col = divmod(cell, cols)
        if row >= self.rows or self.kind in ("patch", "pixels"):
            picture, row = divmod(row, self.rows)
            if self.windows is not None:
                window = self.windows[picture, row, col]
                return np.array(window.transpose(1, 2, 0), order="C").reshape(-1)
            if self.pixels is not None:
                return self.pixels.of_cell(picture, row, col)
        coordinates = np.empty(2, np.float32)
        coordinates[0] = row / (self.rows - 1 or 1)
        coordinates[1] = col / (cols - 1 or 1)
        if self.kind == "coordinates":
            return coordinates
        return {"action_mask": self.world.masks[cell].copy(), "observations": coordinates}

    def of_cells(self, cells: NDArray[np.int64]) -> Any:
        """Return the observations of agents in these cells (n,), as new arrays."""
        if self.kind == "cell":
            return cells.astype(np.int64)
        cols_of_grid = self.world.grid.cols
        rows, cols = np.divmod(cells, cols_of_grid)
        pictures, rows = np.divmod(rows, self.rows)
        if self.windows is not None:
            seen = self.windows[pictures, rows, cols]
            return seen.transpose(0, 2, 3, 1).reshape(len(cells), -1).copy()
        if self.pixels is not None:
            return self.pixels.of_cells(pictures, rows, cols)
        coordinates = np.empty((len(cells), 2), np.float32)
        coordinates[:, 0] = rows / (self.rows - 1 or 1)
        coordinates[:, 1] = cols / (cols_of_grid - 1 or 1)
        if self.kind == "coordinates":
            return coordinates
        return {"action_mask": self.world.masks[cells], "observations": coordinates}


def make_observer(
    world: GridWorld, view: View, frames: Sequence[NDArray[np.uint8]] = ()
) -> Observer:
    """Make the observer of a world, with the observation space.

    Args:
        world: world of the agents.
        view: what they are to observe.
        frames: the world's pictures, uint8 (height, width, 3) each, which ``"pixels"`` needs; where
            there are several, their grids lie one below the other in the world's.

    Raises:
        SettingError: more pixels than memory should hold.
        GridError: the grid is finer than the pixels.
    """
    n_pictures = max(1, len(frames))
    grid = world.grid
    rows = grid.rows // n_pictures
    if view.kind == "cell":
        return Observer(view.kind, world, spaces.Discrete(grid.n_cells), rows)
    if view.kind == "pixels":
        shape = (view.pixel_size, view.pixel_size, 3)
        if n_pictures * view.pixel_size**2 * 3 > _MOST_PIXELS:
            raise SettingError(
                f"{n_pictures:,} pictures of {view.pixel_size}×{view.pixel_size} pixels are too "
                f"many to keep: take fewer pictures or a smaller pixel_size"
            )
        each = Grid(rows, grid.cols, min(rows, grid.picture_rows), grid.picture_cols)
        pixels = make_pixel_view(frames, each, view.pixel_size)
        return Observer(view.kind, world, spaces.Box(0, 255, shape, np.uint8), rows, None, pixels)
    if view.kind == "patch":
        return _patch_observer(world, view, rows)
    coordinates = spaces.Box(0.0, 1.0, (2,), np.float32)
    if view.kind == "coordinates":
        return Observer(view.kind, world, coordinates, rows)
    masks = spaces.Box(0, 1, (world.actions.n,), np.int8)
    space = spaces.Dict({"action_mask": masks, "observations": coordinates})
    return Observer(view.kind, world, space, rows)


def _patch_observer(world: GridWorld, view: View, rows: int) -> Observer:
    half = view.patch_size // 2
    fields = world.reward_field.reshape(-1, rows, world.grid.cols, world.actions.n)
    padded = np.pad(
        fields,
        ((0, 0), (half, half), (half, half), (0, 0)),
        constant_values=np.float32(world.exit_reward),
    )
    low, high = (padded.min(), padded.max()) if view.bounds is None else view.bounds
    padded = np.clip(padded, np.float32(low), np.float32(high))
    window = (view.patch_size, view.patch_size)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
    size = view.patch_size**2 * world.actions.n
    space = spaces.Box(float(low), float(high), (size,), np.float32)
    return Observer(view.kind, world, space, rows, windows)


def _checked_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(np.float32(real_number("reward_bounds", value))) for value in bounds)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"reward_bounds must be two finite numbers, not {shown(bounds)}"
        ) from error
    if low > high:
        raise SettingError(f"reward_bounds must ascend, not {shown(bounds)}")
    return low, high
