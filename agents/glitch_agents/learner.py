"""What learners share: the protocol, and the loop that runs episodes in chunks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from glitch_gym.checks import whole_number
from glitch_gym.policy import Policy

__all__ = ["MOST_EPISODES", "Learner", "Progress", "in_chunks"]

Progress = Callable[[int, int], None]
"""Called with the episodes that are done and the episodes in all."""

# Long enough that the calls cost nothing, short enough that Ctrl-C and the bar feel immediate
_CHUNK_SECONDS = 0.05

MOST_EPISODES = 2**62
"""Largest number of episodes of a training."""


class Learner(Protocol):
    """Anything that makes a policy from an environment."""

    def learn(
        self, env: Any, *, episodes: int, seed: int = 0, progress: Progress | None = None
    ) -> Policy:
        """Learn for a number of episodes."""
        ...


def in_chunks(
    run: Callable[[int, int], None], episodes: int, progress: Progress | None
) -> tuple[int, bool]:
    """Run episodes in chunks that grow until they are worth their call.

    Args:
        run: function that runs the episodes [first, last).
        episodes: number of episodes in all, at least 1.
        progress: called after each chunk.

    Returns:
        the number of episodes that were run, and whether Ctrl-C cut them short.

    Raises:
        SettingError: there are no episodes.
    """
    episodes = whole_number("episodes", episodes, least=1, most=MOST_EPISODES)
    done, chunk = 0, 64
    try:
        while done < episodes:
            last = min(done + chunk, episodes)
            began = time.perf_counter()
            run(done, last)
            took = time.perf_counter() - began
            if took < _CHUNK_SECONDS / 2:
                chunk *= 2
            elif took > 2 * _CHUNK_SECONDS:
                chunk = max(1, chunk // 2)
            done = last
            if progress is not None:
                progress(done, episodes)
    except KeyboardInterrupt:
        return done, True
    return done, False
