"""Undo and redo: what was, what is, and what was undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["History"]

T = TypeVar("T")

_LONGEST = 500


@dataclass
class History(Generic[T]):
    """A value with what it was before.

    Args:
        now: the value.
    """

    now: T
    _before: list[T] = field(default_factory=list, init=False)
    _after: list[T] = field(default_factory=list, init=False)
    _touched: str = field(default="", init=False)

    def put(self, value: T, touched: str = "") -> None:
        """Take a new value; what was undone is forgotten.

        Args:
            value: to be had.
            touched: what was changed. Changes of one and the same thing, such as those on a
                slider's way, are one step of ``undo``; nothing is the same as ``""``.
        """
        if value == self.now:
            return
        if not (touched and touched == self._touched):
            self._before.append(self.now)
            del self._before[:-_LONGEST]
        self._after.clear()
        self.now, self._touched = value, touched

    def settle(self) -> None:
        """Let the next change be a step of its own, whatever it touches."""
        self._touched = ""

    @property
    def can_undo(self) -> bool:
        """Whether anything can be undone."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether anything can be done again."""
        return bool(self._after)

    def undo(self) -> T:
        """Go a step back, if there is one; gives the value."""
        if self._before:
            self._after.append(self.now)
            self.now = self._before.pop()
            self._touched = ""
        return self.now

    def redo(self) -> T:
        """Do again what was undone, if anything was; gives the value."""
        if self._after:
            self._before.append(self.now)
            self.now = self._after.pop()
            self._touched = ""
        return self.now
