"""Pictures out, and recipes back in from pictures.

A picture is encoded in memory, written beside its target, and moved into place: there is never half
a file under the output's name. The recipe travels in a PNG text chunk, or in the EXIF user comment
of JPEG and WebP.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from glitch_gym.errors import OutputError
from glitch_gym.output import check_target, write_bytes
from glitch_gym.picture import Picture, check_frame
from glitch_render.media.formats import SUFFIXES
from glitch_render.media.metadata import RECIPE_KEY, HasToml, embedded_text, exif_with

__all__ = ["encode_picture", "preview_size", "resized", "write_picture"]


_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_JPEG_EXIF_LIMIT = 60_000


def encode_picture(
    frame: NDArray[np.uint8],
    suffix: str,
    *,
    alpha: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None,
    recipe: HasToml | None = None,
) -> bytes:
    """Encode a frame as PNG, JPEG (quality 95, no chroma subsampling) or WebP (lossless).

    Args:
        frame: uint8 (height, width, 3), RGB.
        suffix: one of ``SUFFIXES``.
        alpha: uint8 (height, width); JPEG cannot carry it, and gets the frame on white.
        icc_profile: colour profile to embed.
        recipe: recipe to embed, or anything else with ``to_toml``.

    Raises:
        OutputError: the recipe is too long for the format.
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
    # By Pillow itself, since imageio loads the plug-ins of all its formats in order to write one
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, _FORMATS[suffix], **options)
    return buffer.getvalue()


def write_picture(
    output: str | Path,
    frame: NDArray[np.uint8],
    *,
    like: Picture | None = None,
    recipe: HasToml | None = None,
    force: bool = False,
) -> None:
    """Write a frame as a picture, by the suffix of the output.

    Args:
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        frame: uint8 (height, width, 3), RGB.
        like: the picture that the frame was made of: its alpha and its colour profile are kept.
        recipe: recipe to embed, so that ``read_recipe`` can return it.
        force: replace an existing file.

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


def preview_size(height: int, width: int, *, longest: int, cells: int = 1) -> tuple[int, int]:
    """Return a size for a preview of a picture: its proportions, and no side beyond a limit.

    Args:
        height: height of the picture, in pixels.
        width: width of the picture, in pixels.
        longest: the limit, in pixels.
        cells: number of cells of the finest grid along its longer side; each keeps a pixel,
            whatever the limit.

    Returns:
        (height, width), never larger than the picture.
    """
    share = max(longest / max(height, width), 1.5 * cells / min(height, width))
    if share >= 1:
        return height, width
    return max(1, round(height * share)), max(1, round(width * share))


def resized(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a frame at a size: uint8 (height, width, 3), itself if it has that size."""
    if frame.shape[:2] == (height, width):
        return frame
    way = Image.Resampling.BICUBIC if height > frame.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(frame).resize((width, height), way, reducing_gap=3.0))
