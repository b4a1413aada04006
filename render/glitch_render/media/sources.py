"""What a source is, without PyAV: a still, a clip, an animation, or many pictures."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from PIL import Image

from glitch_gym.errors import PictureError
from glitch_gym.input import is_folder, is_regular
from glitch_gym.picture import is_animated

__all__ = ["PICTURES", "is_footage", "is_pattern", "source_files"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".apng")
"""Suffixes of files that count as pictures in a folder."""

_LONGEST_PATTERN = 1000


def is_footage(source: str) -> bool:
    """Return whether a source is a clip, an animation, or many pictures."""
    if source.startswith("sample:"):
        return False
    path = Path(source)
    if is_folder(source) or is_pattern(source):
        return True
    if not is_regular(source) or path.stat().st_size == 0:
        return False
    try:
        with Image.open(path) as image:
            return is_animated(image)
    except Image.DecompressionBombError:
        return False
    except Exception:
        # Pillow rejects unknown files with many kinds of errors; PyAV is tried next
        return path.suffix.lower() not in PICTURES


def is_pattern(source: str) -> bool:
    """Return whether a source is a pattern of file names, and not a file of that name."""
    return not is_regular(source) and glob.has_magic(source) and not os.path.lexists(source)


def source_files(source: str) -> list[Path]:
    """List the files that a source is read from: one, those of a folder, or those of a pattern.

    Raises:
        PictureError: the folder cannot be read, or the pattern is too long.
    """
    if source.startswith("sample:"):
        return []
    if is_folder(source):
        try:
            return [one for one in Path(source).iterdir() if one.suffix.lower() in PICTURES]
        except OSError as error:
            raise PictureError(
                f"cannot read {source}: {error.strerror or error}", path=source
            ) from error
    if not is_pattern(source):
        return [Path(source)]
    if len(source) > _LONGEST_PATTERN:
        raise PictureError(
            f"the pattern {source} is too long: {len(source):,} characters, at most "
            f"{_LONGEST_PATTERN:,}"
        )
    # pathlib's patterns cannot start with a folder that is absolute
    return [Path(one) for one in glob.glob(source)]  # noqa: PTH207
