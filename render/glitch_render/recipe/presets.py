"""The presets: recipes that come with this package, as TOML files."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from glitch_gym.errors import unknown_name_error
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import parse_recipe, read_toml

__all__ = ["DEFAULT_PRESET", "load_preset", "preset_names", "preset_text"]


DEFAULT_PRESET = "undertow"
"""The preset that the command line uses by default."""


def _preset_folder() -> Any:
    return resources.files("glitch_render.recipe") / "presets"


@lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """Return the names of the presets: the default first, then ours, then the post's."""
    names = [
        entry.name.removesuffix(".toml")
        for entry in _preset_folder().iterdir()
        if entry.name.endswith(".toml")
    ]

    def order(name: str) -> tuple[bool, bool, str]:
        return (name != DEFAULT_PRESET, name.startswith("post-"), name)

    return tuple(sorted(names, key=order))


def preset_text(name: str) -> str:
    """Return the TOML text of a preset.

    Raises:
        SettingError: the preset is unknown.
    """
    if name not in preset_names():
        raise unknown_name_error("preset", name, preset_names())
    text: str = (_preset_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return text


def load_preset(name: str = DEFAULT_PRESET) -> Recipe:
    """Return a preset as a recipe.

    Raises:
        SettingError: the preset is unknown.

    Example:
        >>> load_preset("weave").family
        'fine'
    """
    return parse_recipe(read_toml(preset_text(name), f"preset {name}"), f"preset {name}")
