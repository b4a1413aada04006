"""Types of a recipe's settings: validation, keyframes and serialization."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from glitch_agents.registry import LEARNERS, OwnLearner, learner_names
from glitch_agents.schedule import Schedule
from glitch_gym.errors import GlitchError, unknown_name_error
from glitch_gym.paths import path_problem
from glitch_gym.plugins import LEARNER_GROUP, find_plug_in
from glitch_render.recipe.keyframes import Keyframes, highest, parse_keyframes
from glitch_render.recipe.messages import shortened

__all__ = [
    "Count",
    "File",
    "Finite",
    "Frames",
    "Keyed",
    "KeyedCount",
    "KeyedShare",
    "Rate",
    "Share",
    "Side",
    "shown",
    "write_keyed",
    "write_learner",
]


def shown(
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
    """Return how a form shows a setting, for ``json_schema_extra``.

    Args:
        group: group of settings that it belongs to.
        low: lower end of its slider.
        high: upper end of its slider.
        log: whether the slider is logarithmic.
        limits: lowest and highest value, where the type does not determine them.
        whole: whether only whole numbers are allowed, where the type does not determine it.
        step: distance between allowed values, where it is not 1.
        file: whether the setting names a picture.
    """
    span = None if low is None or high is None else [low, high]
    known = {
        "limits": None if limits is None else list(limits),
        "whole": whole,
        "step": step,
        "file": file,
    }
    return {"group": group, "span": span, "log": log, **known}


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
    """Return a validator for a number within [low, high] that may be keyframed."""

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
        # Agents may fade in from 0, but a layer that never has any is a mistake
        lowest = 0 if isinstance(keyed, Keyframes) and highest(keyed) >= low > 0 else low
        if not all(lowest <= one <= high for one in values):
            raise PydanticCustomError(
                "range", "should lie in {span}", {"span": f"{low:,.12g}…{high:,.12g}"}
            )
        return keyed

    return read


def write_keyed(value: float | Keyframes) -> float | dict[str, float]:
    """Return a setting as a recipe writes it: a number, or a table of keyframes."""
    return value.table() if isinstance(value, Keyframes) else value


def _allowed_path(value: str) -> str:
    problem = path_problem(value)
    if problem is not None:
        message = f"{shortened(value)!r} {problem}, which no recipe may open"
        raise PydanticCustomError("path", "{message}", {"message": message})
    return value


_whole_numbers = TypeAdapter(Annotated[int, Field(strict=True)])


_written = PlainSerializer(write_keyed, return_type=Any)


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


def checked_learner(value: Any, info: ValidationInfo) -> str | OwnLearner:
    """Validate a learner: the name of one that is installed or was passed by hand, or an object."""
    if not isinstance(value, str):
        # A file yields only text, numbers, lists and tables; anything else comes from Python
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
        known = str(unknown_name_error("learner", value, installed))
        message = f"{known}; a custom learner must be passed by hand"
    else:
        message = (
            f"{shortened(value)!r} is not the name of a learner: recipes cannot run code, so a "
            f"custom learner must be passed by hand"
        )
    raise PydanticCustomError("own_learner", "{message}", {"message": message})


def write_learner(value: Any) -> str:
    """Return the name of a learner, which is all that a recipe stores."""
    return value.name if isinstance(value, OwnLearner) else str(value)


def odd_number(value: Any) -> Any:
    """Return a value unless it is an even number, which is refused."""
    if isinstance(value, int) and value % 2 == 0:
        raise PydanticCustomError("odd", "should be odd")
    return value
