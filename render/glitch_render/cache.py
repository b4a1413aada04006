"""The cache: activations, reward fields and Q-tables that were computed before.

Entries are ``.npz`` files without pickle under the user's cache folder, named by a digest of all
that they depend on, our own code included. Each is written beside its place and moved there, so
that two processes do not disturb each other; a damaged one is found by its checksums and made
again. What was used longest ago goes first when the cache grows beyond its size.

The folder may be one that the user named, so that nothing in it is touched unless it is proven to
be the cache's own: the folder carries our tag, and belongs to this account; the file lies in the
folder of a kind, is a regular file, is named like an entry, and begins like one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import ArrayFileError, OutputError, SettingError
from glitch_gym.input import open_file
from glitch_gym.memory import Memory, content_key
from glitch_gym.npz import encode_arrays, read_arrays
from glitch_gym.output import write_bytes

__all__ = ["Cache", "Kept", "Kind", "cache_key", "code_digest", "user_cache"]

Kind = Literal["activation", "look", "reward", "table"]
"""Kinds of entries; each has a folder of its own."""

Arrays = Mapping[str, NDArray[Any]]

_log = logging.getLogger("glitch_gym")
_FOLDER = "GLITCH_GYM_CACHE"
_SIZE = "GLITCH_GYM_CACHE_SIZE"
_DEFAULT_LIMIT = 2 * 1024**3
_SUFFIX = ".npz"
_ENTRY = re.compile(r"[0-9a-f]{40}\.npz|\.[0-9a-f]{40}-\w{8}\.part")
# The tag of https://bford.info/cachedir, by which programs for backups know a cache
_TAG = "CACHEDIR.TAG"
_TAGGED = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This folder is the cache of glitch-gym; `glitch-gym cache clear` empties it.\n"
)
# The first array of each entry has this name, which stands near the beginning of the file
_SIGNATURE = "glitch-gym"
_BEGINS = b"PK\3\4", 30, f"{_SIGNATURE}.npy".encode()
_OWN_FOLDER = "glitch-gym"
_MOST_IN_MEMORY = 64 * 2**20


@lru_cache(maxsize=1)
def code_digest() -> str:
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


def cache_key(**parts: object) -> str:
    """Name an entry by everything that it depends on, our own code included.

    Arguments and errors are those of ``content_key``.
    """
    return content_key(code=code_digest(), **parts)


@dataclass(frozen=True)
class Kept:
    """Number of entries of a kind, and their size in bytes."""

    entries: int
    size: int


class Cache:
    """A folder of entries, bounded in size, with those used last in memory as well.

    Arrays that come out of it are shared, and so read-only.

    Args:
        folder: folder of the entries, made when the first one is written. One that holds anything
            else stays as it is: the cache is then a folder ``glitch-gym`` in it.
        limit: size of the folder in bytes; what was used longest ago goes first.
    """

    def __init__(self, folder: Path, limit: int = _DEFAULT_LIMIT) -> None:
        self.folder = folder if _is_ours(folder) or _is_free(folder) else folder / _OWN_FOLDER
        self.limit = limit
        self._memory = Memory(_MOST_IN_MEMORY)
        self._warned = False

    def recall(self, kind: Kind, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return an entry's arrays, or make and keep them.

        Args:
            kind: kind of the entry.
            key: name of the entry, from ``cache_key``.
            make: function that computes the arrays if they are missing or damaged.
        """
        found = self.find(kind, key)
        if found is None:
            found = make()
            self.keep(kind, key, found)
        return found

    def find(self, kind: Kind, key: str) -> Arrays | None:
        """Return an entry's arrays if it is there and whole."""
        held = self._memory.find(f"{kind}/{key}")
        if held is not None:
            return cast(Arrays, held)
        path = self._path(kind, key)
        mode = _mode(path)
        if mode is None or not _is_ours(self.folder) or not _is_folder(path.parent):
            return None
        try:
            if not stat.S_ISREG(mode):
                raise ArrayFileError(f"{path} is no regular file")
            # Entries are not compressed, so that none may claim more than its own size
            arrays = read_arrays(path, "entry of the cache", limit=path.stat().st_size)
            if arrays.pop(_SIGNATURE, None) is None:
                raise ArrayFileError(f"another program wrote {path}")
            os.utime(path)
        except (OSError, MemoryError, ArrayFileError) as error:
            if _mode(path) is not None:
                _log.warning("an entry of the cache is computed again: %s", error)
            return None
        self._hold(kind, key, arrays)
        return arrays

    def _hold(self, kind: Kind, key: str, arrays: Arrays) -> None:
        """Hold arrays in memory, from now on read-only."""
        for array in arrays.values():
            array.setflags(write=False)
        self._memory.keep(f"{kind}/{key}", arrays)

    def keep(self, kind: Kind, key: str, arrays: Arrays) -> None:
        """Keep arrays; if the disk does not take them, warn once and go on."""
        self._hold(kind, key, {name: array.copy() for name, array in arrays.items()})
        path = self._path(kind, key)
        try:
            self._prepare(path.parent)
            if stat.S_ISREG(_mode(path) or stat.S_IFREG):
                signed = {_SIGNATURE: np.array(1), **arrays}
                write_bytes(path, encode_arrays(signed, compressed=False), sync=False, private=True)
                self._make_room()
        except (OSError, OutputError) as error:
            if not self._warned:
                _log.warning("the cache takes nothing more, so nothing is kept: %s", error)
            self._warned = True

    def _prepare(self, folder: Path) -> None:
        """Make the folder of a kind, and that of the cache with its tag.

        Raises:
            OSError: a folder cannot be made.
            OutputError: a folder is there that is not ours.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if _is_free(self.folder):
            (self.folder / _TAG).write_bytes(_TAGGED)
        if not _is_ours(self.folder):
            raise OutputError(f"{self.folder} is not a cache of glitch-gym for this account")
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_folder(folder):
            raise OutputError(f"{folder} is a link")

    def _path(self, kind: Kind, key: str) -> Path:
        return self.folder / kind / f"{key}{_SUFFIX}"

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the files named like entries of ours; whether they are is checked before use."""
        if not _is_ours(self.folder):
            return
        for kind in get_args(Kind):
            folder = self.folder / kind
            if not _is_folder(folder):
                continue
            for path in folder.iterdir():
                # Another process may have thrown it out since
                try:
                    found = path.lstat()
                except OSError:
                    continue
                if _ENTRY.fullmatch(path.name) and stat.S_ISREG(found.st_mode):
                    yield path, found

    def _make_room(self) -> None:
        entries = list(self._entries())
        total = sum(found.st_size for _, found in entries)
        for path, found in sorted(entries, key=lambda one: one[1].st_mtime_ns):
            if total <= self.limit:
                return
            _throw_out(path)
            # A foreign one that stays is no reason to throw out more of ours
            total -= found.st_size

    def kept(self) -> dict[str, Kept]:
        """Return the number and size of entries by kind."""
        counted: dict[str, Kept] = {}
        for path, found in self._entries():
            if path.suffix == _SUFFIX and _begins_like_an_entry(path):
                before = counted.get(path.parent.name, Kept(0, 0))
                counted[path.parent.name] = Kept(before.entries + 1, before.size + found.st_size)
        return dict(sorted(counted.items()))

    def clear(self) -> int:
        """Delete all entries, and return the number of bytes that they took."""
        self._memory.clear()
        return sum(found.st_size for path, found in list(self._entries()) if _throw_out(path))


def _mode(path: Path) -> int | None:
    """Return the mode at a path, links not followed, or ``None`` if nothing is there."""
    try:
        return path.lstat().st_mode
    except (OSError, ValueError):
        return None


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself, not a link to one."""
    return stat.S_ISDIR(_mode(path) or 0)


def _is_free(folder: Path) -> bool:
    """Return whether a folder may become a cache: it holds at most the beginning of our tag."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
        if names == [_TAG]:
            return _TAGGED.startswith(_tag_of(folder))
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        # What it is will be told when something is to be kept in it
        return not os.path.lexists(folder) or not folder.is_dir()
    return not names


def _is_ours(folder: Path) -> bool:
    """Return whether a folder carries our tag and belongs to this account."""
    try:
        owner = folder.stat().st_uid
        return owner == getattr(os, "geteuid", lambda: owner)() and _tag_of(folder) == _TAGGED
    except (OSError, ValueError):
        return False


def _tag_of(folder: Path) -> bytes:
    """Return the content of a folder's tag.

    Raises:
        OSError, ValueError: it is missing, a link, or unreadable.
    """
    if not stat.S_ISREG((folder / _TAG).lstat().st_mode):
        raise ValueError("a link")
    with open_file(folder / _TAG) as file:
        return file.read(len(_TAGGED) + 1)


def _begins_like_an_entry(path: Path) -> bool:
    magic, place, name = _BEGINS
    try:
        with open_file(path) as file:
            start = file.read(place + len(name))
    except (OSError, ValueError):
        return False
    # Of an entry that was cut off by a crash nothing may be left
    return not start or (start.startswith(magic) and start[place:] == name)


def _throw_out(path: Path) -> bool:
    """Delete a file if it is an entry, and return whether it was deleted."""
    if not _begins_like_an_entry(path):
        return False
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _size_limit() -> int:
    text = os.environ.get(_SIZE, "").strip()
    if not text:
        return _DEFAULT_LIMIT
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1].upper() in units else (text, 1)
    if not number.isdecimal():
        raise SettingError(f"{_SIZE} is {text!r}; write a size such as 500M or 2G")
    return int(number) * unit


def user_cache() -> Cache:
    """Open the user's cache.

    Its folder is the system's for caches, or that of the variable ``GLITCH_GYM_CACHE`` (a folder
    ``glitch-gym`` in it, where it holds anything else); its size 2 GiB, or that of
    ``GLITCH_GYM_CACHE_SIZE`` (such as ``500M``).

    Raises:
        SettingError: the variable for the size holds no size.
    """
    given = os.environ.get(_FOLDER)
    if given:
        folder = Path(given)
    else:
        from platformdirs import user_cache_path

        folder = user_cache_path("glitch-gym", appauthor=False)
    return Cache(folder, _size_limit())
