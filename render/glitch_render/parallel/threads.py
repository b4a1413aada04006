"""How many threads a process computes in; results never depend on it."""

from __future__ import annotations

import os

__all__ = ["limit_threads", "usable_cores"]

_VARIABLE = "GLITCH_GYM_THREADS"


def usable_cores() -> int:
    """Return the number of threads to compute in.

    It is the environment's ``GLITCH_GYM_THREADS`` where that is a number above 0, and that of the
    cores otherwise.
    """
    cores = os.cpu_count() or 1
    wanted = os.environ.get(_VARIABLE, "")
    return min(cores, int(wanted)) if wanted.isdecimal() and int(wanted) > 0 else cores


def limit_threads(threads: int) -> None:
    """Limit the threads of this process and of those that it starts, before its first work."""
    os.environ[_VARIABLE] = str(threads)
