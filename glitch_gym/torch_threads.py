"""How many threads torch uses: one while a result must not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["one_torch_thread"]

# Torch keeps one number for the whole process. Without the lock, a job could save the 1 of another
# as the number to restore, or have it raised again in the middle of a sum
_lock = threading.RLock()


@contextmanager
def one_torch_thread(torch: Any) -> Iterator[None]:
    """Let torch compute in one thread, one caller at a time; restore its number of threads after.

    Sums that are split over threads differ in their last bits, and small matrices are faster
    without the split.

    Args:
        torch: the module, which is imported late.
    """
    with _lock:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
