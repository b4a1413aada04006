"""Files out: never half a file under the output's name."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from glitch_gym.errors import OutputError

__all__ = ["write_bytes", "write_error"]


def write_bytes(output: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file beside its target, then move it into place.

    Args:
        output: the target.
        content: all of the file.
        sync: see it on the disk before the move, so that not even a power cut leaves half of it.

    Raises:
        OutputError: the disk is full, or the folder does not take the file; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{output.stem[:40]}-", suffix=".part", dir=output.parent
        )
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        _allow_as_usual(temporary)
        temporary.replace(output)
        temporary = None
    except OSError as error:
        raise write_error(output, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _allow_as_usual(temporary: Path) -> None:
    """Give a temporary file, which is its owner's alone, the permissions of any new file."""
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)


def write_error(output: Path, error: OSError) -> OutputError:
    """Say in plain words why a file cannot be written."""
    reason = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "the disk is read-only",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {output}: {reason}")
