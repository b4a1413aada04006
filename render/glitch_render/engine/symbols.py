"""Symbols: where the pixels of each cell will come from, known before there is a frame.

A cell's symbol is one number: a piece of a whole-frame plane, a colour, the mean colour of a cell
of a plane, or a register, which holds a colour that is worked out when there are pixels; or it says
that the cell's pixels are in the output already. Operations on pixels are put on a list. Each has a
level: one more than that of whatever it needs, or must not overtake. So operations of one level can
be done in any order, or at once.

A symbol's lowest 24 bits are a colour (blue, green, red), a source cell, a register, or for pixels
the tag of the effect that left them; the next 8 are the kind of the symbol, the next 8 the variant:
variant 2p is plane p, variant 2p + 1 is plane p in grey. Plane 0 is the frame. The next three are
done to a mean colour or a register one after another: inversion, grey, inversion. Grey after grey
and inversion after inversion undo or repeat one another, so no history of the two needs more. Above
them a piece of a plane has one more than the action, if any, whose effect on each pixel alone is
still to be done to it. The highest bit says that the output shows the cell already.
"""

from __future__ import annotations

from collections import namedtuple

from glitch_gym.compilation import borrowing, inlined

__all__ = [
    "ACTION",
    "APPLY",
    "CALL",
    "CELL",
    "COLOUR",
    "DRAW",
    "GREY",
    "GREYED",
    "GREY_PLANE",
    "INVERTED",
    "INVERTED_AFTER",
    "KIND",
    "LEVEL",
    "LOW",
    "MEAN",
    "MEASURE",
    "MIX",
    "N_FIELDS",
    "N_OPERANDS",
    "N_OPS",
    "N_REGISTERS",
    "OP",
    "OTHER",
    "PENDING",
    "PIECE",
    "PIXELS",
    "REGISTER",
    "ROOM",
    "SHOWN",
    "SHOWN_BIT",
    "TINT",
    "UNTOUCHED",
    "VARIANT",
    "ActionTable",
    "CellState",
    "GridTable",
    "OpList",
    "Surfaces",
    "grey_of",
    "is_flat",
    "packed",
    "plane_of",
]

LOW = 0xFFFFFF
VARIANT = 32
PIXELS, COLOUR, MEAN, PIECE, REGISTER = (kind << 24 for kind in range(5))
KIND = 255 << 24
INVERTED, GREYED, INVERTED_AFTER = 1 << 40, 1 << 41, 1 << 42
GREY_PLANE = 1 << VARIANT
PENDING = 43
SHOWN_BIT = 62
SHOWN = 1 << SHOWN_BIT
UNTOUCHED = SHOWN | PIECE
"""The symbol, with its cell, of what shows the frame."""

# Operations on pixels, and the fields of their rows: the kind; the cell (or the register that is
# written), the other cell, the action and the level. Operands, for those kinds that need them, are
# a symbol or register, and a second symbol or a random key
DRAW, MEASURE, GREY, APPLY, CALL, TINT, MIX = range(7)
OP, CELL, OTHER, ACTION, LEVEL = range(5)
N_FIELDS, N_OPERANDS = 5, 2
N_OPS, N_REGISTERS = 0, 1
ROOM = 4
"""Operations that one stamp can need."""

ActionTable = namedtuple(
    "ActionTable", ["codes", "planes", "tags", "sources", "behind", "settings", "moves"]
)
ActionTable.__doc__ = """What compiled code knows of each action.

Args:
    codes: int64 (n_actions,), the effect's op in the lowest 8 bits, its traits above.
    planes: int64 (n_actions,), number of the effect's plane, from 1; 0 for the frame.
    tags: int64 (n_actions,), equal where one action after the other changes nothing; 0 for none.
    sources: int64 (n_actions, 2), from the cell that an effect reads to the one it changes.
    behind: int64 (n_actions,), ``sources`` as a difference of flat indices.
    settings: int64 (n_actions, 16), of the effect.
    moves: int32 (n_actions, 2), row and column offset of the move.
"""

GridTable = namedtuple(
    "GridTable", ["cols", "rows_shown", "cols_shown", "border", "sizes", "row_edges", "col_edges"]
)
GridTable.__doc__ = """What compiled code knows of a grid over frames of one size.

Args:
    cols: columns of the grid.
    rows_shown: rows of the picture.
    cols_shown: columns of the picture.
    border: bool (n_cells,), cells whose neighbours may be off the picture.
    sizes: int64 (n_cells,), equal for cells of equal height and width.
    row_edges: int32 (rows_shown + 1,), in pixels.
    col_edges: int32 (cols_shown + 1,), in pixels.
"""

CellState = namedtuple("CellState", ["symbols", "levels"])
CellState.__doc__ = """What stamps have made of each cell.

Args:
    symbols: int64 (n_cells,).
    levels: int32 (n_cells, 3), the levels of the last operations that wrote and that read the
        cell's pixels in the output, and one more than the register that holds their mean.
"""

OpList = namedtuple("OpList", ["rows", "operands", "registers", "counts"])
OpList.__doc__ = """Operations on pixels that are put off until there is a frame.

Args:
    rows: int32 (capacity, fields).
    operands: int64 (capacity, 2).
    registers: int64 (capacity, 2), level and tag of each.
    counts: int64 (2,), operations and registers so far.
"""

Surfaces = namedtuple("Surfaces", ["frame", "planes", "out", "lines"])
Surfaces.__doc__ = """The pixels that are read and written.

Args:
    frame: uint8 (height, width, 3), the layer's input.
    planes: uint8 (planes, height, width, 3), those of the effects.
    out: uint8 (height, width, 3), changed.
    lines: uint8 (height, 3 · width), the same memory as ``out``.
"""


@inlined
def plane_of(symbol: int) -> int:
    """Return the number of the plane that a symbol takes its pixels from; 0 is the frame."""
    return (symbol >> (VARIANT + 1)) & 127


@inlined
def is_flat(symbol: int) -> bool:
    """Return whether a symbol stands for one colour."""
    kind = symbol & KIND
    return kind in (COLOUR, MEAN, REGISTER)


@borrowing
def grey_of(red: int, green: int, blue: int) -> int:
    """Return the grey of a colour, rounded."""
    return (30 * red + 59 * green + 11 * blue + 50) // 100


@borrowing
def packed(red: int, green: int, blue: int) -> int:
    """Return a colour in 24 bits."""
    return (blue << 16) | (green << 8) | red
