"""Files in: regular files only, and never more of one than is wanted.

A pipe, a socket or a device can block for ever or never end, so that nothing but a regular file is
opened, whatever its name says.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from glitch_gym.errors import GlitchError

__all__ = [
    "LARGEST_TEXT",
    "check_file",
    "is_folder",
    "is_regular",
    "open_file",
    "read_text",
    "with_article",
]

LARGEST_TEXT = 1 << 20
"""Bytes of the largest text, such as a recipe or a script, that is read."""

_REASONS = {
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "its links lead round in circles",
}
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(
    path: str | Path, what: str = "file", *, error: type[GlitchError] = GlitchError
) -> BinaryIO:
    """Open a regular file for reading, without ever waiting for anything.

    Args:
        path: of the file.
        what: the file is to be, for messages, such as ``"recipe"``.
        error: to raise.

    Raises:
        GlitchError: as the given class; the file is missing, not a regular file, or not to be
            read by this account.
    """
    try:
        # Asked before it is opened, since opening alone does something to some devices
        _check_kind(path, os.stat(path).st_mode, what, error)  # noqa: PTH116
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{what} not found: {path}", path=str(path)) from None
    except PermissionError:
        raise error(f"no permission to read {path}", path=str(path)) from None
    except ValueError as cause:
        if isinstance(cause, GlitchError):
            raise
        # A name with a zero byte in it, which no file has
        raise error(f"{what} not found: {path}", path=str(path)) from None
    except OSError as cause:
        reason = _REASONS.get(cause.errno or 0, cause.strerror or str(cause))
        raise error(f"cannot read {path}: {reason}", path=str(path)) from None
    try:
        _check_kind(path, os.fstat(handle).st_mode, what, error)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def with_article(what: str) -> str:
    """Return a noun with its article, such as "an episode"."""
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _check_kind(path: str | Path, mode: int, what: str, error: type[GlitchError]) -> None:
    if stat.S_ISREG(mode):
        return
    found = "a folder" if stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")
    raise error(f"{path} is {found}, not {with_article(what)}", path=str(path))


def check_file(
    path: str | Path, what: str = "file", *, error: type[GlitchError] = GlitchError
) -> int:
    """Refuse what ``open_file`` would refuse, for a library that opens files by their names.

    Returns:
        the size of the file in bytes.

    Raises:
        GlitchError: as of ``open_file``.
    """
    with open_file(path, what, error=error) as file:
        return os.fstat(file.fileno()).st_size


def is_folder(path: str | Path) -> bool:
    """Return whether a path leads to a folder; one that no file can have does not."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def is_regular(path: str | Path) -> bool:
    """Return whether a path leads to a regular file, without opening it."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def read_text(
    path: str | Path,
    what: str,
    *,
    limit: int = LARGEST_TEXT,
    error: type[GlitchError] = GlitchError,
) -> str:
    """Read a small text file in UTF-8.

    Args:
        path: of the file.
        what: the file is to be, for messages.
        limit: of its size, in bytes.
        error: to raise.

    Raises:
        GlitchError: as the given class; the file cannot be opened, is larger than the limit, or
            is not text.
    """
    with open_file(path, what, error=error) as file:
        try:
            content = file.read(limit + 1)
        except OSError as cause:
            raise error(f"cannot read {path}: {cause.strerror or cause}", path=str(path)) from None
    if len(content) > limit:
        raise error(
            f"{path} is too large for {with_article(what)}: it has more than {limit:,} bytes",
            path=str(path),
        )
    try:
        # As open() would give it: the line ends of every system are one character
        return content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise error(f"{path} is not a text file that can be read", path=str(path)) from None
