"""Rendering: effects, replay, recipes, and the command line.

Names are loaded on first use, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glitch_render.corrupt import corrupt
    from glitch_render.effects import EffectParameters, NoParameters, Stamp, effect
    from glitch_render.engine.replay import replay
    from glitch_render.media import read_recipe, write_picture
    from glitch_render.recipe import Layer, Recipe, load_preset, preset_names

__all__ = [
    "EffectParameters",
    "Layer",
    "NoParameters",
    "Recipe",
    "Stamp",
    "corrupt",
    "effect",
    "load_preset",
    "preset_names",
    "read_recipe",
    "replay",
    "write_picture",
]

_HOMES = {
    "corrupt": "corrupt",
    "EffectParameters": "effects",
    "NoParameters": "effects",
    "Stamp": "effects",
    "effect": "effects",
    "read_recipe": "media",
    "write_picture": "media",
    "Layer": "recipe",
    "Recipe": "recipe",
    "load_preset": "recipe",
    "preset_names": "recipe",
    "replay": "engine.replay",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """Keeps ``corrupt`` and ``replay`` the functions, though modules of those names exist."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds each submodule to its package, which would hide the function
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
