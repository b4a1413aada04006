"""Formats of the files that are written, and which of them move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ANIMATIONS",
    "CLIPS",
    "CLIP_FORMATS",
    "FORMATS",
    "SUFFIXES",
    "Format",
    "is_motion_format",
]


@dataclass(frozen=True)
class Format:
    """A format that can be written.

    Args:
        suffix: suffix of its files; ``.webp`` is that of a picture and of an animation.
        kind: a picture, an animated picture, or a clip.
        container: FFmpeg's name of a clip's container.
        codecs: video codecs that the container takes, the usual one first.
        alpha: codecs that carry transparency in this container.
        copied_sound: beginnings of the names of audio codecs that are copied as they are.
        sound: FFmpeg's encoder for all other sound.
    """

    suffix: str
    kind: Literal["picture", "animation", "clip"]
    container: str = ""
    codecs: tuple[str, ...] = ()
    alpha: tuple[str, ...] = ()
    copied_sound: tuple[str, ...] = ()
    sound: str = ""

    @property
    def is_iso(self) -> bool:
        """Whether the container is one of ISO's base media file format, or QuickTime's."""
        return self.container in ("mp4", "mov")


FORMATS = (
    Format(".png", "picture"),
    Format(".jpg", "picture"),
    Format(".jpeg", "picture"),
    Format(".webp", "picture"),
    Format(
        ".mp4",
        "clip",
        "mp4",
        codecs=("h264", "hevc", "av1", "vp9", "mpeg4"),
        copied_sound=(
            "aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts", "vorbis",
        ),
        sound="aac",
    ),
    Format(
        ".m4v",
        "clip",
        "mp4",
        codecs=("h264", "hevc", "mpeg4"),
        copied_sound=("aac", "ac3", "alac", "mp3"),
        sound="aac",
    ),
    Format(
        ".mov",
        "clip",
        "mov",
        codecs=("prores", "h264", "hevc", "mpeg4"),
        alpha=("prores",),
        copied_sound=("aac", "mp3", "mp2", "ac3", "eac3", "alac", "pcm_"),
        sound="aac",
    ),
    Format(
        ".webm",
        "clip",
        "webm",
        codecs=("vp9", "av1"),
        alpha=("vp9",),
        copied_sound=("opus", "vorbis"),
        sound="libopus",
    ),
    Format(
        ".mkv",
        "clip",
        "matroska",
        codecs=("h264", "hevc", "av1", "vp9", "prores", "mpeg4", "ffv1"),
        alpha=("prores", "ffv1"),
        copied_sound=("",),
        sound="flac",
    ),
    Format(".gif", "animation"),
    Format(".webp", "animation"),
    Format(".apng", "animation"),
)  # fmt: skip
"""Every format that is written; frames can go into a folder of PNGs as well."""


SUFFIXES = tuple(one.suffix for one in FORMATS if one.kind == "picture")
"""Suffixes of pictures that can be written."""


CLIPS = tuple(one.suffix for one in FORMATS if one.kind == "clip")
"""Suffixes of clips that can be written."""


ANIMATIONS = tuple(one.suffix for one in FORMATS if one.kind == "animation")
"""Suffixes of animated pictures that can be written."""


CLIP_FORMATS = {one.suffix: one for one in FORMATS if one.kind == "clip"}
"""Formats of clips by suffix."""


def is_motion_format(suffix: str, *, still: bool) -> bool:
    """Return whether an output is a clip, an animation or a folder of frames.

    Args:
        suffix: suffix of the output in lower case; empty for a folder.
        still: whether the source is a still, whose ``.webp`` is a picture.
    """
    return suffix in (*CLIPS, *ANIMATIONS, "") and not (still and suffix in SUFFIXES)
