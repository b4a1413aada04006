"""The runner: tasks on an engine, with tries, whatever is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

from glitch_gym.errors import EngineError, GlitchError
from glitch_render.parallel.engines import Engine
from glitch_render.parallel.worker import call

__all__ = ["Task", "run_tasks"]

_TRIES = 3


@dataclass(frozen=True)
class Task:
    """A piece of work that can be done anywhere, and done again without harm.

    Args:
        name: name of the task in messages.
        function: ``module:function`` below ``glitch_render``.
        arguments: arguments of a few bytes.
        size: how long it takes, in any unit; the longest are started first.
    """

    name: str
    function: str
    arguments: tuple[Any, ...]
    size: float = 1.0


@dataclass
class _State:
    """What is still to be done."""

    engine: Engine
    executor: Executor
    coming: Iterator[Task]
    waiting: list[tuple[Task, int]]
    running: dict[Future[Any], tuple[Task, int]]
    losses: int = 0

    def submit(self) -> bool:
        """Submit a task; return whether there was one, and room for it."""
        if len(self.running) >= self.engine.window:
            return False
        if not self.waiting:
            following = next(self.coming, None)
            if following is None:
                return False
            self.waiting.append((following, 1))
        task, tries = self.waiting[-1]
        future = self.executor.submit(
            call, task.function, task.arguments, not self.engine.shares_disk
        )
        self.waiting.pop()
        self.running[future] = (task, tries)
        return True

    def renew(self, error: BaseException) -> None:
        """Replace a broken executor; whatever it had not finished waits again."""
        self.losses += 1
        if not self.engine.renews or self.losses > _TRIES:
            raise EngineError(
                f"{self.engine.name}: the workers were lost {self.losses} times in a row, the last "
                f"time with {type(error).__name__}: {error}"
            ) from error
        self.waiting.extend(reversed(self.running.values()))
        self.running.clear()
        self.engine.close(self.executor)
        self.executor = self.engine.open()


def run_tasks(
    tasks: Iterable[Task],
    engine: Engine,
    done: Callable[[Task, Any], None],
    *,
    failed: Callable[[Task, BaseException], None] | None = None,
    tries: int = _TRIES,
) -> None:
    """Run tasks on an engine, each up to three times.

    Args:
        tasks: tasks in any order, of which the longest are started first; or an iterator that
            yields each as soon as it can be done, while those before it are running.
        engine: where they run.
        done: called with each task and its result, in order of completion, in this thread.
        failed: called with a task whose last try failed, and its error; by default the error is
            raised, and everything else is dropped.
        tries: how often a task is tried. The loss of a worker counts as none of them as long as
            other tasks go on finishing.

    Raises:
        EngineError: the workers are lost again and again.
        KeyboardInterrupt: Ctrl-C; tasks that are not finished are dropped.
    """
    if isinstance(tasks, Sequence):
        tasks = sorted(tasks, key=lambda task: -task.size)
    state = _State(engine, engine.open(), iter(tasks), [], {})
    try:
        while True:
            try:
                submitted = state.submit()
            except Exception as error:
                if not engine.is_lost(error):
                    raise
                state.renew(error)
                continue
            if submitted:
                over = {future for future in state.running if future.done()}
            elif state.running:
                over, _ = wait(state.running, return_when=FIRST_COMPLETED)
            else:
                return
            _collect(state, over, done, failed, tries)
    finally:
        engine.close(state.executor)


def _collect(
    state: _State,
    over: set[Future[Any]],
    done: Callable[[Task, Any], None],
    failed: Callable[[Task, BaseException], None] | None,
    tries: int,
) -> None:
    """Take the results of futures that are over."""
    lost: BaseException | None = None
    for future in over:
        task, tried = state.running[future]
        error: BaseException | None
        try:
            error = future.exception()
        except BaseException as cancelled:
            error = cancelled
        if error is not None and state.engine.is_lost(error):
            lost = error
            continue
        del state.running[future]
        if error is None:
            state.losses = 0
            done(task, future.result())
        elif not isinstance(error, Exception):
            raise error
        elif tried < tries and not _is_final(error):
            state.waiting.append((task, tried + 1))
        elif failed is not None:
            failed(task, error)
        else:
            raise error
    if lost is not None:
        state.renew(lost)


def _is_final(error: Exception) -> bool:
    """Return whether another try would fail in the same way."""
    return isinstance(error, GlitchError) and not isinstance(error, EngineError)
