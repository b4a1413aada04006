"""Print errors and warnings as lines on standard error, and set the exit code."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from glitch_gym.errors import GlitchError

__all__ = ["said_plainly"]


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


_ADVICE = {
    "FORCE": "give --force to replace it",
    "RESUME": "continue with --resume",
    "DURATION": "give --duration",
    "PREVIEW": "write one frame as a picture with --preview",
    "WEIGHTS": "provide a file with --weights",
    "OTHER_PORT": "choose another port with --port",
    "LEARNER": "pass it with --learner module:Class",
    "TRUST_PATHS": "allow it with --trust-paths",
}
"""Advice for each ``Hint``, by name, in terms of command-line options."""


def _with_advice(error: GlitchError) -> str:
    """Return an error's message, followed by the advice for its hint."""
    return f"{error}; {_ADVICE[error.hint.name]}" if error.hint is not None else str(error)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Print errors that a user can act on as one line, and exit with code 1."""
    from glitch_gym.errors import GlitchError, is_interrupt

    handler = _Warnings()
    logging.getLogger("glitch_gym").addHandler(handler)
    usual = warnings.showwarning
    try:
        warnings.showwarning = _show_warning
        yield
    except GlitchError as error:
        _fail(_with_advice(error))
    except (KeyboardInterrupt, SystemError) as error:
        if not is_interrupt(error):
            raise
        kept = getattr(error, "kept", 0)
        more = f"; {error}: continue with --resume" if kept else ""
        typer.echo(f"stopped{more}", err=True)
        raise typer.Exit(130) from None
    except MemoryError:
        _fail("not enough memory for a picture and recipe of this size")
    finally:
        logging.getLogger("glitch_gym").removeHandler(handler)
        warnings.showwarning = usual


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Print a warning, such as one about a broken plug-in, as one line."""
    from glitch_gym.errors import legible

    typer.echo(legible(f"warning: {message}"), err=True)


class _Warnings(logging.Handler):
    """Print the library's log records, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        from glitch_gym.errors import legible

        typer.echo(legible(f"{record.levelname.lower()}: {record.getMessage()}"), err=True)
