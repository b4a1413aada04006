"""Overlay: how what a layer has painted is laid over what was there before.

Opacity, a blend, and a mask that holds the layer to a region: a picture, or where the activation is
above or below a threshold, with a soft edge if asked. Only cells that were stamped are blended; the
rest of the picture stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.compilation import compiled
from glitch_gym.errors import SettingError
from glitch_render.engine.canvas import Canvas
from glitch_render.recipe import Blend

__all__ = ["BLENDS", "Overlay", "paint_over"]

BLENDS = get_args(Blend)
"""In the order in which compiled code knows them."""


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


def paint_over(
    canvas: Canvas,
    pixels: NDArray[np.uint8],
    overlay: Overlay,
    *,
    earlier: Sequence[NDArray[np.uint8]] = (),
    tick: int = 0,
) -> None:
    """Paint a canvas onto a frame, in place, as the overlay says.

    Args:
        canvas: with its stamps.
        pixels: uint8 (height, width, 3), contiguous, of the canvas's size.
        overlay: how it is laid over the frame; its mask is brought to the frame's size.
        earlier: frames before, as ``Canvas.paint`` takes them.
        tick: tick of the layer, as ``Canvas.paint`` takes it.
    """
    if overlay.plain:
        canvas.paint(pixels, earlier=earlier, tick=tick)
        return
    before = pixels.copy()
    canvas.paint(pixels, earlier=earlier, tick=tick)
    height, width = pixels.shape[:2]
    mask = overlay.mask
    if mask is not None and mask.shape != (height, width):
        resized = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
        mask = np.asarray(resized)
    stamped = canvas.stamped()
    shown = np.empty((0, 0), np.uint8) if mask is None else np.ascontiguousarray(mask)

    def lay(rows: tuple[int, int]) -> None:
        _lay_over(
            before, pixels, stamped, canvas.grid.cols, *canvas.edges, *rows,
            BLENDS.index(overlay.blend), round(256 * overlay.opacity), shown,
        )  # fmt: skip

    canvas.on_all_cores(lay)


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
    first_row: int,
    last_row: int,
    blend: int,
    opacity: int,
    mask: NDArray[np.uint8],
) -> None:
    n_cols = col_edges.shape[0] - 1
    shares = np.full(3 * before.shape[1], opacity, np.uint16)
    whole, half, shift = np.uint16(256), np.uint16(128), np.uint16(8)
    was_lines = before.reshape((before.shape[0], -1))
    lines = painted.reshape((painted.shape[0], -1))
    for row in range(first_row, last_row):
        col = 0
        while col < n_cols:
            if not stamped[row * grid_cols + col]:
                col += 1
                continue
            first = col
            while col < n_cols and stamped[row * grid_cols + col]:
                col += 1
            start, end = col_edges[first], col_edges[col]
            for y in range(np.uint64(row_edges[row]), np.uint64(row_edges[row + 1])):
                if mask.shape[0] > 0:
                    for x in range(np.uint64(start), np.uint64(end)):
                        shown = int(np.int64(mask[y, x]))
                        # 255 stands for all of it
                        share = np.uint16((opacity * (shown + (shown >> 7)) + 128) >> 8)
                        red = np.uint64(3) * x
                        shares[red] = share
                        shares[red + np.uint64(1)] = share
                        shares[red + np.uint64(2)] = share
                if blend != 0:
                    for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                        lines[y, place] = np.uint8(
                            _blended(
                                int(np.int64(was_lines[y, place])),
                                int(np.int64(lines[y, place])),
                                blend,
                            )
                        )
                for place in range(np.uint64(3 * start), np.uint64(3 * end)):
                    # 255 × 256 + 128 is as much as 16 bits hold
                    share = shares[place]
                    new = np.uint16(np.uint16(lines[y, place]) * share)
                    old = np.uint16(np.uint16(was_lines[y, place]) * np.uint16(whole - share))
                    lines[y, place] = np.uint8(np.uint16(new + old + half) >> shift)
