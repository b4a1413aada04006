"""Replay the stamps of trajectories on a frame, in order of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.dynamics import GridWorld
from glitch_gym.grid import Grid
from glitch_gym.picture import check_frame
from glitch_gym.trajectories import Trajectories
from glitch_render.effects import EffectParameters
from glitch_render.engine.canvas import Canvas

__all__ = ["mark_cell", "replay", "replay_walk", "replay_walks"]


def replay(
    frame: NDArray[np.uint8],
    grid: Grid,
    actions: ActionSet,
    trajectories: Trajectories,
    *,
    parameters: Mapping[str, EffectParameters] | None = None,
    seed: int = 0,
    layer: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of trajectories on a frame.

    Args:
        frame: uint8 (height, width, 3), RGB; left unchanged.
        grid: grid that the trajectories were made on.
        actions: meaning of the action indices in the trajectories.
        trajectories: walks of any number of agents.
        parameters: parameters of effects, by name; defaults for effects not named.
        seed: seed of random draws.
        layer: number of the layer, part of their key.

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        PictureError: the frame is not a uint8 (height, width, 3) array.
        GridError: the grid is finer than the frame.
        SettingError: the trajectories do not fit the grid or the actions, an effect is unknown,
            or an effect returns pixels of another shape or dtype.

    Example:
        >>> from glitch_agents import scripted
        >>> from glitch_gym import WorldSettings, compute_activation, make_world, read_picture
        >>> frame = read_picture("sample:balloon").frame
        >>> activation = compute_activation(frame, "edges")
        >>> settings = WorldSettings(grid=(40, 32), effects=["same"])
        >>> world = make_world(activation, (400, 320), settings)
        >>> walks = scripted(world, [((12, 4), ["same_right"] * 20)])
        >>> painted = replay(frame, world.grid, world.actions, walks)
        >>> changed = (painted != frame).any(axis=2)
        >>> int(changed[:120].sum()), int(changed[130:].sum())
        (0, 0)
    """
    check_frame(frame)
    canvas = Canvas(grid, actions, *frame.shape[:2], parameters=parameters, seed=seed, layer=layer)
    canvas.stamp(trajectories.cells.T, trajectories.actions.T)
    out = np.array(frame, order="C")
    canvas.paint(out)
    return out


def replay_walk(
    frame: NDArray[np.uint8],
    world: GridWorld,
    walk: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of one agent, given as (cell or −1, action) for each step."""
    steps = np.array(walk).reshape(1, -1, 2)
    return replay_walks(frame, world, steps[:, :, 0], steps[:, :, 1], seed=seed)


def replay_walks(
    frame: NDArray[np.uint8],
    world: GridWorld,
    cells: NDArray[np.int32],
    actions: NDArray[np.int32],
    *,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Execute the stamps of agents, given as int32 (agents, steps) of cell or −1, and action."""
    lengths = np.full(len(cells), cells.shape[1], np.int32)
    trajectories = Trajectories(cells, actions, lengths)
    return replay(frame, world.grid, world.actions, trajectories, seed=seed)


def mark_cell(frame: NDArray[np.uint8], grid: Grid, cell: int) -> None:
    """Draw a frame around a cell, white within black, in place; it shows on any picture.

    Args:
        frame: uint8 (height, width, 3).
        grid: grid over the frame.
        cell: flat index of a picture cell.
    """
    row_edges, col_edges = grid.edges(*frame.shape[:2])
    row, col = divmod(cell, grid.cols)
    top, bottom = int(row_edges[row]), int(row_edges[row + 1])
    start, end = int(col_edges[col]), int(col_edges[col + 1])
    thick = max(1, min(bottom - top, end - start) // 10)
    for grow, value in ((2 * thick, 0), (thick, 255)):
        y0, y1 = max(0, top - grow), min(frame.shape[0], bottom + grow)
        x0, x1 = max(0, start - grow), min(frame.shape[1], end + grow)
        frame[y0 : y0 + thick, x0:x1] = value
        frame[y1 - thick : y1, x0:x1] = value
        frame[y0:y1, x0 : x0 + thick] = value
        frame[y0:y1, x1 - thick : x1] = value
