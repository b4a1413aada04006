"""What was computed before, found again by its content.

An environment is often made many times over the same picture. The world it needs depends on the
picture's content and on a few settings, so both are hashed, and equal content shares one world.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from fractions import Fraction
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["MEMORY", "Memory", "content_digest", "content_key"]

T = TypeVar("T")


def content_digest(array: NDArray[Any]) -> str:
    """Hash an array's shape, dtype and bytes: equal digests mean equal content."""
    digest = hashlib.blake2b(repr((array.shape, array.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def content_key(**parts: object) -> str:
    """Name a result by everything that it depends on, whole values included.

    Args:
        parts: numbers, texts, arrays, objects with a ``digest``, dataclasses (every field that
            counts in their equality), and sequences and mappings of these, whose order counts.

    Raises:
        TypeError: a part whose content cannot be hashed.
    """
    text = json.dumps(_content(parts))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _content(value: object) -> object:
    """Return what JSON can write of a value's content."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Fraction):
        return ["Fraction", str(value)]
    if isinstance(value, np.ndarray):
        return ["array", content_digest(value)]
    if isinstance(value, list | tuple):
        return [_content(one) for one in value]
    if isinstance(value, Mapping):
        return ["mapping", [[_content(key), _content(one)] for key, one in value.items()]]
    kind = type(value).__qualname__
    digest = getattr(value, "digest", None)
    if isinstance(digest, str):
        return [kind, digest]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        counted = [one.name for one in dataclasses.fields(value) if one.compare]
        return [kind, [[name, _content(getattr(value, name))] for name in counted]]
    raise TypeError(f"the content of {kind} cannot be hashed")


def _size(value: object) -> int:
    """Return the bytes that the arrays of a value take."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(_size(one) for one in value.values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return sum(_size(getattr(value, one.name)) for one in dataclasses.fields(value))
    return 0


class Memory:
    """Results held in memory, bounded in size; what was used longest ago goes first.

    Results are shared by everyone who asks for them, so they must not be changed.

    Args:
        limit: bytes that the arrays of all results may take; a larger result is not held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self._total = 0
        self._lock = Lock()

    def recall(self, key: str, make: Callable[[], T]) -> T:
        """Return the result with a key, made first if it is not held.

        Args:
            key: name of the result, from ``content_key``.
            make: function that computes it.
        """
        found = self.find(key)
        if found is None:
            found = make()
            self.keep(key, found)
        return cast(T, found)

    def find(self, key: str) -> object | None:
        """Return the result with a key, or ``None`` if it is not held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def keep(self, key: str, result: object) -> None:
        """Hold a result, and let go of older ones to make room for it."""
        size = _size(result)
        if size > self.limit:
            return
        with self._lock:
            self._total += size - self._held.pop(key, (None, 0))[1]
            self._held[key] = (result, size)
            while self._total > self.limit:
                self._total -= self._held.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._held.clear()
            self._total = 0


MEMORY = Memory(512 * 2**20)
"""Activation maps and worlds of this process."""
