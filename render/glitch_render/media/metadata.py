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
from typing import BinaryIO, Protocol

from PIL import Image

from glitch_gym.errors import OutputError, RecipeError
from glitch_gym.input import LARGEST_TEXT
from glitch_gym.picture import pillow_warnings
from glitch_render.media.formats import ANIMATIONS, CLIPS, SUFFIXES

__all__ = [
    "RECIPE_KEY",
    "HasToml",
    "carries_recipe",
    "embed_recipe",
    "embedded_text",
    "exif_with",
    "text_of_clip",
    "text_of_picture",
]

_EXIF_FLAG = 0x08
_BLOCK = 255


def embed_recipe(path: Path, text: str) -> None:
    """Embed a recipe in an animated GIF, PNG or WebP.

    Args:
        path: path of the file, which is replaced.
        text: text of the recipe.

    Raises:
        OutputError: the file is not an animated GIF, PNG or WebP.
        OSError: the file cannot be written.
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
        raise OutputError(f"{path.name} is not an animated picture")


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
    """Return where the first block can stand: after the screen descriptor and its palette."""
    file.seek(10)
    flags = file.read(1)[0]
    file.seek(0)
    return 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)


def _gif_comment(text: str) -> bytes:
    content = f"{RECIPE_KEY}\n{text}".encode()
    blocks = [content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK)]
    return b"\x21\xfe" + b"".join(bytes([len(one)]) + one for one in blocks) + b"\0"


def _after_png_header(file: BinaryIO) -> int:
    """Return where the second chunk stands: after the signature and IHDR."""
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
            raise OutputError(f"{path.name} is not an animated WebP")
        file.seek(20)
        file.write(bytes([head[20] | _EXIF_FLAG]))
        file.seek(0, 2)
        file.write(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


RECIPE_KEY = "glitch-gym recipe"
"""Under this name a recipe travels in the metadata of what was made by it."""


_EXIF_IFD = 0x8769


_USER_COMMENT = 0x9286


_SOFTWARE = 0x0131


_PROGRAM = "glitch-gym"


# "Undefined" in the EXIF standard's list of character codes: the bytes are UTF-8
_CHARSET = bytes(8)


class HasToml(Protocol):
    """A recipe, as far as it is written into files."""

    def to_toml(self) -> str:
        """Return the recipe as TOML."""
        ...

    def provenance(self) -> str:
        """Return what else the output depends on, as comments in TOML, or an empty text."""
        ...


def embedded_text(recipe: HasToml) -> str:
    """Return the text of a recipe as it is embedded in pictures and clips.

    Raises:
        OutputError: the recipe is too long to be read back.
    """
    text = recipe.to_toml() + recipe.provenance()
    # The limit of Pillow for a text in a PNG as well
    if len(text.encode()) > LARGEST_TEXT:
        raise OutputError(
            f"this recipe is too long for the metadata of a picture or clip: written out it has "
            f"{len(text.encode()):,} bytes, at most {LARGEST_TEXT:,}"
        )
    return text


def exif_with(text: str) -> bytes:
    """Return a block of EXIF with a recipe's text in it."""
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _CHARSET + text.encode()
    exif[_SOFTWARE] = _PROGRAM
    return exif.tobytes()


def carries_recipe(path: str | Path) -> bool:
    """Return whether a file is read as a picture or clip with a recipe inside, by its suffix."""
    return Path(path).suffix.lower() in (*SUFFIXES, *CLIPS, *ANIMATIONS)


def text_of_clip(path: Path) -> str | None:
    """Return the recipe's text in the comment of a clip.

    Raises:
        RecipeError: the clip cannot be read.
    """
    from glitch_render.media.tags import open_tolerantly, readable_tags

    try:
        with open_tolerantly(path) as container:
            tags = readable_tags(container.metadata)
            found = {key.lower(): value for key, value in tags.items()}
    except Exception as error:
        # FFmpeg's errors, and whatever PyAV meets in a header that lies
        raise RecipeError(f"{path} is not a clip that can be read", path=str(path)) from error
    head, _, text = found.get("comment", "").partition("\n")
    return text if head == RECIPE_KEY else None


def text_of_picture(path: Path) -> str | None:
    """Return the recipe's text in a picture's metadata.

    Raises:
        RecipeError: the picture cannot be read.
    """
    text: object = None
    try:
        with pillow_warnings(), Image.open(path) as image:
            if image.format == "PNG":
                text = getattr(image, "text", {}).get(RECIPE_KEY)
            elif image.format == "GIF":
                head, _, found = image.info.get("comment", b"").partition(b"\n")
                text = found if head == RECIPE_KEY.encode() else None
            else:
                # Cameras write comments too: only a picture of ours has a recipe in it
                exif = image.getexif()
                ours = exif.get(_SOFTWARE) == _PROGRAM
                comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT) if ours else None
                text = comment[8:] if isinstance(comment, bytes) else None
    except Exception as error:
        # Pillow's plug-ins raise errors of a dozen kinds on damaged files
        raise RecipeError(f"{path} is not a picture that can be read", path=str(path)) from error
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise RecipeError(
                f"the recipe in {path} is damaged: it is not text", path=str(path)
            ) from error
    return str(text) if text else None
