"""Paint symbols on a frame, and do the work on pixels that was put off until there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled, inlined
from glitch_render.effects import Opcode
from glitch_render.engine.pixel_ops import (
    blend_from,
    darken_lines,
    fill,
    mean_of,
    mixed,
    print_dots,
    recolour,
    rounded,
    shift_channels,
    sort_pixels,
    swap_blocks,
    tinted,
    turn_grey,
)
from glitch_render.engine.symbols import (
    CALL,
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
    PENDING,
    PIECE,
    REGISTER,
    SHOWN,
    TINT,
    VARIANT,
    grey_of,
    packed,
)

__all__ = ["paint_all", "resolve", "survey_notes", "work_through"]

_HUE_ROTATE = int(Opcode.HUE_ROTATE)
_CHANNEL_SHIFT = int(Opcode.CHANNEL_SHIFT)
_PIXEL_SORT = int(Opcode.PIXEL_SORT)
_SCANLINES = int(Opcode.SCANLINES)
_DITHER = int(Opcode.DITHER)
_DISPLACE = int(Opcode.DISPLACE)
_SMEAR = int(Opcode.SMEAR)
_SWAP = int(Opcode.SWAP)


@compiled
def _changed(colour: int, note: int) -> int:
    """Do to a mean colour or a register what its note says."""
    if note & INVERTED != 0:
        colour ^= LOW
    if note & GREYED != 0:
        grey = grey_of(colour & 255, (colour >> 8) & 255, (colour >> 16) & 255)
        colour = packed(grey, grey, grey)
    if note & INVERTED_AFTER != 0:
        colour ^= LOW
    return colour


@compiled
def _means_of_frame(
    frame: NDArray[np.uint8],
    row: int,
    needed: NDArray[np.bool_],
    grid_cols: int,
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    sums: NDArray[np.uint32],
    means: NDArray[np.uint32],
) -> None:
    """Take the mean colours of those cells of a row of cells that are needed."""
    n_cols = col_edges.shape[0] - 1
    count = 0
    for col in range(n_cols):
        count += needed[row * grid_cols + col]
    top, bottom = row_edges[row], row_edges[row + 1]
    if 4 * count < n_cols:
        for col in range(n_cols):
            cell = row * grid_cols + col
            if needed[cell]:
                means[cell] = mean_of(frame, top, bottom, col_edges[col], col_edges[col + 1], False)
        return
    # Down the columns first: whole lines are added at once, and nothing hops over three channels
    lines = frame.reshape((frame.shape[0], -1))
    for place in range(np.uint64(sums.shape[0])):
        sums[place] = np.uint32(lines[top, place])
    for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
        for place in range(np.uint64(sums.shape[0])):
            sums[place] += np.uint32(lines[y, place])
    for col in range(n_cols):
        cell = row * grid_cols + col
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
    notes: NDArray[np.int64],
    registers: NDArray[np.uint32],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Turn every note of a mean colour or a register into that colour, in place.

    Args:
        notes: (n_cells,).
        registers: their colours, packed.
        grid_cols: of the grid.
        frame: uint8 (height, width, 3), the layer's input.
        planes: uint8 (planes, height, width, 3).
        row_edges: of cells, in pixels.
        col_edges: likewise.
    """
    n_variants = 2 * (planes.shape[0] + 1)
    used = np.zeros(n_variants, np.bool_)
    for cell in range(notes.shape[0]):
        note = notes[cell]
        kind = (note >> KIND) & 255
        if kind == MEAN:
            used[(note >> VARIANT) & 255] = True
        elif kind == REGISTER:
            notes[cell] = (COLOUR << KIND) | _changed(int(registers[note & LOW]), note)
    means = np.empty(notes.shape[0], np.uint32)
    needed = np.empty(notes.shape[0], np.bool_)
    sums = np.empty(3 * frame.shape[1], np.uint32)
    for variant in range(n_variants):
        if not used[variant]:
            continue
        needed[:] = False
        for cell in range(notes.shape[0]):
            note = notes[cell]
            if (note >> KIND) & 255 == MEAN and (note >> VARIANT) & 255 == variant:
                needed[note & LOW] = True
        for row in range(row_edges.shape[0] - 1):
            if variant == 0:
                _means_of_frame(frame, row, needed, grid_cols, row_edges, col_edges, sums, means)
                continue
            for col in range(col_edges.shape[0] - 1):
                cell = row * grid_cols + col
                if needed[cell]:
                    source = frame if variant < 2 else planes[variant // 2 - 1]
                    means[cell] = mean_of(
                        source, row_edges[row], row_edges[row + 1], col_edges[col],
                        col_edges[col + 1], variant % 2 == 1,
                    )  # fmt: skip
        for cell in range(notes.shape[0]):
            note = notes[cell]
            if (note >> KIND) & 255 == MEAN and (note >> VARIANT) & 255 == variant:
                notes[cell] = (COLOUR << KIND) | _changed(int(means[note & LOW]), note)


@inlined
def _copy_piece(
    note: int,
    from_top: int,
    from_bottom: int,
    from_start: int,
    from_end: int,
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    opcodes: NDArray[np.int64],
    settings: NDArray[np.int64],
    there_already: bool,
) -> None:
    """Copy a piece of a plane, unless it is there already, and do to it what its note says.

    What is missing of its size repeats its last line. ``source`` and ``lines`` have no axis of
    channels.
    """
    if not there_already:
        width = np.uint64(3 * min(end - start, from_end - from_start))
        to, there = np.uint64(3 * start), np.uint64(3 * from_start)
        for line in range(bottom - top):
            y = np.uint64(top + line)
            from_y = np.uint64(min(from_top + line, from_bottom - 1))
            for place in range(width):
                lines[y, to + place] = source[from_y, there + place]
            for place in range(to + width, np.uint64(3 * end)):
                lines[y, place] = source[from_y, np.uint64(3 * from_end - 3) + place % np.uint64(3)]
    if (note >> VARIANT) & 1 == 1:
        turn_grey(out, out, top, bottom, start, end)
    action = ((note & ~SHOWN) >> PENDING) - 1
    if action >= 0:
        recolour(lines, top, bottom, start, end, opcodes[action], settings[action])


@compiled
def _paint(
    cell: int,
    note: int,
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    opcodes: NDArray[np.int64],
    settings: NDArray[np.int64],
) -> None:
    """Write the pixels of a cell that is a colour, or a piece of a plane."""
    row, col = cell // grid_cols, cell % grid_cols
    top, bottom = row_edges[row], row_edges[row + 1]
    start, end = col_edges[col], col_edges[col + 1]
    if (note >> KIND) & 255 == COLOUR:
        fill(out, top, bottom, start, end, note & LOW)
        return
    row, col = (note & LOW) // grid_cols, (note & LOW) % grid_cols
    variant = (note >> VARIANT) & 255
    shown = frame if variant < 2 else planes[variant // 2 - 1]
    _copy_piece(
        note, row_edges[row], row_edges[row + 1], col_edges[col], col_edges[col + 1],
        shown.reshape((shown.shape[0], -1)), out, out.reshape((out.shape[0], -1)), top, bottom,
        start, end, opcodes, settings, False,
    )  # fmt: skip


@compiled
def paint_all(
    notes: NDArray[np.int64],
    opcodes: NDArray[np.int64],
    settings: NDArray[np.int64],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    first_row: int,
    last_row: int,
    in_place: bool,
) -> None:
    """Write the pixels of all cells in some rows that the output does not show yet.

    Args:
        notes: (n_cells,), resolved.
        opcodes: (n_actions,).
        settings: (n_actions, 16), of the action's effect.
        grid_cols: of the grid.
        frame: uint8 (height, width, 3), the layer's input.
        planes: uint8 (planes, height, width, 3).
        out: uint8 (height, width, 3), written to; it may be the frame itself.
        row_edges: of cells, in pixels.
        col_edges: likewise.
        first_row: of cells.
        last_row: after the last.
        in_place: whether ``out`` is the frame itself.
    """
    lines = out.reshape((out.shape[0], -1))
    shown_lines = frame.reshape((frame.shape[0], -1))
    last_plane = 0
    n_cols = col_edges.shape[0] - 1
    for row in range(first_row, last_row):
        top, bottom = row_edges[row], row_edges[row + 1]
        col = 0
        while col < n_cols:
            cell = row * grid_cols + col
            note = notes[cell]
            if (note >> KIND) & 255 != COLOUR:
                first = col
                col += 1
                # The output began as the frame, and what is shown of it was written since
                if (note >> KIND) & 255 != PIECE or note & SHOWN != 0:
                    continue
                # Neighbours that lie side by side in one plane too are one piece of it
                source = note & LOW
                source_row, begin = source // grid_cols, source % grid_cols
                shift = col_edges[first] - col_edges[begin]
                source_col = begin
                while (
                    col < n_cols
                    and source_col + 1 < n_cols
                    and notes[row * grid_cols + col] == note + col - first
                    and col_edges[col] - col_edges[source_col + 1] == shift
                ):
                    col += 1
                    source_col += 1
                plane = (note >> (VARIANT + 1)) & 127
                if plane != last_plane:
                    last_plane = plane
                    shown = frame if plane == 0 else planes[plane - 1]
                    shown_lines = shown.reshape((shown.shape[0], -1))
                _copy_piece(
                    note, row_edges[source_row], row_edges[source_row + 1], col_edges[begin],
                    col_edges[source_col + 1], shown_lines, out, lines, top, bottom,
                    col_edges[first], col_edges[col], opcodes, settings,
                    in_place and plane == 0 and source == cell,
                )  # fmt: skip
                continue
            # Flat neighbours: one line of them is written, and copied to the others
            first = col
            while col < n_cols and (notes[row * grid_cols + col] >> KIND) & 255 == COLOUR:
                note = notes[row * grid_cols + col]
                red, green, blue = (
                    np.uint8(note & 255), np.uint8((note >> 8) & 255), np.uint8((note >> 16) & 255)
                )  # fmt: skip
                for x in range(np.uint64(col_edges[col]), np.uint64(col_edges[col + 1])):
                    out[top, x, 0] = red
                    out[top, x, 1] = green
                    out[top, x, 2] = blue
                col += 1
            start, end = np.uint64(3 * col_edges[first]), np.uint64(3 * col_edges[col])
            for y in range(np.uint64(top) + np.uint64(1), np.uint64(bottom)):
                for place in range(start, end):
                    lines[y, place] = lines[np.uint64(top), place]


@compiled
def survey_notes(
    notes: NDArray[np.int64],
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    plane_of: NDArray[np.int64],
    n_planes: int,
) -> tuple[NDArray[np.bool_], bool, bool, int, int]:
    """Look what notes and work will need.

    Returns:
        of each plane, the frame being the first, whether it is needed; whether a piece of the frame
        is to be painted in another place; whether colours are to be worked out; how many cells the
        output does not show yet; and the plane that all of them together are, or 0.
    """
    whole = (notes[0] >> (VARIANT + 1)) & 127
    as_whole = (PIECE << KIND) | (whole << (VARIANT + 1))
    shown = np.zeros(n_planes, np.bool_)
    moved = unresolved = False
    unshown = 0
    for cell in range(notes.shape[0]):
        note = notes[cell]
        kind = (note >> KIND) & 255
        unshown += note & SHOWN == 0
        if note != as_whole | cell:
            whole = 0
        if kind in (PIECE, MEAN):
            plane = (note >> (VARIANT + 1)) & 127
            shown[plane] = True
            moved |= plane == 0 and kind == PIECE and note & LOW != cell
        unresolved |= kind in (MEAN, REGISTER)
    for piece in range(work.shape[0]):
        kind = work[piece, 0]
        if kind == CALL:
            # An effect without a plane of its own is shown the frame
            shown[plane_of[work[piece, 3]]] = True
        elif kind in (DRAW, TINT, MIX):
            for extra in range(2):
                note = extras[piece, extra]
                noted = (note >> KIND) & 255
                if noted in (MEAN, PIECE):
                    shown[(note >> (VARIANT + 1)) & 127] = True
    return shown, moved, unresolved, unshown, whole


@compiled
def _colour_of(
    note: int,
    registers: NDArray[np.uint32],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> int:
    """Work out a flat note."""
    kind = (note >> KIND) & 255
    if kind == COLOUR:
        return note & LOW
    if kind == REGISTER:
        return int(_changed(int(registers[note & LOW]), note))
    variant, cell = (note >> VARIANT) & 255, note & LOW
    row, col = cell // grid_cols, cell % grid_cols
    source = frame if variant < 2 else planes[variant // 2 - 1]
    mean = mean_of(
        source, row_edges[row], row_edges[row + 1], col_edges[col], col_edges[col + 1],
        variant % 2 == 1,
    )  # fmt: skip
    return int(_changed(mean, note))


@compiled
def work_through(
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    order: NDArray[np.int64],
    opcodes: NDArray[np.int64],
    settings: NDArray[np.int64],
    offsets: NDArray[np.int32],
    registers: NDArray[np.uint32],
    grid_cols: int,
    frame: NDArray[np.uint8],
    planes: NDArray[np.uint8],
    out: NDArray[np.uint8],
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
) -> None:
    """Do work on pixels in the given order; that which needs Python is left out.

    Args:
        work: (pieces, fields).
        extras: (pieces, 2).
        order: numbers of pieces.
        opcodes: (n_actions,).
        settings: (n_actions, 16), of the action's effect.
        offsets: (n_actions, 2), of the action's move.
        registers: colours, packed, written to.
        grid_cols: of the grid.
        frame: uint8 (height, width, 3), the layer's input.
        planes: uint8 (planes, height, width, 3).
        out: uint8 (height, width, 3), changed.
        row_edges: of cells, in pixels.
        col_edges: likewise.
    """
    tall = wide = 0
    for row in range(row_edges.shape[0] - 1):
        tall = max(tall, row_edges[row + 1] - row_edges[row])
    for col in range(col_edges.shape[0] - 1):
        wide = max(wide, col_edges[col + 1] - col_edges[col])
    scratch = np.empty((tall, 3 * wide), np.uint8)
    sources = np.empty((wide, 2), np.uint64)
    lines = out.reshape((out.shape[0], -1))
    runs = np.empty(max(tall, wide) + 1, np.int64)
    spare = np.empty(max(tall, wide) + 1, np.int64)
    counts = np.empty(17, np.int64)
    thresholds = np.empty((8, lines.shape[1]), np.uint8)
    known = np.full(1, -1, np.int64)
    at = 0
    while at < order.shape[0]:
        piece = order[at]
        at += 1
        kind = work[piece, 0]
        action = work[piece, 3]
        if kind in (TINT, MIX):
            colour = _colour_of(
                extras[piece, 0], registers, grid_cols, frame, planes, row_edges, col_edges
            )
            if kind == TINT:
                colour = tinted(colour, opcodes[action], settings[action])
            else:
                second = _colour_of(
                    extras[piece, 1], registers, grid_cols, frame, planes, row_edges, col_edges
                )
                kept = settings[action, 0]
                colour = packed(
                    mixed(colour & 255, second & 255, kept),
                    mixed((colour >> 8) & 255, (second >> 8) & 255, kept),
                    mixed((colour >> 16) & 255, (second >> 16) & 255, kept),
                )
            registers[work[piece, 1]] = colour
            continue
        if kind == CALL:
            continue
        cell = work[piece, 1]
        row, col = cell // grid_cols, cell % grid_cols
        top, bottom = row_edges[row], row_edges[row + 1]
        start, end = col_edges[col], col_edges[col + 1]
        if kind == DRAW:
            note = extras[piece, 0]
            if (note >> KIND) & 255 != PIECE:
                colour = _colour_of(note, registers, grid_cols, frame, planes, row_edges, col_edges)
                note = (COLOUR << KIND) | colour
            _paint(
                cell, note, grid_cols, frame, planes, out, row_edges, col_edges, opcodes, settings
            )
            continue
        if kind == MEASURE:
            registers[extras[piece, 0]] = mean_of(out, top, bottom, start, end, False)
            continue
        # Neighbours in a row that have the same done to them are done as one
        opcode = opcodes[action]
        alone = _CHANNEL_SHIFT <= opcode <= _PIXEL_SORT or opcode >= _DISPLACE
        if not alone:
            while at < order.shape[0]:
                following = order[at]
                next_to = work[following, 1] == cell + 1 and col + 1 < col_edges.shape[0] - 1
                if not (next_to and work[following, 0] == kind and work[following, 3] == action):
                    break
                cell += 1
                col += 1
                at += 1
            end = col_edges[col + 1]
        down, right = offsets[action, 0], offsets[action, 1]
        own = settings[action]
        if kind == GREY:
            turn_grey(out, out, top, bottom, start, end)
        elif opcode <= _HUE_ROTATE:
            recolour(lines, top, bottom, start, end, opcode, own)
        elif opcode == _CHANNEL_SHIFT:
            shift_channels(lines, top, bottom, start, end, own[0], down, right, scratch, sources)
        elif opcode == _PIXEL_SORT:
            sort_pixels(out, top, bottom, start, end, own, down, right, runs, spare, counts)
        elif opcode == _SCANLINES:
            darken_lines(lines, top, bottom, start, end, own, right == 0)
        elif opcode == _DITHER:
            print_dots(lines, top, bottom, start, end, own, thresholds, known)
        else:
            other = work[piece, 2]
            other_row, other_col = other // grid_cols, other % grid_cols
            other_top, other_bottom = row_edges[other_row], row_edges[other_row + 1]
            other_start, other_end = col_edges[other_col], col_edges[other_col + 1]
            if opcode == _SWAP:
                swap_blocks(
                    lines, top, bottom, start, end, other_top, other_bottom, other_start,
                    other_end, scratch,
                )  # fmt: skip
            else:
                kept = own[0] if opcode == _SMEAR else 256
                blend_from(
                    lines, other_top, other_bottom, other_start, other_end, lines, top, bottom,
                    start, end, kept,
                )  # fmt: skip
