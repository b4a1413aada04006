"""The errors that a person can act on.

``GlitchError`` is the one class to catch; each subclass says which part of the input was wrong.
The command line turns every one of them into a single line and exit code 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ArrayFileError",
    "GlitchError",
    "GridError",
    "Hint",
    "MissingExtraError",
    "OutputError",
    "PictureError",
    "Problem",
    "RecipeError",
    "ScriptError",
    "SettingError",
    "WeightsError",
    "is_interrupt",
    "legible",
    "unknown_name_error",
]

_LONGEST_WORD, _LONGEST_LINE, _MOST_LINES = 200, 600, 40
_LONGEST_NAME = 60


class Hint(Enum):
    """What would help against an error; the command line and the studio word it each in their way.

    A message of the library names no option of the command line, since it is read elsewhere too.
    """

    FORCE = "replace what is already there"
    RESUME = "go on with the frames that are finished"
    DURATION = "say for how many seconds a still is shown"
    PREVIEW = "write one frame as a picture"
    WEIGHTS = "give a file of weights"
    OTHER_PORT = "choose another port"
    LEARNER = "give the learner by hand"
    TRUST_PATHS = "allow the files that the recipe names"


class GlitchError(ValueError):
    """Something in the input was wrong, and the message says what to do about it.

    Args:
        message: what was wrong and where.
        hint: what would help, for a face to put in its own words.
        path: the file that the message is about, where there is one.
    """

    def __init__(self, message: str, *, hint: Hint | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path

    def __str__(self) -> str:
        """Return the message as a person can read it, however long a name or value in it is."""
        return legible(super().__str__())


class PictureError(GlitchError):
    """A picture is missing, unreadable, damaged, or of a kind that is not supported."""


class GridError(GlitchError):
    """A grid does not fit the picture."""


class SettingError(GlitchError):
    """A setting is out of its range or its name is not known."""


class ArrayFileError(SettingError):
    """A file of arrays, such as an episode or a Q-table, is missing, damaged, or a foreign one."""


class ScriptError(GlitchError):
    """A script says what cannot be."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe.

    Args:
        message: with the path of the setting.
        line: of its text, from 1; ``None`` where there is no text.
    """

    message: str
    line: int | None = None


class RecipeError(GlitchError):
    """A recipe has fields that are unknown or of the wrong type.

    Args:
        message: all of it.
        problems: one by one, where they are told apart.
        hint: what would help.
        path: the file that the message is about.
    """

    def __init__(
        self,
        message: str,
        problems: tuple[Problem, ...] = (),
        *,
        hint: Hint | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, path=path)
        self.problems = problems


class MissingExtraError(GlitchError):
    """A library that belongs to an optional extra is missing or broken."""


class WeightsError(GlitchError):
    """A file of network weights is missing, unreadable, or made for another network."""


class OutputError(GlitchError):
    """The output cannot be written where it should go."""


def legible(message: str) -> str:
    """Return a message with nothing in it that floods or garbles a terminal.

    Words and lines that are too long keep their ends, what follows too many lines is counted, and
    control characters are written as escapes.
    """
    lines = message.split("\n")
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES
        lines = [*lines[:_MOST_LINES], f"  … and {more:,} lines more"]
    return "\n".join(_legible_line(line) for line in lines)


def _legible_line(line: str) -> str:
    if not line.isprintable():
        line = "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode() for one in line
        )
    if len(line) > _LONGEST_WORD:
        line = re.sub(r"\S+", lambda found: _shortened(found[0], _LONGEST_WORD), line)
    return _shortened(line, _LONGEST_LINE)


def _shortened(text: str, limit: int) -> str:
    """Return a text, its middle left out where it is longer than the limit."""
    if len(text) <= limit:
        return text
    kept = (limit - 1) // 2
    return f"{text[:kept]}…{text[-kept:]}"


def unknown_name_error(kind: str, name: str, known: Iterable[str]) -> SettingError:
    """Return the error for a name that is not known, with the nearest known ones.

    Args:
        kind: what the name stands for, such as ``"effect"``.
        name: the name that was given.
        known: every name that would have been right.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return SettingError(f"unknown {kind} {shown!r}: {hint}")


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: compiled code that is being loaded wraps it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
