"""What a policy is, to those who only follow it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["HasProbabilities"]


class HasProbabilities(Protocol):
    """A policy that can say how likely each action is; ``glitch_agents.QTable`` is one."""

    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each action in each cell, (n_cells, n_actions)."""
        ...
