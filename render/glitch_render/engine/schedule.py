"""In which order work on pixels is done, and what of it at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled

__all__ = ["Section", "at_once", "in_order"]

Section = tuple[list[NDArray[np.int64]], NDArray[np.int64]]
"""Parts of the list of work that can be done at once, and then what needs plain functions."""


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


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "glitch-replay")


if hasattr(os, "register_at_fork"):
    # A forked child has no threads of its parent's, and would wait for them for ever
    os.register_at_fork(after_in_child=_workers.cache_clear)

_Part = TypeVar("_Part")


def at_once(do: Callable[[_Part], None], parts: Sequence[_Part]) -> None:
    """Do parts of work on all cores, the last of them in this thread."""
    others = [_workers().submit(do, part) for part in parts[:-1]]
    do(parts[-1])
    for other in others:
        other.result()
