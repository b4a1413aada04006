"""The whole path for the file of a still: a picture in, a corrupted picture out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.output import check_target
from glitch_gym.picture import read_picture
from glitch_render.corrupt import Progress, corrupt_with_episode, recipe_files
from glitch_render.episode import Episode
from glitch_render.media import SUFFIXES, embedded_text, write_picture
from glitch_render.recipe import Recipe
from glitch_render.store import Store

__all__ = ["corrupt_still", "preview_size", "resized"]


def corrupt_still(
    source: str,
    output: str | Path,
    recipe: Recipe,
    *,
    force: bool = False,
    store: Store | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.uint8], Episode, tuple[str, ...]]:
    """Corrupt a picture by a recipe into a file; transparency and colour profile are kept.

    Args:
        source: a picture, or ``sample:NAME``.
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``; the recipe goes into it.
        recipe: what to do.
        force: replace a file that is there.
        store: where activations, rewards and tables are kept, and recalled from.
        progress: called as layers learn, with (layer index, episodes done, episodes).

    Returns:
        the frame that was written, the walks that did it, and notes on what was converted.

    Raises:
        GlitchError: the source, the recipe or the output is wrong; nothing is left behind.
    """
    target = Path(output)
    check_target(target, suffixes=SUFFIXES, sources=[source, *recipe_files(recipe)], force=force)
    # Tried before any work is done
    embedded_text(recipe)
    picture = read_picture(source)
    notes = picture.notes
    if picture.alpha is not None and target.suffix.lower() in (".jpg", ".jpeg"):
        notes = (*notes, "JPEG has no transparency; the picture is laid on white")
    frame, episode = corrupt_with_episode(picture.frame, recipe, progress=progress, store=store)
    write_picture(target, frame, like=picture, recipe=recipe, force=force)
    return frame, episode, notes


def preview_size(height: int, width: int, *, longest: int, cells: int = 1) -> tuple[int, int]:
    """Choose a size for a preview of a picture: its proportions, and no side beyond a limit.

    Args:
        height: of the picture, in pixels.
        width: likewise.
        longest: the limit, in pixels.
        cells: of the finest grid, along its longer side: each has a pixel, whatever the limit.

    Returns:
        (height, width), never larger than the picture.
    """
    share = max(longest / max(height, width), 1.5 * cells / min(height, width))
    if share >= 1:
        return height, width
    return max(1, round(height * share)), max(1, round(width * share))


def resized(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bring a frame to a size: uint8 (height, width, 3), the frame itself if it has that size."""
    if frame.shape[:2] == (height, width):
        return frame
    way = Image.Resampling.BICUBIC if height > frame.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(frame).resize((width, height), way, reducing_gap=3.0))
