"""Execute stamps on symbols, and put off what needs pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled, inlined
from glitch_gym.randomness import draw, stream
from glitch_render.effects import Opcode
from glitch_render.engine.symbols import (
    APPLY,
    CALL,
    COLOUR,
    DRAW,
    GREY,
    GREY_PLANE,
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
    PIXELS,
    REGISTER,
    ROOM,
    SHOWN,
    TINT,
    VARIANT,
    grey_of,
    packed,
)

__all__ = ["execute"]

_BARE = ~SHOWN
_SAME = int(Opcode.SAME)
_PIXELATE = int(Opcode.PIXELATE)
_DESATURATE = int(Opcode.DESATURATE)
_INVERT = int(Opcode.INVERT)
_RANDOM = int(Opcode.RANDOM)
_PLANE = int(Opcode.PLANE)
_POSTERIZE = int(Opcode.POSTERIZE)
_HUE_ROTATE = int(Opcode.HUE_ROTATE)
_CHANNEL_SHIFT = int(Opcode.CHANNEL_SHIFT)
_PIXEL_SORT = int(Opcode.PIXEL_SORT)
_SCANLINES = int(Opcode.SCANLINES)
_DITHER = int(Opcode.DITHER)
_DISPLACE = int(Opcode.DISPLACE)
_SMEAR = int(Opcode.SMEAR)
_SWAP = int(Opcode.SWAP)


@inlined
def _put(
    work: NDArray[np.int32],
    counts: NDArray[np.int64],
    kind: int,
    cell: int,
    other: int,
    action: int,
    level: int,
) -> int:
    """Put a piece of work on the list; gives its place."""
    place = int(counts[0])
    work[place, 0] = kind
    work[place, 1] = cell
    work[place, 2] = other
    work[place, 3] = action
    work[place, 4] = level
    counts[0] = place + 1
    return place


@inlined
def _level_of(note: int, registers: NDArray[np.int64]) -> int:
    """Give the level after which a flat note's colour is known."""
    if (note >> KIND) & 255 == REGISTER:
        level: int = registers[note & LOW, 0]
        return level
    return 0


@inlined
def _show(
    cell: int,
    notes: NDArray[np.int64],
    cells: NDArray[np.int32],
    registers: NDArray[np.int64],
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Draw a cell into the output, which does not show it yet."""
    note = notes[cell]
    notes[cell] = note | SHOWN
    level = 1 + max(cells[cell, _WRITTEN], cells[cell, _READ], _level_of(note, registers))
    place = _put(work, counts, DRAW, cell, cell, 0, level)
    extras[place, 0] = extras[place, 1] = note
    cells[cell, _WRITTEN] = level
    cells[cell, _MEASURED] = 0


# What is known of each cell: the levels of the last work that wrote and that read its pixels in the
# output, and one more than the register with their mean
_WRITTEN, _READ, _MEASURED = range(3)


@inlined
def _flattened(
    cell: int,
    note: int,
    notes: NDArray[np.int64],
    sizes: NDArray[np.int64],
    cells: NDArray[np.int32],
    registers: NDArray[np.int64],
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Note the mean colour of a cell that is not flat."""
    if (note >> KIND) & 255 == PIECE:
        if sizes[note & LOW] == sizes[cell] and note >> PENDING == 0:
            return note ^ ((PIECE ^ MEAN) << KIND)
        # Cut, continued or changed, its mean is another: there must be pixels to take it of
        if notes[cell] & SHOWN == 0:
            _show(cell, notes, cells, registers, work, extras, counts)
    # Pixels may change again: their mean is taken in its turn
    register = int(cells[cell, _MEASURED]) - 1
    if register < 0:
        register = int(counts[1])
        counts[1] = register + 1
        level = 1 + cells[cell, _WRITTEN]
        cells[cell, _READ] = max(cells[cell, _READ], level)
        registers[register, 0] = level
        registers[register, 1] = 0
        place = _put(work, counts, MEASURE, cell, cell, 0, level)
        extras[place, 0] = extras[place, 1] = register
        cells[cell, _MEASURED] = register + 1
    return (REGISTER << KIND) | register


@inlined
def _tinted(
    note: int,
    second: int,
    kind: int,
    action: int,
    tag: int,
    registers: NDArray[np.int64],
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Note what an effect makes of a flat colour, or of two."""
    register = int(counts[1])
    counts[1] = register + 1
    level = 1 + max(_level_of(note, registers), _level_of(second, registers))
    registers[register, 0] = level
    registers[register, 1] = tag
    place = _put(work, counts, kind, register, 0, action, level)
    extras[place, 0] = note
    extras[place, 1] = second
    return (REGISTER << KIND) | register


@inlined
def _is_flat(note: int) -> bool:
    kind = (note >> KIND) & 255
    return kind in (COLOUR, MEAN, REGISTER)


@inlined
def _written_to(
    cell: int, level: int, note: int, notes: NDArray[np.int64], cells: NDArray[np.int32]
) -> None:
    """Note that the output has pixels of a cell that are no longer a piece or a colour."""
    notes[cell] = SHOWN | note
    cells[cell, _WRITTEN] = level
    cells[cell, _MEASURED] = 0


@compiled
def cell_left(
    cell: int, row_offset: int, col_offset: int, grid_cols: int, n_rows: int, n_cols: int
) -> int:
    """Give the cell that a move came from.

    An agent that is drawn into a border cell may come from off the picture: then it is the cell
    itself.
    """
    row, col = cell // grid_cols - row_offset, cell % grid_cols - col_offset
    if row < 0 or row >= n_rows or col < 0 or col >= n_cols:
        return cell
    return row * grid_cols + col


@compiled
def execute(
    stamped: NDArray[np.int32],
    actions: NDArray[np.int32],
    counters: NDArray[np.int64],
    resume: tuple[int, int],
    opcodes: NDArray[np.int64],
    plane_of: NDArray[np.int64],
    tags: NDArray[np.int64],
    offsets: NDArray[np.int64],
    behind: NDArray[np.int64],
    border: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    grid_cols: int,
    n_rows: int,
    n_cols: int,
    key: np.uint64,
    notes: NDArray[np.int64],
    cells: NDArray[np.int32],
    registers: NDArray[np.int64],
    work: NDArray[np.int32],
    extras: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Execute stamps from ``resume`` on until all are done or the list of work is full.

    Args:
        stamped: cells, (steps, agents), −1 for none.
        actions: (steps, agents).
        counters: (agents,), the agents' own numbers of the first of these steps.
        resume: (step, agent) to begin at.
        opcodes: (n_actions,).
        plane_of: (n_actions,), number of the effect's plane.
        tags: (n_actions,), the same where doing one after the other changes nothing; 0 for none.
        offsets: (n_actions, 2), from the cell that an effect reads to the one it changes.
        behind: (n_actions,), likewise as a difference of flat indices.
        border: (n_cells,), cells whose neighbours may be off the picture.
        sizes: (n_cells,), equal for cells of equal height and width.
        grid_cols: of the grid.
        n_rows: of the picture.
        n_cols: of the picture.
        key: of random draws.
        notes: (n_cells,), changed.
        cells: (n_cells, 3), what is known of each, changed.
        registers: (capacity, 2), level and tag of each, changed.
        work: (capacity, fields), changed.
        extras: (capacity, 2), changed.
        counts: pieces of work and registers so far, changed.

    Returns:
        (steps, 0), or the place of the stamp that there was no room for.
    """
    first_step, first_agent = resume
    # Stamps that there is certainly room for
    room = 0
    for step in range(first_step, stamped.shape[0]):
        for agent in range(first_agent, stamped.shape[1]):
            cell = int(stamped[step, agent])
            if cell < 0:
                continue
            if room == 0:
                room = min(work.shape[0] - counts[0], registers.shape[0] - counts[1]) // ROOM
                if room == 0:
                    return step, agent
            room -= 1
            action = actions[step, agent]
            opcode = opcodes[action]
            if opcode == _SAME:
                left = cell - behind[action]
                if border[cell]:
                    left = cell_left(
                        cell, offsets[action, 0], offsets[action, 1], grid_cols, n_rows, n_cols
                    )
                note = notes[left] & _BARE
                kind = (note >> KIND) & 255
                # Told apart here, and not in _flattened, because most cells are flat already
                if kind in (PIXELS, PIECE):
                    note = _flattened(
                        left, note, notes, sizes, cells, registers, work, extras, counts
                    )
                notes[cell] = note
            elif opcode == _RANDOM:
                colour = np.int64(draw(stream(key, agent), counters[agent] + step) & np.uint64(LOW))
                notes[cell] = (COLOUR << KIND) | colour
            elif opcode == _PLANE:
                notes[cell] = (PIECE << KIND) | (plane_of[action] << (VARIANT + 1)) | cell
            elif opcode == _DESATURATE:
                note = notes[cell] & _BARE
                kind = (note >> KIND) & 255
                if kind == PIXELS or (kind == PIECE and note >> PENDING != 0):
                    if kind == PIXELS and note & LOW == tags[action]:
                        continue
                    if notes[cell] & SHOWN == 0:
                        _show(cell, notes, cells, registers, work, extras, counts)
                    level = 1 + max(cells[cell, _WRITTEN], cells[cell, _READ])
                    _put(work, counts, GREY, cell, cell, action, level)
                    _written_to(cell, level, tags[action], notes, cells)
                    continue
                if kind == COLOUR:
                    grey = grey_of(note & 255, (note >> 8) & 255, (note >> 16) & 255)
                    notes[cell] = (COLOUR << KIND) | packed(grey, grey, grey)
                elif kind == PIECE:
                    notes[cell] = note | GREY_PLANE
                else:
                    notes[cell] = note | GREYED
            elif opcode in (_PIXELATE, _INVERT):
                note = notes[cell] & _BARE
                kind = (note >> KIND) & 255
                if kind in (PIXELS, PIECE):
                    note = _flattened(
                        cell, note, notes, sizes, cells, registers, work, extras, counts
                    )
                    kind = (note >> KIND) & 255
                elif opcode == _PIXELATE:
                    continue
                if opcode == _INVERT:
                    if kind == COLOUR:
                        note ^= LOW
                    elif note & GREYED != 0:
                        note ^= INVERTED_AFTER
                    else:
                        note ^= INVERTED
                notes[cell] = note
            else:
                # An effect that works on pixels. All of it stands here, since what is inlined
                # twice over is not inlined
                note = notes[cell] & _BARE
                tag = tags[action]
                flat = _is_flat(note)
                if tag != 0 and (note >> KIND) & 255 == PIXELS and note & LOW == tag:
                    continue
                reads_other = opcode == 0 or opcode >= _DISPLACE
                other = cell
                if reads_other:
                    other = cell - behind[action]
                    if border[cell]:
                        other = cell_left(
                            cell, offsets[action, 0], offsets[action, 1], grid_cols, n_rows, n_cols
                        )
                if opcode >= _DISPLACE:
                    if other == cell:
                        continue
                    second = notes[other] & _BARE
                    movable = _is_flat(second) or (
                        (second >> KIND) & 255 == PIECE and sizes[second & LOW] == sizes[other]
                    )
                    if opcode == _DISPLACE and movable:
                        notes[cell] = second
                        continue
                    own = flat or (
                        (note >> KIND) & 255 == PIECE and sizes[note & LOW] == sizes[cell]
                    )
                    both_flat = flat and _is_flat(second)
                    if both_flat if opcode == _SMEAR else own and movable:
                        if opcode == _SMEAR:
                            notes[cell] = _tinted(
                                note, second, MIX, action, 0, registers, work, extras, counts
                            )
                        else:
                            notes[cell] = second
                            notes[other] = note
                        continue
                elif (note >> KIND) & 255 == PIECE and _POSTERIZE <= opcode <= _HUE_ROTATE:
                    pending = note >> PENDING
                    if pending == 0:
                        notes[cell] = note | ((action + 1) << PENDING)
                        continue
                    if tag != 0 and tags[pending - 1] == tag:
                        continue
                elif flat and _POSTERIZE <= opcode <= _PIXEL_SORT:
                    known = (note >> KIND) & 255 == REGISTER and note >> VARIANT == 0
                    if opcode > _HUE_ROTATE:
                        continue
                    if tag == 0 or not known or registers[note & LOW, 1] != tag:
                        notes[cell] = _tinted(
                            note, note, TINT, action, tag, registers, work, extras, counts
                        )
                    continue
                if opcode != _DISPLACE and notes[cell] & SHOWN == 0:
                    _show(cell, notes, cells, registers, work, extras, counts)
                level = 1 + max(cells[cell, _WRITTEN], cells[cell, _READ])
                drawn = 0
                if reads_other:
                    if notes[other] & SHOWN == 0:
                        _show(other, notes, cells, registers, work, extras, counts)
                    level = max(level, 1 + cells[other, _WRITTEN])
                    if opcode == _SWAP:
                        level = max(level, 1 + cells[other, _READ])
                        notes[other] = SHOWN
                        cells[other, _WRITTEN] = level
                        cells[other, _MEASURED] = 0
                    else:
                        cells[other, _READ] = max(cells[other, _READ], level)
                    if opcode == 0:
                        drawn = int(np.int64(draw(stream(key, agent), counters[agent] + step)))
                kind = CALL if opcode == 0 else APPLY
                place = _put(work, counts, kind, cell, other, action, level)
                if opcode == 0:
                    extras[place, 1] = drawn
                notes[cell] = SHOWN | tag
                cells[cell, _WRITTEN] = level
                cells[cell, _MEASURED] = 0
        first_agent = 0
    return stamped.shape[0], 0
