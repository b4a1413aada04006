"""Effects: what happens to the pixels of a cell that an agent enters.

An effect is a plain function, a frozen model of its parameters, and the decorator ``@effect``. From
that one declaration come the recipe's validation and the command line's help. A third party's
effects are found through the entry point group ``glitch_gym.effects``.

Example::

    class Posterize(EffectParameters):
        bits: int = Field(2, ge=1, le=7, description="bits that are kept of each channel")

    @effect("posterize", Posterize)
    def posterize(stamp: Stamp, parameters: Posterize) -> NDArray[np.uint8]:
        \"\"\"Keep only the highest bits of each channel.\"\"\"
        return stamp.cell & np.uint8(256 - 2 ** (8 - parameters.bits))
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from glitch_gym.actions import announce_effect
from glitch_gym.errors import SettingError, unknown_name

__all__ = [
    "Effect",
    "EffectParameters",
    "NoParameters",
    "Opcode",
    "Stamp",
    "effect",
    "effects",
    "get_effect",
    "mean_colour",
]

RESERVED = frozenset({"mean", "std", "weight"})
"""Parameter names that a recipe uses for the noise of the effect's reward, and its weight."""


class EffectParameters(BaseModel):
    """Base of an effect's parameters: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NoParameters(EffectParameters):
    """For effects that have nothing to set."""


class Opcode(IntEnum):
    """What the compiled replay does for an effect; ``CALL`` calls the plain function."""

    CALL = 0
    SAME = 1
    PIXELATE = 2
    DESATURATE = 3
    INVERT = 4
    RANDOM = 5
    PLANE = 6


@dataclass(frozen=True)
class Stamp:
    """One effect applied to one cell at one step: what the plain function is given.

    Args:
        cell: uint8 (h, w, 3), the cell's pixels as they are at that time. Not to be written to.
        left: uint8 (h', w', 3), likewise, of the cell that the agent came from.
        plane: uint8 (h, w, 3), the cell's part of the effect's own whole-frame plane; of the
            layer's input frame for effects that have none.
        move: row and column offset of the agent's move.
        key: 64 random bits of this stamp, the same for the same seed, layer, agent and step.
    """

    cell: NDArray[np.uint8]
    left: NDArray[np.uint8]
    plane: NDArray[np.uint8]
    move: tuple[int, int]
    key: int


@dataclass(frozen=True)
class Effect:
    """An effect as it was declared.

    Args:
        name: as it stands in action names and recipes.
        function: (stamp, parameters) to the cell's new pixels: uint8, (h, w, 3) or one colour (3,).
        parameters: the model of its parameters.
        plane: (frame, parameters) to a frame of the same shape, made once per layer and only if
            the effect is used.
        opcode: how the compiled replay does it.
        summary: first line of the function's docstring.
    """

    name: str
    function: Callable[[Stamp, Any], NDArray[np.uint8]]
    parameters: type[EffectParameters]
    plane: Callable[[NDArray[np.uint8], Any], NDArray[np.uint8]] | None
    opcode: Opcode
    summary: str


_registry: dict[str, Effect] = {}

P = TypeVar("P", bound=EffectParameters)
Function = Callable[[Stamp, P], NDArray[np.uint8]]


def effect(
    name: str,
    parameters: type[P],
    *,
    plane: Callable[[NDArray[np.uint8], P], NDArray[np.uint8]] | None = None,
    opcode: Opcode = Opcode.CALL,
) -> Callable[[Function[P]], Function[P]]:
    """Declare a function as an effect.

    Args:
        name: lower-case letters, digits and underscores.
        parameters: the model of its parameters; ``NoParameters`` if it has none.
        plane: makes a whole-frame plane from the layer's input frame, for effects that copy.
        opcode: for effects that the compiled replay knows.

    Raises:
        SettingError: a malformed or taken name, a reserved parameter, or no docstring.
    """

    def declare(function: Function[P]) -> Function[P]:
        if not (name.isidentifier() and name == name.lower()):
            raise SettingError(f"an effect's name is a lower-case identifier, not {name!r}")
        if name in _registry and _registry[name].function is not function:
            raise SettingError(f"there is an effect {name!r} already")
        clash = RESERVED & parameters.model_fields.keys()
        if clash:
            raise SettingError(
                f"effect {name!r}: the parameter {sorted(clash)[0]!r} is taken by the recipe"
            )
        if not function.__doc__:
            raise SettingError(f"effect {name!r} needs a docstring: its first line is its help")
        summary = function.__doc__.strip().splitlines()[0].rstrip(".")
        _registry[name] = Effect(name, function, parameters, plane, opcode, summary)
        announce_effect(name)
        return function

    return declare


@lru_cache(maxsize=1)
def _load_plug_ins() -> None:
    for point in sorted(entry_points(group="glitch_gym.effects"), key=lambda point: point.name):
        try:
            point.load()
        except Exception as error:
            warnings.warn(
                f"the plug-in {point.value!r} with the effect {point.name!r} is broken: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def effects() -> dict[str, Effect]:
    """Every effect by name: ours first, then the plug-ins'."""
    _load_plug_ins()
    return dict(_registry)


def get_effect(name: str) -> Effect:
    """Find an effect by name.

    Raises:
        SettingError: unknown.
    """
    if name not in _registry:
        _load_plug_ins()
    if name not in _registry:
        raise unknown_name("effect", name, _registry)
    return _registry[name]


def mean_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean colour of a cell (h, w, 3), each channel rounded to the nearest integer, ½ upwards."""
    count = pixels.shape[0] * pixels.shape[1]
    total = pixels.reshape(-1, 3).sum(axis=0, dtype=np.int64)
    mean: NDArray[np.uint8] = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return mean


from glitch_render.effects import built_in as _built_in  # noqa: E402, F401
