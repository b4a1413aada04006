"""Schedule operations: what they need, their order, and what can run in parallel."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled
from glitch_render.effects import Effect, Op, Trait
from glitch_render.engine.symbols import (
    ACTION,
    APPLY,
    CALL,
    CELL,
    DRAW,
    GREY,
    KIND,
    LEVEL,
    LOW,
    MEAN,
    MIX,
    OP,
    OTHER,
    PIECE,
    REGISTER,
    SHOWN_BIT,
    TINT,
    VARIANT,
    plane_of,
)
from glitch_render.parallel.threads import usable_cores

__all__ = ["WORTH_SHARING", "Section", "plan_sections", "row_bands", "run_parallel", "survey"]

WORTH_SHARING = 250_000
"""Number of pixels from which sharing work among cores pays off; a tenth for heavy effects."""

_MANY_LEVELS = 8
"""Number of levels above which operations are ordered by row instead, if possible."""


@dataclass(frozen=True, eq=False)
class Section:
    """Operations that run after those of the previous section.

    Args:
        parts: places of operations; the parts can run in parallel.
        calls: places of operations that call plain functions, run after the parts.
    """

    parts: list[NDArray[np.int64]]
    calls: NDArray[np.int64]


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), "glitch-replay")


if hasattr(os, "register_at_fork"):
    # A forked child has none of its parent's threads, and would wait for them forever
    os.register_at_fork(after_in_child=_workers.cache_clear)

_Part = TypeVar("_Part")


def run_parallel(do: Callable[[_Part], None], parts: Sequence[_Part]) -> None:
    """Call a function with each part of the work on all cores, the last one in this thread."""
    others = [_workers().submit(do, part) for part in parts[:-1]]
    do(parts[-1])
    for other in others:
        other.result()


def row_bands(n_rows: int) -> list[int]:
    """Return the first row of each core's share of the rows, followed by the end."""
    cores = usable_cores()
    return [n_rows * core // cores for core in range(cores + 1)]


@compiled
def survey(
    symbols: NDArray[np.int64],
    rows: NDArray[np.int32],
    operands: NDArray[np.int64],
    planes: NDArray[np.int64],
    n_planes: int,
) -> tuple[NDArray[np.bool_], bool, bool, int, int]:
    """Return what symbols and operations will need.

    Args:
        symbols: int64 (n_cells,).
        rows: int32 (n_ops, fields), the operations.
        operands: int64 (n_ops, 2), their operands.
        planes: int64 (n_actions,), number of the plane of each action's effect.
        n_planes: number of planes, the frame included.

    Returns:
        whether each plane is needed, the first being the frame; whether a piece of the frame is
        painted elsewhere; whether colours must be resolved; the number of cells that the output
        does not show yet; and the plane that all cells together show unchanged, or 0.
    """
    whole = plane_of(symbols[0])
    as_whole = PIECE | (whole << (VARIANT + 1))
    shown = np.zeros(n_planes, np.bool_)
    moved = unresolved = False
    unshown = 0
    for cell in range(symbols.shape[0]):
        symbol = symbols[cell]
        kind = symbol & KIND
        # The highest bit in use: shifted down, it is 1 where the output shows the cell
        unshown += 1 - (symbol >> SHOWN_BIT)
        if symbol != as_whole | cell:
            whole = 0
        if kind == PIECE:
            plane = plane_of(symbol)
            shown[plane] = True
            moved |= plane == 0 and symbol & LOW != cell
        elif kind == MEAN:
            shown[plane_of(symbol)] = True
            unresolved = True
        elif kind == REGISTER:
            unresolved = True
    for place in range(rows.shape[0]):
        kind = rows[place, OP]
        if kind == CALL:
            # An effect without a plane receives the frame's pixels
            shown[planes[rows[place, ACTION]]] = True
        elif kind in (DRAW, TINT, MIX):
            for operand in range(2):
                symbol = operands[place, operand]
                if symbol & KIND == MEAN or symbol & KIND == PIECE:
                    shown[plane_of(symbol)] = True
    return shown, moved, unresolved, unshown, whole


@compiled
def _in_order(rows: NDArray[np.int32], n_cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort operations by level, and within each level by cell.

    Returns:
        the order, and where in it each level from 0 begins, followed by the end.
    """
    count = rows.shape[0]
    n_levels = 1
    by_cell = np.zeros(n_cells + 1, np.int64)
    for place in range(count):
        n_levels = max(n_levels, rows[place, LEVEL] + 1)
        # Operations on registers have register numbers here, which may exceed the cells
        by_cell[min(rows[place, CELL], n_cells - 1) + 1] += 1
    for cell in range(n_cells):
        by_cell[cell + 1] += by_cell[cell]
    half = np.empty(count, np.int64)
    for place in range(count):
        cell = min(rows[place, CELL], n_cells - 1)
        half[by_cell[cell]] = place
        by_cell[cell] += 1
    begins = np.zeros(n_levels + 1, np.int64)
    for place in range(count):
        begins[rows[place, LEVEL] + 1] += 1
    for level in range(n_levels):
        begins[level + 1] += begins[level]
    at = begins.copy()
    order = np.empty(count, np.int64)
    for sorted_by_cell in range(count):
        level = rows[half[sorted_by_cell], LEVEL]
        order[at[level]] = half[sorted_by_cell]
        at[level] += 1
    return order, begins


def _by_row(
    rows: NDArray[np.int32], grid_cols: int, bands: Sequence[int]
) -> list[NDArray[np.int64]] | None:
    """Divide operations by the row of their cell, or return ``None`` if rows depend on each other.

    Independent rows are processed one after another, each in order of time, which keeps their
    pixels in the cache.
    """
    cell_rows = rows[:, CELL : OTHER + 1] // grid_cols
    kinds = rows[:, OP]
    local = (kinds == APPLY) | (kinds == DRAW) | (kinds == GREY)
    if not local.all() or (cell_rows[:, 0] != cell_rows[:, 1]).any():
        return None
    by_row = np.argsort(cell_rows[:, 0].astype(np.int16), kind="stable")
    return np.split(by_row, np.searchsorted(cell_rows[by_row, 0], bands[1:-1]))


def plan_sections(
    rows: NDArray[np.int32],
    effects: Sequence[Effect],
    *,
    grid_cols: int,
    n_cells: int,
    worth_sharing: int,
    bands: Sequence[int],
) -> list[Section]:
    """Divide operations into sections, sharing wide levels among all cores.

    Args:
        rows: int32 (n_ops, fields), the operations.
        effects: effects of the layer.
        grid_cols: columns of the grid.
        n_cells: cells of the grid.
        worth_sharing: number of operations from which sharing among cores pays off.
        bands: first row of each core's share of the rows of cells, followed by the end.
    """
    order, begins = _in_order(rows, n_cells)
    none = order[:0]
    if len(begins) > _MANY_LEVELS:
        parts = _by_row(rows, grid_cols, bands)
        if parts is not None:
            return [Section(parts, none)]
    cores = len(bands) - 1
    heavy = any(Trait.HEAVY in effect.traits for effect in effects)
    wide = max(2 * cores, worth_sharing // (10 if heavy else 1))
    if all(Trait.LIGHT in effect.traits for effect in effects):
        wide = len(order) + 1
    has_calls = any(effect.op is Op.CALL for effect in effects)
    sections: list[Section] = []
    begun = 0
    for begin, end in itertools.pairwise(begins.tolist()):
        if not has_calls and end - begin < wide:
            continue
        if begin > begun:
            sections.append(Section([order[begun:begin]], none))
        begun = end
        level = order[begin:end]
        # Cut between rows of cells, since neighbours in a row are processed as one
        cell_rows = rows[level, CELL] // grid_cols
        shares = np.arange(1, cores) * len(level) // cores
        cuts = np.searchsorted(cell_rows, cell_rows[shares]) if len(level) >= wide else shares[:0]
        calls = level[rows[level, OP] == CALL] if has_calls else none
        sections.append(Section(np.split(level, cuts), calls))
    if begun < len(order):
        sections.append(Section([order[begun:]], none))
    return sections
