"""Plots of a recipe's layer: what its agents see, learn and do, drawn on the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_agents.planning import ExactPlanner, optimality
from glitch_agents.rollout import as_table
from glitch_gym.activation.base import Activation
from glitch_gym.dynamics import GridWorld
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import unknown_name_error
from glitch_gym.randomness import derive_key
from glitch_render.cache import Cache
from glitch_render.layers import frame_activation, layer_policy, layer_trajectories, layer_world
from glitch_render.plots.figures import (
    activation_overlay,
    figure_pixels,
    plot_learning,
    plot_paths,
    plot_policy,
    plot_rewards,
    plot_values,
    plot_visits,
    require_matplotlib,
)
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.model import Recipe

__all__ = ["KINDS", "plot_layer"]

KINDS = ("activation", "rewards", "values", "policy", "visits", "paths", "learning")
"""Kinds of plots of a layer."""

_POINTS = 9
_FEWEST_EPISODES = 100


def plot_layer(
    kind: str,
    frame: NDArray[np.uint8],
    recipe: Recipe,
    index: int = 0,
    *,
    action: str | None = None,
    activation: Activation | None = None,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
) -> NDArray[np.uint8]:
    """Plot a layer of a recipe on a picture.

    Args:
        kind: kind of plot: activation, rewards, values, policy, visits, paths or learning.
        frame: uint8 (height, width, 3), RGB.
        recipe: recipe of the layer.
        index: number of the layer, from 0.
        action: action whose rewards are plotted; all by default.
        activation: activation of the frame, if already known, instead of the recipe's.
        cache: cache of activations, rewards and tables.
        progress: callback that is told of the layer's learning.

    Returns:
        uint8 (height, width, 3), of the plot's own size.

    Raises:
        SettingError: the kind or the action is unknown.
        MissingExtraError: matplotlib is missing.
        GlitchError: the frame is invalid, or a setting of the recipe does not fit it.
    """
    if kind not in KINDS:
        raise unknown_name_error("plot", kind, KINDS)
    if activation is None:
        activation = frame_activation(frame, recipe, cache=cache)
    if kind == "activation":
        return activation_overlay(frame, activation)
    require_matplotlib()
    layer, seed = recipe.layers[index], recipe.seed
    world = layer_world(layer, index, activation, *frame.shape[:2], seed=seed, cache=cache)
    if kind == "rewards":
        return figure_pixels(plot_rewards(world, frame=frame, action=action))
    if kind == "learning":
        return _learning(frame, recipe, index, world, progress)
    policy = layer_policy(layer, index, world, frame, seed=seed, progress=progress, cache=cache)
    table = as_table(policy, world)
    if kind == "values":
        return figure_pixels(plot_values(frame, world, table, gamma=layer.gamma))
    if kind == "policy":
        return figure_pixels(plot_policy(frame, world, table))
    trajectories = layer_trajectories(layer, index, world, policy, seed=seed)
    draw = plot_visits if kind == "visits" else plot_paths
    return figure_pixels(draw(frame, world, trajectories))


def _learning(
    frame: NDArray[np.uint8],
    recipe: Recipe,
    index: int,
    world: GridWorld,
    progress: OnProgress | None,
) -> NDArray[np.uint8]:
    """Draw how close the layer's learner comes to the optimum by number of episodes."""
    layer = recipe.layers[index]
    learner = layer.make_learner()
    counts = [layer.iterations]
    if not isinstance(learner, ExactPlanner):
        fewest = min(_FEWEST_EPISODES, layer.iterations)
        spread = np.geomspace(fewest, layer.iterations, _POINTS)
        counts = np.unique(spread.round().astype(int)).tolist()
    points = []
    for place, episodes in enumerate(counts):
        env = GlitchGridEnv.from_world(world, frame, lifetime=layer.lifetime)
        policy = learner.learn(
            env, episodes=episodes, seed=int(derive_key(recipe.seed, index, "learn"))
        )
        points.append((episodes, optimality(world, as_table(policy, world), gamma=layer.gamma)))
        if progress is not None:
            done = (place + 1) * layer.iterations // len(counts)
            progress(Progress("learning", done, layer.iterations, layer=index))
    rows, cols = world.grid.picture_rows, world.grid.picture_cols
    title = (
        f"{layer.learner_name} on {rows}×{cols} cells, {world.actions.n} actions, {layer.objective}"
    )
    return figure_pixels(plot_learning({layer.learner_name: points}, title))
