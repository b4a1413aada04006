from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glitch_gym.errors import GridError, SettingError
from glitch_gym.grid import Grid, fit_grid, orient_grid

SIDES = st.integers(1, 60)
PIXELS = st.integers(1, 400)


@given(SIDES, SIDES, PIXELS, PIXELS, st.sampled_from(["pad", "stretch"]))
def test_cells_partition_the_frame_exactly(rows, cols, height, width, fit):
    assume(rows <= height and cols <= width)
    grid = fit_grid((rows, cols), height, width, fit=fit)
    row_edges, col_edges = grid.edges(height, width)
    covered = np.zeros((height, width), int)
    for row in range(grid.picture_rows):
        for col in range(grid.picture_cols):
            covered[row_edges[row] : row_edges[row + 1], col_edges[col] : col_edges[col + 1]] += 1
    assert (covered == 1).all()
    assert (np.diff(row_edges) >= 1).all()
    assert (np.diff(col_edges) >= 1).all()


@given(SIDES, SIDES, st.integers(60, 4000), st.integers(60, 4000))
def test_pad_takes_the_largest_block_with_the_pictures_proportions(rows, cols, height, width):
    grid = fit_grid((rows, cols), height, width, fit="pad")
    assert grid.picture_rows == rows or grid.picture_cols == cols
    ideal = (rows, min(cols, rows * width / height))
    if grid.picture_cols == cols:
        ideal = (min(rows, cols * height / width), cols)
    assert abs(grid.picture_rows - ideal[0]) <= 1
    assert abs(grid.picture_cols - ideal[1]) <= 1


def test_pad_prohibits_what_the_picture_does_not_cover():
    grid = fit_grid((20, 10), 400, 320, fit="pad")
    assert (grid.picture_rows, grid.picture_cols) == (12, 10)
    prohibited = grid.prohibited()
    assert not prohibited[:12].any()
    assert prohibited[12:].all()
    assert grid.picture_cells().tolist() == list(range(120))


def test_stretch_prohibits_nothing():
    assert not fit_grid((20, 10), 100, 999, fit="stretch").prohibited().any()


@pytest.mark.parametrize(
    ("size", "height", "width", "expected"),
    [
        ((40, 20), 100, 200, (20, 40)),
        ((40, 20), 200, 100, (40, 20)),
        ((20, 40), 200, 100, (40, 20)),
        ((40, 20), 100, 100, (40, 20)),
    ],
)
def test_auto_lays_the_longer_side_along_the_pictures(size, height, width, expected):
    assert orient_grid(size, height, width) == expected
    assert orient_grid(size, height, width, "fixed") == size


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_grid_finer_than_the_picture_is_refused(fit):
    with pytest.raises(GridError, match="finer than the picture"):
        fit_grid((200, 100), 50, 60, fit=fit)


@pytest.mark.parametrize("size", [(0, 3), (3, -1), (2.5, 3), (1, 2, 3)])
def test_sizes_that_are_no_sizes_are_refused(size):
    with pytest.raises(SettingError, match="grid must be"):
        fit_grid(size, 100, 100)


def test_a_picture_larger_than_its_grid_is_refused():
    with pytest.raises(GridError):
        Grid(2, 2, 3, 2)
