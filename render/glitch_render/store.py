"""The store: activations, reward fields and Q-tables that were computed before.

Entries are ``.npz`` files without pickle under the user's cache folder, named by a digest of all
that they depend on, our own code included. Each is written beside its place and moved there, so
that two processes do not disturb each other; a damaged one is found by its checksums and made
again. What was used longest ago goes first when the store grows over its size.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import OutputError, SettingError
from glitch_gym.output import write_bytes

__all__ = ["Kept", "Store", "key_of", "user_store"]

Arrays = Mapping[str, NDArray[Any]]

_log = logging.getLogger("glitch_gym")
_FOLDER = "GLITCH_GYM_CACHE"
_SIZE = "GLITCH_GYM_CACHE_SIZE"
_DEFAULT_LIMIT = 2 * 1024**3
_SUFFIX = ".npz"


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Hash the code that entries come from: what another version computed is not used."""
    digest = hashlib.blake2b(digest_size=16)
    for package in ("glitch_gym", "glitch_agents", "glitch_render"):
        pending = [resources.files(package)]
        found: dict[str, bytes] = {}
        while pending:
            for entry in pending.pop().iterdir():
                if entry.is_dir():
                    pending.append(entry)
                elif entry.name.endswith(".py"):
                    found[str(entry)] = entry.read_bytes()
        for name in sorted(found):
            digest.update(found[name])
    return digest.hexdigest()


def key_of(**parts: Any) -> str:
    """Name an entry by all that it depends on: numbers, texts, and lists and tables of them."""
    text = json.dumps([_code_digest(), parts], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Kept:
    """How many entries of a kind the store has, and their size in bytes."""

    entries: int
    size: int


class Store:
    """A folder of entries, bounded in size.

    Args:
        folder: made when the first entry is written.
        limit: in bytes; what was used longest ago goes first.
    """

    def __init__(self, folder: Path, limit: int = _DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._warned = False

    def recall(self, kind: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Give an entry's arrays, or make and keep them.

        Args:
            kind: such as ``"table"``; a folder of the store.
            key: from ``key_of``.
            make: computes the arrays where they are not there, or damaged.
        """
        found = self.find(kind, key)
        if found is None:
            found = make()
            self.keep(kind, key, found)
        return found

    def find(self, kind: str, key: str) -> Arrays | None:
        """Give an entry's arrays if it is there and whole."""
        path = self._path(kind, key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("a damaged entry of the cache is computed again: %s (%s)", path, error)
            return None
        return arrays

    def keep(self, kind: str, key: str, arrays: Arrays) -> None:
        """Keep arrays; where the disk does not take them, say so once and go on."""
        buffer = io.BytesIO()
        # Typed as if the first array might be meant for another parameter
        np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, buffer.getvalue(), sync=False)
            self._make_room()
        except (OSError, OutputError) as error:
            if not self._warned:
                _log.warning("the cache takes nothing more, so nothing is kept: %s", error)
            self._warned = True

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}{_SUFFIX}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.folder.glob("*/*"):
            # Another process may have thrown it out since
            try:
                found.append((path, path.stat()))
            except OSError:
                continue
        return found

    def _make_room(self) -> None:
        files = self._files()
        total = sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda one: one[1].st_mtime_ns):
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size

    def kept(self) -> dict[str, Kept]:
        """Count what is there, by kind."""
        counted: dict[str, Kept] = {}
        for path, stat in self._files():
            if path.suffix == _SUFFIX:
                before = counted.get(path.parent.name, Kept(0, 0))
                counted[path.parent.name] = Kept(before.entries + 1, before.size + stat.st_size)
        return dict(sorted(counted.items()))

    def clear(self) -> int:
        """Throw everything out; gives the number of bytes."""
        freed = 0
        for path, stat in self._files():
            path.unlink(missing_ok=True)
            freed += stat.st_size
        return freed


def _size_limit() -> int:
    text = os.environ.get(_SIZE, "").strip()
    if not text:
        return _DEFAULT_LIMIT
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1].upper() in units else (text, 1)
    if not number.isdecimal():
        raise SettingError(f"{_SIZE} is {text!r}; write a size such as 500M or 2G")
    return int(number) * unit


def user_store() -> Store:
    """Open the user's store.

    Its folder is the system's for caches, or that of the variable ``GLITCH_GYM_CACHE``; its size
    2 GiB, or that of ``GLITCH_GYM_CACHE_SIZE`` (such as ``500M``).

    Raises:
        SettingError: the variable for the size is no size.
    """
    given = os.environ.get(_FOLDER)
    if given:
        folder = Path(given)
    else:
        from platformdirs import user_cache_path

        folder = user_cache_path("glitch-gym", appauthor=False)
    return Store(folder, _size_limit())
