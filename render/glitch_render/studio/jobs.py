"""Jobs: work in a thread of its own that says how far it is, and can be stopped."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

from glitch_render.progress import OnProgress, Progress

__all__ = ["Job", "Stopped"]

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The work was stopped before it was over."""


class Job(Generic[T]):
    """Work that has been started.

    Args:
        work: called in the job's thread with the callback that it reports to; that callback raises
            ``Stopped`` once the job is to stop.
    """

    def __init__(self, work: Callable[[OnProgress], T]) -> None:
        self._work = work
        self._stop = Event()
        self._over = Event()
        self._outcome: T | None = None
        self._error: BaseException | None = None
        self._progress = Progress("")
        self._since = (time.monotonic(), 0)
        # A daemon, so that no work can keep a stopped program alive
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._work(self._report)
        except BaseException as error:
            # A traceback would keep what the work had open: frames, containers and their threads
            traceback.clear_frames(error.__traceback__)
            self._error = error.with_traceback(None)
            error.__context__ = None
        finally:
            del self._work
            self._over.set()

    def _report(self, now: Progress) -> None:
        if self._stop.is_set():
            raise Stopped
        if now.stage != self._progress.stage:
            self._since = (time.monotonic(), now.done)
        self._progress = now

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
    def progress(self) -> Progress:
        """How far the work has come."""
        return self._progress

    @property
    def time_left(self) -> float | None:
        """Seconds that the stage will take, by how fast it has been."""
        now = self._progress
        began, first = self._since
        if now.total is None or now.done <= first:
            return None
        return (now.total - now.done) * (time.monotonic() - began) / (now.done - first)
