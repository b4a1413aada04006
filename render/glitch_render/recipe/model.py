"""Recipes: an ordered list of layers with a seed, written in TOML.

A recipe is validated as a whole: all errors are reported at once, each with its path. Layers are
numbered from 1 in paths (``layers.1.agents``), in messages and on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from pydantic_core import PydanticCustomError

from glitch_agents.learner import Learner
from glitch_agents.registry import OwnLearner, make_learner
from glitch_gym.errors import RecipeError
from glitch_gym.settings import WorldSettings
from glitch_render.engine.overlay import Blend
from glitch_render.recipe.fields import (
    Count,
    File,
    Finite,
    Frames,
    KeyedCount,
    KeyedShare,
    Rate,
    Share,
    Side,
    checked_learner,
    odd_number,
    shown,
    write_learner,
)
from glitch_render.recipe.keyframes import highest
from glitch_render.recipe.layer_effects import LayerEffect, read_layer_effects, settings_model

__all__ = ["Layer", "Recipe"]


class Layer(BaseModel):
    """One grid with all of its settings.

    Example:
        >>> layer = Layer(grid=(40, 20), effects=["same", "pixelate"], agents=400)
        >>> list(layer.effects)
        ['same', 'pixelate']
        >>> layer.lifetime
        20
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    grid: tuple[Side, Side] = Field(
        strict=False, description="(rows, cols)", json_schema_extra=shown("grid", 2, 200, log=True)
    )
    fit: Literal["pad", "stretch"] = Field(
        "pad",
        description="pad: square cells, the rest prohibited; stretch: grid over the whole frame",
        json_schema_extra=shown("grid"),
    )
    orient: Literal["auto", "fixed"] = Field(
        "auto",
        description="auto aligns the grid's longer side with the picture's",
        json_schema_extra=shown("grid"),
    )
    moves: Literal[4, 8] = Field(
        4, description="8 adds the diagonals", json_schema_extra=shown("grid")
    )
    effects: Annotated[dict[str, LayerEffect], PlainValidator(read_layer_effects)] = Field(
        default_factory=lambda: read_layer_effects(["same", "pixelate", "desaturate", "invert"]),
        description="effects, each with the mean and std of its reward noise and its parameters",
    )

    objective: Literal["escape", "linger"] = Field(
        "escape",
        description="escape: run out through active cells; linger: stay on active cells",
        json_schema_extra=shown("reward"),
    )
    reward_range: tuple[Finite, Finite] | None = Field(
        None,
        strict=False,
        description="rewards for activation 0 and 1, instead of the objective's",
        json_schema_extra=shown("reward", -1, 1),
    )
    exit_reward: Finite | None = Field(
        None,
        description="reward for leaving, instead of the objective's",
        json_schema_extra=shown("reward", -1, 2),
    )
    prohibited_reward: Finite = Field(
        -1.0,
        description="reward for walking into a prohibited cell",
        json_schema_extra=shown("reward", -2, 0),
    )
    invert: bool = Field(False, description="use 1 − activation", json_schema_extra=shown("reward"))
    median: Annotated[int, Field(ge=1, le=99), BeforeValidator(odd_number)] = Field(
        3,
        description="side of the median filter over the rewards, in cells, odd",
        json_schema_extra=shown("reward", 1, 15, step=2),
    )

    learner: Annotated[
        str | Learner | Callable[..., Any],
        PlainValidator(checked_learner),
        PlainSerializer(write_learner, return_type=str),
    ] = Field(
        "q_learning",
        description="name of a learner that is installed or passed by hand",
        json_schema_extra=shown("learning"),
    )
    iterations: Count = Field(
        10_000,
        description="number of training episodes",
        json_schema_extra=shown("learning", 100, 1_000_000, log=True),
    )
    alpha: Rate = Field(
        0.1,
        description="learning rate in 0…1, or {start, end, over, shape}",
        json_schema_extra=shown("learning", 0, 1, limits=(0, 1)),
    )
    gamma: Share = Field(
        0.95, description="discount factor", json_schema_extra=shown("learning", 0, 1)
    )
    epsilon: Rate = Field(
        0.1,
        description="exploration in 0…1, or {start, end, over, shape}",
        json_schema_extra=shown("learning", 0, 1, limits=(0, 1)),
    )
    initial: Finite = Field(
        0.0,
        description="initial value of every action",
        json_schema_extra=shown("learning", -2, 2),
    )
    ties: Literal["random", "first"] = Field(
        "random",
        description="how ties between best actions are broken",
        json_schema_extra=shown("learning"),
    )

    agents: KeyedCount = Field(
        1_000,
        description="number of agents, or {seconds = number}",
        json_schema_extra=shown("walk", 1, 50_000, log=True, limits=(1, 1e8), whole=True),
    )
    lifetime: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20, description="steps of each agent", json_schema_extra=shown("walk", 1, 200, log=True)
    )
    repeat_agents: bool = Field(
        False, description="place all agents afresh at every step", json_schema_extra=shown("walk")
    )
    preserve: bool = Field(
        True,
        description="in video, keep the layer's history from frame to frame",
        json_schema_extra=shown("clip"),
    )
    trail: Frames | None = Field(
        None,
        description="in video, how many steps back preserve reaches; by default all, or 10 "
        "lifetimes where endless agents have effects that need pixels",
        json_schema_extra=shown("clip", 1, 500, log=True),
    )
    steps_per_frame: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1,
        description="in video, steps that agents take at a time",
        json_schema_extra=shown("clip", 1, 20),
    )
    hold: Frames = Field(
        1,
        description="in video, frames from one step to the next",
        json_schema_extra=shown("clip", 1, 50),
    )
    start: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="in video, frame at which the first agents are born",
        json_schema_extra=shown("clip", 0, 500),
    )
    ramp: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="in video, frames over which births are spread",
        json_schema_extra=shown("clip", 0, 500),
    )
    respawn: bool = Field(
        False,
        description="in video, agents are born again at the end of their lifetime",
        json_schema_extra=shown("clip"),
    )
    explore: KeyedShare = Field(
        0.0,
        description="probability of a random action, or {seconds = probability}",
        json_schema_extra=shown("walk", 0, 1, limits=(0, 1)),
    )
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0,
        description="0 follows the best action; above 0, actions are drawn by softmax; not with "
        "explore",
        json_schema_extra=shown("walk", 0, 2),
    )
    born_above: Share | None = Field(
        None, description="births only where activation ≥ this", json_schema_extra=shown("walk")
    )
    born_below: Share | None = Field(
        None, description="births only where activation ≤ this", json_schema_extra=shown("walk")
    )

    opacity: KeyedShare = Field(
        1.0,
        description="opacity of the layer, 0…1, or {seconds = opacity}",
        json_schema_extra=shown("overlay", 0, 1, limits=(0, 1)),
    )
    blend: Blend = Field(
        "normal",
        description="how the layer blends with what is below, where agents have been",
        json_schema_extra=shown("overlay"),
    )
    mask: File | None = Field(
        None,
        description="a picture; the layer shows only where it is white",
        json_schema_extra=shown("overlay", file=True),
    )
    mask_above: Share | None = Field(
        None,
        description="show the layer where activation ≥ this",
        json_schema_extra=shown("overlay"),
    )
    mask_below: Share | None = Field(
        None,
        description="show the layer where activation ≤ this",
        json_schema_extra=shown("overlay"),
    )
    mask_soft: Share = Field(
        0.0,
        description="width of the mask's edge, as a share of the height",
        json_schema_extra=shown("overlay", 0, 0.2),
    )

    mute: bool = Field(
        False,
        description="leave the layer out; the others keep their numbers, and so their draws",
    )
    solo: bool = Field(False, description="leave out every layer that is not solo")

    @field_validator("temperature")
    @classmethod
    def _without_explore(cls, value: float, info: ValidationInfo) -> float:
        if value > 0 and highest(info.data.get("explore", 0.0)) > 0:
            raise PydanticCustomError(
                "exclusive", "should be 0 if explore is set: a layer can have only one of the two"
            )
        return value

    @field_serializer("effects")
    def _write_effects(self, value: dict[str, LayerEffect]) -> dict[str, Any]:
        return {name: one.settings() for name, one in value.items()}

    @property
    def learner_name(self) -> str:
        """Name of the learner, which is all that outputs store."""
        return write_learner(self.learner)

    def world_settings(self) -> WorldSettings:
        """Return the settings of the layer's world."""
        # A recipe's worlds have no slip
        names = [one.name for one in fields(WorldSettings) if one.name in type(self).model_fields]
        named = {name: getattr(self, name) for name in names}
        noise = {name: one.noise for name, one in self.effects.items()}
        return WorldSettings(**{**named, "effects": noise})

    def make_learner(self) -> Learner:
        """Return the learner of this layer, made with the settings that it accepts.

        Raises:
            SettingError: a custom learner cannot be constructed.
        """
        return make_learner(
            self.learner if isinstance(self.learner, OwnLearner) else self.learner_name,
            alpha=self.alpha,
            gamma=self.gamma,
            epsilon=self.epsilon,
            initial=self.initial,
            ties=self.ties,
        )


class Recipe(BaseModel):
    """An ordered list of layers with a seed: everything needed to make a picture again.

    Example:
        >>> recipe = Recipe(layers=[Layer(grid=(40, 20), agents=400)], seed=3)
        >>> print(recipe.to_toml(brief=True))
        seed = 3
        <BLANKLINE>
        [[layers]]
        grid = [40, 20]
        agents = 400
        ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: str = Field("", description="what it looks like, in one line")
    family: str = Field("", description="family of presets that it belongs to")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="seed of every random draw")
    activation: File = Field(
        "efficientnet_lite0",
        description="efficientnet_lite0, resnet18, spectral_residual, edges, or a mask picture",
        json_schema_extra=shown("subject", file=True),
    )
    weights: File | None = Field(
        None,
        description="file with the network's weights",
        json_schema_extra=shown("subject"),
    )
    cam_every: Frames = Field(
        8,
        description="in video, frames from one activation to the next",
        json_schema_extra=shown("subject", 1, 50),
    )
    cam_smoothing: Annotated[float, Field(ge=0, le=10_000)] = Field(
        12.0,
        description="in video, frames over which activations are smoothed; 0 for none",
        json_schema_extra=shown("subject", 0, 50),
    )
    layers: tuple[Layer, ...] = Field(strict=False)

    @field_validator("layers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            raise PydanticCustomError("layers", "should be a list: write [[layers]], not [layers]")
        if isinstance(value, list | tuple) and not 1 <= len(value) <= 64:
            raise PydanticCustomError("layers", "should be 1 to 64 layers")
        return value

    @property
    def painted(self) -> tuple[tuple[int, Layer], ...]:
        """Painted layers, with their numbers from 0: those that are not muted.

        If any layer is solo, only the solo layers.
        """
        solo = any(layer.solo for layer in self.layers)
        return tuple(
            (index, layer)
            for index, layer in enumerate(self.layers)
            if not layer.mute and (layer.solo or not solo)
        )

    def to_toml(self, *, brief: bool = False) -> str:
        """Write the recipe as TOML.

        Args:
            brief: omit settings that equal their defaults; otherwise spell out every setting.

        Raises:
            RecipeError: the name of a file is not UTF-8, as TOML requires.
        """
        data = self.model_dump(mode="json", exclude_none=True)
        if brief:
            data = {
                name: value
                for name, value in data.items()
                if name in ("layers", "seed") or value != _usual(Recipe, name)
            }
            data["layers"] = [_brief_layer(layer) for layer in data["layers"]]
        # Short lists on one line; tomli-w puts each entry on its own
        text = _SHORT_LIST.sub(
            lambda found: f"[{', '.join(found[1].replace(',', '').split())}]", tomli_w.dumps(data)
        )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RecipeError(
                "the recipe names a file whose name is not UTF-8, so it cannot be written as TOML; "
                "rename the file"
            ) from error
        return text


_SHORT_LIST = re.compile(r"\[\n((?:    [-+\d.e]+,\n)+)\]")


def _usual(model: type[BaseModel], name: str) -> Any:
    """Return a setting's default, as recipes write it."""
    default = model.model_fields[name].get_default(call_default_factory=True)
    return list(default) if isinstance(default, tuple) else default


def _brief_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    brief = {
        name: value
        for name, value in layer.items()
        if name not in ("grid", "effects") and value != _usual(Layer, name)
    }
    effects = {
        name: {
            key: value
            for key, value in settings.items()
            if value != _usual(settings_model(name), key)
        }
        for name, settings in layer["effects"].items()
    }
    return {"grid": layer["grid"], **brief, "effects": effects}
