"""The whole path for one still: picture, activation, reward, learning, rollout, replay, picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import Policy, QTable
from glitch_agents.rollout import Trajectories, rollout
from glitch_gym.activation import Activation, compute_activation
from glitch_gym.dynamics import GridWorld, make_world
from glitch_gym.env import GlitchGridEnv
from glitch_gym.picture import check_frame
from glitch_gym.randomness import derive_key
from glitch_render.recipe import Layer, Recipe
from glitch_render.replay import replay

__all__ = [
    "Progress",
    "corrupt",
    "layer_policy",
    "layer_trajectories",
    "layer_world",
    "replay_layer",
]

Progress = Callable[[int, int, int], None]
"""Called with the layer's index, the training episodes done, and the episodes in all."""


def layer_world(
    layer: Layer, index: int, activation: Activation, height: int, width: int, *, seed: int
) -> GridWorld:
    """Build the world of a layer.

    Args:
        layer: its settings.
        index: its place in the recipe, from 0; part of every random key.
        activation: of the picture.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        seed: of the recipe.

    Raises:
        GridError: the grid is finer than the picture.
    """
    return make_world(
        activation,
        height,
        width,
        grid=layer.grid,
        effects={name: one.noise for name, one in layer.effects.items()},
        fit=layer.fit,
        orient=layer.orient,
        moves=layer.moves,
        objective=layer.objective,
        reward_range=layer.reward_range,
        exit_reward=layer.exit_reward,
        prohibited_reward=layer.prohibited_reward,
        invert=layer.invert,
        median=layer.median,
        seed=seed,
        layer=index,
    )


def layer_policy(
    layer: Layer,
    index: int,
    world: GridWorld,
    frame: NDArray[np.uint8],
    *,
    seed: int,
    progress: Progress | None = None,
) -> Policy:
    """Learn the policy of a layer.

    Raises:
        KeyboardInterrupt: Ctrl-C cut the learning short: half a policy paints no picture.
    """
    env = GlitchGridEnv.from_world(world, frame, lifetime=layer.lifetime)

    def report(done: int, episodes: int) -> None:
        if progress is not None:
            progress(index, done, episodes)

    policy = layer.make_learner().learn(
        env,
        episodes=layer.iterations,
        seed=int(derive_key(seed, index, "learn")),
        progress=report,
    )
    if getattr(policy, "interrupted", False):
        raise KeyboardInterrupt
    if isinstance(policy, QTable):
        if layer.temperature > 0:
            return policy.softmax(layer.temperature)
        return policy.epsilon_greedy(layer.explore)
    return policy


def layer_trajectories(
    layer: Layer, index: int, world: GridWorld, policy: Policy, *, seed: int
) -> Trajectories:
    """Let the agents of a layer walk.

    Raises:
        SettingError: the activation lets no agent be born.
    """
    return rollout(
        world,
        policy,
        layer.agents,
        lifetime=layer.lifetime,
        repeat=layer.repeat_agents,
        born_above=layer.born_above,
        born_below=layer.born_below,
        seed=seed,
        layer=index,
    )


def replay_layer(
    layer: Layer,
    index: int,
    world: GridWorld,
    trajectories: Trajectories,
    frame: NDArray[np.uint8],
    *,
    seed: int,
) -> NDArray[np.uint8]:
    """Execute the stamps of a layer on a frame; gives a new frame."""
    return replay(
        frame,
        world.grid,
        world.actions,
        trajectories,
        parameters={name: one.parameters for name, one in layer.effects.items()},
        seed=seed,
        layer=index,
    )


def corrupt(
    frame: NDArray[np.uint8],
    recipe: Recipe,
    *,
    activation: Activation | None = None,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """Corrupt a still frame by a recipe; the same frame and recipe give the same bytes.

    Args:
        frame: uint8 (height, width, 3), RGB; it is not changed.
        recipe: what to do.
        activation: of the frame, where it is known already, in place of the recipe's.
        progress: called as layers learn, with (layer index, episodes done, episodes).

    Returns:
        uint8 (height, width, 3), a new array.

    Raises:
        GlitchError: the frame, or a setting of the recipe with this frame, is wrong.
    """
    check_frame(frame)
    if activation is None:
        activation = compute_activation(frame, recipe.activation, weights=recipe.weights)
    height, width = frame.shape[:2]
    # All grids are laid before anything is learned: a grid that does not fit is known at once
    worlds = [
        layer_world(layer, index, activation, height, width, seed=recipe.seed)
        for index, layer in enumerate(recipe.layers)
    ]
    painted = frame
    for index, (layer, world) in enumerate(zip(recipe.layers, worlds, strict=True)):
        policy = layer_policy(layer, index, world, painted, seed=recipe.seed, progress=progress)
        trajectories = layer_trajectories(layer, index, world, policy, seed=recipe.seed)
        painted = replay_layer(layer, index, world, trajectories, painted, seed=recipe.seed)
    return painted.copy() if painted is frame else painted
