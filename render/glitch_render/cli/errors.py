"""Errors and warnings as lines of the program, with exit codes."""

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
    "FORCE": "give --force to write over it",
    "RESUME": "go on with --resume",
    "DURATION": "give --duration",
    "PREVIEW": "write one frame as a picture with --preview",
    "WEIGHTS": "give a file with --weights",
    "OTHER_PORT": "choose another port with --port",
    "LEARNER": "give it with --learner module:Class",
    "TRUST_PATHS": "allow it with --trust-paths",
}
"""What the command line's options do for each ``Hint``, by its name."""


def _with_advice(error: GlitchError) -> str:
    """Return an error's message, with the option that would help."""
    return f"{error}; {_ADVICE[error.hint.name]}" if error.hint is not None else str(error)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn errors that a person can act on into a line and exit code 1."""
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
        more = f"; {error}: go on with --resume" if kept else ""
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
    """Show a warning, such as that of a broken plug-in, as a line of the program."""
    from glitch_gym.errors import legible

    typer.echo(legible(f"warning: {message}"), err=True)


class _Warnings(logging.Handler):
    """Shows what the library logs as lines of the program."""

    def emit(self, record: logging.LogRecord) -> None:
        from glitch_gym.errors import legible

        typer.echo(legible(f"{record.levelname.lower()}: {record.getMessage()}"), err=True)
