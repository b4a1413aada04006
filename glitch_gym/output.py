"""Files out: nothing of the user's is written over unasked, and no half file is left behind."""

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
"""Device and number of a file: what its names, links and spellings have in common."""


def check_target(
    path: str | Path,
    *,
    suffixes: Iterable[str] | None = None,
    sources: Iterable[str | Path] = (),
    force: bool = False,
    hint: Hint | None = None,
) -> None:
    """Refuse an output that cannot or must not be written, before any work is done.

    Args:
        path: where the output is to go.
        suffixes: it may have, in lower case; ``""`` among them allows a folder. By default any.
        sources: the files that are read. None of them is ever written over, whatever it is called:
            links and other spellings are the same file.
        force: whether what is already there may be replaced.
        hint: what would help where the suffix is wrong.

    Raises:
        OutputError: another suffix, no such folder, a source, something that is not a regular
            file, or something that is already there while ``force`` is false.
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
        # A link that leads nowhere is there as well
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
            f"the output is the input: {target}; give it another name", path=str(target)
        )
    if not force:
        raise OutputError(f"{target} exists already", hint=Hint.FORCE, path=str(target))


def _check_folder(target: Path, mode: int, sources: Iterable[str | Path], force: bool) -> None:
    if not stat.S_ISDIR(mode):
        raise OutputError(f"{target} is a file: give a suffix, or another name", path=str(target))
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
            f"the output is the input: the folder {target} holds what is read; give another folder",
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
    """Write a file beside its target, then move it into place.

    Args:
        output: the target.
        content: all of the file.
        sync: see it on the disk before the move, so that not even a power cut leaves half of it.
        private: let no other account read it.

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
    """Return a temporary file, which is its owner's alone, the permissions of any new file."""
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
        errno.ENAMETOOLONG: "the name is too long for the file system",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {output}: {reason}", path=str(output))
