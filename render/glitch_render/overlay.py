"""Overlay: how what a layer has painted is laid over what was there before.

Opacity, a blend, and a mask that holds the layer to a region: a picture, or where the activation is
above or below a threshold, with a soft edge if asked. Only cells that were stamped are blended; the
rest of the picture stays as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.compilation import compiled
from glitch_gym.errors import SettingError
from glitch_gym.picture import read_picture
from glitch_render.recipe import Blend
from glitch_render.replay import Canvas

__all__ = ["BLENDS", "Overlay", "make_mask", "paint_over"]

_log = logging.getLogger("glitch_gym.overlay")

BLENDS = get_args(Blend)
"""In the order in which compiled code knows them."""

_MASK_LINES = 270
"""Soft edges are made in masks that are reduced to about as many lines."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """How a layer is laid over the frame.

    Args:
        opacity: 0 for nothing of it, 1 for all.
        blend: with b before and p painted, in 0…1: normal p, add b + p, screen
            1 − (1 − b)(1 − p), multiply b · p, difference |b − p|.
        mask: uint8 (h, w), 255 where the layer shows in full, 0 where it does not; of any size.

    Raises:
        SettingError: an opacity outside 0…1, an unknown blend, or a mask of another form.
    """

    opacity: float = 1.0
    blend: Blend = "normal"
    mask: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise SettingError(f"opacity must lie in 0…1, not {self.opacity}")
        if self.blend not in BLENDS:
            raise SettingError(f"blend must be one of {', '.join(BLENDS)}, not {self.blend!r}")
        mask = self.mask
        if mask is not None and (mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0):
            raise SettingError(f"a mask must be uint8 (h, w), not {mask.dtype} {mask.shape}")

    @property
    def plain(self) -> bool:
        """Whether the layer simply replaces what was there."""
        return self.opacity == 1 and self.blend == "normal" and self.mask is None


def make_mask(
    activation: NDArray[np.float32],
    height: int,
    width: int,
    *,
    picture: str | None = None,
    above: float | None = None,
    below: float | None = None,
    soft: float = 0.0,
) -> NDArray[np.uint8] | None:
    """Make the mask of a layer, or ``None`` if it shows everywhere.

    Args:
        activation: float32 (h, w) in 0…1.
        height: of the frame, in pixels.
        width: likewise.
        picture: a file; white shows the layer, black does not.
        above: the layer shows where the activation is at least this.
        below: and where it is at most this.
        soft: width of the edge, as a share of the frame's height.

    Returns:
        uint8 (height, width).

    Raises:
        PictureError: the picture cannot be read.
    """
    if picture is None and above is None and below is None:
        return None
    mask = np.full((height, width), 255, np.uint8)
    if picture is not None:
        mask = _picture_mask(picture, height, width)
    if above is not None or below is not None:
        enlarged = Image.fromarray(np.asarray(activation, np.float32)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        strength = np.asarray(enlarged)
        inside = np.ones(strength.shape, np.bool_)
        if above is not None:
            inside &= strength >= above
        if below is not None:
            inside &= strength <= below
        mask[~inside] = 0
    return _softened(mask, soft * height) if soft > 0 else mask


def _picture_mask(path: str, height: int, width: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(read_picture(path).frame).convert("L")
    if picture.size != (width, height):
        if abs(picture.width * height - picture.height * width) > 0.02 * picture.width * height:
            _log.warning(
                "the mask %s is %d×%d; it is stretched over %d×%d",
                Path(path).name, picture.width, picture.height, width, height,
            )  # fmt: skip
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(picture)


def _softened(mask: NDArray[np.uint8], edge: float) -> NDArray[np.uint8]:
    """Blur a mask so that its edge is about as wide, in pixels."""
    from scipy.ndimage import gaussian_filter

    height, width = mask.shape
    factor = max(1, height // _MASK_LINES)
    size = (max(1, width // factor), max(1, height // factor))
    small = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BOX), np.float32)
    blurred = gaussian_filter(small, edge / factor / 2.5, mode="nearest")
    shown = Image.fromarray(np.clip(np.rint(blurred), 0, 255).astype(np.uint8))
    return np.asarray(shown.resize((width, height), Image.Resampling.BILINEAR))


def paint_over(
    canvas: Canvas,
    pixels: NDArray[np.uint8],
    overlay: Overlay,
    *,
    earlier: Sequence[NDArray[np.uint8]] = (),
    moment: int = 0,
) -> None:
    """Paint a canvas onto a frame, in place, as the overlay says.

    Args:
        canvas: with its stamps.
        pixels: uint8 (height, width, 3), contiguous, of the canvas's size.
        overlay: how it is laid over the frame; its mask is brought to the frame's size.
        earlier: frames before, as ``Canvas.paint`` takes them.
        moment: likewise.
    """
    if overlay.plain:
        canvas.paint(pixels, earlier=earlier, moment=moment)
        return
    before = pixels.copy()
    canvas.paint(pixels, earlier=earlier, moment=moment)
    height, width = pixels.shape[:2]
    mask = overlay.mask
    if mask is not None and mask.shape != (height, width):
        resized = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
        mask = np.asarray(resized)
    _lay_over(
        before,
        pixels,
        canvas.stamped(),
        canvas.grid.cols,
        *canvas.edges,
        BLENDS.index(overlay.blend),
        round(256 * overlay.opacity),
        np.empty((0, 0), np.uint8) if mask is None else np.ascontiguousarray(mask),
    )


@compiled
def _blended(before: int, painted: int, blend: int) -> int:
    if blend == 0:
        return painted
    if blend == 1:
        return min(before + painted, 255)
    if blend == 2:
        return 255 - ((255 - before) * (255 - painted) + 127) // 255
    if blend == 3:
        return (before * painted + 127) // 255
    return abs(before - painted)


@compiled
def _lay_over(
    before: NDArray[np.uint8],
    painted: NDArray[np.uint8],
    stamped: NDArray[np.bool_],
    grid_cols: int,
    row_edges: NDArray[np.int32],
    col_edges: NDArray[np.int32],
    blend: int,
    opacity: int,
    mask: NDArray[np.uint8],
) -> None:
    for row in range(row_edges.shape[0] - 1):
        for col in range(col_edges.shape[0] - 1):
            if not stamped[row * grid_cols + col]:
                continue
            for y in range(np.uint64(row_edges[row]), np.uint64(row_edges[row + 1])):
                for x in range(np.uint64(col_edges[col]), np.uint64(col_edges[col + 1])):
                    share = opacity
                    if mask.shape[0] > 0:
                        shown = int(np.int64(mask[y, x]))
                        # 255 stands for all of it
                        share = (opacity * (shown + (shown >> 7)) + 128) >> 8
                    for channel in range(3):
                        was = int(np.int64(before[y, x, channel]))
                        new = _blended(was, int(np.int64(painted[y, x, channel])), blend)
                        painted[y, x, channel] = np.uint8(
                            (was * (256 - share) + new * share + 128) >> 8
                        )
