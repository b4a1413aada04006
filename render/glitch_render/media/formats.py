"""Suffixes of output files, and which of them move."""

from __future__ import annotations

__all__ = ["ANIMATIONS", "CLIPS", "SUFFIXES", "is_motion_format"]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of pictures that can be written."""


CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
"""Suffixes of clips that can be written."""


ANIMATIONS = (".gif", ".webp", ".apng")
"""Suffixes of animated pictures that can be written."""


def is_motion_format(suffix: str, *, still: bool) -> bool:
    """Return whether an output is a clip, an animation or a folder of frames.

    Args:
        suffix: suffix of the output in lower case; empty for a folder.
        still: whether the source is a still, whose ``.webp`` is a picture.
    """
    return suffix in (*CLIPS, *ANIMATIONS, "") and not (still and suffix in SUFFIXES)
