"""How long an episode may last, by a lifetime or by what Gymnasium calls ``max_episode_steps``."""

from __future__ import annotations

import copy

from gymnasium.envs.registration import EnvSpec

from glitch_gym.checks import whole_number
from glitch_gym.dynamics import LIFETIME

__all__ = ["shorter_limit", "spec_with_limit"]


def shorter_limit(max_episode_steps: int | None, lifetime: int | None) -> int | None:
    """Return the steps after which an episode is truncated, or ``None`` for no limit.

    Args:
        max_episode_steps: −1 for no limit; ``None`` where it was not given.
        lifetime: ``None`` where it was not given. Without both it is 20 steps.

    Raises:
        SettingError: a limit is not a whole number, or below one step.
    """
    limits = []
    if lifetime is not None:
        limits.append(whole_number("lifetime", lifetime, least=1))
    if max_episode_steps is None:
        limits = limits or [LIFETIME]
    elif max_episode_steps != -1:
        limits.append(whole_number("max_episode_steps", max_episode_steps, least=1))
    return min(limits, default=None)


def spec_with_limit(spec: EnvSpec | None, lifetime: int | None) -> EnvSpec | None:
    """Return a spec that names an environment's own limit, which many tools read there.

    Args:
        spec: spec that the environment was made by.
        lifetime: steps after which the environment truncates by itself, if any.
    """
    if spec is None or lifetime is None or spec.max_episode_steps is not None:
        return spec
    spec = copy.copy(spec)
    spec.max_episode_steps = lifetime
    return spec
