"""What a policy is, to those who only follow it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["HasProbabilities", "Policy"]


@runtime_checkable
class Policy(Protocol):
    """Anything that gives an action for each cell.

    What the agents of a still and of a clip do is decided in the same way. A policy that also has
    ``probabilities()``, (n_cells, n_actions), is drawn from at every step of every agent, by the
    seed. A policy with ``act`` alone is asked once, for all cells, and taken to be deterministic.
    """

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Return an action for each flat cell index of an integer array, in the same shape."""
        ...


class HasProbabilities(Protocol):
    """A policy that can say how likely each action is; ``glitch_agents.QTable`` is one."""

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each action in each cell, (n_cells, n_actions)."""
        ...
