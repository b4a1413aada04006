"""Suffixes of the files that are written."""

from __future__ import annotations

__all__ = ["ANIMATIONS", "CLIPS", "SUFFIXES"]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of pictures that can be written."""


CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
"""Suffixes of clips that can be written."""


ANIMATIONS = (".gif", ".webp", ".apng")
"""Suffixes of animated pictures that can be written."""
