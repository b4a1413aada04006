"""Policies: the action to take in each cell."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import real_number, whole_number
from glitch_gym.errors import SettingError

__all__ = ["QTable", "Ties", "check_ties"]

Ties = Literal["random", "first"]


def check_ties(ties: str) -> None:
    """Check that a way to break ties is ``"random"`` or ``"first"``.

    Raises:
        SettingError: it is neither.
    """
    if ties not in ("random", "first"):
        raise SettingError(f"ties must be 'random' or 'first', not {ties!r}")


@dataclass(frozen=True, eq=False)
class QTable:
    """Action values, and the policy that follows them: greedy, ε-greedy or softmax.

    Args:
        values: float32 (rows, cols, n_actions).
        ties: which of equally good actions to take, a ``"random"`` one or the ``"first"``.
        epsilon: probability of a uniformly random action, in [0, 1].
        temperature: 0 for greedy; above, actions are drawn from softmax(values / temperature), and
            epsilon must be 0.
        seed: seed of the draws of ``act``; rollouts key their draws by agent and step instead.
        episodes: number of episodes that the table was learned in.
        interrupted: whether Ctrl-C stopped learning early.

    Raises:
        SettingError: a value is out of range, both an epsilon and a temperature are set, or the
            table is not three-dimensional.
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
        given = np.asarray(self.values)
        if given.ndim != 3 or given.size == 0:
            raise SettingError(f"a Q-table is (rows, cols, n_actions), not of shape {given.shape}")
        if given.dtype.kind not in "iuf":
            raise SettingError(f"a Q-table holds numbers, not {given.dtype}")
        check_ties(self.ties)
        real_number("epsilon", self.epsilon, 0.0, 1.0)
        real_number("temperature", self.temperature, 0.0)
        if self.epsilon > 0 and self.temperature > 0:
            raise SettingError(
                f"a Q-table is followed with epsilon {self.epsilon:g} or with temperature "
                f"{self.temperature:g}, not with both: set one of them to 0"
            )
        whole_number("seed", self.seed, most=None)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(given, np.float32)
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
        if real_number("temperature", temperature) <= 0:
            raise SettingError(f"softmax needs a temperature above 0, not {temperature!r}")
        return dataclasses.replace(self, epsilon=0.0, temperature=temperature)

    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each action in each cell, (n_cells, n_actions)."""
        values = self.by_state.astype(np.float64)
        if self.temperature > 0:
            probs = np.exp((values - values.max(axis=1, keepdims=True)) / self.temperature)
        else:
            probs = (values == values.max(axis=1, keepdims=True)).astype(np.float64)
            if self.ties == "first":
                probs = np.eye(values.shape[1])[probs.argmax(axis=1)]
        probs /= probs.sum(axis=1, keepdims=True)
        return np.asarray(self.epsilon / values.shape[1] + (1 - self.epsilon) * probs, np.float64)

    def act(self, observations: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return an action for each flat cell index, in the same shape.

        Raises:
            SettingError: an index lies outside the table.
        """
        cells = np.asarray(observations)
        table = self.by_state
        if cells.size and cells.dtype.kind not in "iu":
            raise SettingError(f"cells are whole numbers, not {cells.dtype}")
        cells = cells.astype(np.int64)
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
