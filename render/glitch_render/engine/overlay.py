"""Overlay: how a painted layer is composited with what is below.

An overlay has an opacity, a blend, and a mask that limits the layer to a region: a picture, or
where the activation is above or below a threshold, optionally with a soft edge. Only stamped cells
are blended; the rest of the picture stays unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.errors import SettingError

# Recipes need only the names of blends, and compiled code is slow to load
if TYPE_CHECKING:
    from glitch_render.engine.canvas import Canvas

__all__ = ["BLENDS", "Blend", "Overlay", "paint_over"]

Blend = Literal["normal", "add", "screen", "multiply", "difference"]

BLENDS: tuple[Blend, ...] = get_args(Blend)
"""All blends, in the order of their numbers in compiled code."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """How a layer is composited with the frame.

    Args:
        opacity: share of the layer, from 0 (invisible) to 1.
        blend: formula, for b below and p painted in 0…1: normal p, add b + p, screen
            1 − (1 − b)(1 − p), multiply b · p, difference |b − p|.
        mask: uint8 (h, w), 255 where the layer shows in full, 0 where it does not; of any size.

    Raises:
        SettingError: the opacity is outside 0…1, the blend is unknown, or the mask has another
            dtype or shape.
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
    """Composite a canvas with a frame, in place.

    Args:
        canvas: canvas with its stamps.
        pixels: uint8 (height, width, 3), contiguous, of the canvas's size.
        overlay: how to composite; its mask is resized to the frame.
        earlier: earlier frames, as for ``Canvas.paint``.
        tick: tick of the layer, as for ``Canvas.paint``.
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
    shown = np.empty((0, 0), np.uint8) if mask is None else np.ascontiguousarray(mask)
    stamped, blend = canvas.stamped(), BLENDS.index(overlay.blend)
    opacity = round(256 * overlay.opacity)
    from glitch_render.engine.blending import lay_over

    canvas.on_all_cores(
        lambda rows: lay_over(
            before, pixels, stamped, shown, canvas.grid_table, rows, blend, opacity
        )
    )
