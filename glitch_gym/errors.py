"""Errors that a user can act on.

The hierarchy:

* ValueError

  * GlitchError

    * PictureError: a picture or clip cannot be read
    * GridError: a grid does not fit the picture
    * SettingError: a setting or a name is invalid

      * ArrayFileError: a file of arrays cannot be read
      * UnknownSettingError: a setting does not exist; a TypeError, too

    * RecipeError: a recipe is invalid
    * ScriptError: a script is invalid
    * MissingExtraError: an optional library is missing
    * WeightsError: a file of weights cannot be used
    * OutputError: the output cannot be written

``GlitchError`` is the one class to catch. The command line prints any of them as one line and exits
with code 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ArrayFileError",
    "EngineError",
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
    "UnknownSettingError",
    "WeightsError",
    "is_interrupt",
    "legible",
    "unknown_name_error",
]

_LONGEST_WORD, _LONGEST_LINE, _MOST_LINES = 200, 600, 40
_LONGEST_NAME = 60


class Hint(Enum):
    """What would resolve an error, worded by the command line and the studio for their users.

    The library's own messages never mention command-line options, since they appear elsewhere too.
    """

    FORCE = "replace the existing output"
    RESUME = "resume from the finished frames"
    DURATION = "set for how many seconds a still is shown"
    PREVIEW = "write a single frame as a picture"
    WEIGHTS = "provide a weights file"
    OTHER_PORT = "choose another port"
    LEARNER = "pass the learner by hand"
    TRUST_PATHS = "allow the recipe to open its files"


class GlitchError(ValueError):
    """The input was wrong; the message says what to do about it.

    Args:
        message: what was wrong, and where.
        hint: what would resolve the error, for the interface to word.
        path: path of the file concerned, if any.
    """

    def __init__(self, message: str, *, hint: Hint | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path

    def __str__(self) -> str:
        """Return the message in readable form, even if it contains very long names or values."""
        return legible(super().__str__())


class PictureError(GlitchError):
    """A picture is missing, unreadable, damaged, or of a kind that is not supported."""


class GridError(GlitchError):
    """A grid does not fit the picture."""


class SettingError(GlitchError):
    """A setting is out of range, or a name is unknown."""


class ArrayFileError(SettingError):
    """A file of arrays, such as an episode or a Q-table, is missing, damaged or of another kind."""


class UnknownSettingError(SettingError, TypeError):
    """A setting does not exist.

    It is what Python raises for an unknown keyword argument, in Python's words: libraries such as
    TorchRL offer an environment more settings than it may have, and withdraw what it refuses.
    """


class ScriptError(GlitchError):
    """A script is invalid."""


@dataclass(frozen=True)
class Problem:
    """One problem in a recipe.

    Args:
        message: description of the problem, with the path of the setting.
        line: line of the recipe's text, from 1; ``None`` without a text.
    """

    message: str
    line: int | None = None


class RecipeError(GlitchError):
    """A recipe is missing, malformed, or has unknown or invalid settings.

    Args:
        message: the whole message.
        problems: the individual problems, where known.
        hint: what would resolve the error, for the interface to word.
        path: path of the file concerned, if any.
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
    """A library from an optional extra is missing or broken."""


class WeightsError(GlitchError):
    """A weights file is missing, unreadable, or made for another network."""


class EngineError(GlitchError):
    """The processes or machines that work was given to failed, not the work."""


class OutputError(GlitchError):
    """The output cannot be written."""


def legible(message: str) -> str:
    """Return a message that neither floods nor garbles a terminal.

    Overlong words and lines are shortened in the middle, excess lines are replaced by their number,
    and control characters are escaped.
    """
    lines = message.split("\n")
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES
        lines = [*lines[:_MOST_LINES], f"  … and {more:,} more lines"]
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
    """Return a text, shortened in the middle if it is longer than the limit."""
    if len(text) <= limit:
        return text
    kept = (limit - 1) // 2
    return f"{text[:kept]}…{text[-kept:]}"


def unknown_name_error(kind: str, name: str, known: Iterable[str]) -> SettingError:
    """Return the error for an unknown name, with the closest known one or all of them.

    Args:
        kind: what the name denotes, such as ``"effect"``.
        name: the unknown name.
        known: all valid names.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return SettingError(f"unknown {kind} {shown!r}: {hint}")


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused an error, since the loading of compiled code wraps it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
