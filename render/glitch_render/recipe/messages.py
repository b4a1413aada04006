"""Messages for validation errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MOST_PROBLEMS", "UNKNOWN", "shortened"]


MOST_PROBLEMS = 20


_LONGEST_SHOWN = 60


UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


_WORDED = ("effect", "effects", "layers", "learner", "own_learner", "path")
"""Types of errors whose message already contains the value."""


def error_message(error: Any) -> str:
    """Return our message for one of pydantic's errors."""
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "is missing"
    if kind in UNKNOWN:
        return "is not a known setting"
    if kind == "string_unicode":
        return "is not UTF-8, so that no recipe can hold it: rename the file"
    message = str(error["msg"])
    for prefix in ("Value error, ", "Input "):
        message = message.removeprefix(prefix)
    if kind not in _WORDED and not isinstance(given, Mapping | list):
        message += f", not {shortened(repr(given))}"
    return message


def shortened(text: str) -> str:
    """Return a text, cut off if it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
