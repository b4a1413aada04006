"""Encoders that put themselves before everything else that a machine does, put back in line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usual_priority"]


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """Keep the threads of this process, and what they start, at the priority that they have.

    SVT-AV1, opened by the administrator, switches the thread that opens it to the real-time policy
    at its highest priority, for good, and its own threads with it. Whatever that thread starts
    later inherits it: a few such processes that wait for others keep all cores busy for minutes.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if policy not in (os.SCHED_FIFO, os.SCHED_RR):
            for thread in _threads():
                # A thread can end meanwhile
                with contextlib.suppress(OSError):
                    if os.sched_getscheduler(thread) == os.SCHED_FIFO:
                        os.sched_setscheduler(thread, policy, parameters)


def _threads() -> list[int]:
    """Return the threads of this process, or the present one where the system does not tell."""
    try:
        return [int(one.name) for one in Path("/proc/self/task").iterdir()]
    except OSError:
        return [0]
