"""Jobs: work in a thread of its own that says how far it is, and can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

__all__ = ["Job", "Report", "Stopped"]

T = TypeVar("T")

Report = Callable[[str, int, int | None], None]
"""Called by the work with a stage, what is done, and of how much; raises ``Stopped``."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The work was stopped before it was over."""


class Job(Generic[T]):
    """Work that has been started.

    Args:
        work: called in the job's thread, with what to report to.
    """

    def __init__(self, work: Callable[[Report], T]) -> None:
        self._work = work
        self._stop = Event()
        self._over = Event()
        self._outcome: T | None = None
        self._error: BaseException | None = None
        self._stage: tuple[str, int, int | None] = ("", 0, None)
        self._since = (time.monotonic(), 0)
        # A daemon, so that no work can keep a stopped program alive
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._work(self._report)
        except BaseException as error:
            self._error = error
        finally:
            self._over.set()

    def _report(self, stage: str, done: int, total: int | None) -> None:
        if self._stop.is_set():
            raise Stopped
        if stage != self._stage[0]:
            self._since = (time.monotonic(), done)
        self._stage = (stage, done, total)

    def stop(self) -> None:
        """Ask the work to stop at its next report."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the work is over; says whether it is."""
        return self._over.wait(seconds)

    def result(self) -> T:
        """Return what came of it.

        Raises:
            Stopped: it was stopped.
            Exception: what the work raised.
        """
        self._over.wait()
        if self._error is not None:
            raise self._error
        return self._outcome  # type: ignore[return-value]

    @property
    def stage(self) -> tuple[str, int, int | None]:
        """How far it is: the stage, what is done, and of how much where that is known."""
        return self._stage

    @property
    def time_left(self) -> float | None:
        """Seconds that the stage will take, by how fast it has been."""
        _, done, total = self._stage
        began, first = self._since
        if total is None or done <= first:
            return None
        return (total - done) * (time.monotonic() - began) / (done - first)
