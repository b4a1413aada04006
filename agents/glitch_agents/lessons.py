"""The course of a tabular learner's training: chunks of episodes, and figures on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glitch_agents.learner import Progress, in_chunks
from glitch_agents.policy import QTable

__all__ = ["Figures", "Lessons", "OnStep"]

Figures = dict[str, float]
"""Figures by name, such as ``{"episodes": 500, "steps": 9183, "optimality": 0.71}``."""

OnStep = Callable[[Figures], None]
"""Called with the figures of a training at intervals."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """The episodes of a training, and what is told of them.

    Args:
        episodes: number of episodes in all.
        seed: seed of the training.
        progress: called now and then with (episodes done, episodes).
        on_step: called with the figures every so many episodes, and at the end.
        every: number of episodes between two calls.
        rates: returns the figures that are set for an episode, such as its learning rate.
        measure: measures the greedy policy of a table.
    """

    episodes: int
    seed: int
    progress: Progress | None
    on_step: OnStep | None
    every: int
    rates: Callable[[int], Figures]
    measure: Callable[[QTable], Figures]
    _sums: Figures = field(default_factory=dict)

    def give(
        self,
        run: Callable[[int, int], Figures],
        values: NDArray[np.floating],
        shape: tuple[int, int, int],
    ) -> tuple[int, bool]:
        """Run all episodes in chunks.

        Args:
            run: runs the episodes [first, last), and returns what to ``count``.
            values: (n_states, n_actions), the values that are learned meanwhile.
            shape: shape of the Q-table.

        Returns:
            the number of episodes that were run, and whether Ctrl-C cut them short.
        """

        def chunk(first: int, last: int) -> None:
            # Reports stand at fixed episodes: chunks must not change what is told
            while first < last:
                until = last
                if self.on_step is not None:
                    until = min(last, (first // self.every + 1) * self.every)
                self.count(run(first, until))
                self.report(first, until, values, shape)
                first = until

        return in_chunks(chunk, self.episodes, self.progress)

    def count(self, figures: Figures) -> None:
        """Add what an episode or several have done.

        Args:
            figures: ``steps``; and ``ended`` and ``return``, the number of episodes that ended and
                the sum of their returns, where they are known.
        """
        for name, amount in figures.items():
            self._sums[name] = self._sums.get(name, 0) + amount

    def report(
        self, before: int, done: int, values: NDArray[np.floating], shape: tuple[int, int, int]
    ) -> None:
        """Call ``on_step`` if the episodes that were done have passed a multiple of ``every``.

        Args:
            before: number of episodes that were done at the last call.
            done: number of episodes that are done.
            values: (n_states, n_actions), the values as they are.
            shape: shape of the Q-table.
        """
        passed = done // self.every > before // self.every or done == self.episodes
        if self.on_step is None or not passed or done == before:
            return
        figures: Figures = {"episodes": done, "steps": self._sums.get("steps", 0)}
        figures |= self.rates(done - 1)
        ended, total = self._sums.pop("ended", 0), self._sums.pop("return", 0.0)
        if ended:
            figures["training_return"] = total / ended
        figures |= self.measure(QTable(values.astype(np.float32).reshape(shape)))
        self.on_step(figures)
