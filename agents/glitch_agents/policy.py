"""Policies: what an agent does in a cell."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import SettingError

__all__ = ["Policy", "QTable", "Ties", "check_ties"]

Ties = Literal["random", "first"]


def check_ties(ties: str) -> None:
    """Refuse another way to break ties than ``"random"`` and ``"first"``.

    Raises:
        SettingError: another word.
    """
    if ties not in ("random", "first"):
        raise SettingError(f"ties must be 'random' or 'first', not {ties!r}")


@runtime_checkable
class Policy(Protocol):
    """Anything that gives an action for each cell."""

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Give an action for each flat cell index of an integer array, in the same shape."""
        ...


@dataclass(frozen=True, eq=False)
class QTable:
    """Action values, and the policy that follows them: greedy, ε-greedy or softmax.

    Args:
        values: float32 (rows, cols, n_actions).
        ties: among equal best actions take one at ``"random"`` or the ``"first"``.
        epsilon: probability of a uniformly random action, in [0, 1].
        temperature: 0 for greedy; above, actions are drawn from softmax(values / temperature).
        seed: of the draws of ``act``. Rollouts key their draws by agent and step instead.
        episodes: episodes that the table was learned in.
        interrupted: learning was stopped before its time, by Ctrl-C.

    Raises:
        SettingError: a value out of its range, or a table that is not three-dimensional.
    """

    values: NDArray[np.float32]
    ties: Ties = "random"
    epsilon: float = 0.0
    temperature: float = 0.0
    seed: int = 0
    episodes: int = 0
    interrupted: bool = False
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.size == 0:
            raise SettingError(
                f"a Q-table is (rows, cols, n_actions), not of shape {self.values.shape}"
            )
        check_ties(self.ties)
        if not 0 <= self.epsilon <= 1:
            raise SettingError(f"epsilon must lie in 0…1, not {self.epsilon!r}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise SettingError(f"temperature must be finite and at least 0: {self.temperature!r}")
        values = np.ascontiguousarray(self.values, np.float32)
        if not np.isfinite(values).all():
            raise SettingError("the Q-table holds values that are not finite numbers")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "_rng", np.random.default_rng(self.seed))

    @property
    def by_state(self) -> NDArray[np.float32]:
        """The values as (n_cells, n_actions)."""
        return self.values.reshape(-1, self.values.shape[2])

    def greedy(self) -> QTable:
        """The same table, followed greedily."""
        return dataclasses.replace(self, epsilon=0.0, temperature=0.0)

    def epsilon_greedy(self, epsilon: float) -> QTable:
        """The same table, followed greedily but for random actions with probability epsilon."""
        return dataclasses.replace(self, epsilon=epsilon, temperature=0.0)

    def softmax(self, temperature: float) -> QTable:
        """The same table, with actions drawn from the softmax of values over temperature."""
        if temperature <= 0:
            raise SettingError(f"softmax needs a temperature above 0, not {temperature!r}")
        return dataclasses.replace(self, epsilon=0.0, temperature=temperature)

    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each action in each cell, (n_cells, n_actions)."""
        values = self.by_state.astype(np.float64)
        if self.temperature > 0:
            odds = np.exp((values - values.max(axis=1, keepdims=True)) / self.temperature)
        else:
            odds = (values == values.max(axis=1, keepdims=True)).astype(np.float64)
            if self.ties == "first":
                odds = np.eye(values.shape[1])[odds.argmax(axis=1)]
        odds /= odds.sum(axis=1, keepdims=True)
        return np.asarray(self.epsilon / values.shape[1] + (1 - self.epsilon) * odds, np.float64)

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Give an action for each flat cell index, in the same shape.

        Raises:
            SettingError: an index outside the table.
        """
        cells = np.asarray(observations)
        table = self.by_state
        if cells.size and (cells.min() < 0 or cells.max() >= len(table)):
            raise SettingError(f"a cell is outside this table's 0…{len(table) - 1}")
        values = table[cells]
        noise = self._rng.random(values.shape)
        if self.temperature > 0:
            # The Gumbel trick: the argmax of values plus Gumbel noise is a draw from the softmax
            chosen = (values / self.temperature - np.log(-np.log(noise))).argmax(axis=-1)
        else:
            best = values == values.max(axis=-1, keepdims=True)
            keys = best * (1.0 + noise) if self.ties == "random" else best
            chosen = keys.argmax(axis=-1)
        explores = self._rng.random(cells.shape) < self.epsilon
        anything = self._rng.integers(table.shape[1], size=cells.shape)
        return np.where(explores, anything, chosen)
