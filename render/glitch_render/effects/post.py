"""The effects of the post: same, pixelate, desaturate, invert, random and artifact.

Source: the blog post *Video Corruption Filter*, with the formulas of its figures.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from glitch_render.effects.registry import (
    EffectParameters,
    NoParameters,
    Op,
    Source,
    Stamp,
    Trait,
    effect,
    mean_colour,
)


@effect("same", NoParameters, op=Op.SAME, traits=Trait.SYMBOLIC)
def same(stamp: Stamp, parameters: NoParameters) -> NDArray[np.uint8]:
    """Fill the cell with the mean colour of the cell the agent left: trails of flat colour."""
    return mean_colour(stamp.left)


@effect("pixelate", NoParameters, op=Op.PIXELATE, traits=Trait.SYMBOLIC)
def pixelate(stamp: Stamp, parameters: NoParameters) -> NDArray[np.uint8]:
    """Fill the cell with its mean colour."""
    return mean_colour(stamp.cell)


@effect("desaturate", NoParameters, op=Op.DESATURATE, traits=Trait.SYMBOLIC | Trait.IDEMPOTENT)
def desaturate(stamp: Stamp, parameters: NoParameters) -> NDArray[np.uint8]:
    """Turn each pixel grey: 0.30 R + 0.59 G + 0.11 B, rounded."""
    grey = (stamp.cell.astype(np.int64) @ np.array([30, 59, 11]) + 50) // 100
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


@effect("invert", NoParameters, op=Op.INVERT, traits=Trait.SYMBOLIC)
def invert(stamp: Stamp, parameters: NoParameters) -> NDArray[np.uint8]:
    """Fill the cell with the inverse of its mean colour, 255 − c."""
    return 255 - mean_colour(stamp.cell)


@effect("random", NoParameters, op=Op.RANDOM, traits=Trait.SYMBOLIC)
def random(stamp: Stamp, parameters: NoParameters) -> NDArray[np.uint8]:
    """Fill the cell with a random colour."""
    return np.array([stamp.key >> shift & 255 for shift in (0, 8, 16)], np.uint8)


class Artifact(EffectParameters):
    """Parameters of ``artifact``."""

    quality: int = Field(5, ge=1, le=95, description="JPEG quality; the lower, the blockier")


def _encode_and_decode(source: Source, parameters: Artifact) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(source.frame).save(buffer, "JPEG", quality=parameters.quality)
    return np.asarray(Image.open(buffer))


@effect("artifact", Artifact, plane=_encode_and_decode, op=Op.PLANE, traits=Trait.SYMBOLIC)
def artifact(stamp: Stamp, parameters: Artifact) -> NDArray[np.uint8]:
    """Replace the cell with its part of a JPEG-compressed version of the layer's input."""
    return stamp.plane
