"""Read files: regular files only, up to a size limit.

A pipe, a socket or a device can block forever or never end, so only regular files are opened,
whatever their names suggest.
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
"""Size limit of a text file, such as a recipe or a script, in bytes."""

_REASONS = {
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "its links form a loop",
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
    """Open a regular file for reading, without ever blocking.

    Args:
        path: path of the file.
        what: what the file should be, for messages, such as ``"recipe"``.
        error: class of the error to raise.

    Raises:
        GlitchError: the file is missing, not a regular file, or not readable by this account;
            raised as the given class.
    """
    try:
        # Checked before opening, since merely opening some devices has effects
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
        # The name contains a zero byte
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
    found = (
        "a folder" if stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "not a regular file")
    )
    raise error(f"{path} is {found}, not {with_article(what)}", path=str(path))


def check_file(
    path: str | Path, what: str = "file", *, error: type[GlitchError] = GlitchError
) -> int:
    """Run the checks of ``open_file``, for libraries that open files by name.

    Returns:
        size of the file in bytes.

    Raises:
        GlitchError: as for ``open_file``.
    """
    with open_file(path, what, error=error) as file:
        return os.fstat(file.fileno()).st_size


def is_folder(path: str | Path) -> bool:
    """Return whether a path leads to a folder; an impossible path does not."""
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
        path: path of the file.
        what: what the file should be, for messages.
        limit: largest size in bytes.
        error: class of the error to raise.

    Raises:
        GlitchError: the file cannot be opened, is larger than the limit, or is not text; raised
            as the given class.
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
