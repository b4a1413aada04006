"""Compiled effects on blocks of pixels."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import borrowing, compiled, inlined
from glitch_render.effects import Op
from glitch_render.effects.colours import BAYER
from glitch_render.engine.symbols import Surfaces, grey_of, packed

__all__ = [
    "Block",
    "Scratch",
    "apply_op",
    "blend_from",
    "fill",
    "make_scratch",
    "mean_of",
    "mixed",
    "recolour",
    "rounded",
    "tinted",
    "turn_grey",
]

Block = tuple[int, int, int, int]
"""Rows and columns of pixels: first row, end row, first column, end column; ends exclusive."""

Scratch = namedtuple(
    "Scratch", ["pixels", "columns", "runs", "spare", "counts", "thresholds", "dots"]
)
Scratch.__doc__ = """Working memory of one worker, allocated once for many operations.

Args:
    pixels: uint8 (height, 3 · width) of the largest cell.
    columns: uint64 (width, 2), source columns of each column's red and blue.
    runs: int64 (side + 1,), pixels of a line with their keys.
    spare: int64 (side + 1,), a copy of them.
    counts: int64 (17,), number of keys with each digit.
    thresholds: uint8 (8, 3 · frame width), thresholds of the dot pattern.
    dots: int64 (1,), number of dots that ``thresholds`` was computed for, or −1.
"""

_POSTERIZE, _SOLARIZE, _HUE_ROTATE = int(Op.POSTERIZE), int(Op.SOLARIZE), int(Op.HUE_ROTATE)
_CHANNEL_SHIFT, _PIXEL_SORT = int(Op.CHANNEL_SHIFT), int(Op.PIXEL_SORT)
_SCANLINES, _DITHER = int(Op.SCANLINES), int(Op.DITHER)
_DISPLACE, _SMEAR, _SWAP = int(Op.DISPLACE), int(Op.SMEAR), int(Op.SWAP)
_SHORT_RUN = 12
_ABOVE = np.float32(2048 + 4096 * 1024)
_A_4096TH = np.float32(1 / 4096)


@borrowing
def mean_of(pixels: NDArray[np.uint8], block: Block, grey: bool) -> int:
    """Return the mean colour of a block, or of its grey, packed."""
    top, bottom, start, end = block
    red = green = blue = 0
    # Indices are unsigned, which spares the check for negative ones, and a row is summed in 32
    # bits, which suffice for the widest row: each halves the time
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
    return packed(rounded(red, count), rounded(green, count), rounded(blue, count))


@borrowing
def rounded(total: int, count: int) -> int:
    """Return total ÷ count, rounded half up."""
    return (2 * total + count) // (2 * count)


@borrowing
def turn_grey(out: NDArray[np.uint8], block: Block) -> None:
    """Turn the pixels of a block grey."""
    top, bottom, start, end = block
    for y in range(np.uint64(top), np.uint64(bottom)):
        for x in range(np.uint64(start), np.uint64(end)):
            grey = np.uint8(grey_of(int(out[y, x, 0]), int(out[y, x, 1]), int(out[y, x, 2])))
            out[y, x, 0] = grey
            out[y, x, 1] = grey
            out[y, x, 2] = grey


@borrowing
def fill(out: NDArray[np.uint8], block: Block, colour: int) -> None:
    """Fill a block with one colour."""
    top, bottom, start, end = block
    red, green, blue = (
        np.uint8(colour & 255),
        np.uint8((colour >> 8) & 255),
        np.uint8((colour >> 16) & 255),
    )
    for y in range(np.uint64(top), np.uint64(bottom)):
        for x in range(np.uint64(start), np.uint64(end)):
            out[y, x, 0] = red
            out[y, x, 1] = green
            out[y, x, 2] = blue


@borrowing
def _clipped(value: int) -> int:
    return min(max(value, 0), 255)


@borrowing
def tinted(colour: int, op: int, own: NDArray[np.int64]) -> int:
    """Return a colour after a per-pixel effect."""
    red, green, blue = colour & 255, (colour >> 8) & 255, (colour >> 16) & 255
    if op == _POSTERIZE:
        return packed(red & own[0], green & own[0], blue & own[0])
    if op == _SOLARIZE:
        red = red if red < own[0] else 255 - red
        green = green if green < own[0] else 255 - green
        blue = blue if blue < own[0] else 255 - blue
        return packed(red, green, blue)
    return packed(
        _clipped((own[0] * red + own[1] * green + own[2] * blue + 2048) >> 12),
        _clipped((own[3] * red + own[4] * green + own[5] * blue + 2048) >> 12),
        _clipped((own[6] * red + own[7] * green + own[8] * blue + 2048) >> 12),
    )


@borrowing
def mixed(first: int, second: int, kept: int) -> int:
    """Return the mix of one channel of two colours; ``kept`` is the second's share in 256ths."""
    return (second * kept + first * (256 - kept) + 128) >> 8


@borrowing
def recolour(
    lines: NDArray[np.uint8],
    block: Block,
    op: int,
    own: NDArray[np.int64],
) -> None:
    """Apply a per-pixel effect to a run of cells."""
    top, bottom, start, end = block
    first, last = np.uint64(3 * start), np.uint64(3 * end)
    if op == _POSTERIZE:
        mask = np.uint8(own[0])
        for y in range(np.uint64(top), np.uint64(bottom)):
            for place in range(first, last):
                lines[y, place] &= mask
        return
    if op == _SOLARIZE:
        threshold = np.int32(own[0])
        for y in range(np.uint64(top), np.uint64(bottom)):
            for place in range(first, last):
                value = lines[y, place]
                turned = np.uint8(255) - value
                lines[y, place] = value if np.int32(value) < threshold else turned
        return
    # Integers below 2^24 are exact in float32
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


@borrowing
def _level(total: np.float32) -> np.uint8:
    """Return 4096ths, rounded to a level and clipped."""
    # Shifted to be positive, so that truncation is floor
    level = np.int32((total + _ABOVE) * _A_4096TH) - np.int32(1024)
    return np.uint8(min(max(np.int32(level), np.int32(0)), np.int32(255)))


@borrowing
def _shift_channels(
    lines: NDArray[np.uint8],
    block: Block,
    share: int,
    move: tuple[int, int],
    scratch: NDArray[np.uint8],
    columns: NDArray[np.uint64],
) -> None:
    """Shift red forward along the move and blue backward, within the block."""
    top, bottom, start, end = block
    down, right = move
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
        columns[x, 0], columns[x, 1] = three * from_red, three * from_blue + two
    for y in range(height):
        red_y = y - shift_y if y >= shift_y else y + height - shift_y
        blue_y = y + shift_y if y + shift_y < height else y + shift_y - height
        for x in range(width):
            red = begin + three * x
            lines[above + y, red] = scratch[red_y, columns[x, 0]]
            lines[above + y, red + two] = scratch[blue_y, columns[x, 1]]


@borrowing
def _sort_run(
    runs: NDArray[np.int64],
    begin: int,
    end: int,
    spare: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Sort (key << 24 | colour) by key, stably."""
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
    # By the lower half of the key, then by the upper half
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


@borrowing
def _sort_pixels(
    out: NDArray[np.uint8],
    block: Block,
    own: NDArray[np.int64],
    move: tuple[int, int],
    runs: NDArray[np.int64],
    spare: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Sort runs of pixels in each line of a block."""
    top, bottom, start, end = block
    down, right = move
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


@borrowing
def _darken_lines(
    lines: NDArray[np.uint8],
    block: Block,
    own: NDArray[np.int64],
    upright: bool,
) -> None:
    """Darken every other line of the frame within a block."""
    top, bottom, start, end = block
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


@borrowing
def _print_dots(
    lines: NDArray[np.uint8],
    block: Block,
    own: NDArray[np.int64],
    thresholds: NDArray[np.uint8],
    known: NDArray[np.int64],
) -> None:
    """Print a block with few levels of each channel, in Bayer's pattern."""
    top, bottom, start, end = block
    height, steps, dots = lines.shape[0], np.int32(own[0] - 1), own[1]
    unit = np.int32(255 // (own[0] - 1))
    if known[0] != dots:
        # 2 B + 1, for each byte of the eight distinct lines of dots
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
                # For integers with t < 128, 128 c > 255 t is equivalent to c > 2 t − 1
                limit = np.uint8(2 * thresholds[line, place] - 1)
                up = lines[np.uint64(y), place] > limit
                lines[np.uint64(y), place] = np.uint8(255) if up else np.uint8(0)
            continue
        for place in range(np.uint64(3 * start), np.uint64(3 * end)):
            scaled = np.int32(lines[np.uint64(y), place]) * steps << np.int32(7)
            limit_here = np.int32(thresholds[line, place]) * np.int32(255)
            # Integer ceiling: add the divisor − 1, then divide
            level = np.int32(scaled - limit_here + _WHOLE - 1) // np.int32(_WHOLE)
            lines[np.uint64(y), place] = np.uint8(np.int32(level) * unit)


_WHOLE = 255 * 128


@borrowing
def blend_from(
    source: NDArray[np.uint8], origin: Block, lines: NDArray[np.uint8], block: Block, kept: int
) -> None:
    """Blend one block over another; a source that is too small is extended by its last line.

    Args:
        source: uint8 (height, 3 · width), read.
        origin: block of ``source``.
        lines: uint8 (height, 3 · width), changed; it may be ``source``.
        block: block of ``lines``.
        kept: share of the source, in 256ths.
    """
    from_top, from_bottom, from_start, from_end = origin
    top, bottom, start, end = block
    # 255 × 256 + 128 just fits into 16 bits
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


@borrowing
def _swap_blocks(
    lines: NDArray[np.uint8], block: Block, other: Block, scratch: NDArray[np.uint8]
) -> None:
    """Swap two blocks; if their sizes differ, cut or repeat the last line."""
    top, bottom, start, end = block
    height, width = bottom - top, end - start
    for y in range(np.uint64(height)):
        for place in range(np.uint64(3 * width)):
            scratch[y, place] = lines[np.uint64(top) + y, np.uint64(3 * start) + place]
    blend_from(lines, other, lines, block, 256)
    blend_from(scratch, (0, height, 0, width), lines, other, 256)


@compiled
def make_scratch(
    row_edges: NDArray[np.int32], col_edges: NDArray[np.int32], frame_width: int
) -> Scratch:
    """Return working memory that suffices for every cell of a grid."""
    tall = wide = 0
    for row in range(row_edges.shape[0] - 1):
        tall = max(tall, row_edges[row + 1] - row_edges[row])
    for col in range(col_edges.shape[0] - 1):
        wide = max(wide, col_edges[col + 1] - col_edges[col])
    side = max(tall, wide)
    return Scratch(
        np.empty((tall, 3 * wide), np.uint8),
        np.empty((wide, 2), np.uint64),
        np.empty(side + 1, np.int64),
        np.empty(side + 1, np.int64),
        np.empty(17, np.int64),
        np.empty((8, 3 * frame_width), np.uint8),
        np.full(1, -1, np.int64),
    )


@inlined
def apply_op(
    op: int,
    own: NDArray[np.int64],
    move: tuple[int, int],
    surfaces: Surfaces,
    block: Block,
    other: Block,
    scratch: Scratch,
) -> None:
    """Apply an effect to a block of the output, in place.

    Args:
        op: op of the effect.
        own: int64 (16,), settings of the effect.
        move: row and column offset of the agent's move.
        surfaces: pixels; ``out`` is changed.
        block: a cell, or neighbours in a row unless the effect has the trait ``PER_CELL``.
        other: cell that an effect with the trait ``READS_OTHER`` reads.
        scratch: working memory.
    """
    lines = surfaces.lines
    if op in (_POSTERIZE, _SOLARIZE, _HUE_ROTATE):
        recolour(lines, block, op, own)
    elif op == _CHANNEL_SHIFT:
        _shift_channels(lines, block, own[0], move, scratch.pixels, scratch.columns)
    elif op == _PIXEL_SORT:
        _sort_pixels(surfaces.out, block, own, move, scratch.runs, scratch.spare, scratch.counts)
    elif op == _SCANLINES:
        _darken_lines(lines, block, own, move[1] == 0)
    elif op == _DITHER:
        _print_dots(lines, block, own, scratch.thresholds, scratch.dots)
    elif op == _SWAP:
        _swap_blocks(lines, block, other, scratch.pixels)
    elif op == _SMEAR:
        blend_from(lines, other, lines, block, own[0])
    elif op == _DISPLACE:
        blend_from(lines, other, lines, block, 256)
