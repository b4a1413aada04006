"""Undo and redo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["History"]

T = TypeVar("T")

_LONGEST = 500


@dataclass
class History(Generic[T]):
    """A value with its earlier and its undone states.

    Args:
        now: the present value.
    """

    now: T
    _before: list[T] = field(default_factory=list, init=False)
    _after: list[T] = field(default_factory=list, init=False)
    _touched: str = field(default="", init=False)

    def put(self, value: T, touched: str = "") -> None:
        """Set a new value, and forget what was undone.

        Args:
            value: the new value.
            touched: name of what was changed. Consecutive changes of the same thing, such as those
                of a moving slider, are one step of ``undo``; ``""`` is never the same.
        """
        if value == self.now:
            return
        if not (touched and touched == self._touched):
            self._before.append(self.now)
            del self._before[:-_LONGEST]
        self._after.clear()
        self.now, self._touched = value, touched

    def settle(self) -> None:
        """Make the next change a step of its own, whatever it touches."""
        self._touched = ""

    @property
    def can_undo(self) -> bool:
        """Whether anything can be undone."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether anything can be redone."""
        return bool(self._after)

    def undo(self) -> T:
        """Go a step back, if possible, and return the value."""
        if self._before:
            self._after.append(self.now)
            self.now = self._before.pop()
            self._touched = ""
        return self.now

    def redo(self) -> T:
        """Restore the last undone value, if any, and return the value."""
        if self._after:
            self._before.append(self.now)
            self.now = self._after.pop()
            self._touched = ""
        return self.now
