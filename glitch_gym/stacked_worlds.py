"""Several worlds as one: their grids lie one below the other, and each keeps its own borders.

A stack is a ``GridWorld`` like any other. So everything that steps, learns, plans or rolls out in
one picture does so in many, at the speed of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glitch_gym.dynamics import EXIT, GridWorld
from glitch_gym.errors import SettingError
from glitch_gym.grid import Grid
from glitch_gym.reward import check_rewards

__all__ = ["stack_worlds"]


def stack_worlds(worlds: Sequence[GridWorld], *, moving: bool = False) -> GridWorld:
    """Lay worlds one below the other; an agent stays in the world that it starts in.

    Args:
        worlds: worlds with equal grids, all of whose cells hold picture, equal actions and slip.
        moving: whether the worlds are moments instead of places: every step leads into the next
            world, and from the last into the first.

    Returns:
        a world of ``len(worlds) · rows`` × cols cells; the cell of world k is its own flat index
        plus k · rows · cols.

    Raises:
        SettingError: no worlds, worlds that differ in their grids, actions or slip, prohibited
            cells, or more rewards than ``MOST_REWARDS``.
    """
    if not worlds:
        raise SettingError("no worlds to stack: there must be at least one")
    first = worlds[0]
    grid, n = first.grid, len(worlds)
    if (grid.picture_rows, grid.picture_cols) != (grid.rows, grid.cols):
        raise SettingError("only grids without prohibited cells can be stacked: use fit='stretch'")
    for world in worlds:
        same = (world.grid, world.actions, world.slip) == (grid, first.actions, first.slip)
        if not same:
            raise SettingError("worlds that are stacked must have the same grid, actions and slip")
    check_rewards(n * grid.n_cells * first.actions.n)
    offsets = np.arange(n, dtype=np.int32) * np.int32(grid.n_cells)
    order = list(worlds)
    if moving:
        # What is entered is entered in the next moment, at the rewards of that moment
        offsets = np.roll(offsets, -1)
        order = [*worlds[1:], first]
    here = np.stack([world.next_state for world in order])
    next_state = np.where(here == EXIT, np.int32(EXIT), here + offsets[:, None, None])
    return GridWorld(
        Grid(n * grid.rows, grid.cols, n * grid.rows, grid.cols),
        first.actions,
        np.concatenate([world.reward_field for world in worlds]),
        first.exit_reward,
        first.prohibited_reward,
        np.concatenate([world.activation for world in worlds]),
        next_state.reshape(-1, first.actions.n).astype(np.int32),
        np.concatenate([world.rewards for world in order]),
        first.slip,
    )
