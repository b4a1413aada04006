"""Packages that offer plug-ins, as pip leaves them in a folder."""

from __future__ import annotations

import os
import sys


def write_package(folder, name, text, **groups):
    """Write an installed package of one module.

    Args:
        folder: that is on the path of modules.
        name: of the package and of its module.
        text: of the module.
        groups: lines of ``entry_points.txt``, by the last word of their group.
    """
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    sections = (f"[glitch_gym.{group}]\n{lines}\n" for group, lines in groups.items())
    (about / "entry_points.txt").write_text("\n".join(sections))


def with_packages(folder):
    """Return the variables of a process that has the packages of a folder, and our own tree."""
    path = [str(folder), *sys.path, os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "NO_COLOR": "1"}
