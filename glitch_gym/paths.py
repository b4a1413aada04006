"""Paths that a recipe may name: an ordinary file on this machine, and nothing else."""

from __future__ import annotations

import posixpath
import re

__all__ = ["path_problem"]

_SYSTEM_FOLDERS = ("/dev", "/proc", "/sys")
_WINDOWS_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³]) *(\..*|:.*)?", re.IGNORECASE
)


def path_problem(path: str) -> str | None:
    """Return why no recipe may name a path, or ``None`` if it may; nothing is opened.

    The same text is refused on every system, so that a recipe means the same everywhere. A share
    of another machine would be told who opens it; a device can hang, or act.

    Args:
        path: as a recipe has it.
    """
    if "\0" in path:
        return "holds a NUL character"
    forward = path.replace("\\", "/")
    if forward.startswith("//"):
        return "names a share of another machine or a device"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        return "is an address, not a file"
    plain = posixpath.normpath(forward)
    if any(plain == folder or plain.startswith(f"{folder}/") for folder in _SYSTEM_FOLDERS):
        return "names a device of the system"
    if any(_WINDOWS_DEVICE.fullmatch(part) for part in plain.split("/")):
        return "names a device of Windows"
    return None
