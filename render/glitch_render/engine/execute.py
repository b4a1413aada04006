"""Execute stamps on symbols, and list the operations that need pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import borrowing, inlined
from glitch_gym.randomness import draw, stream
from glitch_render.effects import Op, Trait
from glitch_render.effects.registry import OP_BITS
from glitch_render.engine.symbols import (
    ACTION,
    APPLY,
    CALL,
    CELL,
    COLOUR,
    DRAW,
    GREY,
    GREY_PLANE,
    GREYED,
    INVERTED,
    INVERTED_AFTER,
    KIND,
    LEVEL,
    LOW,
    MEAN,
    MEASURE,
    MIX,
    N_OPS,
    N_REGISTERS,
    OP,
    OTHER,
    PENDING,
    PIECE,
    PIXELS,
    REGISTER,
    ROOM,
    SHOWN,
    TINT,
    VARIANT,
    ActionTable,
    CellState,
    GridTable,
    OpList,
    grey_of,
    is_flat,
    packed,
)

__all__ = ["execute"]

_BARE = ~SHOWN
_OP = (1 << OP_BITS) - 1
_CALL, _SAME, _RANDOM, _PLANE = int(Op.CALL), int(Op.SAME), int(Op.RANDOM), int(Op.PLANE)
_PIXELATE, _DESATURATE, _INVERT = int(Op.PIXELATE), int(Op.DESATURATE), int(Op.INVERT)
_DISPLACE, _SMEAR, _SWAP = int(Op.DISPLACE), int(Op.SMEAR), int(Op.SWAP)
_PER_PIXEL, _KEEPS_FLAT, _READS_OTHER = (
    int(trait) << OP_BITS for trait in (Trait.PER_PIXEL, Trait.KEEPS_FLAT, Trait.READS_OTHER)
)
# Columns of a cell's levels
_WRITTEN, _READ, _MEASURED = range(3)


@inlined
def _emit(ops: OpList, kind: int, cell: int, other: int, action: int, level: int) -> int:
    """Append an operation to the list, and return its place."""
    place = int(ops.counts[N_OPS])
    ops.rows[place, OP] = kind
    ops.rows[place, CELL] = cell
    ops.rows[place, OTHER] = other
    ops.rows[place, ACTION] = action
    ops.rows[place, LEVEL] = level
    ops.counts[N_OPS] = place + 1
    return place


@inlined
def _level_of(symbol: int, ops: OpList) -> int:
    """Return the level after which a flat symbol's colour is known."""
    if symbol & KIND == REGISTER:
        level: int = ops.registers[symbol & LOW, 0]
        return level
    return 0


@borrowing
def _show(cell: int, state: CellState, ops: OpList) -> None:
    """Draw a cell that the output does not show yet."""
    symbol = state.symbols[cell]
    state.symbols[cell] = symbol | SHOWN
    level = 1 + max(state.levels[cell, _WRITTEN], state.levels[cell, _READ], _level_of(symbol, ops))
    place = _emit(ops, DRAW, cell, cell, 0, level)
    ops.operands[place, 0] = ops.operands[place, 1] = symbol
    state.levels[cell, _WRITTEN] = level
    state.levels[cell, _MEASURED] = 0


@borrowing
def _flattened(cell: int, symbol: int, grid: GridTable, state: CellState, ops: OpList) -> int:
    """Return the symbol of a non-flat cell's mean colour."""
    if symbol & KIND == PIECE:
        if grid.sizes[symbol & LOW] == grid.sizes[cell] and symbol >> PENDING == 0:
            return symbol ^ (PIECE ^ MEAN)
        # A cropped, extended or changed piece has another mean, which needs pixels
        if state.symbols[cell] & SHOWN == 0:
            _show(cell, state, ops)
    # The pixels may change later, so their mean is measured in order
    register = int(state.levels[cell, _MEASURED]) - 1
    if register < 0:
        register = int(ops.counts[N_REGISTERS])
        ops.counts[N_REGISTERS] = register + 1
        level = 1 + state.levels[cell, _WRITTEN]
        state.levels[cell, _READ] = max(state.levels[cell, _READ], level)
        ops.registers[register, 0] = level
        ops.registers[register, 1] = 0
        place = _emit(ops, MEASURE, cell, cell, 0, level)
        ops.operands[place, 0] = ops.operands[place, 1] = register
        state.levels[cell, _MEASURED] = register + 1
    return REGISTER | register


@borrowing
def _tinted(first: int, second: int, kind: int, action: int, tag: int, ops: OpList) -> int:
    """Return the symbol for the result of an effect on one or two flat colours."""
    register = int(ops.counts[N_REGISTERS])
    ops.counts[N_REGISTERS] = register + 1
    level = 1 + max(_level_of(first, ops), _level_of(second, ops))
    ops.registers[register, 0] = level
    ops.registers[register, 1] = tag
    place = _emit(ops, kind, register, 0, action, level)
    ops.operands[place, 0] = first
    ops.operands[place, 1] = second
    return REGISTER | register


@inlined
def _wrote(cell: int, level: int, tag: int, state: CellState) -> None:
    """Record that a cell's pixels, neither a piece nor a colour, are in the output."""
    state.symbols[cell] = SHOWN | tag
    state.levels[cell, _WRITTEN] = level
    state.levels[cell, _MEASURED] = 0


@borrowing
def cell_left(
    cell: int, row_offset: int, col_offset: int, grid_cols: int, n_rows: int, n_cols: int
) -> int:
    """Return the cell that a move came from.

    An agent placed in a border cell may come from off the picture; the result is then the cell
    itself.
    """
    row, col = cell // grid_cols - row_offset, cell % grid_cols - col_offset
    if row < 0 or row >= n_rows or col < 0 or col >= n_cols:
        return cell
    return row * grid_cols + col


@inlined
def _source_of(cell: int, action: int, actions: ActionTable, grid: GridTable) -> int:
    """Return the cell that an action reads when it is stamped on a cell."""
    other: int = cell - actions.behind[action]
    if grid.border[cell]:
        other = cell_left(
            cell,
            actions.sources[action, 0],
            actions.sources[action, 1],
            grid.cols,
            grid.rows_shown,
            grid.cols_shown,
        )
    return other


@borrowing
def _desaturate(
    cell: int, action: int, actions: ActionTable, state: CellState, ops: OpList
) -> None:
    symbol = state.symbols[cell] & _BARE
    kind = symbol & KIND
    if kind == PIXELS or (kind == PIECE and symbol >> PENDING != 0):
        tag = actions.tags[action]
        if kind == PIXELS and symbol & LOW == tag:
            return
        if state.symbols[cell] & SHOWN == 0:
            _show(cell, state, ops)
        level = 1 + max(state.levels[cell, _WRITTEN], state.levels[cell, _READ])
        _emit(ops, GREY, cell, cell, action, level)
        _wrote(cell, level, tag, state)
    elif kind == COLOUR:
        grey = grey_of(symbol & 255, (symbol >> 8) & 255, (symbol >> 16) & 255)
        state.symbols[cell] = COLOUR | packed(grey, grey, grey)
    elif kind == PIECE:
        state.symbols[cell] = symbol | GREY_PLANE
    else:
        state.symbols[cell] = symbol | GREYED


@inlined
def _stay_symbols(
    cell: int,
    other: int,
    action: int,
    code: int,
    actions: ActionTable,
    grid: GridTable,
    state: CellState,
    ops: OpList,
) -> bool:
    """Apply a pixel effect to symbols if possible, and return whether it was.

    Args:
        cell: cell that the action is stamped on.
        other: cell that the action reads.
        action: index of the action.
        code: op and traits of its effect.
        actions: table of all actions.
        grid: table of the grid.
        state: symbols, changed.
        ops: operations, changed.
    """
    op, tag = code & _OP, actions.tags[action]
    symbol = state.symbols[cell] & _BARE
    kind = symbol & KIND
    flat = is_flat(symbol)
    if tag != 0 and kind == PIXELS and symbol & LOW == tag:
        return True
    if code & _READS_OTHER != 0:
        if other == cell:
            return True
        second = state.symbols[other] & _BARE
        second_flat = is_flat(second)
        movable = second_flat or (
            second & KIND == PIECE and grid.sizes[second & LOW] == grid.sizes[other]
        )
        if op == _DISPLACE and movable:
            state.symbols[cell] = second
            return True
        if op == _SMEAR and flat and second_flat:
            mix, no_tag = int(np.int64(MIX)), int(np.int64(0))
            state.symbols[cell] = _tinted(symbol, second, mix, action, no_tag, ops)
            return True
        own_movable = flat or (kind == PIECE and grid.sizes[symbol & LOW] == grid.sizes[cell])
        if op == _SWAP and own_movable and movable:
            state.symbols[cell] = second
            state.symbols[other] = symbol
            return True
    elif kind == PIECE and code & _PER_PIXEL != 0:
        pending = symbol >> PENDING
        if pending == 0:
            state.symbols[cell] = symbol | ((action + 1) << PENDING)
            return True
        return bool(tag != 0 and actions.tags[pending - 1] == tag)
    elif flat and code & _PER_PIXEL != 0:
        known = kind == REGISTER and symbol >> VARIANT == 0
        if tag == 0 or not known or ops.registers[symbol & LOW, 1] != tag:
            tint = int(np.int64(TINT))
            state.symbols[cell] = _tinted(symbol, symbol, tint, action, tag, ops)
        return True
    elif flat and code & _KEEPS_FLAT != 0:
        return True
    return False


@inlined
def _put_off(
    cell: int,
    other: int,
    action: int,
    op: int,
    tag: int,
    drawn: int,
    state: CellState,
    ops: OpList,
) -> None:
    """List an effect's work on the pixels of a cell for later.

    Args:
        cell: cell that the action is stamped on.
        other: cell that its effect reads; the cell itself if it reads only that.
        action: index of the action.
        op: op of its effect.
        tag: tag that its effect leaves.
        drawn: random bits of the stamp, for a plain function.
        state: symbols and levels, changed.
        ops: operations, changed.
    """
    # ``displace`` covers the whole cell; other effects change pixels that must exist
    if op != _DISPLACE and state.symbols[cell] & SHOWN == 0:
        _show(cell, state, ops)
    level = 1 + max(state.levels[cell, _WRITTEN], state.levels[cell, _READ])
    if other != cell:
        if state.symbols[other] & SHOWN == 0:
            _show(other, state, ops)
        level = max(level, 1 + state.levels[other, _WRITTEN])
        if op == _SWAP:
            level = max(level, 1 + state.levels[other, _READ])
            _wrote(other, level, 0, state)
        else:
            state.levels[other, _READ] = max(state.levels[other, _READ], level)
    place = _emit(ops, CALL if op == _CALL else APPLY, cell, other, action, level)
    if op == _CALL:
        ops.operands[place, 1] = drawn
    _wrote(cell, level, tag, state)


@borrowing
def execute(
    stamps: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    resume: tuple[int, int],
    actions: ActionTable,
    grid: GridTable,
    key: np.uint64,
    state: CellState,
    ops: OpList,
) -> tuple[int, int]:
    """Execute stamps from ``resume`` on, until all are done or the list of operations is full.

    Args:
        stamps: cells, int32 (steps, agents), −1 for none; actions, int32 (steps, agents); and
            counters, int64 (agents,), each agent's own number of the first of these steps.
        resume: (step, agent) to begin at.
        actions: table of all actions.
        grid: table of the grid.
        key: key of random draws.
        state: symbols and levels of the cells, changed.
        ops: operations on pixels, changed.

    Returns:
        (steps, 0), or (step, agent) of the first stamp that did not fit.
    """
    cells, chosen, counters = stamps
    symbols, codes = state.symbols, actions.codes
    first_step, first_agent = resume
    # Number of stamps that certainly fit
    room = 0
    for step in range(first_step, cells.shape[0]):
        for agent in range(first_agent, cells.shape[1]):
            # Widened, so that what is called is compiled for one type of integers
            cell = int(np.int64(cells[step, agent]))
            if cell < 0:
                continue
            if room == 0:
                room = (
                    min(
                        ops.rows.shape[0] - ops.counts[N_OPS],
                        ops.registers.shape[0] - ops.counts[N_REGISTERS],
                    )
                    // ROOM
                )
                if room == 0:
                    return step, agent
            room -= 1
            action = int(np.int64(chosen[step, agent]))
            code = codes[action]
            op = code & _OP
            if op == _SAME:
                left = _source_of(cell, action, actions, grid)
                symbol = symbols[left] & _BARE
                # Tested here and not in _flattened, since most cells are already flat
                if symbol & KIND == PIXELS or symbol & KIND == PIECE:
                    symbol = _flattened(left, symbol, grid, state, ops)
                symbols[cell] = symbol
            elif op == _RANDOM:
                bits = draw(stream(key, agent), counters[agent] + step)
                symbols[cell] = COLOUR | np.int64(bits & np.uint64(LOW))
            elif op == _PLANE:
                symbols[cell] = PIECE | (actions.planes[action] << (VARIANT + 1)) | cell
            elif op == _DESATURATE:
                _desaturate(cell, action, actions, state, ops)
            elif op in (_PIXELATE, _INVERT):
                symbol = symbols[cell] & _BARE
                if symbol & KIND == PIXELS or symbol & KIND == PIECE:
                    symbol = _flattened(cell, symbol, grid, state, ops)
                elif op == _PIXELATE:
                    continue
                if op == _INVERT:
                    if symbol & KIND == COLOUR:
                        symbol ^= LOW
                    elif symbol & GREYED != 0:
                        symbol ^= INVERTED_AFTER
                    else:
                        symbol ^= INVERTED
                symbols[cell] = symbol
            else:
                other, drawn = cell, 0
                if op == _CALL or code & _READS_OTHER != 0:
                    other = _source_of(cell, action, actions, grid)
                if _stay_symbols(cell, other, action, code, actions, grid, state, ops):
                    continue
                if op == _CALL:
                    drawn = int(np.int64(draw(stream(key, agent), counters[agent] + step)))
                tag = actions.tags[action]
                _put_off(cell, other, action, op, tag, drawn, state, ops)
        first_agent = 0
    return cells.shape[0], 0
