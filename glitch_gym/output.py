"""Files out: never half a file under the output's name."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from glitch_gym.errors import OutputError

__all__ = ["write_bytes"]


def write_bytes(output: Path, content: bytes) -> None:
    """Write a file beside its target, then move it into place.

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
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(output)
        temporary = None
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EACCES: "no permission to write there",
            errno.EROFS: "the disk is read-only",
        }.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {output}: {reason}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
