"""What a worker does before its work; imports nothing heavy.

A task is a function's name and arguments of a few bytes, so that a worker imports the function's
module only once its process is set up.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

from glitch_render.parallel.threads import limit_threads

__all__ = ["call", "start_worker"]


def start_worker(threads: int) -> None:
    """Set up a process of this machine.

    Args:
        threads: number of threads that the process may compute in.
    """
    limit_threads(threads)
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches the whole terminal; the parent decides what ends
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _use_own_numba_cache() -> None:
    """Keep what Numba compiles on this machine's own disk.

    Two machines that write one cache on a shared disk can read each other's half-written files,
    or code of another processor.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    here = f"{Path(__file__).resolve()}:{platform.processor()}:{platform.python_version()}"
    name = f"glitch-gym-numba-{os.getuid()}" if hasattr(os, "getuid") else "glitch-gym-numba"
    folder = Path(tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or folder.is_symlink()):
            return
    except OSError:
        return
    digest = hashlib.blake2b(here.encode(), digest_size=8).hexdigest()
    os.environ["NUMBA_CACHE_DIR"] = str(folder / digest)


def call(function: str, arguments: tuple[Any, ...], own_cache: bool) -> Any:
    """Call a function of this package by its name.

    Args:
        function: ``module:function``, the module below ``glitch_render``.
        arguments: its arguments.
        own_cache: keep Numba's cache on the worker's own disk.

    Raises:
        ValueError: a name outside this package.
    """
    module, _, name = function.partition(":")
    if not module.startswith("glitch_render."):
        raise ValueError(f"{function} is no work of this package")
    if own_cache:
        _use_own_numba_cache()
    return getattr(importlib.import_module(module), name)(*arguments)
