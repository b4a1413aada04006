"""Controls of forms, derived from the models of recipes and effects.

An effect from a plug-in has its controls as soon as it is declared; nothing is written twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from glitch_agents.registry import learner_names
from glitch_gym.activation import activation_names
from glitch_render.effects import effects
from glitch_render.recipe.layer_effects import settings_model
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset

__all__ = [
    "Control",
    "EffectForm",
    "controls_of",
    "effect_forms",
    "forms",
    "layer_form",
    "recipe_form",
]

_LOOSE_SPAN = 10.0


@dataclass(frozen=True)
class Control:
    """A setting as a form shows it.

    Args:
        name: name of the setting.
        label: text of its label.
        kind: kind of its value: a number, a pair of numbers, a switch, a choice, or a text.
        help: what the setting does.
        default: default as recipes write it; ``None`` if the setting is optional or required.
        optional: whether the setting can be left empty.
        whole: whether only whole numbers are allowed.
        low: lowest allowed value, if there is a limit.
        high: highest allowed value, if there is a limit.
        span: range of its slider, within the limits.
        log: whether the slider is logarithmic.
        step: distance between allowed values, if ``whole`` does not determine it.
        file: whether the text names a picture.
        choices: values to choose from; for a text, suggestions.
        group: group of settings that it belongs to.
    """

    name: str
    label: str
    kind: Literal["number", "pair", "switch", "choice", "text"]
    help: str
    default: Any = None
    optional: bool = False
    whole: bool = False
    low: float | None = None
    high: float | None = None
    span: tuple[float, float] | None = None
    log: bool = False
    step: float | None = None
    file: bool = False
    choices: tuple[Any, ...] = ()
    group: str = ""

    def limits(self) -> str:
        """Return the allowed values in a few words."""
        if self.kind == "switch":
            return "true, false"
        if self.choices:
            return ", ".join(map(str, self.choices))
        if self.low is not None and self.high is not None:
            return f"{self.low:g}…{self.high:g}"
        if self.low is not None:
            return f"from {self.low:g}"
        return "any" if self.high is None else f"up to {self.high:g}"


@dataclass(frozen=True)
class EffectForm:
    """An effect as a form shows it, with a summary and its controls."""

    name: str
    summary: str
    controls: tuple[Control, ...]


def controls_of(model: type[BaseModel]) -> tuple[Control, ...]:
    """Return the controls of a model's settings, in its order.

    Args:
        model: model of a layer, a recipe, or an effect's parameters; lists and tables are omitted.
    """
    found = (_control(name, field) for name, field in model.model_fields.items())
    return tuple(one for one in found if one is not None)


def _control(name: str, field: FieldInfo) -> Control | None:
    types, metadata = _unfold(field.annotation)
    metadata = [*_flat(field.metadata), *metadata]
    given = field.json_schema_extra
    extra: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    optional = NoneType in types
    types = [one for one in types if one is not NoneType]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    choices = _choices(name, types)
    kind: Literal["number", "pair", "switch", "choice", "text"]
    if choices and str not in types:
        kind = "choice"
    elif bool in types:
        kind = "switch"
    elif any(get_origin(one) is tuple and ... not in get_args(one) for one in types):
        kind, default = "pair", None if default is None else list(default)
        inner, more = _unfold(get_args(next(one for one in types if get_origin(one) is tuple))[0])
        types, metadata = [*types, *inner], [*metadata, *more]
    elif int in types or float in types:
        kind = "number"
    elif str in types:
        kind = "text"
    else:
        return None
    whole = int in types and float not in types
    limits = extra.get("limits")
    low, high = limits or _limits(metadata, whole)
    span = _span(extra.get("span"), low, high, default) if kind in ("number", "pair") else None
    return Control(
        name=name,
        label=field.title or name.replace("_", " "),
        kind=kind,
        help=field.description or "",
        default=default,
        optional=optional,
        whole=whole or bool(extra.get("whole")),
        low=low,
        high=high,
        span=span,
        log=bool(extra.get("log")),
        step=extra.get("step"),
        file=bool(extra.get("file")),
        choices=choices,
        group=str(extra.get("group", "")),
    )


def _choices(name: str, types: list[Any]) -> tuple[Any, ...]:
    for one in types:
        if get_origin(one) is Literal:
            return get_args(one)
    installed = {"learner": learner_names, "activation": activation_names}
    return installed[name]() if name in installed else ()


def _unfold(annotation: Any) -> tuple[list[Any], list[Any]]:
    """Return the plain types within an annotation, and all of their metadata."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        types, more = _unfold(inner)
        return types, [*_flat(metadata), *more]
    if get_origin(annotation) in (Union, UnionType):
        found = [_unfold(one) for one in get_args(annotation)]
        return [one for types, _ in found for one in types], [
            one for _, metadata in found for one in metadata
        ]
    return [annotation], []


def _flat(metadata: Iterable[Any]) -> list[Any]:
    """Return metadata one by one, with that inside a ``Field`` unpacked."""
    return [part for one in metadata for part in getattr(one, "metadata", None) or [one]]


def _limits(metadata: list[Any], whole: bool) -> tuple[float | None, float | None]:
    step = 1 if whole else 0.0

    def first(name: str) -> Iterator[float]:
        return (float(value) for one in metadata if (value := getattr(one, name, None)) is not None)

    low = next(first("ge"), None)
    above = next(first("gt"), None)
    high = next(first("le"), None)
    below = next(first("lt"), None)
    if low is None and above is not None:
        low = above + step
    if high is None and below is not None:
        high = below - step
    return low, high


def _span(
    wished: Any, low: float | None, high: float | None, default: Any
) -> tuple[float, float] | None:
    """Return the range of a slider: as declared, or its limits, or a range around the default."""
    if wished:
        return float(wished[0]), float(wished[1])
    if low is not None and high is not None:
        return low, high
    about = default if isinstance(default, int | float) and math.isfinite(default) else 0.0
    reach = max(_LOOSE_SPAN, 4 * abs(about))
    begin = low if low is not None else -reach if about <= 0 else 0.0
    end = high if high is not None else max(begin, about) + reach
    return begin, end


def layer_form() -> tuple[Control, ...]:
    """Return the controls of a layer, without its effects."""
    return tuple(one for one in controls_of(Layer) if one.group)


def recipe_form() -> tuple[Control, ...]:
    """Return the controls of a recipe's activation."""
    return tuple(one for one in controls_of(Recipe) if one.group)


def effect_forms() -> tuple[EffectForm, ...]:
    """Return the forms of all effects, including those from plug-ins."""
    return tuple(
        EffectForm(name, effect.summary, controls_of(settings_model(name)))
        for name, effect in effects().items()
    )


def forms() -> dict[str, Any]:
    """Return all forms as plain values, and a layer that is a good starting point."""
    layer = load_preset().layers[0]
    return {
        "layer": [asdict(one) for one in layer_form()],
        "recipe": [asdict(one) for one in recipe_form()],
        "effects": {one.name: asdict(one) for one in effect_forms()},
        "new_layer": layer.model_dump(mode="json", exclude_none=True),
    }
