"""Symbols: where the pixels of each cell will come from, known before there is a frame.

A cell's symbol is one number. It stands for a piece of a plane, a colour, the mean colour of a
plane's cell, or a register, which holds a colour that is computed once there are pixels; or it says
that the cell's pixels are already in the output. Operations on pixels are listed for later. The
level of each is one more than that of anything it depends on or must not overtake, so operations of
one level can run in any order, or in parallel.

The lowest 24 bits of a symbol are a colour (blue, green, red), a source cell, a register, or for
pixels the tag of the effect that left them. The next 8 bits are the kind of the symbol, and the
next 8 its variant: 2p is plane p, and 2p + 1 is plane p in grey; plane 0 is the frame. The next
three bits are applied to a mean colour or a register in turn: inversion, grey, inversion. Repeated
greying or inversion collapses, so any history of the two fits into them. Above them, a piece of a
plane has one plus the action, if any, whose per-pixel effect is still to be applied. The highest
bit says that the output already shows the cell.
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
"""Symbol of a cell that shows the frame, without the cell's index."""

# Kinds of operations on pixels, and the fields of their rows: the kind, the cell (or the written
# register), the other cell, the action and the level. The operands, where a kind needs them, are a
# symbol or register, and a second symbol or a random key
DRAW, MEASURE, GREY, APPLY, CALL, TINT, MIX = range(7)
OP, CELL, OTHER, ACTION, LEVEL = range(5)
N_FIELDS, N_OPERANDS = 5, 2
N_OPS, N_REGISTERS = 0, 1
ROOM = 4
"""Largest number of operations that one stamp needs."""

ActionTable = namedtuple(
    "ActionTable", ["codes", "planes", "tags", "sources", "behind", "settings", "moves"]
)
ActionTable.__doc__ = """All actions, in the form that compiled code uses.

Args:
    codes: int64 (n_actions,), the effect's op in the lowest 8 bits, its traits above.
    planes: int64 (n_actions,), number of the effect's plane, from 1; 0 for the frame.
    tags: int64 (n_actions,), equal for actions of which one after another changes nothing; else 0.
    sources: int64 (n_actions, 2), offset from the cell an effect reads to the cell it changes.
    behind: int64 (n_actions,), ``sources`` as a difference of flat indices.
    settings: int64 (n_actions, 16), settings of the effect.
    moves: int32 (n_actions, 2), row and column offset of the move.
"""

GridTable = namedtuple(
    "GridTable", ["cols", "rows_shown", "cols_shown", "border", "sizes", "row_edges", "col_edges"]
)
GridTable.__doc__ = """A grid over frames of one size, in the form that compiled code uses.

Args:
    cols: columns of the grid.
    rows_shown: rows of the picture.
    cols_shown: columns of the picture.
    border: bool (n_cells,), whether a cell's neighbours may be off the picture.
    sizes: int64 (n_cells,), equal for cells of equal height and width.
    row_edges: int32 (rows_shown + 1,), edges of the rows in pixels.
    col_edges: int32 (cols_shown + 1,), edges of the columns in pixels.
"""

CellState = namedtuple("CellState", ["symbols", "levels"])
CellState.__doc__ = """The effect of the stamps so far on each cell.

Args:
    symbols: int64 (n_cells,), symbols of the cells.
    levels: int32 (n_cells, 3), the levels of the last operations that wrote and that read the
        cell's pixels in the output, and one plus the register that holds their mean.
"""

OpList = namedtuple("OpList", ["rows", "operands", "registers", "counts"])
OpList.__doc__ = """Operations on pixels, listed until there is a frame.

Args:
    rows: int32 (capacity, fields), fields of the operations.
    operands: int64 (capacity, 2), operands of the operations.
    registers: int64 (capacity, 2), level and tag of each register.
    counts: int64 (2,), number of operations and registers so far.
"""

Surfaces = namedtuple("Surfaces", ["frame", "planes", "out", "lines"])
Surfaces.__doc__ = """Pixels to read and write.

Args:
    frame: uint8 (height, width, 3), the layer's input.
    planes: uint8 (planes, height, width, 3), planes of the effects.
    out: uint8 (height, width, 3), the output, changed.
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
