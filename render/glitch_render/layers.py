"""One layer on one picture: its activation, world, policy, walks and overlay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable, Ties
from glitch_agents.registry import LEARNERS, can_start
from glitch_agents.rollout import MOST_STEPS, as_table, check_steps, rollout
from glitch_gym.actions import ActionSet
from glitch_gym.activation import ACTIVATIONS, compute_activation, recall_activation
from glitch_gym.activation.base import Activation
from glitch_gym.activation.provenance import engine_stamp
from glitch_gym.dynamics import GridWorld, recall_world, world_with_field
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import PictureError, SettingError
from glitch_gym.memory import content_digest
from glitch_gym.picture import read_picture
from glitch_gym.policy import Policy
from glitch_gym.randomness import derive_key
from glitch_gym.reward import check_rewards, reward_field
from glitch_gym.trajectories import Trajectories
from glitch_render.cache import Cache, cache_key
from glitch_render.engine.mask import make_mask
from glitch_render.engine.overlay import Overlay
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.keyframes import last, value_at
from glitch_render.recipe.model import Layer, Recipe

__all__ = [
    "WarmStart",
    "action_bonus",
    "check_walks",
    "check_worlds",
    "frame_activation",
    "layer_overlay",
    "layer_policy",
    "layer_trajectories",
    "layer_world",
    "mask_digests",
    "recipe_files",
    "table_key",
]


@dataclass(frozen=True)
class WarmStart:
    """What the shot before learned.

    Args:
        key: key of its table, from ``table_key``.
        policy: function that returns it, called only if something has to be learned.
    """

    key: str
    policy: Callable[[], Policy]


def frame_activation(
    frame: NDArray[np.uint8], recipe: Recipe, *, cache: Cache | None = None
) -> Activation:
    """Compute the activation of a still by a recipe, or recall it from the cache.

    Raises:
        GlitchError: the errors of ``compute_activation``.
    """
    source, weights = recipe.activation, recipe.weights
    # The code of a plug-in's activation may have changed since an entry was written
    if cache is None or source not in ACTIVATIONS:
        return recall_activation(frame, source, weights=weights)
    key = cache_key(frame=frame, source=source, engine=engine_stamp(source, weights))
    found = cache.find("activation", key)
    if found is not None:
        return Activation(found["map"], source)
    activation = compute_activation(frame, source, weights=weights)
    cache.keep("activation", key, {"map": activation.map})
    return activation


def layer_world(
    layer: Layer,
    index: int,
    activation: Activation,
    height: int,
    width: int,
    *,
    seed: int,
    cache: Cache | None = None,
) -> GridWorld:
    """Build the world of a layer.

    Args:
        layer: settings of the layer.
        index: place of the layer in the recipe, from 0; part of every random key.
        activation: activation of the picture.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        seed: seed of the recipe.
        cache: cache of its reward field.

    Raises:
        GridError: the grid is finer than the picture.
    """
    settings = layer.world_settings()
    if cache is None:
        return recall_world(activation, (height, width), settings, seed=seed, layer=index)
    grid = settings.grid_over(height, width)

    def make() -> dict[str, NDArray[np.float32]]:
        return {"field": reward_field(activation, grid, settings, seed=seed, layer=index)}

    key = cache_key(activation=activation, grid=grid, world=settings, seed=seed, layer=index)
    field = cache.recall("reward", key, make)["field"]
    return world_with_field(field, activation, grid, settings)


def layer_policy(
    layer: Layer,
    index: int,
    world: GridWorld,
    frame: NDArray[np.uint8],
    *,
    seed: int,
    progress: OnProgress | None = None,
    cache: Cache | None = None,
    start: WarmStart | None = None,
) -> Policy:
    """Learn the policy of a layer, or recall it from the cache.

    Only tables of our own learners are kept: the code of a plug-in may have changed.

    Args:
        layer: settings of the layer.
        index: place of the layer in the recipe, from 0; part of every random key.
        world: world of the layer.
        frame: picture, for learners that look at what the environment renders.
        seed: seed of the recipe.
        progress: function called as the layer learns.
        cache: cache of its table.
        start: what the shot before learned, for learners that can start with a table.

    Raises:
        SettingError: a user's own learner failed, or returned no policy.
        KeyboardInterrupt: Ctrl-C cut the learning short, and half a policy paints no picture.
    """
    learner = layer.make_learner()
    starts = start is not None and can_start(learner)

    def learn() -> Policy:
        def report(done: int, episodes: int) -> None:
            if progress is not None:
                progress(Progress("learning", done, episodes, layer=index))

        env = GlitchGridEnv.from_world(world, frame, lifetime=layer.lifetime)
        options: dict[str, QTable] = {}
        if starts and start is not None:
            options["start"] = as_table(start.policy(), world).greedy()
        policy = learner.learn(
            env,
            episodes=layer.iterations,
            seed=int(derive_key(seed, index, "learn")),
            progress=report,
            **options,
        )
        if getattr(policy, "interrupted", False):
            raise KeyboardInterrupt
        return policy

    if cache is None or layer.learner_name not in LEARNERS:
        return _as_walked(layer, learn())
    key = table_key(layer, index, world, seed=seed, start=None if start is None else start.key)
    kept = cache.find("table", key)
    if kept is not None:
        ties: Ties = "first" if kept["ties"] == "first" else "random"
        table = QTable(kept["values"], ties=ties, episodes=layer.iterations)
        return _as_walked(layer, table)
    policy = learn()
    if type(policy) is QTable and (policy.epsilon, policy.temperature) == (0.0, 0.0):
        cache.keep("table", key, {"values": policy.values, "ties": np.array(policy.ties)})
    return _as_walked(layer, policy)


def table_key(
    layer: Layer, index: int, world: GridWorld, *, seed: int, start: str | None = None
) -> str:
    """Name what a layer learns by everything that it depends on.

    Args:
        layer: settings of the layer.
        index: place of the layer in the recipe, from 0.
        world: world of the layer.
        seed: seed of the recipe.
        start: key of the table that the shot before learned, for learners that can start with it.
    """
    learner = layer.make_learner()
    return cache_key(
        world=world,
        learner=layer.learner_name,
        # A learner of a plug-in is told apart by how it shows itself
        settings=learner if layer.learner_name in LEARNERS else repr(learner),
        iterations=layer.iterations,
        lifetime=layer.lifetime,
        seed=seed,
        layer=index,
        start=start if can_start(learner) else None,
    )


def _as_walked(layer: Layer, policy: Policy) -> Policy:
    """Return a learned policy as the layer's agents follow it on a still."""
    if isinstance(policy, QTable):
        if layer.temperature > 0:
            return policy.softmax(layer.temperature)
        return policy.epsilon_greedy(last(layer.explore))
    return policy


def action_bonus(actions: ActionSet, weights: dict[str, float]) -> NDArray[np.float32]:
    """Return the weight of each action's effect: float32 (n_actions,)."""
    bonus = np.array([weights[name] for name in actions.effects], np.float32)
    return np.repeat(bonus, actions.n_moves)


def layer_trajectories(
    layer: Layer, index: int, world: GridWorld, policy: Policy, *, seed: int
) -> Trajectories:
    """Return the walks of a layer's agents.

    Raises:
        SettingError: no cell has an activation at which agents are born.
    """
    weights = {name: last(one.weight) for name, one in layer.effects.items()}
    if any(weights.values()):
        table = as_table(policy, world)
        bonus = action_bonus(world.actions, weights)
        policy = dataclasses.replace(table, values=table.values + bonus)
    return rollout(
        world,
        policy,
        max(1, round(last(layer.agents))),
        lifetime=layer.lifetime,
        repeat=layer.repeat_agents,
        explore=last(layer.explore),
        born_above=layer.born_above,
        born_below=layer.born_below,
        seed=seed,
        layer=index,
    )


def check_worlds(recipe: Recipe) -> None:
    """Raise an error for a recipe whose worlds take too much memory.

    Raises:
        SettingError: more rewards than ``MOST_REWARDS``.
    """
    count = 0
    for _, layer in recipe.painted:
        rows, cols = layer.grid
        count += rows * cols * len(layer.effects) * layer.moves
    check_rewards(count)


def check_walks(recipe: Recipe) -> None:
    """Raise an error for a recipe whose walks over a still, all of them kept, take too much memory.

    Raises:
        SettingError: more steps than ``MOST_STEPS``, in one layer or together.
    """
    together = 0
    for _, layer in recipe.painted:
        agents = max(1, round(last(layer.agents)))
        check_steps(agents, layer.lifetime)
        together += agents * layer.lifetime
    if together > MOST_STEPS:
        raise SettingError(
            f"the agents of all layers take {together:,} steps, at most {MOST_STEPS:,} together; "
            f"take fewer agents, shorter lifetimes, or fewer layers"
        )


def recipe_files(recipe: Recipe) -> list[str]:
    """Return the files that a recipe names: masks, and weights of the network."""
    named = [recipe.weights, *(layer.mask for layer in recipe.layers)]
    if recipe.activation not in ACTIVATIONS:
        named.append(recipe.activation)
    return [path for path in named if path is not None]


def mask_digests(recipe: Recipe) -> list[str]:
    """Return digests of the masks of a recipe, by content.

    Raises:
        PictureError: a mask cannot be read; the message names its layer.
    """
    digests = []
    for index, layer in recipe.painted:
        if layer.mask is None:
            continue
        try:
            digests.append(content_digest(read_picture(layer.mask).frame))
        except PictureError as error:
            raise PictureError(f"layers.{index + 1}.mask: {error}") from error
    return digests


def layer_overlay(
    layer: Layer, activation: NDArray[np.float32], height: int, width: int, *, seconds: float | None
) -> Overlay:
    """Return how a layer is laid over a frame.

    Args:
        layer: settings of the layer.
        activation: activation map of the frame, float32 (h, w).
        height: height of the frame in pixels.
        width: width of the frame in pixels.
        seconds: time in the clip in seconds; ``None`` for a still.

    Raises:
        PictureError: the layer's mask cannot be read.
    """
    mask = make_mask(
        activation, height, width, picture=layer.mask, above=layer.mask_above,
        below=layer.mask_below, soft=layer.mask_soft,
    )  # fmt: skip
    opacity = last(layer.opacity) if seconds is None else value_at(layer.opacity, seconds)
    return Overlay(opacity, layer.blend, mask)
