"""Effects as a layer uses them: their noise, their parameters and their weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from glitch_gym.actions import BUILT_IN_EFFECTS
from glitch_gym.errors import GlitchError
from glitch_gym.plugins import contained
from glitch_gym.settings import Noise, effect_noise
from glitch_render.effects import EffectParameters, get_effect
from glitch_render.recipe.fields import Keyed, shown, write_keyed
from glitch_render.recipe.keyframes import Keyframes
from glitch_render.recipe.messages import MOST_PROBLEMS, error_message

__all__ = ["LayerEffect", "read_layer_effects", "settings_model"]


@dataclass(frozen=True)
class LayerEffect:
    """An effect as a layer uses it.

    Args:
        noise: noise on the effect's reward while agents learn.
        parameters: parameters of the effect.
        weight: value added to the effect's actions while agents walk; can be keyframed.
    """

    noise: Noise
    parameters: EffectParameters
    weight: float | Keyframes = 0.0

    def settings(self) -> dict[str, Any]:
        """Return the effect's settings as the flat table that a recipe contains."""
        return {
            "mean": self.noise.mean,
            "std": self.noise.std,
            "weight": write_keyed(self.weight),
            **self.parameters.model_dump(mode="json"),
        }


@lru_cache(maxsize=64)
def settings_model(name: str) -> type[BaseModel]:
    """Return the model of an effect's table: its parameters, its noise and its weight.

    Args:
        name: name of the effect.
    """
    noise = effect_noise([name])[name]
    fields: dict[str, Any] = {
        "mean": (
            float,
            Field(
                noise.mean,
                allow_inf_nan=False,
                title="importance",
                description="mean of its reward noise; the higher, the more often it wins",
                json_schema_extra=shown("reward", -1, 1),
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
                json_schema_extra=shown("reward", 0, 1),
            ),
        ),
        "weight": (
            Keyed,
            Field(
                0.0,
                description="value added to its actions while agents walk",
                json_schema_extra=shown("reward", -2, 2),
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


def read_layer_effects(value: Any) -> dict[str, LayerEffect]:
    """Validate the effects of a layer, given as a list of names or as a table.

    Raises:
        ValidationError: effects or their settings are invalid, each with its path.
    """
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        value = {name: {} for name in value}
    if not isinstance(value, Mapping) or not value:
        raise PydanticCustomError(
            "effects", "should be a list or table of effects, with at least one"
        )
    found: dict[str, LayerEffect] = {}
    wrong: list[InitErrorDetails] = []
    for name, settings in value.items():
        if len(wrong) >= MOST_PROBLEMS:
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
                kind = PydanticCustomError("effect", "{message}", {"message": error_message(one)})
                wrong.append(
                    InitErrorDetails(type=kind, loc=(name, *one["loc"]), input=one["input"])
                )
        except (GlitchError, TypeError) as error:
            kind = PydanticCustomError("effect", "{message}", {"message": str(error)})
            wrong.append(InitErrorDetails(type=kind, loc=(name,), input=settings))
    if wrong:
        raise ValidationError.from_exception_data("effects", wrong)
    return found
