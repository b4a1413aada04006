"""Episodes: walks over a picture as data, to be saved and replayed on another picture or clip.

An episode holds, for each layer, the grid, the actions, the parameters of the effects and the
trajectories. The file is NumPy's ``.npz`` without pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from glitch_gym.actions import ActionSet
from glitch_gym.errors import ArrayFileError, GlitchError, RecipeError, SettingError
from glitch_gym.grid import Grid
from glitch_gym.npz import describe, encode_arrays, read_arrays, read_description
from glitch_gym.output import check_target, write_bytes
from glitch_gym.trajectories import Trajectories
from glitch_render.effects import EffectParameters, get_effect
from glitch_render.engine.overlay import Blend, Overlay
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import parse_recipe, read_toml

__all__ = [
    "Episode",
    "EpisodeLayer",
    "episode_columns",
    "episode_digest",
    "load_episode",
    "save_episode",
]

_FORMAT = "glitch-gym episode"
_VERSION = 1
_LARGEST = 1 << 29
_LONGEST_SIDE = 4096
_MOST_LAYERS = 256


@dataclass(frozen=True, eq=False)
class EpisodeLayer:
    """The walks over one grid.

    Args:
        grid: grid that the agents walked on.
        actions: meaning of the action indices in the trajectories.
        trajectories: cells and actions of the agents.
        parameters: parameters of effects, by name; defaults for effects not named.
        overlay: how the layer is composited.
    """

    grid: Grid
    actions: ActionSet
    trajectories: Trajectories
    parameters: Mapping[str, EffectParameters] = field(default_factory=dict)
    overlay: Overlay = field(default_factory=Overlay)


@dataclass(frozen=True, eq=False)
class Episode:
    """Walks over a picture, in layers.

    Args:
        layers: layers, in the order of replay.
        seed: seed of random colours.
        recipe: the recipe that made the walks, if any.
    """

    layers: tuple[EpisodeLayer, ...]
    seed: int = 0
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise SettingError("an episode needs at least one layer")
        if not 0 <= self.seed < 2**63:
            raise SettingError("the seed of an episode must lie in 0…2⁶³ − 1")


def save_episode(path: str | Path, episode: Episode) -> None:
    """Write an episode to a file, replacing an existing one.

    Args:
        path: path of the file, ending in ``.npz``.
        episode: the episode.

    Raises:
        OutputError: the suffix is another, the folder does not exist, or the file cannot be
            written; no partial file is left behind.
    """
    check_target(path, suffixes=(".npz",), force=True)
    write_bytes(Path(path), _encoded(episode))


def _encoded(episode: Episode) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for number, layer in enumerate(episode.layers):
        walked = layer.trajectories
        for name in ("cells", "actions", "lengths"):
            arrays[f"{name}_{number}"] = getattr(walked, name)
        grid = layer.grid
        layers.append(
            {
                "grid": [grid.rows, grid.cols, grid.picture_rows, grid.picture_cols],
                "effects": list(layer.actions.effects),
                "moves": layer.actions.n_moves,
                "parameters": {
                    name: one.model_dump(mode="json") for name, one in layer.parameters.items()
                },
                "opacity": layer.overlay.opacity,
                "blend": layer.overlay.blend,
            }
        )
        if layer.overlay.mask is not None:
            arrays[f"mask_{number}"] = layer.overlay.mask
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "seed": episode.seed,
        "layers": layers,
        "recipe": None if episode.recipe is None else episode.recipe.to_toml(),
    }
    return encode_arrays({**describe(about), **arrays})


def load_episode(path: str | Path) -> Episode:
    """Read an episode from a file.

    Raises:
        ArrayFileError: the file is missing or damaged, or comes from another program or a newer
            version.
        SettingError: an effect is unknown, or stamps do not fit their grid.
    """
    arrays = read_arrays(path, "episode", limit=_LARGEST)
    about = read_description(arrays, path, "episode", kind=_FORMAT, version=_VERSION)
    try:
        written = _WrittenEpisode.model_validate(about)
        layers = tuple(
            _read_layer(arrays, number, layer) for number, layer in enumerate(written.layers)
        )
        episode = Episode(layers, written.seed, _read_recipe(written.recipe, path))
    except GlitchError as error:
        raise SettingError(f"{path}: {error}", path=str(path)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArrayFileError(
            f"{path} is not an episode of glitch-gym, or it is damaged", path=str(path)
        ) from error
    for number, layer in enumerate(episode.layers, 1):
        _check_stamps(path, number, layer)
    return episode


_Side = Annotated[int, Field(ge=1, le=_LONGEST_SIDE)]


class _WrittenLayer(BaseModel):
    """A layer as a file describes it; the walks and the mask are separate arrays."""

    model_config = ConfigDict(frozen=True, strict=True)

    grid: tuple[_Side, _Side, _Side, _Side] = Field(strict=False)
    effects: tuple[str, ...] = Field(strict=False, min_length=1)
    moves: Literal[4, 8]
    parameters: dict[str, dict[str, Any]]
    opacity: Annotated[float, Field(ge=0, le=1)]
    blend: Blend


class _WrittenEpisode(BaseModel):
    """An episode as a file describes it."""

    model_config = ConfigDict(frozen=True, strict=True)

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    layers: tuple[_WrittenLayer, ...] = Field(strict=False, min_length=1, max_length=_MOST_LAYERS)
    recipe: str | None


def _read_layer(
    arrays: Mapping[str, NDArray[Any]], number: int, written: _WrittenLayer
) -> EpisodeLayer:
    """Return a layer from its description and arrays.

    Raises:
        ValueError, KeyError, TypeError: something is missing or invalid.
    """
    walked = Trajectories(
        *(_whole_numbers(arrays[f"{name}_{number}"]) for name in ("cells", "actions", "lengths"))
    )
    steps = walked.cells.shape[1]
    if walked.lengths.size and not 0 <= walked.lengths.min() <= walked.lengths.max() <= steps:
        raise ValueError("lengths beyond the steps")
    for name in written.effects:
        get_effect(name)
    parameters = {
        name: get_effect(name).parameters.model_validate_json(json.dumps(given))
        for name, given in written.parameters.items()
    }
    return EpisodeLayer(
        Grid(*written.grid),
        ActionSet(written.effects, written.moves),
        walked,
        parameters,
        Overlay(written.opacity, written.blend, arrays.get(f"mask_{number}")),
    )


def _whole_numbers(array: NDArray[Any]) -> NDArray[np.int32]:
    """Return an integer array as int32.

    Raises:
        ValueError: the array holds other numbers, or numbers beyond int32.
    """
    if array.dtype.kind not in "iu":
        raise ValueError(f"{array.dtype} where whole numbers belong")
    if array.dtype == np.int32:
        return array
    bounds = np.iinfo(np.int32)
    if array.size and not bounds.min <= int(array.min()) <= int(array.max()) <= bounds.max:
        raise ValueError("numbers that are too large")
    return array.astype(np.int32)


def _read_recipe(text: str | None, path: str | Path) -> Recipe | None:
    """Return the recipe, or ``None`` if it is invalid here: replay does not need it."""
    if text is None:
        return None
    try:
        return parse_recipe(read_toml(text, str(path)), str(path))
    except RecipeError:
        return None


def _check_stamps(path: str | Path, number: int, layer: EpisodeLayer) -> None:
    cells, actions = layer.trajectories.cells, layer.trajectories.actions
    stamped = cells >= 0
    prohibited = layer.grid.prohibited().ravel()
    wrong = (cells < -1) | (cells >= prohibited.size)
    wrong |= stamped & prohibited[np.clip(cells, 0, prohibited.size - 1)]
    wrong |= (actions < -1) | (actions >= layer.actions.n) | (stamped & (actions < 0))
    if wrong.any():
        agent, step = np.argwhere(wrong)[0]
        raise SettingError(
            f"{path}: layer {number}, agent {agent + 1}, step {step + 1}: cell "
            f"{cells[agent, step]} and action {actions[agent, step]} do not fit its grid of "
            f"{layer.grid.rows}×{layer.grid.cols} and {layer.actions.n} actions"
        )


def episode_digest(episode: Episode) -> str:
    """Return a hash of an episode, equal for equal walks."""
    return hashlib.blake2b(_encoded(episode), digest_size=20).hexdigest()


def episode_columns(episode: Episode) -> dict[str, NDArray[Any]]:
    """Return the stamps of an episode as columns of equal length, for example for a data frame.

    Returns:
        ``layer``, ``agent`` and ``step`` (from 0), ``row``, ``col``, ``effect`` and ``move``, in
        the order of replay.
    """
    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("layer", "agent", "step", "row", "col", "effect", "move")
    }
    for number, layer in enumerate(episode.layers):
        cells, actions = layer.trajectories.cells.T, layer.trajectories.actions.T
        steps, agents = np.nonzero(cells >= 0)
        stamped, taken = cells[steps, agents], actions[steps, agents]
        names = np.array([layer.actions.decode(index) for index in range(layer.actions.n)])
        for name, column in (
            ("layer", np.full(len(steps), number)),
            ("agent", agents),
            ("step", steps),
            ("row", stamped // layer.grid.cols),
            ("col", stamped % layer.grid.cols),
            ("effect", names[taken, 0]),
            ("move", names[taken, 1]),
        ):
            parts[name].append(column)
    return {name: np.concatenate(found) for name, found in parts.items()}
