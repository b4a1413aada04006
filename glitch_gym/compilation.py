"""Compile inner loops with one set of Numba options, preserving types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import event

__all__ = ["borrowing", "compiled", "inlined", "when_compiling"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with Numba, cached on disk, without the GIL.

    Fast-math stays off, since reassociated sums would make results depend on the machine.
    """
    return _cached(partial(numba.njit, nogil=True, error_model="numpy"), function)


def borrowing(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates no memory, and therefore needs no reference counting.

    The function borrows its array arguments. A function compiled by ``compiled`` counts a reference
    to each array, with an atomic operation, whenever a tuple of arrays is passed on or unpacked.
    """
    return _cached(partial(numba.njit, nogil=True, error_model="numpy", _nrt=False), function)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each compiled caller, where a call would cost more than its work.

    A call with arrays passes all of their fields, and in callers compiled by ``compiled`` also
    counts references to each array, with atomic operations.
    """
    return cast(
        Callable[P, R], numba.njit(nogil=True, error_model="numpy", inline="always")(function)
    )


def _cached(compile_it: Callable[..., Any], function: Callable[P, R]) -> Callable[P, R]:
    try:
        return cast(Callable[P, R], compile_it(cache=True)(function))
    except RuntimeError:
        # No cache folder is writable, so each process compiles again
        return cast(Callable[P, R], compile_it()(function))


class _FirstCompilation(event.Listener):
    """Calls a function at the first compilation, and never again."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: Any) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def when_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call a function once if anything is compiled, rather than loaded from disk, in the block."""
    with event.install_listener("numba:compile", _FirstCompilation(tell)):
        yield
