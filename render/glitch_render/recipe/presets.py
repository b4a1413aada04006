"""The presets, which are recipes in files of this package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from glitch_gym.errors import unknown_name_error
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import parse_recipe, read_toml

__all__ = ["DEFAULT_PRESET", "load_preset", "preset_names", "preset_text"]


DEFAULT_PRESET = "undertow"
"""What the command line paints with unless told otherwise."""


def _preset_folder() -> Any:
    return resources.files("glitch_render") / "presets"


@lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """Names of the presets: the default one first, ours, then the post's."""
    names = [
        entry.name.removesuffix(".toml")
        for entry in _preset_folder().iterdir()
        if entry.name.endswith(".toml")
    ]

    def order(name: str) -> tuple[bool, bool, str]:
        return (name != DEFAULT_PRESET, name.startswith("post-"), name)

    return tuple(sorted(names, key=order))


def preset_text(name: str) -> str:
    """Return a preset as it is written.

    Raises:
        SettingError: unknown.
    """
    if name not in preset_names():
        raise unknown_name_error("preset", name, preset_names())
    text: str = (_preset_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return text


def load_preset(name: str = DEFAULT_PRESET) -> Recipe:
    """Return a preset as a recipe.

    Raises:
        SettingError: unknown.
    """
    return parse_recipe(read_toml(preset_text(name), f"preset {name}"), f"preset {name}")
