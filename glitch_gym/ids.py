"""The ids of the environments: what each carries of the task, for tools that take only an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium

__all__ = ["ENVIRONMENTS", "Registered", "register_environments"]

_GRID = ("glitch_gym.registration:make_registered", "glitch_gym.vector_env:GlitchGridVectorEnv")
_PICTURES = (
    "glitch_gym.pictures_env:GlitchPicturesEnv",
    "glitch_gym.pictures_env:GlitchPicturesVectorEnv",
)
_CLIP = ("glitch_gym.pictures_env:GlitchClipEnv", "glitch_gym.pictures_env:GlitchClipVectorEnv")

_OBJECTIVES: dict[str, dict[str, Any]] = {"": {}, "-Linger": {"objective": "linger"}}
_SIZES: dict[str, dict[str, Any]] = {
    "": {},
    "-40x20": {"grid": (40, 20)},
    "-200x100": {"grid": (200, 100)},
}
_PIXELS: dict[str, dict[str, Any]] = {
    "-Pixels64": {"observation": "pixels", "pixel_size": 64},
    "-Pixels84": {"observation": "pixels", "pixel_size": 84},
}
_OBSERVATIONS: dict[str, dict[str, Any]] = {
    "": {},
    "-Coordinates": {"observation": "coordinates"},
    "-Masked": {"observation": "masked"},
    "-Patch": {"observation": "patch"},
    **_PIXELS,
}
_SETS: dict[str, dict[str, Any]] = {
    "": {},
    "-Test": {"split": "test"},
    "-Samples": {"images": "samples"},
}

# The optimum of the mean return within 20 steps, rounded down to three decimals. It follows from
# the default pictures, seed and effects; tests/test_ids.py computes it anew.
_OPTIMA = {
    "GlitchGrid": -0.353,
    "GlitchGrid-Linger": 14.955,
    "GlitchGrid-40x20": -1.456,
    "GlitchGrid-Linger-40x20": 15.088,
    "GlitchGrid-200x100": -7.367,
    "GlitchGrid-Linger-200x100": 8.774,
    "GlitchPictures": -0.127,
    "GlitchPictures-Linger": 14.075,
    "GlitchPictures-Test": -0.121,
    "GlitchPictures-Linger-Test": 14.079,
    "GlitchClip": -0.234,
    "GlitchClip-Linger": 13.074,
}


@dataclass(frozen=True)
class Registered:
    """An environment as it is registered.

    Args:
        entry_point: what ``gym.make`` calls.
        vector_entry_point: what ``gym.make_vec`` calls.
        settings: settings that the id stands for.
        reward_threshold: the exact optimum of the mean return, where there is one number.
        max_episode_steps: the limit around the environment; ``None`` where it has its own.
    """

    entry_point: str
    vector_entry_point: str
    settings: dict[str, Any]
    reward_threshold: float | None = None
    max_episode_steps: int | None = None


def _environments() -> dict[str, Registered]:
    named: dict[str, Registered] = {}
    for objective, aim in _OBJECTIVES.items():
        for size, grid in _SIZES.items():
            task = f"GlitchGrid{objective}{size}"
            for observation, seen in _OBSERVATIONS.items():
                # 200 rows of cells do not fit in 84 pixels
                if size != "-200x100" or observation not in _PIXELS:
                    settings = {**aim, **grid, **seen}
                    named[f"{task}{observation}-v0"] = Registered(*_GRID, settings, _OPTIMA[task])
        for split, which in _SETS.items():
            task = f"GlitchPictures{objective}{split}"
            for observation, seen in {"": {}, **_PIXELS}.items():
                settings, best = {**aim, **which, **seen}, _OPTIMA.get(task)
                named[f"{task}{observation}-v0"] = Registered(*_PICTURES, settings, best, 20)
        task = f"GlitchClip{objective}"
        for observation in ("", "-Coordinates", *_PIXELS):
            settings = {**aim, **_OBSERVATIONS[observation]}
            named[f"{task}{observation}-v0"] = Registered(*_CLIP, settings, _OPTIMA[task], 20)
    return named


ENVIRONMENTS = _environments()
"""Every registered environment by its id."""


def register_environments() -> None:
    """Register every environment with Gymnasium, unless it is registered already."""
    for name, one in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point=one.entry_point,
                vector_entry_point=one.vector_entry_point,
                kwargs=dict(one.settings),
                reward_threshold=one.reward_threshold,
                max_episode_steps=one.max_episode_steps,
            )
