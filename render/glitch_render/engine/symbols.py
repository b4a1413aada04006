"""Notes: what stamps have made of each cell, kept without pixels until there is a frame.

A cell's note is one number that says where its pixels will come from: a whole-frame plane, a
colour, the mean colour of some cell of a plane, or a register, which holds a colour that is worked
out when there are pixels; or it says that they are in the output already. Work on pixels is put on
a list. Each piece of it has a level: one more than that of whatever it needs, or must not overtake.
So pieces of one level can be done in any order, or at once.

A note's lowest 24 bits are a colour (blue, green, red), a source cell, a register, or for pixels
the tag of the effect that left them; the next 8 say which kind of note it is, the next 8 which
variant: variant 2p is plane p, variant 2p + 1 is plane p in grey. Plane 0 is the frame. The next
three are done to a mean colour or a register one after another: inversion, grey, inversion. Grey
after grey and inversion after inversion undo or repeat one another, so no history of the two needs
more. Above them a piece of a plane has one more than the action, if any, whose effect on each pixel
alone is still to be done to it. The highest says that the output shows the cell already.
"""

from __future__ import annotations

from glitch_gym.compilation import compiled

__all__ = [
    "APPLY",
    "CALL",
    "COLOUR",
    "DRAW",
    "GREY",
    "GREYED",
    "GREY_PLANE",
    "INVERTED",
    "INVERTED_AFTER",
    "KIND",
    "LOW",
    "MEAN",
    "MEASURE",
    "MIX",
    "N_EXTRAS",
    "N_FIELDS",
    "PENDING",
    "PIECE",
    "PIXELS",
    "REGISTER",
    "ROOM",
    "SHOWN",
    "TINT",
    "UNTOUCHED",
    "VARIANT",
    "grey_of",
    "packed",
]

LOW = 0xFFFFFF
KIND = 24
VARIANT = 32
PIXELS, COLOUR, MEAN, PIECE, REGISTER = 0, 1, 2, 3, 4
INVERTED, GREYED, INVERTED_AFTER = 1 << 40, 1 << 41, 1 << 42
GREY_PLANE = 1 << VARIANT
PENDING = 43
SHOWN = 1 << 62
UNTOUCHED = SHOWN | (PIECE << KIND)
"""The note, with its cell, of what shows the frame."""

# Work on pixels. Its fields are kind, cell (or the register that is written), the other cell,
# action and level; beside them, for those kinds that need it, a note or register, and a second note
# or a random key
DRAW, MEASURE, GREY, APPLY, CALL, TINT, MIX = range(7)
N_FIELDS = 5
N_EXTRAS = 2
ROOM = 4
"""Pieces of work that one stamp can need."""


@compiled
def grey_of(red: int, green: int, blue: int) -> int:
    """Give the grey of a colour, rounded."""
    return (30 * red + 59 * green + 11 * blue + 50) // 100


@compiled
def packed(red: int, green: int, blue: int) -> int:
    """Put a colour into 24 bits."""
    return (blue << 16) | (green << 8) | red
