"""Blend a painted layer with the frame below, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled
from glitch_render.engine.symbols import GridTable

__all__ = ["lay_over"]


@compiled
def _blended(before: int, painted: int, blend: int) -> int:
    """Return the blend of one channel of two frames; blends are numbered as in ``BLENDS``."""
    if blend == 0:
        return painted
    if blend == 1:
        return min(before + painted, 255)
    if blend == 2:
        return 255 - ((255 - before) * (255 - painted) + 127) // 255
    if blend == 3:
        return (before * painted + 127) // 255
    return abs(before - painted)


@compiled
def lay_over(
    before: NDArray[np.uint8],
    painted: NDArray[np.uint8],
    stamped: NDArray[np.bool_],
    mask: NDArray[np.uint8],
    grid: GridTable,
    rows: tuple[int, int],
    blend: int,
    opacity: int,
) -> None:
    """Blend a painted frame with the frame below, in place, in stamped cells.

    Args:
        before: uint8 (height, width, 3), the frame below.
        painted: uint8 (height, width, 3), the painted frame, changed.
        stamped: bool (n_cells,), whether each cell was stamped.
        mask: uint8 (height, width), or (0, 0) without a mask.
        grid: table of the grid.
        rows: first row of cells, and end of the rows, exclusive.
        blend: index in ``BLENDS``.
        opacity: share of the painted frame, in 256ths.
    """
    row_edges, col_edges, grid_cols = grid.row_edges, grid.col_edges, grid.cols
    first_row, last_row = rows
    n_cols = col_edges.shape[0] - 1
    shares = np.full(3 * before.shape[1], opacity, np.uint16)
    whole, half, shift = np.uint16(256), np.uint16(128), np.uint16(8)
    was_lines = before.reshape((before.shape[0], -1))
    lines = painted.reshape((painted.shape[0], -1))
    for row in range(first_row, last_row):
        col = 0
        while col < n_cols:
            if not stamped[row * grid_cols + col]:
                col += 1
                continue
            first = col
            while col < n_cols and stamped[row * grid_cols + col]:
                col += 1
            start, end = col_edges[first], col_edges[col]
            for y in range(np.uint64(row_edges[row]), np.uint64(row_edges[row + 1])):
                if mask.shape[0] > 0:
                    for x in range(np.uint64(start), np.uint64(end)):
                        shown = int(np.int64(mask[y, x]))
                        # 255 means the whole opacity
                        share = np.uint16((opacity * (shown + (shown >> 7)) + 128) >> 8)
                        red = np.uint64(3) * x
                        shares[red] = share
                        shares[red + np.uint64(1)] = share
                        shares[red + np.uint64(2)] = share
                if blend != 0:
                    for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                        lines[y, place] = np.uint8(
                            _blended(
                                int(np.int64(was_lines[y, place])),
                                int(np.int64(lines[y, place])),
                                blend,
                            )
                        )
                for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                    # 255 × 256 + 128 just fits into 16 bits
                    share = shares[place]
                    new = np.uint16(np.uint16(lines[y, place]) * share)
                    old = np.uint16(np.uint16(was_lines[y, place]) * np.uint16(whole - share))
                    lines[y, place] = np.uint8(np.uint16(new + old + half) >> shift)
