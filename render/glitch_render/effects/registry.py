"""Declare effects, and find them by name."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, IntFlag, auto
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from glitch_gym.actions import BUILT_IN_EFFECTS, announce_effect, known_effects
from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.plugins import EFFECT_GROUP, PlugIn, find_plug_in, load_plug_in, plug_ins
from glitch_render.effects.containment import contain_effect

__all__ = [
    "OP_BITS",
    "Effect",
    "EffectParameters",
    "NoParameters",
    "Op",
    "Source",
    "Stamp",
    "Trait",
    "effect",
    "effects",
    "fitted",
    "get_effect",
    "mean_colour",
    "override",
]

RESERVED = frozenset({"mean", "std", "weight"})
"""Names that a recipe uses for the noise on an effect's reward and for its weight."""


class EffectParameters(BaseModel):
    """Base class of an effect's parameters; frozen, and rejects unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NoParameters(EffectParameters):
    """Parameters of an effect without settings."""


class Op(IntEnum):
    """Operation of the compiled engine for an effect; ``CALL`` calls the plain function."""

    CALL = 0
    SAME = 1
    PIXELATE = 2
    DESATURATE = 3
    INVERT = 4
    RANDOM = 5
    PLANE = 6
    POSTERIZE = 7
    SOLARIZE = 8
    HUE_ROTATE = 9
    CHANNEL_SHIFT = 10
    PIXEL_SORT = 11
    SCANLINES = 12
    DITHER = 13
    DISPLACE = 14
    SMEAR = 15
    SWAP = 16


class Trait(IntFlag):
    """Properties that the compiled engine relies on to defer or skip an effect's work."""

    SYMBOLIC = auto()
    """Executed on symbols alone, so that its stamps cost nothing when a frame is painted."""
    PER_PIXEL = auto()
    """The new colour of a pixel depends only on its old colour."""
    KEEPS_FLAT = auto()
    """A cell of one colour stays unchanged."""
    READS_OTHER = auto()
    """Reads the cell the agent left, or the one ``source`` names; does nothing without it."""
    PER_CELL = auto()
    """Neighbouring cells cannot be processed as one run of pixels."""
    IDEMPOTENT = auto()
    """Applying it again changes nothing, whatever the move."""
    IDEMPOTENT_BY_MOVE = auto()
    """Applying it again with the same move changes nothing."""
    LIGHT = auto()
    """Too little work for sharing among cores to pay off."""
    HEAVY = auto()
    """So much work that sharing it among cores pays off ten times sooner."""


NO_TRAITS = Trait(0)

OP_BITS = 8
"""Number of low bits for the op in an effect's code; the traits are above them."""


@dataclass(frozen=True)
class Stamp:
    """One effect applied to one cell at one step: the input of the plain function.

    Args:
        cell: uint8 (h, w, 3), the cell's current pixels; read-only.
        left: uint8 (h', w', 3), pixels of the cell the agent came from, or of the one that the
            effect's ``source`` names; the cell's own pixels where that is off the picture.
        plane: uint8 (h, w, 3), the cell's part of the effect's plane, or of the layer's input for
            effects without a plane.
        move: row and column offset of the agent's move.
        key: 64 random bits, determined by seed, layer, agent and step.
        place: row and column of the cell's first pixel in the frame.
        size: height and width of the frame in pixels.
    """

    cell: NDArray[np.uint8]
    left: NDArray[np.uint8]
    plane: NDArray[np.uint8]
    move: tuple[int, int]
    key: int
    place: tuple[int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """Input for the plane of an effect.

    Args:
        frame: uint8 (height, width, 3), the layer's input; read-only.
        earlier: the layer's inputs at earlier frames of a clip, each like ``frame``, latest first;
            as many as the effect's ``frames_back`` asks for, and empty on a still.
        key: 64 random bits, determined by seed, layer, effect and the layer's tick.
    """

    frame: NDArray[np.uint8]
    earlier: tuple[NDArray[np.uint8], ...] = ()
    key: int = 0


@dataclass(frozen=True)
class Effect:
    """A declared effect.

    Args:
        name: name in actions and recipes.
        function: function from (stamp, parameters) to the cell's new pixels: uint8, (h, w, 3) or
            one colour (3,); for ``SWAP`` a pair, the second for the cell the agent left.
        parameters: model of its parameters.
        plane: function from (source, parameters) to a frame of the same shape, called once per
            layer, and only if the effect is used.
        source: function from (parameters, move) to the offset in cells of the cell that ``left``
            shows; ``None`` for the cell the agent came from.
        frames_back: function from parameters to the number of earlier frames the plane needs.
        op: operation of the compiled engine.
        traits: properties that the compiled engine may rely on.
        settings: function from parameters to the integers that the compiled engine needs, at most
            16.
        summary: first line of the function's docstring.
    """

    name: str
    function: Callable[[Stamp, Any], Any]
    parameters: type[EffectParameters]
    plane: Callable[[Source, Any], NDArray[np.uint8]] | None
    source: Callable[[Any, tuple[int, int]], tuple[int, int]] | None
    frames_back: Callable[[Any], int] | None
    op: Op
    traits: Trait
    settings: Callable[[Any], Sequence[int]] | None
    summary: str

    @property
    def code(self) -> int:
        """Op and traits in one number, as compiled code reads them."""
        return int(self.op) | int(self.traits) << OP_BITS


_registry: dict[str, Effect] = {}

P = TypeVar("P", bound=EffectParameters)
Pixels = TypeVar("Pixels", NDArray[np.uint8], tuple[NDArray[np.uint8], NDArray[np.uint8]])
Function = Callable[[Stamp, P], Pixels]


def effect(
    name: str,
    parameters: type[P],
    *,
    plane: Callable[[Source, P], NDArray[np.uint8]] | None = None,
    source: Callable[[P, tuple[int, int]], tuple[int, int]] | None = None,
    frames_back: Callable[[P], int] | None = None,
    op: Op = Op.CALL,
    traits: Trait = NO_TRAITS,
    settings: Callable[[P], Sequence[int]] | None = None,
) -> Callable[[Function[P, Pixels]], Function[P, Pixels]]:
    """Declare a function as an effect.

    Args:
        name: lower-case letters, digits and underscores.
        parameters: model of its parameters; ``NoParameters`` if it has none.
        plane: function that makes a plane as large as the frame, for effects that copy from it.
        source: function that returns which cell ``stamp.left`` shows, as an offset in rows and
            columns; by default the cell the agent came from.
        frames_back: function that returns how many earlier frames ``plane`` needs in a clip, at
            most 48.
        op: operation of the compiled engine, for built-in effects.
        traits: properties that the compiled engine may rely on; only with ``op``.
        settings: function that returns the integers that the compiled engine needs, at most 16.

    Raises:
        SettingError: the name is malformed or taken, a parameter has a reserved name, the docstring
            is missing, or a plain function has traits.
    """

    def declare(function: Function[P, Pixels]) -> Function[P, Pixels]:
        if not (name.isidentifier() and name == name.lower()):
            raise SettingError(f"an effect's name must be a lower-case identifier, not {name!r}")
        if name in _registry and inspect.unwrap(_registry[name].function) is not function:
            raise SettingError(f"an effect {name!r} already exists")
        clash = RESERVED & parameters.model_fields.keys()
        if clash:
            raise SettingError(
                f"effect {name!r}: recipes reserve the parameter name {sorted(clash)[0]!r}"
            )
        if traits and op is Op.CALL:
            raise SettingError(f"effect {name!r}: a plain function cannot have traits")
        if not function.__doc__:
            raise SettingError(f"effect {name!r} needs a docstring, whose first line is its help")
        summary = function.__doc__.strip().splitlines()[0].rstrip(".")
        ours = function.__module__.startswith(f"{__package__}.")
        if op is not Op.CALL and not ours:
            raise SettingError(f"effect {name!r}: only built-in effects can have an op")
        declared = Effect(
            name, function, parameters, plane, source, frames_back, op, traits, settings, summary
        )
        _registry[name] = declared if ours else contain_effect(declared)
        announce_effect(name)
        return function

    return declare


def _load_plug_in(plug_in: PlugIn) -> None:
    load_plug_in(plug_in)
    if plug_in.name not in _registry:
        raise SettingError(f"{plug_in} does not declare an effect of that name")


@lru_cache(maxsize=1)
def _load_plug_ins() -> None:
    for plug_in in plug_ins(EFFECT_GROUP):
        try:
            _load_plug_in(plug_in)
        except SettingError as error:
            warnings.warn(f"broken plug-in: {error}", RuntimeWarning, stacklevel=2)


def effects() -> dict[str, Effect]:
    """Return all effects by name, the built-in ones first, then those from plug-ins."""
    _load_plug_ins()
    ours = {name: _registry[name] for name in BUILT_IN_EFFECTS if name in _registry}
    return ours | _registry


def get_effect(name: str) -> Effect:
    """Return an effect by name, loading its plug-in if necessary.

    Raises:
        SettingError: the effect is unknown, or its plug-in is broken.
    """
    if name not in _registry:
        plug_in = find_plug_in(EFFECT_GROUP, name)
        if plug_in is None:
            raise unknown_name_error("effect", name, known_effects())
        _load_plug_in(plug_in)
    return _registry[name]


@contextmanager
def override(name: str, **changes: Any) -> Iterator[Effect]:
    """Change fields of a declared effect within a context.

    Args:
        name: name of the effect.
        changes: new values of fields of ``Effect``.

    Raises:
        SettingError: the effect is unknown.
    """
    declared = get_effect(name)
    _registry[name] = dataclasses.replace(declared, **changes)
    try:
        yield _registry[name]
    finally:
        _registry[name] = declared


def mean_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mean colour of a cell (h, w, 3), each channel rounded half up."""
    count = pixels.shape[0] * pixels.shape[1]
    total = pixels.reshape(-1, 3).sum(axis=0, dtype=np.int64)
    mean: NDArray[np.uint8] = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return mean


def fitted(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a cell (h', w', 3) at another size (h, w, …), cut or with its last line repeated.

    Cells of a grid differ by a pixel if the frame's size is not a multiple of the grid's.
    """
    height, width = shape[:2]
    if pixels.shape[:2] == (height, width):
        return pixels
    rows = np.minimum(np.arange(height), pixels.shape[0] - 1)
    cols = np.minimum(np.arange(width), pixels.shape[1] - 1)
    nearest: NDArray[np.uint8] = pixels[rows[:, None], cols[None, :]]
    return nearest
