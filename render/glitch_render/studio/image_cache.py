"""The pictures that a page can fetch, each by an address of its own; the newest are kept."""

from __future__ import annotations

import io
from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["ImageCache"]

_KEPT = 120
_QUALITY = 92


class ImageCache:
    """Pictures in memory.

    Args:
        address: common beginning of the addresses of its pictures.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._kept: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._lock = Lock()
        self._number = 0

    def next_number(self) -> int:
        """Return a number that was not returned before."""
        with self._lock:
            self._number += 1
            return self._number

    def keep(self, frame: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> str:
        """Keep a frame as JPEG, or as PNG where it is transparent, and return its address."""
        buffer = io.BytesIO()
        if alpha is None:
            Image.fromarray(frame).save(buffer, "jpeg", quality=_QUALITY, subsampling=0)
        else:
            Image.fromarray(np.dstack([frame, alpha])).save(buffer, "png", compress_level=1)
        kind = "jpeg" if alpha is None else "png"
        return self.keep_bytes(buffer.getvalue(), kind, f"image/{kind}")

    def keep_bytes(self, content: bytes, suffix: str, kind: str) -> str:
        """Keep a file's bytes, whose media type is ``kind``, and return its address."""
        name = f"{self.next_number()}.{suffix}"
        with self._lock:
            self._kept[name] = (content, kind)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return f"{self._address}/{name}"

    def find(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes and media type kept under the last part of an address, or ``None``."""
        with self._lock:
            return self._kept.get(name)

    def use(self, address: str) -> bool:
        """Mark an entry as recently used; return whether it is still cached."""
        name = address.rpartition("/")[2]
        with self._lock:
            if name not in self._kept:
                return False
            self._kept.move_to_end(name)
            return True
