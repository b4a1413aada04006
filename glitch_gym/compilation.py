"""How this project compiles its inner loops: one set of Numba options, with types kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import numba

__all__ = ["borrowing", "compiled", "inlined"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with Numba, cached on disk, without the GIL.

    Fast-math stays off: re-associated sums would make results depend on the machine.
    """
    return _cached(partial(numba.njit, nogil=True, error_model="numpy"), function)


def borrowing(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates no memory, and so counts no references.

    It borrows the arrays that it is given. A function of ``compiled`` counts a reference to each,
    with an atomic operation, whenever a tuple of arrays is passed on or unpacked.
    """
    return _cached(partial(numba.njit, nogil=True, error_model="numpy", _nrt=False), function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each compiled caller, where a call would cost more than its work.

    A call that passes arrays passes all their fields, and in callers of ``compiled`` counts
    references to each of them, with atomic operations.
    """
    return cast(
        Callable[P, R], numba.njit(nogil=True, error_model="numpy", inline="always")(function)
    )


def _cached(compile_it: Callable[..., Any], function: Callable[P, R]) -> Callable[P, R]:
    try:
        return cast(Callable[P, R], compile_it(cache=True)(function))
    except RuntimeError:
        # No folder can be written to, neither ours nor the user's: compiled anew in each process
        return cast(Callable[P, R], compile_it()(function))
