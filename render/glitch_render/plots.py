"""Pictures of what the agents see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glitch_gym.activation import Activation

__all__ = ["activation_caption", "activation_overlay"]

# Dark violet over magenta and orange to pale yellow, even in lightness
_HEAT = np.array(
    [
        (0.0, 8, 4, 30),
        (0.25, 84, 16, 110),
        (0.5, 188, 54, 84),
        (0.75, 249, 142, 20),
        (1.0, 252, 250, 170),
    ]
)


def activation_caption(activation: Activation) -> str:
    """Say where a map comes from and, for a network, what it takes the picture for."""
    if activation.class_index is None:
        return activation.source.replace("_", " ")
    name = activation.class_name or f"ImageNet class {activation.class_index}"
    return f"{activation.source}: {name} ({100 * (activation.probability or 0):.0f} %)"


def activation_overlay(frame: NDArray[np.uint8], activation: Activation) -> NDArray[np.uint8]:
    """Lay an activation map over its picture as heat, with a line that says what it shows.

    Args:
        frame: uint8 (height, width, 3), RGB.
        activation: of that frame.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = frame.shape[:2]
    resized = Image.fromarray(np.asarray(activation.map)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    heat = np.clip(np.asarray(resized, np.float32), 0, 1)
    colours = np.stack([np.interp(heat, _HEAT[:, 0], _HEAT[:, i]) for i in (1, 2, 3)], axis=-1)
    grey = frame @ np.array([0.299, 0.587, 0.114])
    mixed = 0.45 * grey[:, :, None] + 0.55 * colours
    image = Image.fromarray(mixed.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    text = activation_caption(activation)
    size = max(10.0, min(height, width) / 22)
    font = ImageFont.load_default(size)
    while size > 8 and pen.textlength(text, font) > width - 2 * size:
        size *= 0.9
        font = ImageFont.load_default(size)
    x, y = size * 0.7, height - size * 1.7
    pen.text(
        (x, y), text, (255, 255, 255), font, stroke_width=max(1, int(size / 10)), stroke_fill=0
    )
    return np.asarray(image)
