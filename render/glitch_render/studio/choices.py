"""What the menus of the page offer, and the values that the page sends for it."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CLIP_FORMATS",
    "FORMATS",
    "FULL_SIZE",
    "SIZES",
    "STILL_FORMATS",
    "VIEWS",
]

VIEWS: Final = {
    "Result": "result",
    "Activation": "activation",
    "Rewards": "rewards",
    "Policy": "policy",
    "Paths": "paths",
    "Walk": "walk",
}
STILL_FORMATS: Final = {
    "PNG picture": ".png",
    "JPEG picture": ".jpg",
    "WebP picture": ".webp",
    "MP4 of the agents at work": ".mp4",
    "WebM of the agents at work": ".webm",
    "GIF of the agents at work": ".gif",
}
CLIP_FORMATS: Final = {
    "MP4": ".mp4",
    "WebM": ".webm",
    "MOV (ProRes)": ".mov",
    "MKV": ".mkv",
    "GIF": ".gif",
    "WebP": ".webp",
    "APNG": ".apng",
    "PNG of this frame": "frame.png",
}
FORMATS: Final = frozenset({*STILL_FORMATS.values(), *CLIP_FORMATS.values()})
"""Suffixes of exports; ``frame.png`` stands for the one frame of a clip that is looked at."""

FULL_SIZE: Final = "as it is"
SIZES: Final = (FULL_SIZE, "1080p", "720p", "480p", "360p")
