"""Recipes: an ordered list of layers with a seed, written in TOML.

A recipe is checked as a whole: every error at once, each with its path. Layers are counted from 1
in paths (``layers.1.agents``), in messages and on the command line.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from glitch_agents.catalogue import LEARNERS, OwnLearner, learner_names, make_learner
from glitch_agents.learning import Learner
from glitch_agents.schedule import Schedule
from glitch_gym.actions import BUILT_IN_EFFECTS
from glitch_gym.activation import is_activation_name
from glitch_gym.errors import GlitchError, Hint, Problem, RecipeError, unknown_name
from glitch_gym.input import LARGEST_TEXT, read_text
from glitch_gym.paths import path_problem
from glitch_gym.plugins import LEARNER_GROUP, contained, find_plug_in
from glitch_gym.reward import Noise, effect_noise
from glitch_render.effects import EffectParameters, effects, get_effect
from glitch_render.engine.overlay import Blend
from glitch_render.keyframes import Keyframes, highest, parse_keyframes

__all__ = [
    "Layer",
    "LayerEffect",
    "Recipe",
    "WantedPath",
    "apply_settings",
    "check_wanted_paths",
    "line_of",
    "load_preset",
    "parse_recipe",
    "preset_names",
    "preset_text",
    "read_toml",
    "settings_model",
    "wanted_paths",
]

DEFAULT_PRESET = "undertow"
"""What the command line paints with unless told otherwise."""

_DEEPEST = 32
_MOST_PROBLEMS = 20
_LONGEST_SHOWN = 60
# The time that tomllib needs for a dotted key grows by the square of its parts
_LONG_KEY = re.compile(r"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


def _shown(
    group: str,
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    whole: bool = False,
    step: int | None = None,
    file: bool = False,
) -> dict[str, Any]:
    """Say where a setting stands among others, and over which values its slider goes.

    ``limits``, ``whole`` and ``step`` are for settings whose type does not say what is right,
    ``file`` is for those that name a picture.
    """
    span = None if low is None or high is None else [low, high]
    known = {
        "limits": None if limits is None else list(limits),
        "whole": whole,
        "step": step,
        "file": file,
    }
    return {"group": group, "span": span, "log": log, **known}


@dataclass(frozen=True)
class LayerEffect:
    """An effect as a layer uses it.

    Args:
        noise: on its reward, as agents learn.
        parameters: its own.
        weight: added to the value of its actions as agents walk, and may change over time.
    """

    noise: Noise
    parameters: EffectParameters
    weight: float | Keyframes = 0.0

    def settings(self) -> dict[str, Any]:
        """Give the flat table that stands for it in a recipe."""
        return {
            "mean": self.noise.mean,
            "std": self.noise.std,
            "weight": _write_keyed(self.weight),
            **self.parameters.model_dump(mode="json"),
        }


@lru_cache(maxsize=64)
def settings_model(name: str) -> type[BaseModel]:
    """Make the model of an effect's table: its own parameters, its noise and its weight.

    Args:
        name: of the effect.
    """
    noise = effect_noise([name])[name]
    fields: dict[str, Any] = {
        "mean": (
            float,
            Field(
                noise.mean,
                allow_inf_nan=False,
                title="importance",
                description="mean of its reward noise; higher is more often",
                json_schema_extra=_shown("reward", -1, 1),
            ),
        ),
        "std": (
            float,
            Field(
                noise.std,
                ge=0,
                allow_inf_nan=False,
                title="spread",
                description="standard deviation of its reward noise",
                json_schema_extra=_shown("reward", 0, 1),
            ),
        ),
        "weight": (
            Keyed,
            Field(
                0.0,
                description="added to the value of its actions as agents walk",
                json_schema_extra=_shown("reward", -2, 2),
            ),
        ),
    }
    return cast(
        type[BaseModel],
        create_model(f"{name}_settings", __base__=get_effect(name).parameters, **fields),
    )


def _layer_effect(name: str, value: Any) -> LayerEffect:
    if isinstance(value, LayerEffect):
        return value
    settings = settings_model(name).model_validate_json(json.dumps(value))
    given = settings.model_dump()
    noise = Noise(given.pop("mean"), given.pop("std"))
    del given["weight"]
    weight: float | Keyframes = getattr(settings, "weight")  # noqa: B009
    return LayerEffect(noise, get_effect(name).parameters(**given), weight)


def _layer_effects(value: Any) -> dict[str, LayerEffect]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        value = {name: {} for name in value}
    if not isinstance(value, Mapping) or not value:
        raise PydanticCustomError(
            "effects", "should be a list of effect names, or a table of them, with one at least"
        )
    found: dict[str, LayerEffect] = {}
    wrong: list[InitErrorDetails] = []
    for name, settings in value.items():
        if len(wrong) >= _MOST_PROBLEMS:
            break
        try:
            get_effect(name)
            if name in BUILT_IN_EFFECTS:
                found[name] = _layer_effect(name, settings)
                continue
            with contained(f"the effect {name!r}", ValidationError, TypeError):
                found[name] = _layer_effect(name, settings)
        except ValidationError as error:
            for one in error.errors():
                kind = PydanticCustomError("effect", "{message}", {"message": _message(one)})
                wrong.append(
                    InitErrorDetails(type=kind, loc=(name, *one["loc"]), input=one["input"])
                )
        except (GlitchError, TypeError) as error:
            kind = PydanticCustomError("effect", "{message}", {"message": str(error)})
            wrong.append(InitErrorDetails(type=kind, loc=(name,), input=settings))
    if wrong:
        raise ValidationError.from_exception_data("effects", wrong)
    return found


_schedules = TypeAdapter(Schedule)
_numbers = TypeAdapter(Annotated[float, Field(strict=True, allow_inf_nan=False)])


def _rate(value: Any) -> float | Schedule:
    if isinstance(value, Schedule):
        rate: float | Schedule = value
    elif isinstance(value, Mapping):
        rate = _schedules.validate_python(value)
    else:
        rate = _numbers.validate_python(value)
    ends = (rate.start, rate.end) if isinstance(rate, Schedule) else (rate,)
    if not all(0 <= end <= 1 for end in ends):
        raise PydanticCustomError("rate", "should lie in 0…1")
    return rate


def _write_rate(rate: float | Schedule) -> float | dict[str, Any]:
    return dataclasses.asdict(rate) if isinstance(rate, Schedule) else rate


def _read_keyed(
    low: float = -math.inf, high: float = math.inf, *, whole: bool = False
) -> Callable[[Any], float | Keyframes]:
    """Make the reader of a number within [low, high] that may be keyframed over time."""

    def read(value: Any) -> float | Keyframes:
        if isinstance(value, Mapping):
            try:
                value = parse_keyframes(value)
            except GlitchError as error:
                kind = PydanticCustomError("keyframes", "{message}", {"message": str(error)})
                raise kind from error
        numbers = _whole_numbers if whole else _numbers
        keyed: float | Keyframes = (
            value if isinstance(value, Keyframes) else numbers.validate_python(value)
        )
        values = keyed.values if isinstance(keyed, Keyframes) else (keyed,)
        # Agents may fade in from none, but a layer that never has any is a mistake
        lowest = 0 if isinstance(keyed, Keyframes) and highest(keyed) >= low > 0 else low
        if not all(lowest <= one <= high for one in values):
            raise PydanticCustomError(
                "range", "should lie in {span}", {"span": f"{low:,.12g}…{high:,.12g}"}
            )
        return keyed

    return read


def _write_keyed(value: float | Keyframes) -> float | dict[str, float]:
    return value.table() if isinstance(value, Keyframes) else value


def _allowed_path(value: str) -> str:
    problem = path_problem(value)
    if problem is not None:
        message = f"{_shortened(value)!r} {problem}, which no recipe may open"
        raise PydanticCustomError("path", "{message}", {"message": message})
    return value


_whole_numbers = TypeAdapter(Annotated[int, Field(strict=True)])
_written = PlainSerializer(_write_keyed, return_type=Any)
Keyed = Annotated[float | Keyframes, PlainValidator(_read_keyed()), _written]
KeyedCount = Annotated[
    float | Keyframes, PlainValidator(_read_keyed(1, 100_000_000, whole=True)), _written
]
KeyedShare = Annotated[float | Keyframes, PlainValidator(_read_keyed(0, 1)), _written]
Rate = Annotated[float | Schedule, PlainValidator(_rate), PlainSerializer(_write_rate)]
Count = Annotated[int, Field(ge=1, le=100_000_000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=4096)]
Frames = Annotated[int, Field(ge=1, le=10_000_000)]
File = Annotated[str, Field(min_length=1), AfterValidator(_allowed_path)]


def _learner(value: Any, info: ValidationInfo) -> str | OwnLearner:
    """Read who learns: the name of one that is installed or was given by hand, or an object."""
    if not isinstance(value, str):
        # What a file says is text, a number, a list or a table: only Python's own are objects
        if isinstance(value, bool | int | float | list | tuple | Mapping) or value is None:
            raise PydanticCustomError("learner_type", "should be a name")
        try:
            return OwnLearner.of(value)
        except GlitchError as error:
            raise PydanticCustomError("learner", "{message}", {"message": str(error)}) from error
    own: Mapping[str, OwnLearner] = (info.context or {}).get("learners", {})
    if value in own:
        return own[value]
    if value in LEARNERS or find_plug_in(LEARNER_GROUP, value) is not None:
        return value
    installed = learner_names()
    if re.fullmatch(r"[\w-]{1,100}", value):
        known = str(unknown_name("learner", value, installed))
        message = f"{known}; a learner of somebody's own has to be given by hand"
    else:
        message = (
            f"{_shortened(value)!r} is not the name of a learner: a recipe runs no code of its "
            f"own, so a learner of somebody's own has to be given by hand"
        )
    raise PydanticCustomError("own_learner", "{message}", {"message": message})


def _write_learner(value: Any) -> str:
    return value.name if isinstance(value, OwnLearner) else str(value)


def _odd(value: Any) -> Any:
    if isinstance(value, int) and value % 2 == 0:
        raise PydanticCustomError("odd", "should be odd")
    return value


class Layer(BaseModel):
    """One grid with all its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    grid: tuple[Side, Side] = Field(
        strict=False, description="(rows, cols)", json_schema_extra=_shown("grid", 2, 200, log=True)
    )
    fit: Literal["pad", "stretch"] = Field(
        "pad",
        description="square cells with the rest prohibited, or the grid over the whole frame",
        json_schema_extra=_shown("grid"),
    )
    orient: Literal["auto", "fixed"] = Field(
        "auto",
        description="auto lays the grid's longer side along the picture's",
        json_schema_extra=_shown("grid"),
    )
    moves: Literal[4, 8] = Field(
        4, description="8 adds the diagonals", json_schema_extra=_shown("grid")
    )
    effects: Annotated[dict[str, LayerEffect], PlainValidator(_layer_effects)] = Field(
        default_factory=lambda: _layer_effects(["same", "pixelate", "desaturate", "invert"]),
        description="effect names, each with mean and std of its reward noise and its parameters",
    )

    objective: Literal["escape", "linger"] = Field(
        "escape",
        description="run out through what is active, or stay where it is active",
        json_schema_extra=_shown("reward"),
    )
    reward_range: tuple[Finite, Finite] | None = Field(
        None,
        strict=False,
        description="rewards of activation 0 and 1, in place of the objective's",
        json_schema_extra=_shown("reward", -1, 1),
    )
    exit_reward: Finite | None = Field(
        None, description="in place of the objective's", json_schema_extra=_shown("reward", -1, 2)
    )
    prohibited_reward: Finite = Field(
        -1.0,
        description="for walking into a prohibited cell",
        json_schema_extra=_shown("reward", -2, 0),
    )
    invert: bool = Field(
        False, description="use 1 − activation", json_schema_extra=_shown("reward")
    )
    median: Annotated[int, Field(ge=1, le=99), BeforeValidator(_odd)] = Field(
        3,
        description="side of the median filter over the rewards, in cells, odd",
        json_schema_extra=_shown("reward", 1, 15, step=2),
    )

    learner: Annotated[
        str | Learner | Callable[..., Any],
        PlainValidator(_learner),
        PlainSerializer(_write_learner, return_type=str),
    ] = Field(
        "q_learning",
        description="who learns: the name of one that is installed, or of one given by hand",
        json_schema_extra=_shown("learning"),
    )
    iterations: Count = Field(
        10_000,
        description="training episodes",
        json_schema_extra=_shown("learning", 100, 1_000_000, log=True),
    )
    alpha: Rate = Field(
        0.1,
        description="learning rate in 0…1, or {start, end, over, shape}",
        json_schema_extra=_shown("learning", 0, 1, limits=(0, 1)),
    )
    gamma: Share = Field(0.95, description="discount", json_schema_extra=_shown("learning", 0, 1))
    epsilon: Rate = Field(
        0.1,
        description="exploration in 0…1, or {start, end, over, shape}",
        json_schema_extra=_shown("learning", 0, 1, limits=(0, 1)),
    )
    initial: Finite = Field(
        0.0,
        description="value of an action before it is tried",
        json_schema_extra=_shown("learning", -2, 2),
    )
    ties: Literal["random", "first"] = Field(
        "random", description="among equal best actions", json_schema_extra=_shown("learning")
    )

    agents: KeyedCount = Field(
        1_000,
        description="how many walk the picture, or {seconds = many}",
        json_schema_extra=_shown("walk", 1, 50_000, log=True, limits=(1, 1e8), whole=True),
    )
    lifetime: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20, description="steps of an agent", json_schema_extra=_shown("walk", 1, 200, log=True)
    )
    repeat_agents: bool = Field(
        False, description="draw all agents afresh at every step", json_schema_extra=_shown("walk")
    )
    preserve: bool = Field(
        True,
        description="in video, keep the layer's history over the frames",
        json_schema_extra=_shown("clip"),
    )
    trail: Frames | None = Field(
        None,
        description="in video, how many steps back preserve reaches; by default all, or 10 "
        "lifetimes where endless agents have effects that need pixels",
        json_schema_extra=_shown("clip", 1, 500, log=True),
    )
    steps_per_frame: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1,
        description="in video, steps that agents take at once",
        json_schema_extra=_shown("clip", 1, 20),
    )
    hold: Frames = Field(
        1,
        description="in video, frames from one step to the next",
        json_schema_extra=_shown("clip", 1, 50),
    )
    start: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="in video, frame of the first births",
        json_schema_extra=_shown("clip", 0, 500),
    )
    ramp: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="in video, frames over which births are spread",
        json_schema_extra=_shown("clip", 0, 500),
    )
    respawn: bool = Field(
        False,
        description="in video, be born again when a lifetime is over",
        json_schema_extra=_shown("clip"),
    )
    explore: KeyedShare = Field(
        0.0,
        description="probability of a random action as agents walk, or {seconds = probability}",
        json_schema_extra=_shown("walk", 0, 1, limits=(0, 1)),
    )
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0,
        description="0 follows the best action; above, actions are drawn by softmax; not with "
        "explore",
        json_schema_extra=_shown("walk", 0, 2),
    )
    born_above: Share | None = Field(
        None, description="births only where activation ≥ this", json_schema_extra=_shown("walk")
    )
    born_below: Share | None = Field(
        None, description="births only where activation ≤ this", json_schema_extra=_shown("walk")
    )

    opacity: KeyedShare = Field(
        1.0,
        description="of the layer over what was before, 0…1, or {seconds = opacity}",
        json_schema_extra=_shown("overlay", 0, 1, limits=(0, 1)),
    )
    blend: Blend = Field(
        "normal",
        description="how the layer meets what was before, where agents have been",
        json_schema_extra=_shown("overlay"),
    )
    mask: File | None = Field(
        None,
        description="a picture that holds the layer to where it is white",
        json_schema_extra=_shown("overlay", file=True),
    )
    mask_above: Share | None = Field(
        None,
        description="show the layer where activation ≥ this",
        json_schema_extra=_shown("overlay"),
    )
    mask_below: Share | None = Field(
        None,
        description="show the layer where activation ≤ this",
        json_schema_extra=_shown("overlay"),
    )
    mask_soft: Share = Field(
        0.0,
        description="edge of the mask, as a share of the height",
        json_schema_extra=_shown("overlay", 0, 0.2),
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
                "exclusive", "should be 0 where explore is set: a layer takes one of the two"
            )
        return value

    @field_serializer("effects")
    def _write_effects(self, value: dict[str, LayerEffect]) -> dict[str, Any]:
        return {name: one.settings() for name, one in value.items()}

    @property
    def learner_name(self) -> str:
        """Name of the learner, which is all that outputs are told of it."""
        return _write_learner(self.learner)

    def make_learner(self) -> Learner:
        """Make the learner of this layer, told of those settings that it takes.

        Raises:
            SettingError: a learner of somebody's own cannot be made.
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
    """An ordered list of layers with a seed: all that is needed to do a picture again."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: str = Field("", description="what it looks like, in a line")
    family: str = Field("", description="of presets that it belongs to")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="of every random draw")
    activation: File = Field(
        "efficientnet_lite0",
        description="efficientnet_lite0, resnet18, spectral_residual, edges, or a mask picture",
        json_schema_extra=_shown("subject", file=True),
    )
    weights: File | None = Field(
        None,
        description="file with weights for the network",
        json_schema_extra=_shown("subject"),
    )
    cam_every: Frames = Field(
        8,
        description="in video, frames from one activation to the next",
        json_schema_extra=_shown("subject", 1, 50),
    )
    cam_smoothing: Annotated[float, Field(ge=0, le=10_000)] = Field(
        12.0,
        description="in video, frames that activations are smoothed over; 0 for none",
        json_schema_extra=_shown("subject", 0, 50),
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
        """The layers that are painted, with their numbers from 0: not those that are muted.

        If any is solo, those that are solo and nothing else.
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
            brief: leave out what is as it would be anyhow; else every setting is spelled out.

        Raises:
            RecipeError: a file's name that is not UTF-8, which TOML cannot hold.
        """
        data = self.model_dump(mode="json", exclude_none=True)
        if brief:
            data = {
                name: value
                for name, value in data.items()
                if name in ("layers", "seed") or value != _usual(Recipe, name)
            }
            data["layers"] = [_brief_layer(layer) for layer in data["layers"]]
        # One line for what is short: tomli-w gives each entry of a list its own
        text = _SHORT_LIST.sub(
            lambda found: f"[{', '.join(found[1].replace(',', '').split())}]", tomli_w.dumps(data)
        )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RecipeError(
                "the name of a file that the recipe needs is not UTF-8, so the recipe cannot be "
                "written down; rename the file"
            ) from error
        return text


_SHORT_LIST = re.compile(r"\[\n((?:    [-+\d.e]+,\n)+)\]")


def _usual(model: type[BaseModel], name: str) -> Any:
    """Give a setting's default, as it is written."""
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


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_WORDED = ("effect", "effects", "layers", "learner", "own_learner", "path")
"""Kinds of errors whose message has the value already."""


def _message(error: Any) -> str:
    """Say one of pydantic's errors in our words."""
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "is missing"
    if kind in _UNKNOWN:
        return "is not a known setting"
    message = str(error["msg"])
    for prefix in ("Value error, ", "Input "):
        message = message.removeprefix(prefix)
    if kind not in _WORDED and not isinstance(given, Mapping | list):
        message += f", not {_shortened(repr(given))}"
    return message


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _near(error: Any) -> str:
    """Suggest the known setting that an unknown one may stand for."""
    location = error["loc"]
    *_, last = location
    if len(location) == 1:
        known = set(Recipe.model_fields)
    elif location[0] == "layers" and len(location) == 3:
        known = set(Layer.model_fields)
    elif len(location) == 4 and location[2] in ("alpha", "epsilon"):
        known = {field.name for field in dataclasses.fields(Schedule)}
    elif len(location) == 5 and location[2] == "effects" and location[3] in effects():
        known = set(settings_model(str(location[3])).model_fields)
    else:
        return ""
    hint = str(unknown_name("setting", str(last), known)).partition(": ")[2]
    return f"; {hint}"


_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def line_of(text: str, path: Sequence[int | str]) -> int:
    """Find the line of TOML where a setting stands, or else the nearest table around it.

    Args:
        text: of the file.
        path: of the setting; entries of lists are counted from 0.

    Returns:
        The line's number, from 1.
    """
    wanted = tuple(str(part) for part in path)
    counted: dict[str, int] = {}
    table: tuple[str, ...] = ()
    best, deepest = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            first, *others = _keys(found[2])
            if found[1] == "[[" and not others:
                counted[first] = counted.get(first, -1) + 1
            entry = (str(counted[first]),) if first in counted else ()
            here = table = (first, *entry, *others)
        elif found := _KEY.match(line):
            here = (*table, *_keys(found[1]))
        else:
            continue
        if len(here) > deepest and here == wanted[: len(here)]:
            best, deepest = number, len(here)
    return best


def _keys(dotted: str) -> list[str]:
    return [key.strip().strip("\"'") for key in dotted.split(".")]


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(
        str(part + 1) if isinstance(part, int) else _shortened(part) for part in location
    )


def _explain(error: ValidationError, text: str) -> list[Problem]:
    """Return the first problems of a recipe, each with its line where there is a text."""
    problems = []
    for one in error.errors(include_url=False)[:_MOST_PROBLEMS]:
        unknown = one["type"] in _UNKNOWN or "not a known setting" in one["msg"]
        message = f"{_path(one['loc'])} {_message(one)}{_near(one) if unknown else ''}"
        problems.append(Problem(message, line_of(text, one["loc"]) if text else None))
    return sorted(problems, key=lambda problem: problem.line or 0)


def parse_recipe(
    data: Mapping[str, Any],
    origin: str = "recipe",
    *,
    text: str = "",
    learners: Mapping[str, Any] | None = None,
) -> Recipe:
    """Check a recipe that was read from TOML; nothing that it names is imported or opened.

    Args:
        data: as ``tomllib`` gives it.
        origin: its file, for messages.
        text: that it was read from, with which each error says its line.
        learners: those that are given by hand, by the names that the recipe has for them: objects
            with ``learn``, or what makes one.

    Raises:
        RecipeError: whatever is wrong with it: every error, each with its path.
        SettingError: one of ``learners`` has no usable name, or is no learner.
    """
    own = {name: _own_learner(name, given) for name, given in (learners or {}).items()}
    try:
        return Recipe.model_validate(dict(data), context={"learners": own})
    except ValidationError as error:
        missing = all(one["type"] == "own_learner" for one in error.errors())
        hint = Hint.LEARNER if missing else None
        raise _recipe_error(_explain(error, text), origin, hint, error.error_count()) from error


def _own_learner(name: str, given: Any) -> OwnLearner:
    return OwnLearner(name, given.make if isinstance(given, OwnLearner) else given)


_MOST_NAMED = 5


@dataclass(frozen=True)
class WantedPath:
    """A file that a recipe would open.

    Args:
        setting: that names it, such as ``layers.1.mask``.
        path: as the recipe has it.
    """

    setting: str
    path: str

    def __str__(self) -> str:
        path = self.path if self.path.isprintable() else repr(self.path)
        return f"{path} ({self.setting})"


def wanted_paths(recipe: Recipe) -> tuple[WantedPath, ...]:
    """Return the files that a recipe would open, muted layers' included; nothing is opened.

    Samples and activations that are installed are not files of the user's.
    """
    found = []
    if not is_activation_name(recipe.activation):
        found.append(WantedPath("activation", recipe.activation))
    if recipe.weights is not None:
        found.append(WantedPath("weights", recipe.weights))
    for number, layer in enumerate(recipe.layers, 1):
        if layer.mask is not None and not layer.mask.startswith("sample:"):
            found.append(WantedPath(f"layers.{number}.mask", layer.mask))
    return tuple(found)


def check_wanted_paths(recipe: Recipe, origin: str, *, by_hand: Iterable[str] = ()) -> None:
    """Refuse a recipe from inside a picture or clip that would open files of the user's.

    Args:
        recipe: to look at.
        origin: the picture or clip, for the message.
        by_hand: settings, or tables of them, that a person gave in place of the recipe's own.

    Raises:
        RecipeError: with the files that are wanted.
    """
    given = tuple(by_hand)
    wanted = [
        one
        for one in wanted_paths(recipe)
        if not any(one.setting == name or one.setting.startswith(f"{name}.") for name in given)
    ]
    if not wanted:
        return
    files = ", ".join(map(str, wanted[:_MOST_NAMED]))
    if len(wanted) > _MOST_NAMED:
        files += f" and {len(wanted) - _MOST_NAMED} more"
    problems = tuple(Problem(f"{one.setting} wants to open {one.path}") for one in wanted)
    raise RecipeError(
        f"the recipe inside {origin} wants to open {files}, which came with it from elsewhere",
        problems,
        hint=Hint.TRUST_PATHS,
        path=wanted[0].path,
    )


def _recipe_error(
    problems: list[Problem], origin: str, hint: Hint | None, count: int
) -> RecipeError:
    lines = [
        one.message if one.line is None else f"line {one.line}: {one.message}" for one in problems
    ]
    head = f"{origin}: " if count == 1 else f"{origin} has {count:,} errors:\n  "
    if count > len(lines):
        lines.append(f"and {count - len(lines):,} more")
    return RecipeError(head + "\n  ".join(lines), tuple(problems), hint=hint)


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        RecipeError: a syntax error, with line and column; more text than any recipe has; or values
            that are nested too deep.
    """
    if len(text) > LARGEST_TEXT:
        raise RecipeError(f"{origin} is too long: more than {LARGEST_TEXT:,} characters")
    try:
        return _load_toml(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line: int | None = int(found[1]) if found else None
        if line is None and str(error).endswith("(at end of document)"):
            line = text.count("\n") + 1
        problem = Problem(str(error)[: found.start()] if found else str(error), line)
        raise RecipeError(f"{origin}: {error}", (problem,)) from error


def _place(text: str, at: int) -> str:
    """Return where a character stands, as tomllib's own errors say it."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f" (at line {line}, column {column})"


def _load_toml(text: str) -> dict[str, Any]:
    """Parse TOML whose numbers and nesting are of a size that a person writes.

    Raises:
        TOMLDecodeError: a syntax error, with line and column; or a number or a nesting that is
            beyond all sense.
    """
    if found := _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError(f"A key has too many parts{_place(text, found.start())}")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("Values are nested too deep") from None
    except ValueError as error:
        # Python reads no integer of thousands of digits
        found = re.search(r"\d[\d_]{4000,}", text)
        place = _place(text, found.start()) if found else ""
        raise tomllib.TOMLDecodeError(f"A number has too many digits{place}") from error
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return data
    raise tomllib.TOMLDecodeError("Values are nested too deep")


def apply_settings(data: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Change a recipe's data by texts such as ``layers.1.agents=800``.

    The value is read as TOML, and as plain text where it is none; layers are counted from 1.

    Raises:
        RecipeError: no ``=``, no such layer, or a path through something that is not a table.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(data))
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = [key.strip() for key in path.split(".")]
        shown = _shortened(setting)
        if not equals or not all(keys) or len(keys) > _DEEPEST:
            raise RecipeError(
                f"the setting {shown!r}: write PATH=VALUE, such as layers.1.agents=800"
            )
        try:
            value = _load_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        place: Any = changed
        for depth, key in enumerate(keys[:-1]):
            where = _shortened(".".join(keys[: depth + 1]))
            if isinstance(place, list):
                place = _entry(place, key, shown)
            elif isinstance(place, dict):
                place = place.setdefault(key, {})
                if isinstance(place, list) and all(isinstance(one, str) for one in place) and place:
                    raise RecipeError(
                        f"the setting {shown!r}: {where} is a list of names, not a table"
                    )
            else:
                raise RecipeError(f"the setting {shown!r}: {where} is not a table")
        if isinstance(place, list):
            _entry(place, keys[-1], shown)
            place[int(keys[-1]) - 1] = value
        elif isinstance(place, dict):
            place[keys[-1]] = value
        else:
            where = _shortened(".".join(keys[:-1]))
            raise RecipeError(f"the setting {shown!r}: {where} is not a table")
    return changed


def _entry(places: list[Any], key: str, shown: str) -> Any:
    # Python reads no integer of thousands of digits
    if not key.isdecimal() or len(key) > 9 or not 1 <= int(key) <= len(places):
        raise RecipeError(
            f"the setting {shown!r}: there is no layer {_shortened(key)}; layers are numbered 1 to "
            f"{len(places)}"
        )
    return places[int(key) - 1]


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
    """Give a preset as it is written.

    Raises:
        SettingError: unknown.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    text: str = (_preset_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return text


def load_preset(name: str = DEFAULT_PRESET) -> Recipe:
    """Give a preset as a recipe.

    Raises:
        SettingError: unknown.
    """
    return parse_recipe(read_toml(preset_text(name), f"preset {name}"), f"preset {name}")


def read_recipe_file(path: Path) -> str:
    """Read the text of a recipe from a TOML file.

    Raises:
        RecipeError: missing or unreadable.
    """
    return read_text(path, "recipe", error=RecipeError)
