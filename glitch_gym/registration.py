"""What ``gym.make`` calls."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import UnknownSettingError, unknown_name_error
from glitch_gym.limits import shorter_limit

__all__ = ["check_setting_names", "make_registered"]


def check_setting_names(given: Mapping[str, object]) -> None:
    """Raise an error for a setting that ``GlitchGridEnv`` does not have, with the closest name.

    Raises:
        UnknownSettingError: an unknown name.
    """
    known = list(inspect.signature(GlitchGridEnv.__init__).parameters)[1:]
    for name in given:
        if name not in known:
            hint = str(unknown_name_error("setting", name, known)).partition(": ")[2]
            raise UnknownSettingError(
                f"GlitchGridEnv got an unexpected keyword argument '{name}': {hint}"
            )


def make_registered(**settings: Any) -> GlitchGridEnv:
    """Make the environment that ``gym.make("GlitchGrid-v0", **settings)`` wraps.

    The registered spec has no limit of its own, since ``gym.make`` would lay it around a longer
    lifetime too. So the environment truncates itself, unless ``max_episode_steps`` is given.

    Raises:
        SettingError: a setting is unknown or out of range.
    """
    check_setting_names(settings)
    told = None
    # gym.make keeps max_episode_steps to itself, and lays a TimeLimit around what it gets here
    caller = inspect.currentframe()
    caller = None if caller is None else caller.f_back
    if caller is not None and caller.f_code is gym.make.__code__:
        spec, told = (caller.f_locals.get(name) for name in ("id", "max_episode_steps"))
        if told is None and isinstance(spec, EnvSpec):
            told = spec.max_episode_steps
    lifetime = settings.get("lifetime")
    limit = shorter_limit(told, lifetime)
    if told is None and lifetime is None:
        settings["lifetime"] = limit
    return GlitchGridEnv(**settings)


# gym.make reads the render modes of what it calls
make_registered.metadata = GlitchGridEnv.metadata  # type: ignore[attr-defined]
