"""Write files: never overwrite a user's file unasked, and never leave a partial file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from glitch_gym.errors import Hint, OutputError

__all__ = ["check_target", "write_bytes", "write_error"]

_File = tuple[int, int]
"""Device and inode of a file, equal for all of its names, links and spellings."""


def check_target(
    path: str | Path,
    *,
    suffixes: Iterable[str] | None = None,
    sources: Iterable[str | Path] = (),
    force: bool = False,
    hint: Hint | None = None,
) -> None:
    """Check that an output can and may be written, before any work is done.

    Args:
        path: path of the output.
        suffixes: allowed suffixes in lower case; ``""`` allows a folder. All by default.
        sources: input files. None of them is ever overwritten, whether it is named directly, by a
            link or in another spelling.
        force: whether an existing output may be replaced.
        hint: hint to attach to the error if the suffix is wrong.

    Raises:
        OutputError: the suffix is not allowed, the folder does not exist, or the path is an input,
            is not a regular file, or exists while ``force`` is false.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffixes is not None and suffix not in (allowed := tuple(suffixes)):
        raise OutputError(
            f"cannot write {target.name!r}: {_wanted(allowed)}", hint=hint, path=str(target)
        )
    try:
        if not target.parent.is_dir():
            raise OutputError(
                f"the output's folder does not exist: {target.parent}", path=str(target)
            )
        # A dangling link exists as well
        mode = target.lstat().st_mode
        if stat.S_ISLNK(mode) and target.exists():
            mode = target.stat().st_mode
        if suffixes is not None and suffix == "":
            _check_folder(target, mode, sources, force)
        else:
            _check_file(target, mode, sources, force)
    except FileNotFoundError:
        return
    except OSError as error:
        raise write_error(target, error) from error


def _wanted(suffixes: tuple[str, ...]) -> str:
    named = [suffix for suffix in suffixes if suffix]
    folder = ", or none for a folder of pictures" if "" in suffixes else ""
    return f"its suffix must be {'one of ' * (len(named) > 1)}{', '.join(named)}{folder}"


def _check_file(target: Path, mode: int, sources: Iterable[str | Path], force: bool) -> None:
    if stat.S_ISDIR(mode):
        raise OutputError(f"{target} is a folder", path=str(target))
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise OutputError(f"{target} is a pipe or a device, not a file", path=str(target))
    if _identity(target) in {_identity(source) for source in sources} - {None}:
        raise OutputError(
            f"the output is the input: {target}; choose another name", path=str(target)
        )
    if not force:
        raise OutputError(f"{target} already exists", hint=Hint.FORCE, path=str(target))


def _check_folder(target: Path, mode: int, sources: Iterable[str | Path], force: bool) -> None:
    if not stat.S_ISDIR(mode):
        raise OutputError(
            f"{target} is a file: add a suffix, or choose another name", path=str(target)
        )
    with os.scandir(target) as entries:
        names = [entry.name for entry in entries]
    if not names:
        return
    read = [Path(source) for source in sources]
    here = _identity(target)
    around = {
        _identity(folder)
        for source in read
        for folder in (source, source.parent, Path(os.path.realpath(source)).parent)
        if _identity(source) is not None
    }
    inside = {_identity(target / name) for name in names}
    if here in around or inside & ({_identity(source) for source in read} - {None}):
        raise OutputError(
            f"the output is the input: the folder {target} holds input files; choose another one",
            path=str(target),
        )
    if not force:
        raise OutputError(f"the folder {target} is not empty", hint=Hint.FORCE, path=str(target))


def _identity(path: str | Path) -> _File | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def write_bytes(output: Path, content: bytes, *, sync: bool = True, private: bool = False) -> None:
    """Write a temporary file beside the target, then move it into place.

    Args:
        output: path of the target.
        content: content of the file.
        sync: flush to disk before the move, so that not even a power cut leaves a partial file.
        private: make the file readable only by its owner.

    Raises:
        OutputError: the disk is full, or the folder is not writable; nothing is left behind.
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
        if not private:
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
    """Set the permissions of a temporary file, private by default, to those of any new file."""
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)


def write_error(output: Path, error: OSError) -> OutputError:
    """Return an error that explains why a file cannot be written."""
    reason = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "the disk is read-only",
        errno.ENAMETOOLONG: "the name is too long for the file system",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {output}: {reason}", path=str(output))
