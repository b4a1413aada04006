"""Rendering: effects, replay, recipes, pictures, clips, and the command line.

Names are loaded on first use, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glitch_render.batches.report import BatchRow
    from glitch_render.batches.run import BatchOptions, batch
    from glitch_render.cache import Cache
    from glitch_render.effects import EffectParameters, NoParameters, Stamp, effect, get_effect
    from glitch_render.engine.replay import replay
    from glitch_render.episodes.episode import (
        Episode,
        EpisodeLayer,
        episode_columns,
        load_episode,
        save_episode,
    )
    from glitch_render.episodes.playback import replay_episode
    from glitch_render.episodes.record import RecordEpisode
    from glitch_render.episodes.script import (
        Script,
        ScriptLayer,
        Walker,
        read_script,
        script_episode,
    )
    from glitch_render.media.pictures import write_picture
    from glitch_render.parallel.engines import Engine, local_engine, open_engine
    from glitch_render.plots.layer import plot_layer
    from glitch_render.progress import OnProgress, Progress
    from glitch_render.recipe.files import read_recipe
    from glitch_render.recipe.model import Layer, Recipe
    from glitch_render.recipe.presets import load_preset, preset_names
    from glitch_render.stills import corrupt, corrupt_picture
    from glitch_render.video.painter import Painter, open_painter, preview_frame
    from glitch_render.video.render import corrupt_clip
    from glitch_render.video.selection import ExportOptions, Selection

__all__ = [
    "BatchOptions",
    "BatchRow",
    "Cache",
    "EffectParameters",
    "Engine",
    "Episode",
    "EpisodeLayer",
    "ExportOptions",
    "Layer",
    "NoParameters",
    "OnProgress",
    "Painter",
    "Progress",
    "Recipe",
    "RecordEpisode",
    "Script",
    "ScriptLayer",
    "Selection",
    "Stamp",
    "Walker",
    "batch",
    "corrupt",
    "corrupt_clip",
    "corrupt_picture",
    "effect",
    "episode_columns",
    "get_effect",
    "load_episode",
    "load_preset",
    "local_engine",
    "open_engine",
    "open_painter",
    "plot_layer",
    "preset_names",
    "preview_frame",
    "read_recipe",
    "read_script",
    "replay",
    "replay_episode",
    "save_episode",
    "script_episode",
    "write_picture",
]

_HOMES = {
    "BatchRow": "batches.report",
    "BatchOptions": "batches.run",
    "batch": "batches.run",
    "Engine": "parallel.engines",
    "local_engine": "parallel.engines",
    "open_engine": "parallel.engines",
    "Cache": "cache",
    "EffectParameters": "effects",
    "NoParameters": "effects",
    "Stamp": "effects",
    "effect": "effects",
    "get_effect": "effects",
    "replay": "engine.replay",
    "Episode": "episodes.episode",
    "EpisodeLayer": "episodes.episode",
    "episode_columns": "episodes.episode",
    "load_episode": "episodes.episode",
    "save_episode": "episodes.episode",
    "replay_episode": "episodes.playback",
    "RecordEpisode": "episodes.record",
    "Script": "episodes.script",
    "ScriptLayer": "episodes.script",
    "Walker": "episodes.script",
    "read_script": "episodes.script",
    "script_episode": "episodes.script",
    "write_picture": "media.pictures",
    "plot_layer": "plots.layer",
    "OnProgress": "progress",
    "Progress": "progress",
    "read_recipe": "recipe.files",
    "Layer": "recipe.model",
    "Recipe": "recipe.model",
    "load_preset": "recipe.presets",
    "preset_names": "recipe.presets",
    "corrupt": "stills",
    "corrupt_picture": "stills",
    "Painter": "video.painter",
    "open_painter": "video.painter",
    "preview_frame": "video.painter",
    "corrupt_clip": "video.render",
    "ExportOptions": "video.selection",
    "Selection": "video.selection",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
