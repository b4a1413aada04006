"""The mask that limits a layer to a region of the frame."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.picture import read_picture

__all__ = ["make_mask"]

_log = logging.getLogger("glitch_gym.overlay")


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
    """Return the mask of a layer, or ``None`` if the layer shows everywhere.

    Args:
        activation: float32 (h, w) in 0…1.
        height: height of the frame, in pixels.
        width: width of the frame, in pixels.
        picture: path of a picture; the layer shows where it is white.
        above: lowest activation where the layer shows.
        below: highest activation where the layer shows.
        soft: width of the edge, as a share of the frame's height.

    Returns:
        uint8 (height, width).

    Raises:
        PictureError: the picture cannot be read.
    """
    if picture is None and above is None and below is None:
        return None
    # A blurred mask can be computed at low resolution: 8 px across the edge suffice
    factor = max(1, int(soft * height / 8))
    rows, cols = max(1, height // factor), max(1, width // factor)
    mask = np.full((rows, cols), 255, np.uint8)
    if picture is not None:
        mask = _picture_mask(picture, height, width, rows, cols)
    if above is not None or below is not None:
        enlarged = Image.fromarray(np.asarray(activation, np.float32)).resize(
            (cols, rows), Image.Resampling.BICUBIC
        )
        strength = np.asarray(enlarged)
        if above is not None:
            mask[strength < above] = 0
        if below is not None:
            mask[strength > below] = 0
    if soft == 0:
        return mask
    from scipy.ndimage import gaussian_filter

    edge = soft * height / factor / 2.5
    blurred = gaussian_filter(mask.astype(np.float32), edge, mode="nearest")
    small = Image.fromarray(np.clip(np.rint(blurred), 0, 255).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _picture_mask(path: str, height: int, width: int, rows: int, cols: int) -> NDArray[np.uint8]:
    """Return a mask picture for a frame of (height, width), resized to (rows, cols)."""
    picture = Image.fromarray(read_picture(path).frame).convert("L")
    if abs(picture.width * height - picture.height * width) > 0.02 * picture.width * height:
        _log.warning(
            "the mask %s is %d×%d; it is stretched over %d×%d",
            Path(path).name, picture.width, picture.height, width, height,
        )  # fmt: skip
    return np.array(picture.resize((cols, rows), Image.Resampling.BILINEAR))
