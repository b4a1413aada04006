"""Protocols of policies, for code that only follows them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["HasProbabilities", "Policy"]


@runtime_checkable
class Policy(Protocol):
    """Anything that has an action for each cell.

    Stills and clips treat policies alike. If a policy also has ``probabilities()``,
    (n_cells, n_actions), actions are drawn from them at every step of every agent, by the seed. A
    policy with ``act`` alone is asked once, for all cells, and assumed to be deterministic.
    """

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Return an action for each flat cell index of an integer array, in the same shape."""
        ...


class HasProbabilities(Protocol):
    """A policy with a probability for each action; ``glitch_agents.QTable`` is one."""

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each action in each cell, (n_cells, n_actions)."""
        ...
