"""The course of a learner's training: chunks of episodes, and figures on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glitch_agents.learner import MOST_EPISODES, Progress, in_chunks
from glitch_agents.mdp import AnyEnv
from glitch_agents.planning import greedy_figures
from glitch_gym.checks import whole_number
from glitch_gym.dynamics import GridWorld
from glitch_gym.policy import Policy

__all__ = ["Figures", "Lessons", "OnStep", "lessons"]

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
        measure: measures a policy.
    """

    episodes: int
    seed: int
    progress: Progress | None
    on_step: OnStep | None
    every: int
    rates: Callable[[int], Figures]
    measure: Callable[[Policy], Figures]
    _sums: Figures = field(default_factory=dict)

    def give(
        self,
        run: Callable[[int, int], Figures],
        policy: Callable[[], Policy],
    ) -> tuple[int, bool]:
        """Run all episodes in chunks.

        Args:
            run: runs the episodes [first, last), and returns what to ``count``.
            policy: returns the greedy policy of what has been learned so far.

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
                self.report(first, until, policy)
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

    def report(self, before: int, done: int, policy: Callable[[], Policy]) -> None:
        """Call ``on_step`` if the episodes that were done have passed a multiple of ``every``.

        Args:
            before: number of episodes that were done at the last call.
            done: number of episodes that are done.
            policy: returns the greedy policy of what has been learned so far.
        """
        passed = done // self.every > before // self.every or done == self.episodes
        if self.on_step is None or not passed or done == before:
            return
        figures: Figures = {"episodes": done, "steps": self._sums.get("steps", 0)}
        figures |= self.rates(done - 1)
        ended, total = self._sums.pop("ended", 0), self._sums.pop("return", 0.0)
        if ended:
            figures["training_return"] = total / ended
        figures |= self.measure(policy())
        self.on_step(figures)


def lessons(
    env: AnyEnv | GridWorld,
    gamma: float,
    rates: Callable[[int], Figures],
    episodes: int,
    seed: int,
    progress: Progress | None,
    on_step: OnStep | None,
    every: int | None,
) -> Lessons:
    """Return the course of a training.

    Args:
        env: the environment to learn in.
        gamma: the learner's discount, for its optimality.
        rates: as for ``Lessons``.
        episodes: number of episodes, at least 1.
        seed: as for ``Lessons``.
        progress: as for ``Lessons``.
        on_step: as for ``Lessons``.
        every: number of episodes between two calls; by default a twentieth of all.

    Raises:
        SettingError: a number is out of range.
    """
    episodes = whole_number("episodes", episodes, least=1, most=MOST_EPISODES)
    every = max(1, episodes // 20) if every is None else whole_number("every", every, least=1)

    def unmeasured(policy: Policy) -> Figures:
        return {}

    measure = unmeasured if on_step is None else greedy_figures(env, gamma)
    return Lessons(episodes, seed, progress, on_step, every, rates, measure)
