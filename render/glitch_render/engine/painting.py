"""Paint symbols on a frame, and run the listed operations on its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import borrowing, compiled, inlined
from glitch_render.effects import Trait
from glitch_render.effects.registry import OP_BITS
from glitch_render.engine.pixel_ops import (
    Block,
    Scratch,
    apply_op,
    fill,
    make_scratch,
    mean_of,
    mixed,
    recolour,
    rounded,
    tinted,
    turn_grey,
)
from glitch_render.engine.symbols import (
    ACTION,
    APPLY,
    CALL,
    CELL,
    COLOUR,
    DRAW,
    GREY,
    GREYED,
    INVERTED,
    INVERTED_AFTER,
    KIND,
    LOW,
    MEAN,
    MEASURE,
    MIX,
    OP,
    OTHER,
    PENDING,
    PIECE,
    REGISTER,
    SHOWN,
    TINT,
    VARIANT,
    ActionTable,
    GridTable,
    Surfaces,
    grey_of,
    packed,
    plane_of,
)

__all__ = ["paint_symbols", "resolve", "run_ops"]

_OP = (1 << OP_BITS) - 1
_PER_CELL, _READS_OTHER = int(Trait.PER_CELL) << OP_BITS, int(Trait.READS_OTHER) << OP_BITS


@borrowing
def _changed(colour: int, symbol: int) -> int:
    """Apply a symbol's inversions and greying to a mean colour or a register."""
    if symbol & INVERTED != 0:
        colour ^= LOW
    if symbol & GREYED != 0:
        grey = grey_of(colour & 255, (colour >> 8) & 255, (colour >> 16) & 255)
        colour = packed(grey, grey, grey)
    if symbol & INVERTED_AFTER != 0:
        colour ^= LOW
    return colour


@inlined
def _block_of(cell: int, grid: GridTable) -> Block:
    """Return the block of pixels of a cell."""
    row, col = cell // grid.cols, cell % grid.cols
    return (
        grid.row_edges[row],
        grid.row_edges[row + 1],
        grid.col_edges[col],
        grid.col_edges[col + 1],
    )


@borrowing
def _means_of_row(
    frame: NDArray[np.uint8],
    row: int,
    needed: NDArray[np.bool_],
    grid: GridTable,
    sums: NDArray[np.uint32],
    means: NDArray[np.uint32],
) -> None:
    """Compute the mean colours of the needed cells in a row of cells."""
    row_edges, col_edges = grid.row_edges, grid.col_edges
    n_cols = col_edges.shape[0] - 1
    count = 0
    for col in range(n_cols):
        count += needed[row * grid.cols + col]
    top, bottom = row_edges[row], row_edges[row + 1]
    if 4 * count < n_cols:
        for col in range(n_cols):
            cell = row * grid.cols + col
            if needed[cell]:
                block = (top, bottom, col_edges[col], col_edges[col + 1])
                means[cell] = mean_of(frame, block, False)
        return
    # Summing down the columns first adds whole lines at once, without strides over channels
    lines = frame.reshape((frame.shape[0], -1))
    for place in range(np.uint64(sums.shape[0])):
        sums[place] = np.uint32(lines[top, place])
    for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
        for place in range(np.uint64(sums.shape[0])):
            sums[place] += np.uint32(lines[y, place])
    for col in range(n_cols):
        cell = row * grid.cols + col
        if not needed[cell]:
            continue
        red = green = blue = 0
        start, end = col_edges[col], col_edges[col + 1]
        for x in range(np.uint64(start), np.uint64(end)):
            red += int(np.int64(sums[np.uint64(3) * x]))
            green += int(np.int64(sums[np.uint64(3) * x + np.uint64(1)]))
            blue += int(np.int64(sums[np.uint64(3) * x + np.uint64(2)]))
        size = (bottom - top) * (end - start)
        means[cell] = packed(rounded(red, size), rounded(green, size), rounded(blue, size))


@compiled
def resolve(
    symbols: NDArray[np.int64],
    colours: NDArray[np.uint32],
    grid: GridTable,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
) -> None:
    """Replace every symbol of a mean colour or a register with that colour, in place.

    Args:
        symbols: int64 (n_cells,), changed.
        colours: uint32 (n_registers,), packed colours of the registers.
        grid: table of the grid.
        frame: uint8 (height, width, 3), the layer's input.
        planes: uint8 (planes, height, width, 3).
    """
    n_variants = 2 * (planes.shape[0] + 1)
    used = np.zeros(n_variants, np.bool_)
    for cell in range(symbols.shape[0]):
        symbol = symbols[cell]
        kind = symbol & KIND
        if kind == MEAN:
            used[(symbol >> VARIANT) & 255] = True
        elif kind == REGISTER:
            symbols[cell] = COLOUR | _changed(int(colours[symbol & LOW]), symbol)
    means = np.empty(symbols.shape[0], np.uint32)
    needed = np.empty(symbols.shape[0], np.bool_)
    sums = np.empty(3 * frame.shape[1], np.uint32)
    for variant in range(n_variants):
        if not used[variant]:
            continue
        needed[:] = False
        for cell in range(symbols.shape[0]):
            symbol = symbols[cell]
            if symbol & KIND == MEAN and (symbol >> VARIANT) & 255 == variant:
                needed[symbol & LOW] = True
        for row in range(grid.row_edges.shape[0] - 1):
            if variant == 0:
                _means_of_row(frame, row, needed, grid, sums, means)
                continue
            for col in range(grid.col_edges.shape[0] - 1):
                cell = row * grid.cols + col
                if needed[cell]:
                    source = frame if variant < 2 else planes[variant // 2 - 1]
                    means[cell] = mean_of(source, _block_of(cell, grid), variant % 2 == 1)
        for cell in range(symbols.shape[0]):
            symbol = symbols[cell]
            if symbol & KIND == MEAN and (symbol >> VARIANT) & 255 == variant:
                symbols[cell] = COLOUR | _changed(int(means[symbol & LOW]), symbol)


@inlined
def _copy_piece(
    symbol: int,
    source: NDArray[np.uint8],
    origin: Block,
    surfaces: Surfaces,
    block: Block,
    actions: ActionTable,
    in_place: bool,
) -> None:
    """Copy a piece of a plane, and apply the greying and the effect of its symbol.

    A piece that is too small is extended by its last line.

    Args:
        symbol: symbol of the piece.
        source: uint8 (height, 3 · width), the plane.
        origin: block of the plane.
        surfaces: pixels; ``out`` is changed.
        block: block of the output.
        actions: table of all actions.
        in_place: whether the output already has the piece, so that nothing is copied.
    """
    from_top, from_bottom, from_start, from_end = origin
    top, bottom, start, end = block
    lines = surfaces.lines
    if not in_place:
        width = np.uint64(3 * min(end - start, from_end - from_start))
        to, begin = np.uint64(3 * start), np.uint64(3 * from_start)
        for line in range(bottom - top):
            y = np.uint64(top + line)
            from_y = np.uint64(min(from_top + line, from_bottom - 1))
            for place in range(width):
                lines[y, to + place] = source[from_y, begin + place]
            for place in range(to + width, np.uint64(3 * end)):
                lines[y, place] = source[from_y, np.uint64(3 * from_end - 3) + place % np.uint64(3)]
    if (symbol >> VARIANT) & 1 == 1:
        turn_grey(surfaces.out, block)
    action = ((symbol & ~SHOWN) >> PENDING) - 1
    if action >= 0:
        recolour(lines, block, actions.codes[action] & _OP, actions.settings[action])


@borrowing
def paint_symbols(
    symbols: NDArray[np.int64],
    actions: ActionTable,
    grid: GridTable,
    surfaces: Surfaces,
    first_row: int,
    last_row: int,
    in_place: bool,
) -> None:
    """Write the pixels of all cells in some rows that the output does not show yet.

    Args:
        symbols: int64 (n_cells,), resolved.
        actions: table of all actions.
        grid: table of the grid.
        surfaces: pixels; ``out`` is changed, and may be the frame itself.
        first_row: first row of cells.
        last_row: end of the rows of cells, exclusive.
        in_place: whether ``out`` is the frame itself.
    """
    frame, planes, out, lines = surfaces
    row_edges, col_edges, grid_cols = grid.row_edges, grid.col_edges, grid.cols
    source_lines = frame.reshape((frame.shape[0], -1))
    last_plane = 0
    n_cols = col_edges.shape[0] - 1
    for row in range(first_row, last_row):
        top, bottom = row_edges[row], row_edges[row + 1]
        col = 0
        while col < n_cols:
            cell = row * grid_cols + col
            symbol = symbols[cell]
            first = col
            if symbol & KIND != COLOUR:
                col += 1
                # The output began as the frame, and shown cells were written since
                if symbol & KIND != PIECE or symbol & SHOWN != 0:
                    continue
                # Neighbours that are also adjacent in one plane are copied as one piece
                source = symbol & LOW
                source_row, begin = source // grid_cols, source % grid_cols
                shift = col_edges[first] - col_edges[begin]
                source_col = begin
                while (
                    col < n_cols
                    and source_col + 1 < n_cols
                    and symbols[row * grid_cols + col] == symbol + col - first
                    and col_edges[col] - col_edges[source_col + 1] == shift
                ):
                    col += 1
                    source_col += 1
                plane = plane_of(symbol)
                if plane != last_plane:
                    last_plane = plane
                    shown = frame if plane == 0 else planes[plane - 1]
                    source_lines = shown.reshape((shown.shape[0], -1))
                origin = (
                    row_edges[source_row],
                    row_edges[source_row + 1],
                    col_edges[begin],
                    col_edges[source_col + 1],
                )
                block = (top, bottom, col_edges[first], col_edges[col])
                there = in_place and plane == 0 and source == cell
                _copy_piece(symbol, source_lines, origin, surfaces, block, actions, there)
                continue
            # For flat neighbours, one line is written and copied to the others
            while col < n_cols and symbols[row * grid_cols + col] & KIND == COLOUR:
                symbol = symbols[row * grid_cols + col]
                red, green, blue = (
                    np.uint8(symbol & 255),
                    np.uint8((symbol >> 8) & 255),
                    np.uint8((symbol >> 16) & 255),
                )
                for x in range(np.uint64(col_edges[col]), np.uint64(col_edges[col + 1])):
                    out[top, x, 0] = red
                    out[top, x, 1] = green
                    out[top, x, 2] = blue
                col += 1
            start, end = np.uint64(3 * col_edges[first]), np.uint64(3 * col_edges[col])
            for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
                for place in range(start, end):
                    lines[y, place] = lines[np.uint64(top), place]


@inlined
def _colour_of(
    symbol: int, colours: NDArray[np.uint32], grid: GridTable, surfaces: Surfaces
) -> int:
    """Return the colour of a flat symbol."""
    kind = symbol & KIND
    if kind == COLOUR:
        return symbol & LOW
    if kind == REGISTER:
        return int(_changed(int(colours[symbol & LOW]), symbol))
    variant = (symbol >> VARIANT) & 255
    source = surfaces.frame if variant < 2 else surfaces.planes[variant // 2 - 1]
    mean = mean_of(source, _block_of(symbol & LOW, grid), variant % 2 == 1)
    return int(_changed(mean, symbol))


@inlined
def _colour_op(
    kind: int,
    action: int,
    first: int,
    second: int,
    colours: NDArray[np.uint32],
    actions: ActionTable,
    grid: GridTable,
    surfaces: Surfaces,
) -> int:
    """Return the result of an effect on one flat colour (``TINT``) or on two (``MIX``)."""
    colour = _colour_of(first, colours, grid, surfaces)
    own = actions.settings[action]
    if kind == TINT:
        return int(tinted(colour, actions.codes[action] & _OP, own))
    other = _colour_of(second, colours, grid, surfaces)
    return int(
        packed(
            mixed(colour & 255, other & 255, own[0]),
            mixed((colour >> 8) & 255, (other >> 8) & 255, own[0]),
            mixed((colour >> 16) & 255, (other >> 16) & 255, own[0]),
        )
    )


@inlined
def _draw(
    symbol: int,
    block: Block,
    colours: NDArray[np.uint32],
    actions: ActionTable,
    grid: GridTable,
    surfaces: Surfaces,
) -> None:
    """Write the pixels of a cell whose symbol is a colour or a piece of a plane."""
    if symbol & KIND != PIECE:
        fill(surfaces.out, block, _colour_of(symbol, colours, grid, surfaces))
        return
    variant = (symbol >> VARIANT) & 255
    shown = surfaces.frame if variant < 2 else surfaces.planes[variant // 2 - 1]
    lines = shown.reshape((shown.shape[0], -1))
    _copy_piece(symbol, lines, _block_of(symbol & LOW, grid), surfaces, block, actions, False)


@borrowing
def _run_ops(
    rows: NDArray[np.int32],
    operands: NDArray[np.int64],
    order: NDArray[np.int64],
    colours: NDArray[np.uint32],
    actions: ActionTable,
    grid: GridTable,
    surfaces: Surfaces,
    scratch: Scratch,
) -> None:
    out = surfaces.out
    n_cols = grid.col_edges.shape[0] - 1
    at = 0
    while at < order.shape[0]:
        place = order[at]
        at += 1
        kind, cell, action = rows[place, OP], rows[place, CELL], rows[place, ACTION]
        if kind == CALL:
            continue
        if kind in (TINT, MIX):
            first, second = operands[place, 0], operands[place, 1]
            colours[cell] = _colour_op(
                kind, action, first, second, colours, actions, grid, surfaces
            )
            continue
        block = _block_of(cell, grid)
        if kind == DRAW:
            _draw(operands[place, 0], block, colours, actions, grid, surfaces)
            continue
        if kind == MEASURE:
            colours[operands[place, 0]] = mean_of(out, block, False)
            continue
        # Neighbours in a row with the same operation are processed as one
        code = actions.codes[action]
        if code & _PER_CELL == 0:
            col = cell % grid.cols
            while at < order.shape[0]:
                following = order[at]
                next_to = rows[following, CELL] == cell + 1 and col + 1 < n_cols
                same = rows[following, OP] == kind and rows[following, ACTION] == action
                if not (next_to and same):
                    break
                cell += 1
                col += 1
                at += 1
            block = (block[0], block[1], block[2], grid.col_edges[col + 1])
        if kind == GREY:
            turn_grey(out, block)
        elif kind == APPLY:
            other = block
            if code & _READS_OTHER != 0:
                other = _block_of(rows[place, OTHER], grid)
            move = (actions.moves[action, 0], actions.moves[action, 1])
            apply_op(code & _OP, actions.settings[action], move, surfaces, block, other, scratch)


@compiled
def run_ops(
    rows: NDArray[np.int32],
    operands: NDArray[np.int64],
    order: NDArray[np.int64],
    colours: NDArray[np.uint32],
    actions: ActionTable,
    grid: GridTable,
    surfaces: Surfaces,
) -> None:
    """Run operations on pixels in the given order, except calls of plain functions.

    Args:
        rows: int32 (n_ops, fields), the operations.
        operands: int64 (n_ops, 2), their operands.
        order: int64, places of the operations to run.
        colours: uint32 (n_registers,), packed colours of the registers, changed.
        actions: table of all actions.
        grid: table of the grid.
        surfaces: pixels; ``out`` is changed.
    """
    scratch = make_scratch(grid.row_edges, grid.col_edges, surfaces.out.shape[1])
    _run_ops(rows, operands, order, colours, actions, grid, surfaces, scratch)
