"""Work on pixels: what notes put off until there is a frame, and the painting of the notes left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled, inlined
from glitch_render.effects import Opcode
from glitch_render.effects.colours import BAYER
from glitch_render.notes import (
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

__all__ = ["in_order", "paint_all", "resolve", "survey_notes", "work_through"]

_POSTERIZE = int(Opcode.POSTERIZE)
_SOLARIZE = int(Opcode.SOLARIZE)
_HUE_ROTATE = int(Opcode.HUE_ROTATE)
_CHANNEL_SHIFT = int(Opcode.CHANNEL_SHIFT)
_PIXEL_SORT = int(Opcode.PIXEL_SORT)
_SCANLINES = int(Opcode.SCANLINES)
_DITHER = int(Opcode.DITHER)
_DISPLACE = int(Opcode.DISPLACE)
_SMEAR = int(Opcode.SMEAR)
_SWAP = int(Opcode.SWAP)
_SHORT_RUN = 12
_ABOVE = np.float32(2048 + 4096 * 1024)
_A_4096TH = np.float32(1 / 4096)


@compiled
def _mean_of(
    pixels: NDArray[np.uint8], top: int, bottom: int, start: int, end: int, grey: bool
) -> int:
    """Mean colour of a block, packed."""
    red = green = blue = 0
    # Places are unsigned so that nothing asks whether they count from the end, and a row is summed
    # in 32 bits, which hold more than the widest there is: both halve the time
    for y in range(np.uint64(top), np.uint64(bottom)):
        r = g = b = np.uint32(0)
        if grey:
            for x in range(np.uint64(start), np.uint64(end)):
                r += np.uint32(
                    grey_of(int(pixels[y, x, 0]), int(pixels[y, x, 1]), int(pixels[y, x, 2]))
                )
        else:
            for x in range(np.uint64(start), np.uint64(end)):
                r += np.uint32(pixels[y, x, 0])
                g += np.uint32(pixels[y, x, 1])
                b += np.uint32(pixels[y, x, 2])
        red += int(np.int64(r))
        green += int(np.int64(g))
        blue += int(np.int64(b))
    if grey:
        green = blue = red
    count = (bottom - top) * (end - start)
    return packed(_rounded(red, count), _rounded(green, count), _rounded(blue, count))


@compiled
def _rounded(total: int, count: int) -> int:
    return (2 * total + count) // (2 * count)


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
def _turn_grey(
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
) -> None:
    for y in range(np.uint64(top), np.uint64(bottom)):
        for x in range(np.uint64(start), np.uint64(end)):
            grey = np.uint8(
                grey_of(int(source[y, x, 0]), int(source[y, x, 1]), int(source[y, x, 2]))
            )
            out[y, x, 0] = grey
            out[y, x, 1] = grey
            out[y, x, 2] = grey


@compiled
def _fill(out: NDArray[np.uint8], top: int, bottom: int, start: int, end: int, colour: int) -> None:
    red, green, blue = (
        np.uint8(colour & 255), np.uint8((colour >> 8) & 255), np.uint8((colour >> 16) & 255)
    )  # fmt: skip
    for y in range(np.uint64(top), np.uint64(bottom)):
        for x in range(np.uint64(start), np.uint64(end)):
            out[y, x, 0] = red
            out[y, x, 1] = green
            out[y, x, 2] = blue


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
                means[cell] = _mean_of(
                    frame, top, bottom, col_edges[col], col_edges[col + 1], False
                )
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
        means[cell] = packed(_rounded(red, size), _rounded(green, size), _rounded(blue, size))


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
                    means[cell] = _mean_of(
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
        _turn_grey(out, out, top, bottom, start, end)
    action = ((note & ~SHOWN) >> PENDING) - 1
    if action >= 0:
        _recolour(lines, top, bottom, start, end, opcodes[action], settings[action])


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
        _fill(out, top, bottom, start, end, note & LOW)
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
def in_order(work: NDArray[np.int32], n_cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put work in the order of levels, and within a level in that of cells.

    Returns:
        the order, and for each level from 0 where in it the level begins; one more for the end.
    """
    count = work.shape[0]
    n_levels = 1
    by_cell = np.zeros(n_cells + 1, np.int64)
    for piece in range(count):
        n_levels = max(n_levels, work[piece, 4] + 1)
        # Work on registers is as wide as their number, which is no place in the picture
        by_cell[min(work[piece, 1], n_cells - 1) + 1] += 1
    for cell in range(n_cells):
        by_cell[cell + 1] += by_cell[cell]
    half = np.empty(count, np.int64)
    for piece in range(count):
        cell = min(work[piece, 1], n_cells - 1)
        half[by_cell[cell]] = piece
        by_cell[cell] += 1
    begins = np.zeros(n_levels + 1, np.int64)
    for piece in range(count):
        begins[work[piece, 4] + 1] += 1
    for level in range(n_levels):
        begins[level + 1] += begins[level]
    at = begins.copy()
    order = np.empty(count, np.int64)
    for place in range(count):
        level = work[half[place], 4]
        order[at[level]] = half[place]
        at[level] += 1
    return order, begins


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
    mean = _mean_of(
        source, row_edges[row], row_edges[row + 1], col_edges[col], col_edges[col + 1],
        variant % 2 == 1,
    )  # fmt: skip
    return int(_changed(mean, note))


@compiled
def _clipped(value: int) -> int:
    return min(max(value, 0), 255)


@compiled
def _tinted(colour: int, opcode: int, own: NDArray[np.int64]) -> int:
    """Do to one colour what an effect does to every pixel alone."""
    red, green, blue = colour & 255, (colour >> 8) & 255, (colour >> 16) & 255
    if opcode == _POSTERIZE:
        return packed(red & own[0], green & own[0], blue & own[0])
    if opcode == _SOLARIZE:
        red = red if red < own[0] else 255 - red
        green = green if green < own[0] else 255 - green
        blue = blue if blue < own[0] else 255 - blue
        return packed(red, green, blue)
    return packed(
        _clipped((own[0] * red + own[1] * green + own[2] * blue + 2048) >> 12),
        _clipped((own[3] * red + own[4] * green + own[5] * blue + 2048) >> 12),
        _clipped((own[6] * red + own[7] * green + own[8] * blue + 2048) >> 12),
    )


@compiled
def _mixed(first: int, second: int, kept: int) -> int:
    return (second * kept + first * (256 - kept) + 128) >> 8


@compiled
def _recolour(
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    opcode: int,
    own: NDArray[np.int64],
) -> None:
    """Do what an effect does to every pixel alone to a run of cells."""
    first, last = np.uint64(3 * start), np.uint64(3 * end)
    if opcode == _POSTERIZE:
        mask = np.uint8(own[0])
        for y in range(np.uint64(top), np.uint64(bottom)):
            for place in range(first, last):
                lines[y, place] &= mask
        return
    if opcode == _SOLARIZE:
        threshold = np.int32(own[0])
        for y in range(np.uint64(top), np.uint64(bottom)):
            for place in range(first, last):
                value = lines[y, place]
                turned = np.uint8(255) - value
                lines[y, place] = value if np.int32(value) < threshold else turned
        return
    # Whole numbers below 2^24 are exact in 32 bits
    a, b, c = np.float32(own[0]), np.float32(own[1]), np.float32(own[2])
    d, e, f = np.float32(own[3]), np.float32(own[4]), np.float32(own[5])
    g, h, i = np.float32(own[6]), np.float32(own[7]), np.float32(own[8])
    for y in range(np.uint64(top), np.uint64(bottom)):
        row = lines[y, first:last]
        for x in range(end - start):
            red = np.float32(row[3 * x])
            green = np.float32(row[3 * x + 1])
            blue = np.float32(row[3 * x + 2])
            row[3 * x] = _level(a * red + b * green + c * blue)
            row[3 * x + 1] = _level(d * red + e * green + f * blue)
            row[3 * x + 2] = _level(g * red + h * green + i * blue)


@compiled
def _level(total: np.float32) -> np.uint8:
    """Round 4096ths, and clip."""
    # Above nothing, so that cutting off rounds down
    level = np.int32((total + _ABOVE) * _A_4096TH) - np.int32(1024)
    return np.uint8(min(max(np.int32(level), np.int32(0)), np.int32(255)))


@compiled
def _shift_channels(
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    share: int,
    down: int,
    right: int,
    scratch: NDArray[np.uint8],
    sources: NDArray[np.uint64],
) -> None:
    height, width = np.uint64(bottom - top), np.uint64(end - start)
    shift_y = np.uint64((down * ((share * (bottom - top) + 512) >> 10)) % (bottom - top))
    shift_x = np.uint64((right * ((share * (end - start) + 512) >> 10)) % (end - start))
    if shift_y == np.uint64(0) and shift_x == np.uint64(0):
        return
    above, begin, three, two = np.uint64(top), np.uint64(3 * start), np.uint64(3), np.uint64(2)
    for y in range(height):
        for place in range(three * width):
            scratch[y, place] = lines[above + y, begin + place]
    for x in range(width):
        from_red = x - shift_x if x >= shift_x else x + width - shift_x
        from_blue = x + shift_x if x + shift_x < width else x + shift_x - width
        sources[x, 0], sources[x, 1] = three * from_red, three * from_blue + two
    for y in range(height):
        red_y = y - shift_y if y >= shift_y else y + height - shift_y
        blue_y = y + shift_y if y + shift_y < height else y + shift_y - height
        for x in range(width):
            red = begin + three * x
            lines[above + y, red] = scratch[red_y, sources[x, 0]]
            lines[above + y, red + two] = scratch[blue_y, sources[x, 1]]


@compiled
def _sort_run(
    runs: NDArray[np.int64],
    begin: int,
    end: int,
    spare: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Sort (key << 24 | colour) by key, equal keys staying in order."""
    if end - begin <= _SHORT_RUN:
        for place in range(begin + 1, end):
            moved = runs[place]
            key = moved >> 24
            at = place
            while at > begin and runs[at - 1] >> 24 > key:
                runs[at] = runs[at - 1]
                at -= 1
            runs[at] = moved
        return
    # By the lower half of the key, then by the upper
    for shift in (24, 28):
        counts[:] = 0
        for place in range(np.uint64(begin), np.uint64(end)):
            counts[np.uint64((runs[place] >> shift) & 15) + np.uint64(1)] += 1
            spare[place] = runs[place]
        for smaller in range(15):
            counts[smaller + 1] += counts[smaller]
        for place in range(np.uint64(begin), np.uint64(end)):
            digit = np.uint64((spare[place] >> shift) & 15)
            runs[np.uint64(begin + counts[digit])] = spare[place]
            counts[digit] += 1


@compiled
def _sort_pixels(
    out: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    own: NDArray[np.int64],
    down: int,
    right: int,
    runs: NDArray[np.int64],
    spare: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    upright = own[1] == 2 or (own[1] == 0 and right == 0)
    back = own[1] == 0 and (down if upright else right) < 0
    low, high = own[2], own[3]
    n_lines = end - start if upright else bottom - top
    length = bottom - top if upright else end - start
    for line in range(n_lines):
        begin = -1
        for place in range(length + 1):
            key = -1
            if place < length:
                along = length - 1 - place if back else place
                y = top + (along if upright else line)
                x = start + (line if upright else along)
                red, green, blue = int(out[y, x, 0]), int(out[y, x, 1]), int(out[y, x, 2])
                if own[0] == 0:
                    key = grey_of(red, green, blue)
                elif own[0] == 1:
                    key = red
                elif own[0] == 2:
                    key = green
                else:
                    key = blue
                runs[place] = (key << 24) | packed(red, green, blue)
            inside = place < length and low <= key <= high
            if inside and begin < 0:
                begin = place
            elif not inside and begin >= 0:
                _sort_run(runs, begin, place, spare, counts)
                begin = -1
        for place in range(length):
            along = length - 1 - place if back else place
            y = top + (along if upright else line)
            x = start + (line if upright else along)
            out[y, x, 0] = np.uint8(runs[place] & 255)
            out[y, x, 1] = np.uint8((runs[place] >> 8) & 255)
            out[y, x, 2] = np.uint8((runs[place] >> 16) & 255)


@compiled
def _darken_lines(
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    own: NDArray[np.int64],
    upright: bool,
) -> None:
    height, twice, kept = lines.shape[0], 2 * own[0], np.uint32(own[1])
    half, shift = np.uint32(128), np.uint32(8)
    if not upright:
        for y in range(top, bottom):
            if (twice * y // height) % 2 == 1:
                for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                    value = np.uint32(lines[np.uint64(y), place])
                    lines[np.uint64(y), place] = np.uint8((value * kept + half) >> shift)
        return
    for x in range(start, end):
        if (twice * x // height) % 2 == 1:
            for y in range(np.uint64(top), np.uint64(bottom)):
                for place in range(np.uint64(3 * x), np.uint64(3 * x + 3)):
                    value = np.uint32(lines[y, place])
                    lines[y, place] = np.uint8((value * kept + half) >> shift)


@compiled
def _print_dots(
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    own: NDArray[np.int64],
    thresholds: NDArray[np.uint8],
    known: NDArray[np.int64],
) -> None:
    height, steps, dots = lines.shape[0], np.int32(own[0] - 1), own[1]
    unit = np.int32(255 // (own[0] - 1))
    if known[0] != dots:
        # 2 B + 1, for each byte of the eight lines of dots that there are
        known[0] = dots
        for x in range(lines.shape[1] // 3):
            dot = (x * dots // height) % 8
            for dot_row in range(8):
                threshold = np.uint8(2 * BAYER[dot_row, dot] + 1)
                for channel in range(3):
                    thresholds[dot_row, 3 * x + channel] = threshold
    for y in range(top, bottom):
        line = np.uint64((y * dots // height) % 8)
        if own[0] == 2:
            for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                # Of whole numbers with t < 128, 128 c > 255 t is c > 2 t − 1
                limit = np.uint8(2 * thresholds[line, place] - 1)
                up = lines[np.uint64(y), place] > limit
                lines[np.uint64(y), place] = np.uint8(255) if up else np.uint8(0)
            continue
        for place in range(np.uint64(3 * start), np.uint64(3 * end)):
            scaled = np.int32(lines[np.uint64(y), place]) * steps << np.int32(7)
            limit_here = np.int32(thresholds[line, place]) * np.int32(255)
            # ⌈x⌉ of whole numbers, by the next that division cuts off
            level = np.int32(scaled - limit_here + _WHOLE - 1) // np.int32(_WHOLE)
            lines[np.uint64(y), place] = np.uint8(np.int32(level) * unit)


_WHOLE = 255 * 128


@compiled
def _blend_from(
    source: NDArray[np.uint8],
    from_top: int,
    from_bottom: int,
    from_start: int,
    from_end: int,
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    kept: int,
) -> None:
    """Lay a block over another; what is missing of its size repeats its last line."""
    # 255 × 256 + 128 is as much as 16 bits hold
    own, half, shift = np.uint16(256 - kept), np.uint16(128), np.uint16(8)
    share = np.uint16(kept)
    width = np.uint64(3 * min(end - start, from_end - from_start))
    to, there = np.uint64(3 * start), np.uint64(3 * from_start)
    for line in range(bottom - top):
        y = np.uint64(top + line)
        from_y = np.uint64(min(from_top + line, from_bottom - 1))
        if kept == 256:
            for place in range(width):
                lines[y, to + place] = source[from_y, there + place]
        else:
            for place in range(width):
                first = np.uint16(np.uint16(source[from_y, there + place]) * share)
                second = np.uint16(np.uint16(lines[y, to + place]) * own)
                value = np.uint16(first + second + half)
                lines[y, to + place] = np.uint8(value >> shift)
        for place in range(to + width, np.uint64(3 * end)):
            last = np.uint64(3 * from_end - 3) + place % np.uint64(3)
            first = np.uint16(np.uint16(source[from_y, last]) * share)
            second = np.uint16(np.uint16(lines[y, place]) * own)
            value = np.uint16(first + second + half)
            lines[y, place] = np.uint8(value >> shift)


@compiled
def _swap_blocks(
    lines: NDArray[np.uint8],
    top: int,
    bottom: int,
    start: int,
    end: int,
    other_top: int,
    other_bottom: int,
    other_start: int,
    other_end: int,
    scratch: NDArray[np.uint8],
) -> None:
    height, width = bottom - top, end - start
    for y in range(np.uint64(height)):
        for place in range(np.uint64(3 * width)):
            scratch[y, place] = lines[np.uint64(top) + y, np.uint64(3 * start) + place]
    _blend_from(
        lines, other_top, other_bottom, other_start, other_end, lines, top, bottom, start, end, 256
    )
    _blend_from(
        scratch, 0, height, 0, width, lines, other_top, other_bottom, other_start, other_end, 256
    )


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
                colour = _tinted(colour, opcodes[action], settings[action])
            else:
                second = _colour_of(
                    extras[piece, 1], registers, grid_cols, frame, planes, row_edges, col_edges
                )
                kept = settings[action, 0]
                colour = packed(
                    _mixed(colour & 255, second & 255, kept),
                    _mixed((colour >> 8) & 255, (second >> 8) & 255, kept),
                    _mixed((colour >> 16) & 255, (second >> 16) & 255, kept),
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
            registers[extras[piece, 0]] = _mean_of(out, top, bottom, start, end, False)
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
            _turn_grey(out, out, top, bottom, start, end)
        elif opcode <= _HUE_ROTATE:
            _recolour(lines, top, bottom, start, end, opcode, own)
        elif opcode == _CHANNEL_SHIFT:
            _shift_channels(lines, top, bottom, start, end, own[0], down, right, scratch, sources)
        elif opcode == _PIXEL_SORT:
            _sort_pixels(out, top, bottom, start, end, own, down, right, runs, spare, counts)
        elif opcode == _SCANLINES:
            _darken_lines(lines, top, bottom, start, end, own, right == 0)
        elif opcode == _DITHER:
            _print_dots(lines, top, bottom, start, end, own, thresholds, known)
        else:
            other = work[piece, 2]
            other_row, other_col = other // grid_cols, other % grid_cols
            other_top, other_bottom = row_edges[other_row], row_edges[other_row + 1]
            other_start, other_end = col_edges[other_col], col_edges[other_col + 1]
            if opcode == _SWAP:
                _swap_blocks(
                    lines, top, bottom, start, end, other_top, other_bottom, other_start,
                    other_end, scratch,
                )  # fmt: skip
            else:
                kept = own[0] if opcode == _SMEAR else 256
                _blend_from(
                    lines, other_top, other_bottom, other_start, other_end, lines, top, bottom,
                    start, end, kept,
                )  # fmt: skip
