"""The one definition of the dynamics: a step in the grid world, as two tables.

Taking an action in a cell leads to the neighbour that its move points at. A picture cell is
entered, for the reward of entering it by that action; a prohibited cell is refused, at a price;
off the grid the agent has left the picture, and the episode terminates. Precomputing both tables
makes a step two look-ups for everyone who steps: the environment, the learners and the rollout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.activation import Activation
from glitch_gym.errors import SettingError
from glitch_gym.grid import Fit, Grid, Orient, fit_grid
from glitch_gym.reward import Noise, activation_on_grid, effect_noise, resolve_objective
from glitch_gym.reward import reward_field as make_reward_field

__all__ = ["EXIT", "GridWorld", "grid_world", "make_world"]

EXIT = -1
"""The next state of an agent that leaves the picture."""


@dataclass(frozen=True, eq=False)
class GridWorld:
    """A grid with its actions and rewards: all that an agent lives in. Arrays are read-only.

    Args:
        grid: where the picture lies.
        actions: what an agent can do.
        reward_field: float32 (rows, cols, n_actions), reward for entering a cell by an action.
        exit_reward: for leaving the picture.
        prohibited_reward: for walking into a prohibited cell.
        activation: float32 (picture_rows, picture_cols) in [0, 1], the map on the picture's cells.
        next_state: int32 (n_cells, n_actions): the cell where an action leads, or ``EXIT``.
        rewards: float32 (n_cells, n_actions): the reward of an action, by the cell it starts from.
    """

    grid: Grid
    actions: ActionSet
    reward_field: NDArray[np.float32]
    exit_reward: float
    prohibited_reward: float
    activation: NDArray[np.float32]
    next_state: NDArray[np.int32]
    rewards: NDArray[np.float32]

    @cached_property
    def picture_cells(self) -> NDArray[np.int32]:
        """Flat indices of the picture's cells, ascending."""
        cells = self.grid.picture_cells()
        cells.setflags(write=False)
        return cells

    @cached_property
    def there_by_move(self) -> NDArray[np.int32]:
        """Where each move leads, (n_cells, n_moves): all effects of a move lead to one cell.

        A fifth of ``next_state`` or less, so that it stays in the processor's cache while many
        agents step.
        """
        table = np.ascontiguousarray(self.next_state[:, : self.actions.n_moves])
        table.setflags(write=False)
        return table

    @cached_property
    def masks(self) -> NDArray[np.int8]:
        """(n_cells, n_actions): 0 for moves into prohibited cells, else 1; no row is all zero."""
        masks = np.ones(self.next_state.shape, np.int8)
        cells = self.picture_cells
        masks[cells] = self.next_state[cells] != cells[:, None]
        masks.setflags(write=False)
        return masks


def grid_world(
    grid: Grid,
    actions: ActionSet,
    reward_field: NDArray[np.float32],
    *,
    exit_reward: float = 1.0,
    prohibited_reward: float = -1.0,
    activation: NDArray[np.float32] | None = None,
) -> GridWorld:
    """Build a world from a reward field.

    Args:
        grid: where the picture lies.
        actions: what an agent can do.
        reward_field: (rows, cols, n_actions), finite.
        exit_reward: for leaving the picture.
        prohibited_reward: for walking into a prohibited cell.
        activation: (picture_rows, picture_cols) in [0, 1]; by default ½ everywhere.

    Raises:
        SettingError: an array of the wrong shape, or values that are not finite.
    """
    shape = (grid.rows, grid.cols, actions.n)
    if reward_field.shape != shape:
        raise SettingError(f"the reward field must be {shape}, not {reward_field.shape}")
    field = np.array(reward_field, np.float32, order="C")
    if not np.isfinite(field).all():
        raise SettingError("the reward field holds values that are not finite numbers")
    picture = (grid.picture_rows, grid.picture_cols)
    if activation is None:
        activation = np.full(picture, 0.5, np.float32)
    if activation.shape != picture:
        raise SettingError(f"the activation must be {picture}, not {activation.shape}")

    rows, cols = np.divmod(np.arange(grid.n_cells, dtype=np.int32)[:, None], np.int32(grid.cols))
    to_rows = rows + actions.offsets[:, 0]
    to_cols = cols + actions.offsets[:, 1]
    leaves = (to_rows < 0) | (to_rows >= grid.rows) | (to_cols < 0) | (to_cols >= grid.cols)
    to_rows, to_cols = np.where(leaves, 0, to_rows), np.where(leaves, 0, to_cols)
    refused = ~leaves & grid.prohibited()[to_rows, to_cols]
    here = rows * np.int32(grid.cols) + cols
    there = to_rows * np.int32(grid.cols) + to_cols
    next_state = np.where(leaves, np.int32(EXIT), np.where(refused, here, there)).astype(np.int32)
    entering = field[to_rows, to_cols, np.arange(actions.n)]
    rewards = np.where(leaves, exit_reward, np.where(refused, prohibited_reward, entering))
    arrays = (field, np.array(activation, np.float32), next_state, rewards.astype(np.float32))
    for array in arrays:
        array.setflags(write=False)
    return GridWorld(
        grid, actions, arrays[0], exit_reward, prohibited_reward, arrays[1], arrays[2], arrays[3]
    )


@lru_cache(maxsize=32)
def _make_world(
    activation: Activation,
    grid: Grid,
    actions: ActionSet,
    noise: tuple[tuple[str, Noise], ...],
    reward_range: tuple[float, float],
    exit_reward: float,
    prohibited_reward: float,
    invert: bool,
    median: int,
    seed: int,
    layer: int,
) -> GridWorld:
    field = make_reward_field(
        activation,
        grid,
        actions,
        noise=dict(noise),
        reward_range=reward_range,
        prohibited_reward=prohibited_reward,
        invert=invert,
        median=median,
        seed=seed,
        layer=layer,
    )
    return grid_world(
        grid,
        actions,
        field,
        exit_reward=exit_reward,
        prohibited_reward=prohibited_reward,
        activation=activation_on_grid(activation, grid),
    )


def make_world(
    activation: Activation,
    height: int,
    width: int,
    *,
    grid: tuple[int, int],
    effects: Iterable[str] | Mapping[str, Noise | tuple[float, float] | Mapping[str, float]],
    fit: Fit = "pad",
    orient: Orient = "fixed",
    moves: int = 4,
    objective: str = "escape",
    reward_range: tuple[float, float] | None = None,
    exit_reward: float | None = None,
    prohibited_reward: float = -1.0,
    invert: bool = False,
    median: int = 3,
    seed: int = 0,
    layer: int = 0,
) -> GridWorld:
    """Build the world of a picture; one that was built before is handed out again.

    Args:
        activation: the picture's activation map.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        grid: (rows, cols).
        effects: names, or names with their noise (see ``effect_noise``).
        fit: ``"pad"`` or ``"stretch"`` (see ``fit_grid``).
        orient: ``"auto"`` lays the grid's longer side along the picture's.
        moves: 4 or 8.
        objective: ``"escape"`` (rewards −1…0, 1 for leaving) or ``"linger"`` (0…1, 0).
        reward_range: in place of the objective's.
        exit_reward: in place of the objective's.
        prohibited_reward: for walking into a prohibited cell.
        invert: use 1 − activation.
        median: side of the median filter in cells, odd.
        seed: of the reward noise.
        layer: number of the layer, part of the noise's key.

    Raises:
        SettingError: a setting is out of its range.
        GridError: the grid is finer than the picture.
    """
    if seed < 0:
        raise SettingError(f"seed must be a whole number from 0, not {seed!r}")
    if not np.isfinite(prohibited_reward):
        raise SettingError(f"prohibited_reward must be finite, not {prohibited_reward!r}")
    noise = effect_noise(effects)
    low_high, leaving = resolve_objective(objective, reward_range, exit_reward)
    return _make_world(
        activation,
        fit_grid(grid, height, width, fit=fit, orient=orient),
        ActionSet(tuple(noise), moves),
        tuple(noise.items()),
        low_high,
        leaving,
        float(prohibited_reward),
        bool(invert),
        median,
        seed,
        layer,
    )
