"""Engines: where work runs, on this machine or on many.

Every engine gives an executor of the standard library's ``concurrent.futures``: loky on this
machine, Ray and Dask on clusters, or any other that a function returns (Slurm by submitit, MPI,
Parsl). Nothing else in the package knows them apart.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from glitch_gym.errors import MissingExtraError, SettingError
from glitch_render.parallel.worker import start_worker

__all__ = ["Engine", "as_engine", "inline_engine", "local_engine", "open_engine"]

_DASK_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss|inproc)://\S+")
_RAY_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}")
_FORMS = "auto, ray, ray:HOST:PORT, dask:tcp://HOST:PORT or module:function"


@dataclass(frozen=True)
class Engine:
    """Where work runs.

    Args:
        name: name of the engine in messages.
        open: function that returns a new executor.
        close: function that ends an executor at once; unfinished work is dropped.
        lost: errors of a task whose worker was lost, besides those of a broken executor.
        renews: whether a broken executor can be replaced by calling ``open`` again.
        shares_disk: whether its workers are known to see the same files.
        window: number of tasks that it holds at a time.
    """

    name: str
    open: Callable[[], Executor]
    close: Callable[[Executor], None]
    lost: tuple[type[BaseException], ...] = ()
    renews: bool = True
    shares_disk: bool = False
    window: int = 2000

    def is_lost(self, error: BaseException) -> bool:
        """Return whether an error means that a worker is gone, rather than that its work failed."""
        return isinstance(error, (BrokenExecutor, CancelledError, *self.lost))


class _Inline(Executor):
    """Does its work in this thread, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def inline_engine() -> Engine:
    """Return the engine that works in this thread, one task after another."""
    return Engine("this process", _Inline, lambda _: None, shares_disk=True, window=1)


def _drop(executor: Executor) -> None:
    try:
        executor.shutdown(wait=False, cancel_futures=True)
    except TypeError:
        # Executors older than that argument; what has not begun is dropped with its futures
        executor.shutdown(wait=False)


def local_engine(jobs: int) -> Engine:
    """Return the engine of this machine: processes of loky, started afresh, never forked.

    Args:
        jobs: number of processes.

    Raises:
        SettingError: no processes.
    """
    if jobs < 1:
        raise SettingError(f"the number of jobs must be 1 or more, not {jobs}")

    def open_local() -> Executor:
        from loky import ProcessPoolExecutor

        threads = max(1, (os.cpu_count() or 1) // jobs)
        return ProcessPoolExecutor(max_workers=jobs, initializer=start_worker, initargs=(threads,))  # type: ignore[no-any-return]

    def close(executor: Any) -> None:
        executor.shutdown(wait=True, kill_workers=True)

    return Engine(f"{jobs} processes", open_local, close, shares_disk=True)


def as_engine(executor: Executor | Engine) -> Engine:
    """Return an engine of one's own executor, which is neither closed nor replaced."""
    if isinstance(executor, Engine):
        return executor
    return Engine(type(executor).__name__, lambda: executor, lambda _: None, renews=False)


def open_engine(text: str) -> Engine:
    """Return the engine that a text names.

    Args:
        text: ``auto`` (the environment's ``RAY_ADDRESS``, else ``DASK_SCHEDULER_ADDRESS``),
            ``ray``, ``ray:HOST:PORT``, ``dask:tcp://HOST:PORT``, or ``module:function``, a
            function without arguments that returns an executor.

    Raises:
        SettingError: the text names no engine, or its function fails.
        MissingExtraError: the engine is not installed.
    """
    if text == "auto":
        return _from_environment()
    kind, _, rest = text.partition(":")
    if kind == "ray":
        return _ray_engine(rest)
    if kind == "dask":
        return _dask_engine(rest)
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return _engine_of_function(text)
    raise SettingError(f"{text!r} is no cluster: write {_FORMS}")


def _from_environment() -> Engine:
    ray, dask = os.environ.get("RAY_ADDRESS"), os.environ.get("DASK_SCHEDULER_ADDRESS")
    if ray:
        return _ray_engine("")
    if dask:
        return _dask_engine(dask)
    raise SettingError(
        "no cluster is set: RAY_ADDRESS and DASK_SCHEDULER_ADDRESS are both empty; name one: "
        f"{_FORMS.removeprefix('auto, ')}"
    )


@dataclass(frozen=True)
class _RayFunctions(Executor):
    """Ray's remote functions as an executor.

    Ray's own joblib back end runs on actors and does not survive the loss of a worker; a remote
    function is started again elsewhere.
    """

    ray: Any
    refs: dict[Future[Any], Any] = field(default_factory=dict)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        remote = self.ray.remote(fn).options(num_cpus=1, max_retries=3)
        ref = remote.remote(*args, **kwargs)
        future: Future[Any] = ref.future()
        self.refs[future] = ref
        future.add_done_callback(lambda done: self.refs.pop(done, None))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for ref in list(self.refs.values()):
                self.ray.cancel(ref, force=True)
        self.ray.shutdown()


def _ray_engine(address: str) -> Engine:
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address.startswith(("ray://", "//")):
        raise SettingError(
            "Ray's client (ray://) is not meant for long work: start the program on the cluster "
            "with `ray job submit`, or set RAY_ADDRESS to HOST:PORT of its head"
        )
    if address and address != "auto" and not _RAY_ADDRESS.fullmatch(address):
        raise SettingError(f"{address!r} is no address of Ray's: write HOST:PORT")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("Ray is not installed: pip install 'glitch-gym[ray]'") from error

    def open_ray() -> Executor:
        try:
            ray.init(
                address=address or None, log_to_driver=False, logging_level=logging.ERROR,
                include_dashboard=False,
                ignore_reinit_error=True,
            )  # fmt: skip
        except Exception as error:
            raise SettingError(f"cannot reach Ray at {address or 'auto'}: {error}") from error
        return _RayFunctions(ray)

    errors = ray.exceptions
    lost = (
        errors.WorkerCrashedError, errors.NodeDiedError, errors.RayActorError,
        errors.OutOfMemoryError, errors.TaskCancelledError, errors.RaySystemError,
        errors.ObjectLostError,
    )  # fmt: skip
    return Engine("Ray", open_ray, _drop, lost=lost)


def _dask_engine(address: str) -> Engine:
    address = address or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if not _DASK_ADDRESS.fullmatch(address):
        raise SettingError(f"{address!r} is no address of Dask's: write dask:tcp://HOST:PORT")
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("Dask is not installed: pip install 'glitch-gym[dask]'") from error

    def open_dask() -> Executor:
        try:
            client = distributed.Client(address, timeout="20s", set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise SettingError(f"cannot reach Dask at {address}: {error}") from error
        executor = client.get_executor(pure=False, retries=3)
        executor.client = client
        return executor  # type: ignore[no-any-return]

    def close(executor: Any) -> None:
        # Closing the client lets go of its futures, and the scheduler drops their work
        executor.shutdown(wait=False)
        executor.client.close(timeout=5)

    return Engine("Dask", open_dask, close, lost=(distributed.KilledWorker,))


def _engine_of_function(text: str) -> Engine:
    name, _, attribute = text.partition(":")
    # As with `python -m`, modules in the working folder count; installed ones come first
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        function = importlib.import_module(name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise SettingError(f"cannot load {text}: {error}") from error

    def open_own() -> Executor:
        try:
            made = function()  # type: ignore[operator]
        except Exception as error:
            raise SettingError(f"{text} failed: {type(error).__name__}: {error}") from error
        if not callable(getattr(made, "submit", None)):
            raise SettingError(f"{text} returned {type(made).__name__}, which is no executor")
        return made  # type: ignore[no-any-return]

    return Engine(text, open_own, partial(_drop))
