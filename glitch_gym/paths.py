"""Paths that a recipe may name: regular files on this machine, and nothing else."""

from __future__ import annotations

import posixpath
import re

__all__ = ["path_problem"]

_SYSTEM_FOLDERS = ("/dev", "/proc", "/sys")
_WINDOWS_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³]) *(\..*|:.*)?", re.IGNORECASE
)


def path_problem(path: str) -> str | None:
    """Return why a recipe may not name a path, or ``None`` if it may, without opening anything.

    A path is judged in the same way on every system, so that a recipe means the same everywhere.
    Opening a share would reveal the user to another machine; a device can hang or have effects.

    Args:
        path: path as written in the recipe.
    """
    if "\0" in path:
        return "contains a NUL character"
    forward = path.replace("\\", "/")
    if forward.startswith("//"):
        return "names a share on another machine, or a device"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        return "is an address, not a file"
    plain = posixpath.normpath(forward)
    if any(plain == folder or plain.startswith(f"{folder}/") for folder in _SYSTEM_FOLDERS):
        return "names a system device"
    if any(_WINDOWS_DEVICE.fullmatch(part) for part in plain.split("/")):
        return "names a Windows device"
    return None
