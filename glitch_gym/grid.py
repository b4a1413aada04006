"""The grid laid over a frame: which cells hold picture, and which pixels a cell covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import shown, whole_number
from glitch_gym.errors import GridError, SettingError

__all__ = ["Fit", "Grid", "Orient", "check_grid", "fit_grid", "orient_grid"]

Fit = Literal["pad", "stretch"]
Orient = Literal["fixed", "auto"]

_MOST_CELLS = 2**26


@dataclass(frozen=True)
class Grid:
    """rows × cols cells, of which the top-left picture_rows × picture_cols hold picture.

    The others are prohibited. Flat index of a cell = row · cols + col.

    Args:
        rows: number of rows, at least 1.
        cols: number of columns, at least 1.
        picture_rows: number of rows that hold picture, from the top, 1…rows.
        picture_cols: number of columns that hold picture, from the left, 1…cols.

    Raises:
        GridError: a number is out of its range, or there are more cells than memory can hold.
    """

    rows: int
    cols: int
    picture_rows: int
    picture_cols: int

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "picture_rows", "picture_cols"):
            try:
                object.__setattr__(self, name, whole_number(name, getattr(self, name), least=1))
            except SettingError as error:
                raise GridError(str(error)) from error
        if not (1 <= self.picture_rows <= self.rows and 1 <= self.picture_cols <= self.cols):
            raise GridError(
                f"a picture of {self.picture_rows}×{self.picture_cols} cells does not lie in a "
                f"grid of {self.rows}×{self.cols}"
            )
        if self.n_cells > _MOST_CELLS:
            raise GridError(
                f"a grid of {self.rows}×{self.cols} is too fine: at most {_MOST_CELLS:,} cells"
            )

    @property
    def n_cells(self) -> int:
        """Number of cells, prohibited ones included."""
        return self.rows * self.cols

    def picture_cells(self) -> NDArray[np.int32]:
        """Flat indices of the picture's cells, ascending."""
        return np.flatnonzero(~self.prohibited()).astype(np.int32)

    def prohibited(self) -> NDArray[np.bool_]:
        """(rows, cols) mask, true where a cell is outside the picture."""
        mask = np.ones((self.rows, self.cols), np.bool_)
        mask[: self.picture_rows, : self.picture_cols] = False
        return mask

    def edges(self, height: int, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pixel edges of the picture's rows and columns of cells.

        Cell (row, col) covers ``frame[row_edges[row]:row_edges[row + 1], …]``: the cells partition
        the frame, and each has at least one pixel.

        Returns:
            row edges (picture_rows + 1,) and column edges (picture_cols + 1,), int32 pixels.

        Raises:
            GridError: more rows or columns of cells than pixels.
        """
        for name, cells, pixels in (
            ("rows", self.picture_rows, height),
            ("columns", self.picture_cols, width),
        ):
            if cells > pixels:
                raise GridError(
                    f"the grid is finer than the picture: {cells} {name} of cells for {pixels} "
                    f"pixels; use a coarser grid or a larger picture"
                )
        rows = np.arange(self.picture_rows + 1, dtype=np.int64) * height // self.picture_rows
        cols = np.arange(self.picture_cols + 1, dtype=np.int64) * width // self.picture_cols
        return rows.astype(np.int32), cols.astype(np.int32)


def orient_grid(
    size: tuple[int, int], height: int, width: int, orient: Orient = "auto"
) -> tuple[int, int]:
    """Turn a grid so that its longer side lies along the longer side of the picture.

    Args:
        size: (rows, cols).
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        orient: ``"fixed"`` leaves the size alone.
    """
    rows, cols = size
    if orient == "auto" and (rows - cols) * (height - width) < 0:
        return cols, rows
    return rows, cols


def check_grid(size: tuple[int, int], fit: str, orient: str) -> tuple[int, int]:
    """Return the rows and columns of a grid, with the way it is laid checked.

    Raises:
        SettingError: a size below one cell, or an unknown ``fit`` or ``orient``.
    """
    if fit not in ("pad", "stretch"):
        raise SettingError(f"fit must be 'pad' or 'stretch', not {fit!r}")
    if orient not in ("fixed", "auto"):
        raise SettingError(f"orient must be 'fixed' or 'auto', not {orient!r}")
    try:
        rows, cols = (whole_number("a side of the grid", side, least=1) for side in size)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"grid must be (rows, cols), whole numbers from 1, not {shown(size)}"
        ) from error
    return rows, cols


def fit_grid(
    size: tuple[int, int],
    height: int,
    width: int,
    *,
    fit: Fit = "pad",
    orient: Orient = "fixed",
) -> Grid:
    """Lay a grid over a picture.

    ``"pad"`` keeps cells as square as the grid allows: the picture takes the largest top-left
    block of cells with its own proportions, and the rest is prohibited. ``"stretch"`` covers the
    whole frame with the whole grid.

    Args:
        size: (rows, cols), each at least 1.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        fit: ``"pad"`` or ``"stretch"``.
        orient: ``"auto"`` lays the grid's longer side along the picture's.

    Raises:
        SettingError: a size below one cell, or an unknown ``fit`` or ``orient``.
        GridError: the grid is finer than the picture.
    """
    rows, cols = orient_grid(check_grid(size, fit, orient), height, width, orient)
    picture_rows, picture_cols = rows, cols
    if fit == "pad":
        if rows * width >= cols * height:
            picture_rows = min(rows, max(1, round(cols * height / width)))
        else:
            picture_cols = min(cols, max(1, round(rows * width / height)))
    grid = Grid(rows, cols, picture_rows, picture_cols)
    grid.edges(height, width)
    return grid
