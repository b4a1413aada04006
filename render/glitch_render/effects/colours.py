"""Effects on a cell's own colours: posterize, solarize, hue_rotate, scanlines and dither."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from glitch_render.effects.registry import EffectParameters, Op, Stamp, Trait, effect

__all__ = ["BAYER"]


def _bayer() -> NDArray[np.int64]:
    """Return Bayer's 8×8 matrix of 0…63, built by doubling with 4 M + (0 2; 3 1)."""
    matrix = np.zeros((1, 1), np.int64)
    for _ in range(3):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return matrix


BAYER = _bayer()
"""int64 (8, 8) of 0…63: the order in which the dots of a pattern turn on."""


class Posterize(EffectParameters):
    """Parameters of ``posterize``."""

    bits: int = Field(2, ge=1, le=7, description="number of bits kept of each channel")


def _posterize_settings(parameters: Posterize) -> tuple[int, ...]:
    return (256 - 2 ** (8 - parameters.bits),)


@effect(
    "posterize",
    Posterize,
    op=Op.POSTERIZE,
    traits=Trait.PER_PIXEL | Trait.IDEMPOTENT | Trait.LIGHT,
    settings=_posterize_settings,
)
def posterize(stamp: Stamp, parameters: Posterize) -> NDArray[np.uint8]:
    """Keep only the highest bits of each channel (bit-crush).

    c & (256 − 2^(8 − bits)). Source: the bit-crusher of sound, and Pillow's ``posterize``.
    """
    return stamp.cell & np.uint8(_posterize_settings(parameters)[0])


class Solarize(EffectParameters):
    """Parameters of ``solarize``."""

    threshold: int = Field(
        128, ge=0, le=255, description="channel values from this value on are inverted"
    )


@effect(
    "solarize",
    Solarize,
    op=Op.SOLARIZE,
    traits=Trait.PER_PIXEL | Trait.LIGHT,
    settings=lambda parameters: [parameters.threshold],
)
def solarize(stamp: Stamp, parameters: Solarize) -> NDArray[np.uint8]:
    """Invert bright values, channel by channel.

    c where c < threshold, else 255 − c. Source: the Sabattier effect of the darkroom.
    """
    return np.where(stamp.cell < parameters.threshold, stamp.cell, 255 - stamp.cell)


class HueRotate(EffectParameters):
    """Parameters of ``hue_rotate``."""

    degrees: float = Field(
        90.0, ge=-360, le=360, allow_inf_nan=False, description="rotation of the hue in degrees"
    )


_ONE = 4096


def _hue_matrix(parameters: HueRotate) -> list[int]:
    """Return the matrix of a rotation about the grey axis, in 4096ths, row by row."""
    angle = math.radians(parameters.degrees)
    weights = np.array([0.213, 0.715, 0.072])
    grey = np.tile(weights, (3, 1))
    sines = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    matrix = grey + math.cos(angle) * (np.eye(3) - grey) + math.sin(angle) * sines
    whole = np.round(matrix * _ONE).astype(int)
    # Rows sum to exactly one, so that grey stays grey
    whole[np.arange(3), np.arange(3)] += _ONE - whole.sum(axis=1)
    return [int(value) for value in whole.ravel()]


@effect("hue_rotate", HueRotate, op=Op.HUE_ROTATE, traits=Trait.PER_PIXEL, settings=_hue_matrix)
def hue_rotate(stamp: Stamp, parameters: HueRotate) -> NDArray[np.uint8]:
    """Rotate the hue, preserving lightness.

    The matrix of ``hueRotate`` in W3C's *Filter Effects Module*, rounded to 4096ths, clipped.
    """
    matrix = np.array(_hue_matrix(parameters), np.int64).reshape(3, 3)
    turned = (stamp.cell.astype(np.int64) @ matrix.T + _ONE // 2) // _ONE
    clipped: NDArray[np.uint8] = np.clip(turned, 0, 255).astype(np.uint8)
    return clipped


class Scanlines(EffectParameters):
    """Parameters of ``scanlines``."""

    lines: int = Field(180, ge=1, le=2160, description="dark lines over the frame's height")
    darkness: float = Field(0.6, ge=0, le=1, description="share of the light that they absorb, 0…1")


@effect(
    "scanlines",
    Scanlines,
    op=Op.SCANLINES,
    traits=Trait.LIGHT,
    settings=lambda parameters: [parameters.lines, round(256 * (1 - parameters.darkness))],
)
def scanlines(stamp: Stamp, parameters: Scanlines) -> NDArray[np.uint8]:
    """Darken every other line along the agent's move, like a tube's lines or shadow mask.

    Line n of pixels is dark where ⌊2 · lines · n / height⌋ is odd; dark is c · (1 − darkness), in
    256ths, rounded. Lines run along the move, or along rows for diagonal moves.
    """
    height = stamp.size[0]
    down = stamp.move[1] == 0
    begin, count = stamp.place[1 if down else 0], stamp.cell.shape[1 if down else 0]
    dark = 2 * parameters.lines * np.arange(begin, begin + count) // height % 2 == 1
    dimmed = (stamp.cell * np.int64(round(256 * (1 - parameters.darkness))) + 128) >> 8
    where = dark[None, :, None] if down else dark[:, None, None]
    return np.where(where, dimmed, stamp.cell).astype(np.uint8)


class Dither(EffectParameters):
    """Parameters of ``dither``."""

    levels: Literal[2, 4, 6, 16] = Field(2, description="number of values of a channel")
    dots: int = Field(360, ge=8, le=4320, description="dots of the pattern over the frame's height")


@effect(
    "dither",
    Dither,
    op=Op.DITHER,
    traits=Trait.IDEMPOTENT,
    settings=lambda parameters: [parameters.levels, parameters.dots],
)
def dither(stamp: Stamp, parameters: Dither) -> NDArray[np.uint8]:
    """Print with few colours in a Bayer pattern of dots.

    With n levels, c · (n − 1) / 255 is rounded up where its fraction exceeds (2 B + 1) / 128, else
    down; B is Bayer's 8×8 matrix at the dot. Source: Bayer, *An optimum method for two-level
    rendition of continuous-tone pictures*, 1973.
    """
    (top, begin), height = stamp.place, stamp.size[0]
    rows = np.arange(top, top + stamp.cell.shape[0]) * parameters.dots // height % 8
    cols = np.arange(begin, begin + stamp.cell.shape[1]) * parameters.dots // height % 8
    threshold = (2 * BAYER[rows[:, None], cols[None, :]] + 1)[:, :, None]
    steps = parameters.levels - 1
    scaled = stamp.cell.astype(np.int64) * steps
    level = scaled // 255
    level += (scaled - 255 * level) * 128 > 255 * threshold
    return (level * (255 // steps)).astype(np.uint8)
