"""Sample pictures: a balloon drawn by code, and photographs from scikit-image."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from glitch_gym.errors import MissingExtraError, unknown_name_error

__all__ = ["SAMPLES", "balloon", "sample_path"]


_PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
}


SAMPLES = ("balloon", *_PHOTOGRAPHS)
"""Names of the samples, as in ``sample:NAME``."""


@lru_cache(maxsize=4)
def balloon(height: int = 400, width: int = 320) -> NDArray[np.uint8]:
    """Draw the built-in picture: a striped hot-air balloon over hills at dusk.

    Returns:
        uint8 (height, width, 3), read-only; every call returns the same pixels.
    """
    over = 3
    h, w = height * over, width * over
    sky = np.linspace(0, 1, h)[:, None, None]
    top, bottom = np.array([38.0, 48, 92]), np.array([244.0, 176, 128])
    image = Image.fromarray(
        np.broadcast_to(top + (bottom - top) * sky, (h, w, 3)).round().astype(np.uint8)
    )
    pen = ImageDraw.Draw(image)
    for level, colour, waves in ((0.80, (92, 74, 104), 1.3), (0.88, (56, 50, 78), 2.1)):
        x = np.arange(w + 1)
        ridge = h * (level + 0.03 * np.sin(waves * 2 * np.pi * x / w + 6 * level))
        pen.polygon([*zip(x.tolist(), ridge.tolist(), strict=True), (w, h), (0, h)], fill=colour)
    cx, cy, r = 0.5 * w, 0.36 * h, 0.27 * min(h, w)
    stripes = ((214, 48, 44), (250, 214, 110))
    for index in range(7):
        half, foot = r * (1 - index / 7), cy + 1.7 * r
        left, right = (cx - half, cy), (cx + half, cy)
        pen.polygon(
            [left, right, (cx + 0.22 * half, foot), (cx - 0.22 * half, foot)],
            fill=stripes[index % 2],
        )
        pen.pieslice((cx - half, cy - r, cx + half, cy + r), 180, 360, fill=stripes[index % 2])
    basket = (cx - 0.16 * r, cy + 1.95 * r, cx + 0.16 * r, cy + 2.2 * r)
    for side in (-1, 1):
        rope = (cx + side * 0.2 * r, cy + 1.7 * r, cx + side * 0.14 * r, basket[1])
        pen.line(rope, fill=(48, 34, 30), width=over)
    pen.rectangle(basket, fill=(112, 72, 44))
    drawn = np.array(image.resize((width, height), Image.Resampling.BOX))
    drawn.setflags(write=False)
    return drawn


def sample_path(name: str) -> Path:
    """Return the path of a sample photograph inside scikit-image's wheel.

    Raises:
        SettingError: the name is unknown.
        MissingExtraError: scikit-image is not installed.
    """
    if name not in _PHOTOGRAPHS:
        raise unknown_name_error("sample", name, SAMPLES)
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f"sample:{name} is a photograph from scikit-image; install the extra with: "
            f"pip install 'glitch-gym[samples]', or use sample:balloon"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data" / _PHOTOGRAPHS[name]
