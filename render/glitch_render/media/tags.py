"""Clips opened whatever their tags hold, by each version of PyAV that we support.

Tags that are not UTF-8 are damaged, or of another age; the frames are what counts. PyAV 18 has an
option that replaces what it cannot decode. PyAV 19 has none: it keeps such bytes as surrogates,
which no output could hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av

__all__ = ["open_tolerantly", "readable_tags"]

_KEEPS_DAMAGED_TAGS = int(av.__version__.partition(".")[0]) >= 19


def open_tolerantly(path: str | Path) -> Any:
    """Return a clip's container, opened for reading.

    Raises:
        OSError: the file cannot be read, or FFmpeg does not know what it is.
    """
    options: dict[str, Any] = {} if _KEEPS_DAMAGED_TAGS else {"metadata_errors": "replace"}
    return av.open(str(path), **options)


def readable_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a container or stream, with U+FFFD for each byte that is not UTF-8."""

    def readable(text: str) -> str:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    return {readable(key): readable(value) for key, value in tags.items()}
