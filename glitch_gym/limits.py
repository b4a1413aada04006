"""How long an episode may last, by a lifetime or by what Gymnasium calls ``max_episode_steps``."""

from __future__ import annotations

import copy

from gymnasium.envs.registration import EnvSpec, registry

from glitch_gym.checks import whole_number
from glitch_gym.dynamics import LIFETIME

__all__ = ["shorter_limit", "spec_with_limit"]

# Settings that change neither the rewards nor the dynamics. How long episodes last is compared on
# its own, since it has several names.
_APPEARANCE = {
    "autoreset_mode", "lifetime", "masks", "max_episode_steps", "num_envs", "observation",
    "patch_size", "pixel_size", "render_mode", "vectorization_mode",
}  # fmt: skip


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

    It names the reward threshold of its id only where that is still the optimum.

    Args:
        spec: spec that the environment was made by.
        lifetime: steps after which the environment truncates by itself, if any.
    """
    if spec is None:
        return None
    spec = copy.copy(spec)
    if lifetime is not None and spec.max_episode_steps is None:
        spec.max_episode_steps = lifetime
    if spec.max_episode_steps != LIFETIME or _task(spec) != _task(registry.get(spec.id)):
        spec.reward_threshold = None
    return spec


def _task(spec: EnvSpec | None) -> dict[str, object] | None:
    """Return the settings of a spec that returns depend on."""
    if spec is None:
        return None
    return {name: value for name, value in spec.kwargs.items() if name not in _APPEARANCE}
