"""Pictures out, and recipes back in from pictures.

A picture is encoded in memory, written beside its target, and moved into place: there is never half
a file under the output's name. The recipe travels in a PNG text chunk, or in the EXIF user comment
of JPEG and WebP.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from glitch_gym.errors import OutputError, RecipeError
from glitch_gym.input import LARGEST_TEXT, check_file
from glitch_gym.output import check_target, write_bytes
from glitch_gym.picture import Picture, check_frame, pillow_warnings
from glitch_render.recipe import (
    Recipe,
    check_wanted_paths,
    parse_recipe,
    read_recipe_file,
    read_toml,
)

__all__ = [
    "ANIMATIONS",
    "CLIPS",
    "RECIPE_KEY",
    "SUFFIXES",
    "carries_recipe",
    "embedded_text",
    "exif_with",
    "read_recipe",
    "recipe_text",
    "write_picture",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of pictures that can be written."""

CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
"""Suffixes of clips that can be written."""

ANIMATIONS = (".gif", ".webp", ".apng")
"""Suffixes of animated pictures that can be written."""

RECIPE_KEY = "glitch-gym recipe"
"""Under this name a recipe travels in the metadata of what was made by it."""

_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_SOFTWARE = 0x0131
_PROGRAM = "glitch-gym"
# "Undefined" in the EXIF standard's list of character codes: the bytes are UTF-8
_CHARSET = bytes(8)
_JPEG_EXIF_LIMIT = 60_000


def embedded_text(recipe: Recipe) -> str:
    """Return the text of a recipe as it travels in what was made by it.

    Raises:
        OutputError: a recipe that is too long to be read back.
    """
    text = recipe.to_toml()
    # The limit of Pillow for a text in a PNG as well
    if len(text.encode()) > LARGEST_TEXT:
        raise OutputError(
            f"this recipe is too long for the metadata of a picture or clip: written out it has "
            f"{len(text.encode()):,} bytes, at most {LARGEST_TEXT:,}"
        )
    return text


def exif_with(text: str) -> bytes:
    """Give a block of EXIF with a recipe's text in it."""
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _CHARSET + text.encode()
    exif[_SOFTWARE] = _PROGRAM
    return exif.tobytes()


def encode_picture(
    frame: NDArray[np.uint8],
    suffix: str,
    *,
    alpha: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None,
    recipe: Recipe | None = None,
) -> bytes:
    """Encode a frame as PNG, JPEG (quality 95, no chroma subsampling) or WebP (lossless).

    Args:
        frame: uint8 (height, width, 3), RGB.
        suffix: one of ``SUFFIXES``.
        alpha: uint8 (height, width); JPEG cannot carry it, and gets the frame on white.
        icc_profile: of RGB, to embed.
        recipe: to embed.
    """
    check_frame(frame)
    suffix = suffix.lower()
    text = embedded_text(recipe) if recipe is not None else None
    options: dict[str, Any] = {}
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    pixels = frame
    if alpha is not None:
        if suffix in (".jpg", ".jpeg"):
            cover = alpha[:, :, None].astype(np.float32) / 255
            pixels = np.rint(frame * cover + 255 * (1 - cover)).astype(np.uint8)
        else:
            pixels = np.dstack([frame, alpha])
    if suffix == ".png":
        # Level 3 is twice as fast as the usual 6; pictures of flat cells hardly grow by it
        options["compress_level"] = 3
        if text is not None:
            info = PngImagePlugin.PngInfo()
            info.add_itxt(RECIPE_KEY, text, zip=True)
            options["pnginfo"] = info
    else:
        if suffix == ".webp":
            options |= {"lossless": True, "quality": 50, "exact": True}
        else:
            options |= {"quality": 95, "subsampling": 0}
        if text is not None:
            block = exif_with(text)
            if suffix != ".webp" and len(block) > _JPEG_EXIF_LIMIT:
                raise OutputError(
                    "this recipe is too long for the metadata of a JPEG; write a PNG or a WebP"
                )
            options["exif"] = block
    extension = ".jpg" if suffix == ".jpeg" else suffix
    encoded: bytes = iio.imwrite(
        "<bytes>", pixels, plugin="pillow", extension=extension, is_batch=False, **options
    )
    return encoded


def write_picture(
    output: str | Path,
    frame: NDArray[np.uint8],
    *,
    like: Picture | None = None,
    recipe: Recipe | None = None,
    force: bool = False,
) -> None:
    """Write a frame as a picture, by the suffix of the output.

    Args:
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        frame: uint8 (height, width, 3), RGB.
        like: the picture that it came from: its alpha and its colour profile are kept.
        recipe: embedded, so that ``read_recipe`` gives it back.
        force: replace a file that is there.

    Raises:
        OutputError: the output cannot be written; nothing is left behind.
    """
    target = Path(output)
    check_target(target, suffixes=SUFFIXES, force=force)
    content = encode_picture(
        frame,
        target.suffix,
        alpha=None if like is None else like.alpha,
        icc_profile=None if like is None else like.icc_profile,
        recipe=recipe,
    )
    write_bytes(target, content)


def carries_recipe(path: str | Path) -> bool:
    """Return whether a file is read as a picture or clip with a recipe inside, by its suffix."""
    return Path(path).suffix.lower() in (*SUFFIXES, *CLIPS, *ANIMATIONS)


def recipe_text(path: str | Path) -> str:
    """Read the text of a recipe from a TOML file, or from a picture or clip that carries one.

    Raises:
        RecipeError: missing, unreadable, or a picture or clip without a recipe.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not carries_recipe(path):
        return read_recipe_file(path)
    check_file(path, "recipe", error=RecipeError)
    text = _text_of_clip(path) if suffix in CLIPS else _text_of_picture(path)
    if not text:
        raise RecipeError(
            f"{path} carries no recipe: was it made, or saved again, by another program?"
        )
    return text


def _text_of_clip(path: Path) -> str | None:
    import av
    import av.error

    try:
        # Damaged tags are no text, but the others can still be read
        with av.open(str(path), metadata_errors="replace") as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
    except Exception as error:
        # FFmpeg's errors, and whatever PyAV meets in a header that lies
        raise RecipeError(f"{path} is not a clip that can be read") from error
    head, _, text = found.get("comment", "").partition("\n")
    return text if head == RECIPE_KEY else None


def _text_of_picture(path: Path) -> str | None:
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
        raise RecipeError(f"{path} is not a picture that can be read") from error
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise RecipeError(f"the recipe in {path} is damaged: it is not a text") from error
    return str(text) if text else None


def read_recipe(
    path: str | Path,
    *,
    learners: Mapping[str, Any] | None = None,
    trust_paths: bool = False,
) -> Recipe:
    """Read a recipe from a TOML file, or from a picture or clip that carries one.

    A picture may come from anybody: the recipe inside it runs no code, and names no file of yours
    that would be opened, unless you allow it.

    Args:
        path: of the file.
        learners: those that are given by hand, by the names that the recipe has for them: objects
            with ``learn``, or what makes one.
        trust_paths: take a recipe from inside a picture or clip although it names files (masks,
            weights), which are opened when it is used; ``wanted_paths`` lists them.

    Raises:
        RecipeError: missing, malformed, a picture or clip without a recipe, or one whose recipe
            names files.
        SettingError: one of ``learners`` has no usable name, or is no learner.
    """
    text = recipe_text(path)
    recipe = parse_recipe(read_toml(text, str(path)), str(path), text=text, learners=learners)
    if carries_recipe(path) and not trust_paths:
        check_wanted_paths(recipe, str(path))
    return recipe
