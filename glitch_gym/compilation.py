"""How this project compiles its inner loops: one set of Numba options, with types kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar, cast

import numba

__all__ = ["compiled", "inlined"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with Numba, cached on disk, without the GIL.

    Fast-math stays off: re-associated sums would make results depend on the machine.
    """
    compile_it = partial(numba.njit, nogil=True, error_model="numpy")
    try:
        return cast(Callable[P, R], compile_it(cache=True)(function))
    except RuntimeError:
        # No folder can be written to, neither ours nor the user's: compiled anew in each process
        return cast(Callable[P, R], compile_it()(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each compiled caller, where a call would cost more than its work.

    A call that passes arrays counts references to each of them, with atomic operations.
    """
    return cast(
        Callable[P, R], numba.njit(nogil=True, error_model="numpy", inline="always")(function)
    )
