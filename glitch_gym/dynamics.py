"""The one definition of the dynamics: a step in the grid world, as two tables.

Taking an action in a cell leads to the neighbour that its move points at. A picture cell is
entered, for the reward of entering it by that action; a prohibited cell is refused, at a price;
off the grid the agent has left the picture, and the episode terminates. Precomputing both tables
makes a step two look-ups for everyone who steps: the environment, the learners and the rollout.

Where a world has slip, another move may take the place of an action's own before the look-ups. The
draw is keyed by the episode and the step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from glitch_gym.actions import ActionSet
from glitch_gym.activation.base import Activation
from glitch_gym.checks import frozen_array, real_number, shown, whole_number
from glitch_gym.errors import GridError, SettingError
from glitch_gym.grid import Grid
from glitch_gym.memory import MEMORY, content_key
from glitch_gym.reward import activation_on_grid
from glitch_gym.reward import reward_field as make_reward_field
from glitch_gym.settings import WorldSettings

__all__ = [
    "EXIT",
    "LIFETIME",
    "GridWorld",
    "grid_world",
    "make_world",
    "recall_world",
    "refuse_slip",
    "world_with_field",
]

EXIT = -1
"""The next state of an agent that leaves the picture."""

LIFETIME = 20
"""Steps that an agent lives, as in the blog post."""

_MOST_ENTRIES = 2**28


@dataclass(frozen=True, eq=False)
class GridWorld:
    """A grid with its actions and rewards: everything that an agent lives in. Arrays are read-only.

    Args:
        grid: grid laid over the picture.
        actions: actions of an agent.
        reward_field: float32 (rows, cols, n_actions), reward for entering each cell by each action.
        exit_reward: reward for leaving the picture.
        prohibited_reward: reward for walking into a prohibited cell.
        activation: activation of each picture cell, float32 (picture_rows, picture_cols) in [0, 1].
        next_state: int32 (n_cells, n_actions): the cell where an action leads, or ``EXIT``.
        rewards: float32 (n_cells, n_actions): the reward of an action, by the cell it starts from.
        slip: probability that another move takes the place of an action's own, each of the others
            being equally likely. The tables are those of the action that is carried out.

    Raises:
        SettingError: an array of the wrong shape or type, numbers that are not finite, or a next
            state that the grid does not have.
    """

    grid: Grid
    actions: ActionSet
    reward_field: NDArray[np.float32]
    exit_reward: float
    prohibited_reward: float
    activation: NDArray[np.float32]
    next_state: NDArray[np.int32]
    rewards: NDArray[np.float32]
    slip: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid) or not isinstance(self.actions, ActionSet):
            raise SettingError("a world is made of a Grid, an ActionSet and arrays")
        grid, table = self.grid, (self.grid.n_cells, self.actions.n)
        _check_size(grid, self.actions)
        for name, dtype, shape in (
            ("reward_field", np.float32, (grid.rows, grid.cols, self.actions.n)),
            ("activation", np.float32, (grid.picture_rows, grid.picture_cols)),
            ("next_state", np.int32, table),
            ("rewards", np.float32, table),
        ):
            frozen = frozen_array(f"the world's {name}", getattr(self, name), dtype, shape)
            object.__setattr__(self, name, frozen)
        for name in ("exit_reward", "prohibited_reward"):
            real_number(name, getattr(self, name))
        object.__setattr__(self, "slip", real_number("slip", self.slip, low=0.0, high=1.0))
        self._check_next_state()

    def _check_next_state(self) -> None:
        """Raise an error for a table of next states that compiled code could not follow."""
        there = self.next_state
        if there.min() < EXIT or there.max() >= self.grid.n_cells:
            raise SettingError(
                f"a next state of the world is outside 0…{self.grid.n_cells - 1}, and not "
                f"{EXIT}, which stands for leaving"
            )
        by_effect = there.reshape(len(there), -1, self.actions.n_moves)
        if (by_effect != by_effect[:, :1]).any():
            raise SettingError("all effects of a move must lead to the same cell")
        # EXIT, −1, takes the place behind the last cell
        ends = np.append(self.grid.prohibited().ravel(), False)
        if ends[by_effect[self.picture_cells, 0]].any():
            raise SettingError("a move leads from the picture into a prohibited cell")

    @cached_property
    def digest(self) -> str:
        """Digest of the whole world: equal digests mean equal worlds."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.slip:
            del named["slip"]
        return content_key(**named)

    @cached_property
    def picture_cells(self) -> NDArray[np.int32]:
        """Flat indices of the picture's cells, ascending."""
        cells = self.grid.picture_cells()
        cells.setflags(write=False)
        return cells

    @cached_property
    def successors(self) -> NDArray[np.int32]:
        """Next cell by move, (n_cells, n_moves): all effects of a move lead to the same cell.

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


def refuse_slip(world: GridWorld) -> None:
    """Raise an error for a world with slip, in code that follows its tables alone.

    Raises:
        SettingError: the world has slip.
    """
    if world.slip:
        raise SettingError(
            f"this follows the grid world's tables, which leave out its slip of {world.slip:g}: "
            f"step an environment of it instead, such as GlitchGridEnv.from_world(world, frame)"
        )


def _check_size(grid: Grid, actions: ActionSet) -> None:
    """Refuse a world whose tables would fill the memory."""
    if grid.n_cells * actions.n > _MOST_ENTRIES:
        raise GridError(
            f"a grid of {grid.rows}×{grid.cols} with {actions.n} actions is too fine: use a "
            f"coarser grid or fewer effects"
        )


def grid_world(
    grid: Grid,
    actions: ActionSet,
    reward_field: NDArray[np.float32],
    *,
    exit_reward: float = 1.0,
    prohibited_reward: float = -1.0,
    activation: NDArray[np.float32] | None = None,
    slip: float = 0.0,
) -> GridWorld:
    """Build a world from a reward field.

    Args:
        grid: grid laid over the picture.
        actions: actions of an agent.
        reward_field: reward for entering each cell by each action, (rows, cols, n_actions).
        exit_reward: reward for leaving the picture.
        prohibited_reward: reward for walking into a prohibited cell.
        activation: activation of the picture's cells, (picture_rows, picture_cols) in [0, 1]; by
            default ½ everywhere.
        slip: probability that another move takes the place of an action's own.

    Raises:
        SettingError: an array of the wrong shape, or values that are not finite.
        GridError: more cells and actions than memory can hold.
    """
    _check_size(grid, actions)
    exit_reward = real_number("exit_reward", exit_reward)
    prohibited_reward = real_number("prohibited_reward", prohibited_reward)
    shape = (grid.rows, grid.cols, actions.n)
    field = frozen_array("the reward field", reward_field, np.float32, shape)
    picture = (grid.picture_rows, grid.picture_cols)
    if activation is None:
        activation = np.full(picture, 0.5, np.float32)
    activation = frozen_array("the activation", activation, np.float32, picture)

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
    rewards = rewards.astype(np.float32)
    next_state.setflags(write=False)
    rewards.setflags(write=False)
    return GridWorld(
        grid, actions, field, exit_reward, prohibited_reward, activation, next_state, rewards, slip
    )


def world_with_field(
    field: NDArray[np.float32], activation: Activation, grid: Grid, settings: WorldSettings
) -> GridWorld:
    """Build the world of a picture whose reward field is already known.

    Args:
        field: reward field, from ``reward_field`` with the other arguments.
        activation: activation map of the picture.
        grid: grid laid over the picture, from ``settings.grid_over``.
        settings: settings of the world.

    Raises:
        SettingError: a reward field of another shape.
    """
    return grid_world(
        grid,
        settings.actions,
        field,
        exit_reward=settings.leaving_reward,
        prohibited_reward=settings.prohibited_reward,
        activation=activation_on_grid(activation, grid),
        slip=settings.slip,
    )


def make_world(
    activation: Activation,
    size: tuple[int, int],
    settings: WorldSettings,
    *,
    seed: int = 0,
    layer: int = 0,
) -> GridWorld:
    """Build the world of a picture.

    Args:
        activation: activation map of the picture.
        size: (height, width) of the picture in pixels.
        settings: settings of the world.
        seed: seed of the reward noise.
        layer: number of the layer, part of the noise's key.

    Raises:
        SettingError: a seed or layer that is no whole number, or too many rewards.
        GridError: the grid is finer than the picture.
    """
    seed = whole_number("seed", seed, most=None)
    layer = whole_number("layer", layer)
    if not isinstance(settings, WorldSettings):
        raise SettingError(f"a world needs WorldSettings, not {shown(settings)}")
    grid = settings.grid_over(*size)
    field = make_reward_field(activation, grid, settings, seed=seed, layer=layer)
    return world_with_field(field, activation, grid, settings)


def recall_world(
    activation: Activation,
    size: tuple[int, int],
    settings: WorldSettings,
    *,
    seed: int = 0,
    layer: int = 0,
) -> GridWorld:
    """Return the world of a picture, built once for each content of the arguments.

    Arguments and errors are those of ``make_world``.
    """
    seed = whole_number("seed", seed, most=None)
    layer = whole_number("layer", layer)
    key = content_key(
        activation=activation, size=tuple(size), world=settings, seed=seed, layer=layer
    )
    return MEMORY.recall(
        key, lambda: make_world(activation, size, settings, seed=seed, layer=layer)
    )
