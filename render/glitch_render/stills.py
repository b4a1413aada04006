"""The whole path for the file of a still: a picture in, a corrupted picture out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation.base import Activation
from glitch_gym.output import check_target
from glitch_gym.picture import check_frame, read_picture
from glitch_gym.trajectories import Trajectories
from glitch_render.cache import Cache
from glitch_render.episodes.episode import Episode, EpisodeLayer
from glitch_render.episodes.playback import replay_layer
from glitch_render.layers import (
    check_walks,
    check_worlds,
    frame_activation,
    layer_overlay,
    layer_policy,
    layer_trajectories,
    layer_world,
    mask_digests,
    recipe_files,
)
from glitch_render.media.formats import SUFFIXES
from glitch_render.media.metadata import embedded_text
from glitch_render.media.pictures import write_picture
from glitch_render.progress import OnProgress
from glitch_render.recipe.model import Recipe

__all__ = ["corrupt", "corrupt_picture", "corrupt_with_episode"]


def corrupt_picture(
    source: str,
    output: str | Path,
    recipe: Recipe,
    *,
    force: bool = False,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
) -> tuple[NDArray[np.uint8], Episode, tuple[str, ...]]:
    """Corrupt a picture by a recipe into a file, keeping its transparency and colour profile.

    Args:
        source: path of a picture, or ``sample:NAME``.
        output: path ending in ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``; the recipe is embedded.
        recipe: recipe to follow.
        force: whether to replace an existing file.
        cache: cache of activations, rewards and tables.
        progress: called as layers learn, with the layer's index and its training episodes.

    Returns:
        frame that was written, its episode, and notes on what was converted.

    Raises:
        GlitchError: the source, the recipe or the output is invalid; no file is left behind.
    """
    target = Path(output)
    check_target(target, suffixes=SUFFIXES, sources=[source, *recipe_files(recipe)], force=force)
    # Tried before any work is done
    embedded_text(recipe)
    picture = read_picture(source)
    notes = picture.notes
    if picture.alpha is not None and target.suffix.lower() in (".jpg", ".jpeg"):
        notes = (*notes, "JPEG has no transparency; the picture is laid on white")
    frame, episode = corrupt_with_episode(picture.frame, recipe, progress=progress, cache=cache)
    write_picture(target, frame, like=picture, recipe=recipe, force=force)
    return frame, episode, notes


def corrupt(
    frame: NDArray[np.uint8],
    recipe: Recipe,
    *,
    onto: NDArray[np.uint8] | None = None,
    activation: Activation | None = None,
    progress: OnProgress | None = None,
    cache: Cache | None = None,
) -> NDArray[np.uint8]:
    """Corrupt a still frame by a recipe; the same frame and recipe give the same bytes.

    Args:
        frame: picture, RGB, uint8 (height, width, 3); it is not changed.
        recipe: recipe to follow.
        onto: same picture at another size, such as a small one for a preview; it is painted in
            place of ``frame``, by agents that learned and walked on ``frame``.
        activation: activation of the frame, if it is known already, in place of the recipe's.
        progress: called as layers learn, with the layer's index and its training episodes.
        cache: cache of activations, rewards and tables.

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        GlitchError: the frame is invalid, or a setting of the recipe does not suit it.
    """
    painted, _ = corrupt_with_episode(
        frame, recipe, onto=onto, activation=activation, progress=progress, cache=cache
    )
    return painted


def corrupt_with_episode(
    frame: NDArray[np.uint8],
    recipe: Recipe,
    *,
    onto: NDArray[np.uint8] | None = None,
    activation: Activation | None = None,
    progress: OnProgress | None = None,
    cache: Cache | None = None,
) -> tuple[NDArray[np.uint8], Episode]:
    """Corrupt a still frame by a recipe, and return the episode as well.

    Arguments and errors are those of ``corrupt``. Layers that are left out have no walks.
    """
    check_frame(frame)
    onto = frame if onto is None else onto
    check_frame(onto)
    check_worlds(recipe)
    check_walks(recipe)
    mask_digests(recipe)
    if activation is None:
        activation = frame_activation(frame, recipe, cache=cache)
    height, width = frame.shape[:2]
    # Grids and masks come before anything is learned: one that does not fit is known at once
    worlds = {
        index: layer_world(layer, index, activation, height, width, seed=recipe.seed, cache=cache)
        for index, layer in recipe.painted
    }
    overlays = {
        index: layer_overlay(layer, activation.map, *onto.shape[:2], seconds=None)
        for index, layer in recipe.painted
    }
    for world in worlds.values():
        world.grid.edges(*onto.shape[:2])
    painted = onto
    walks = []
    for index, layer in enumerate(recipe.layers):
        parameters = {name: one.parameters for name, one in layer.effects.items()}
        if index not in worlds:
            settings = layer.world_settings()
            grid = settings.grid_over(height, width)
            walks.append(EpisodeLayer(grid, settings.actions, Trajectories.empty(), parameters))
            continue
        world = worlds[index]
        policy = layer_policy(
            layer, index, world, painted, seed=recipe.seed, progress=progress, cache=cache
        )
        trajectories = layer_trajectories(layer, index, world, policy, seed=recipe.seed)
        walks.append(
            EpisodeLayer(world.grid, world.actions, trajectories, parameters, overlays[index])
        )
        painted = replay_layer(painted, walks[-1], index, recipe.seed)
    if painted is onto:
        painted = onto.copy()
    return painted, Episode(tuple(walks), recipe.seed, recipe)
