"""Trajectories: the cells and actions of many agents, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import SettingError

__all__ = ["Trajectories"]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The walks of many agents: at each step the action, and the cell that it was stamped on.

    The cell that an agent came from is the one behind the move. Where nothing was stamped (the
    agent left the picture, or walked into a prohibited cell) the cell is −1.

    Args:
        cells: int32 (agents, steps), flat index of the stamped cell, or −1.
        actions: int32 (agents, steps), or −1 after the end of an agent's life.
        lengths: int32 (agents,), steps that each agent took.

    Raises:
        SettingError: an array has another shape or type, or holds numbers out of range.
    """

    cells: NDArray[np.int32]
    actions: NDArray[np.int32]
    lengths: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or self.cells.shape != self.actions.shape:
            raise SettingError(
                f"cells and actions must both be (agents, steps), not {self.cells.shape} and "
                f"{self.actions.shape}"
            )
        if self.lengths.shape != (self.cells.shape[0],):
            raise SettingError(f"lengths must be (agents,), not {self.lengths.shape}")
        for name in ("cells", "actions", "lengths"):
            object.__setattr__(self, name, _numbered(name, getattr(self, name)))
        if self.lengths.size and not (
            self.lengths.min() >= 0 and self.lengths.max() <= self.cells.shape[1]
        ):
            raise SettingError(f"lengths must lie in 0…{self.cells.shape[1]}, the steps")

    @classmethod
    def empty(cls) -> Trajectories:
        """Return trajectories without agents, for a layer that is omitted."""
        nothing = np.zeros((0, 0), np.int32)
        return cls(nothing, nothing, np.zeros(0, np.int32))

    @property
    def n_stamps(self) -> int:
        """Number of stamps in all."""
        return int((self.cells >= 0).sum())


def _numbered(name: str, given: object) -> NDArray[np.int32]:
    """Return an array of cells, actions or lengths as int32.

    Its users check whether a grid has the cells, and an action set the actions.
    """
    array = np.asarray(given)
    if array.dtype == np.int32:
        return array
    if array.dtype.kind not in "iu" and array.size:
        raise SettingError(f"{name} must be whole numbers, not {array.dtype}")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise SettingError(f"{name} holds numbers out of range")
    return array.astype(np.int32)
