"""Actions: a move times an image effect.

Flat index = effect · n_moves + move, and the name is ``{effect}_{move}``, as in ``same_up``.
The world knows only the names of effects; the renderer defines what they do to pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import SettingError, unknown_name_error
from glitch_gym.plugins import EFFECT_GROUP, find_plug_in, plug_ins

__all__ = [
    "BUILT_IN_EFFECTS",
    "DEFAULT_NOISE",
    "MOVES",
    "OTHER_NOISE",
    "ActionSet",
    "announce_effect",
    "known_effects",
]

MOVES: tuple[tuple[str, int, int], ...] = (
    ("up", -1, 0),
    ("down", 1, 0),
    ("left", 0, -1),
    ("right", 0, 1),
    ("up_left", -1, -1),
    ("up_right", -1, 1),
    ("down_left", 1, -1),
    ("down_right", 1, 1),
)
"""Name, row offset and column offset of each move; the first four are the post's."""

DEFAULT_NOISE: dict[str, tuple[float, float]] = {
    "same": (0.0, 0.2),
    "pixelate": (-0.1, 0.2),
    "desaturate": (-0.1, 0.2),
    "invert": (-0.45, 0.2),
    "random": (-0.45, 0.2),
    "artifact": (-0.25, 0.2),
    "posterize": (-0.2, 0.2),
    "solarize": (-0.2, 0.2),
    "hue_rotate": (-0.2, 0.2),
    "scanlines": (-0.2, 0.2),
    "dither": (-0.2, 0.2),
    "channel_shift": (-0.2, 0.2),
    "pixel_sort": (-0.2, 0.2),
    "displace": (-0.2, 0.2),
    "smear": (-0.2, 0.2),
    "swap": (-0.2, 0.2),
    "echo": (-0.2, 0.2),
    "melt": (-0.2, 0.2),
    "jpeg_bytes": (-0.2, 0.2),
    "dct": (-0.2, 0.2),
}
"""Mean and standard deviation of the noise on each built-in effect's reward.

Effects that destroy colour are rare by default, since they turn the picture to snow if they are as
frequent as the others. The table is here, and not with the declarations in
``glitch_render.effects``, because a world must be the same whether or not the renderer is loaded.
For the same reason, the effect of a plug-in has ``OTHER_NOISE``.
"""

OTHER_NOISE = (-0.2, 0.2)
"""Mean and standard deviation for every other effect."""

BUILT_IN_EFFECTS = tuple(DEFAULT_NOISE)
"""Names of the built-in effects; ``glitch_render.effects`` defines what they do."""

_announced: set[str] = set(BUILT_IN_EFFECTS)


def announce_effect(name: str) -> None:
    """Make an effect's name known to the world; the renderer's ``@effect`` calls this."""
    _announced.add(name)


def known_effects() -> frozenset[str]:
    """Return all effect names: built in, announced, or listed in a plug-in's metadata."""
    plugged_in = {one.name for one in plug_ins(EFFECT_GROUP) if not one.problem}
    return frozenset(_announced | plugged_in)


@dataclass(frozen=True)
class ActionSet:
    """The actions of a world.

    Args:
        effects: names of effects, without duplicates.
        n_moves: 4 (up, down, left, right) or 8 (with the diagonals).

    Raises:
        SettingError: effects is empty, an effect is unknown or named twice, or n_moves is neither
            4 nor 8.

    Example:
        >>> actions = ActionSet(("same", "pixelate"))
        >>> actions.n
        8
        >>> actions.names[:3]
        ('same_up', 'same_down', 'same_left')
        >>> actions.encode("pixelate", "up")
        4
        >>> actions.decode(4)
        ('pixelate', 'up')
    """

    effects: tuple[str, ...]
    n_moves: int = 4

    def __post_init__(self) -> None:
        if self.n_moves not in (4, 8):
            raise SettingError(f"moves must be 4 or 8, not {self.n_moves!r}")
        if not self.effects:
            raise SettingError("effects is empty: name at least one, such as 'same'")
        if len(set(self.effects)) != len(self.effects):
            raise SettingError(f"effects lists a name twice: {', '.join(self.effects)}")
        for name in self.effects:
            if name not in _announced and find_plug_in(EFFECT_GROUP, name) is None:
                raise unknown_name_error("effect", name, known_effects())

    @property
    def n(self) -> int:
        """Number of actions."""
        return len(self.effects) * self.n_moves

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the actions, by index."""
        return tuple(
            f"{effect}_{move}" for effect in self.effects for move, _, _ in MOVES[: self.n_moves]
        )

    @cached_property
    def offsets(self) -> NDArray[np.int32]:
        """(n, 2) row and column offset of each action's move."""
        moves = np.array([(row, col) for _, row, col in MOVES[: self.n_moves]], np.int32)
        return np.tile(moves, (len(self.effects), 1))

    def encode(self, effect: str, move: str) -> int:
        """Return the index of an action.

        Raises:
            SettingError: the effect or the move is not in this set.
        """
        if effect not in self.effects:
            raise unknown_name_error("effect", effect, self.effects)
        moves = [name for name, _, _ in MOVES[: self.n_moves]]
        if move not in moves:
            raise unknown_name_error("move", move, moves)
        return self.effects.index(effect) * self.n_moves + moves.index(move)

    def decode(self, action: int) -> tuple[str, str]:
        """Return the effect and the move of an action.

        Raises:
            SettingError: the index is outside 0…n − 1.
        """
        if not 0 <= action < self.n:
            raise SettingError(f"action {action} is outside 0…{self.n - 1}")
        effect, move = divmod(int(action), self.n_moves)
        return self.effects[effect], MOVES[move][0]

    def index(self, names: Iterable[str]) -> list[int]:
        """Return the indices of actions by name, such as ``"same_up"``.

        Raises:
            SettingError: a name is not in this set.
        """
        found = []
        for name in names:
            if name not in self.names:
                raise unknown_name_error("action", name, self.names)
            found.append(self.names.index(name))
        return found
