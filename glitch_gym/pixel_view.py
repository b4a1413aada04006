"""Small pictures as observations: what a convolutional network sees of a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.errors import GridError
from glitch_gym.grid import Grid

__all__ = ["AGENT_COLOUR", "PixelView", "make_pixel_view"]

AGENT_COLOUR = (255, 0, 255)
"""Colour of the cell that the agent is in."""


@dataclass(frozen=True, eq=False)
class PixelView:
    """The pictures of a world, shrunk, and where the cells are on them.

    Args:
        pictures: uint8 (n_pictures, side, side, 3); prohibited cells are black.
        row_edges: int32 (rows + 1,), pixel edges of the rows of cells.
        col_edges: int32 (cols + 1,), pixel edges of the columns of cells.
    """

    pictures: NDArray[np.uint8]
    row_edges: NDArray[np.int32]
    col_edges: NDArray[np.int32]

    def of_cell(self, picture: int, row: int, col: int) -> NDArray[np.uint8]:
        """Return a picture with the agent on it, uint8 (side, side, 3), as a new array."""
        seen: NDArray[np.uint8] = self.pictures[picture].copy()
        top, bottom = self.row_edges[row], self.row_edges[row + 1]
        left, right = self.col_edges[col], self.col_edges[col + 1]
        seen[top:bottom, left:right] = AGENT_COLOUR
        return seen

    def of_cells(
        self, pictures: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return the pictures with the agents on them, uint8 (n, side, side, 3), as new arrays."""
        seen = self.pictures[pictures]
        place = np.arange(seen.shape[1])
        down, right = self.row_edges, self.col_edges
        in_row = (place >= down[rows][:, None]) & (place < down[rows + 1][:, None])
        in_col = (place >= right[cols][:, None]) & (place < right[cols + 1][:, None])
        seen[in_row[:, :, None] & in_col[:, None, :]] = AGENT_COLOUR
        return seen


def make_pixel_view(frames: Sequence[NDArray[np.uint8]], grid: Grid, side: int) -> PixelView:
    """Shrink pictures so that the whole grid, prohibited cells included, fills a square.

    Args:
        frames: the pictures, uint8 (height, width, 3) each.
        grid: grid of each picture.
        side: side of the square in pixels.

    Raises:
        GridError: the grid has more rows or columns than the square has pixels.
    """
    if max(grid.rows, grid.cols) > side:
        raise GridError(
            f"a grid of {grid.rows}×{grid.cols} is finer than an observation of {side}×{side} "
            f"pixels: take a coarser grid or a larger pixel_size"
        )
    row_edges = (np.arange(grid.rows + 1) * side // grid.rows).astype(np.int32)
    col_edges = (np.arange(grid.cols + 1) * side // grid.cols).astype(np.int32)
    high, wide = int(row_edges[grid.picture_rows]), int(col_edges[grid.picture_cols])
    pictures = np.zeros((len(frames), side, side, 3), np.uint8)
    for picture, frame in zip(pictures, frames, strict=True):
        small = Image.fromarray(frame).resize((wide, high), Image.Resampling.BILINEAR)
        picture[:high, :wide] = np.asarray(small)
    pictures.setflags(write=False)
    return PixelView(pictures, row_edges, col_edges)
