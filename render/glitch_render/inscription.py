"""The recipe inside an animated picture: put beside its frames, which are not touched.

GIF has comments (GIF89a, section 24), PNG text chunks (iTXt), WebP a chunk of EXIF. However large
the file is, no more than its head is held in memory.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from glitch_gym.errors import OutputError
from glitch_render.media import RECIPE_KEY, exif_with

__all__ = ["inscribe"]

_EXIF_FLAG = 0x08
_BLOCK = 255


def inscribe(path: Path, text: str) -> None:
    """Put a recipe into an animated GIF, PNG or WebP.

    Args:
        path: of the file, which is replaced.
        text: of the recipe.

    Raises:
        OutputError: the file is none of these.
        OSError: it cannot be written.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        _append_to_webp(path, exif_with(text))
        return
    if head[:4] == b"GIF8":
        _insert(path, _after_gif_palette, _gif_comment(text))
    elif head[:8] == b"\x89PNG\r\n\x1a\n":
        _insert(path, _after_png_header, _png_text(text))
    else:
        raise OutputError(f"{path.name} is no animated picture")


def _insert(path: Path, find: Callable[[BinaryIO], int], content: bytes) -> None:
    beside = path.with_name(f"inscribed-{path.name}")
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            target.write(source.read(find(source)))
            target.write(content)
            shutil.copyfileobj(source, target, 1 << 20)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _after_gif_palette(file: BinaryIO) -> int:
    """Find where the first block can stand: after the screen's size, and its palette if any."""
    file.seek(10)
    flags = file.read(1)[0]
    file.seek(0)
    return 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)


def _gif_comment(text: str) -> bytes:
    content = f"{RECIPE_KEY}\n{text}".encode()
    blocks = [content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK)]
    return b"\x21\xfe" + b"".join(bytes([len(one)]) + one for one in blocks) + b"\0"


def _after_png_header(file: BinaryIO) -> int:
    """Find where the second chunk stands: after the signature and IHDR."""
    file.seek(0)
    return 8 + 25


def _png_text(text: str) -> bytes:
    content = RECIPE_KEY.encode("latin-1") + b"\0\1\0\0\0" + zlib.compress(text.encode())
    checked = b"iTXt" + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _append_to_webp(path: Path, exif: bytes) -> None:
    with path.open("r+b") as file:
        head = file.read(30)
        if head[12:16] != b"VP8X":
            raise OutputError(f"{path.name} is no animated WebP")
        file.seek(20)
        file.write(bytes([head[20] | _EXIF_FLAG]))
        file.seek(0, 2)
        file.write(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
