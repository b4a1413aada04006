"""Effects that move pixels: channel_shift, pixel_sort, displace, smear, swap."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from glitch_render.effects.registry import (
    EffectParameters,
    NoParameters,
    Op,
    Stamp,
    Trait,
    effect,
    fitted,
)


class ChannelShift(EffectParameters):
    """Parameters of ``channel_shift``."""

    distance: float = Field(
        0.25, ge=0, le=1, description="how far red shifts forward and blue backward, in cells"
    )


@effect(
    "channel_shift",
    ChannelShift,
    op=Op.CHANNEL_SHIFT,
    traits=Trait.KEEPS_FLAT | Trait.PER_CELL,
    settings=lambda parameters: [round(1024 * parameters.distance)],
)
def channel_shift(stamp: Stamp, parameters: ChannelShift) -> NDArray[np.uint8]:
    """Shift red forward along the agent's move, and blue backward; green stays.

    Within the cell, wrapping around its edges: r(p) = R(p − d), b(p) = B(p + d), with
    d = distance · side along the move, in whole pixels. Source: chromatic aberration, and
    misregistered print.
    """
    share = round(1024 * parameters.distance)
    height, width = stamp.cell.shape[:2]
    shift = (
        stamp.move[0] * ((share * height + 512) >> 10),
        stamp.move[1] * ((share * width + 512) >> 10),
    )
    shifted = stamp.cell.copy()
    shifted[:, :, 0] = np.roll(stamp.cell[:, :, 0], shift, (0, 1))
    shifted[:, :, 2] = np.roll(stamp.cell[:, :, 2], (-shift[0], -shift[1]), (0, 1))
    return shifted


_KEYS = ("luma", "red", "green", "blue")
_AXES = ("move", "horizontal", "vertical")


class PixelSort(EffectParameters):
    """Parameters of ``pixel_sort``."""

    key: Literal["luma", "red", "green", "blue"] = Field("luma", description="sort key")
    axis: Literal["move", "horizontal", "vertical"] = Field(
        "move", description="sort along the agent's move, or always along rows or columns"
    )
    low: int = Field(40, ge=0, le=255, description="pixels with a lower key stay and split runs")
    high: int = Field(230, ge=0, le=255, description="pixels with a higher key stay and split runs")


@effect(
    "pixel_sort",
    PixelSort,
    op=Op.PIXEL_SORT,
    traits=Trait.KEEPS_FLAT | Trait.PER_CELL | Trait.IDEMPOTENT_BY_MOVE | Trait.HEAVY,
    settings=lambda parameters: [
        _KEYS.index(parameters.key),
        _AXES.index(parameters.axis),
        parameters.low,
        parameters.high,
    ],
)
def pixel_sort(stamp: Stamp, parameters: PixelSort) -> NDArray[np.uint8]:
    """Sort runs of pixels by brightness, brightest where the agent is heading.

    In each line of the cell, runs of neighbours with low ≤ key ≤ high are sorted, ascending along
    the move, or to the right and downwards; equal keys keep their order; luma is 0.30 R + 0.59 G +
    0.11 B. Diagonal moves sort rows. Source: Kim Asendorf, *ASDFPixelSort*, 2010.
    """
    cell = stamp.cell
    down = parameters.axis == "vertical" or (parameters.axis == "move" and stamp.move[1] == 0)
    back = parameters.axis == "move" and (stamp.move[0] if down else stamp.move[1]) < 0
    lines = cell.transpose(1, 0, 2) if down else cell
    if back:
        lines = lines[:, ::-1]
    if parameters.key == "luma":
        keys = (lines.astype(np.int64) @ np.array([30, 59, 11]) + 50) // 100
    else:
        keys = lines[:, :, _KEYS.index(parameters.key) - 1].astype(np.int64)
    result = lines.copy()
    for line, key, out in zip(lines, keys, result, strict=True):
        inside = (key >= parameters.low) & (key <= parameters.high)
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            order = np.argsort(key[begin:end], kind="stable")
            out[begin:end] = line[begin:end][order]
    if back:
        result = result[:, ::-1]
    return np.ascontiguousarray(result.transpose(1, 0, 2) if down else result)


class Displace(EffectParameters):
    """Parameters of ``displace``."""

    rows: int = Field(0, ge=-1000, le=1000, description="cells down to the copied block")
    cols: int = Field(0, ge=-1000, le=1000, description="cells right to the copied block")


def _displaced_from(parameters: Displace, move: tuple[int, int]) -> tuple[int, int]:
    if parameters.rows or parameters.cols:
        return parameters.rows, parameters.cols
    return -move[0], -move[1]


@effect(
    "displace",
    Displace,
    op=Op.DISPLACE,
    traits=Trait.READS_OTHER | Trait.PER_CELL,
    source=_displaced_from,
)
def displace(stamp: Stamp, parameters: Displace) -> NDArray[np.uint8]:
    """Repeat the block the agent came from, or one at a given offset.

    The cell is filled with the other cell's pixels as they are at that time; if their sizes differ
    by a pixel, a line is cut off or repeated. Source: misplaced macroblocks of a damaged stream.
    """
    return fitted(stamp.left, stamp.cell.shape)


class Smear(EffectParameters):
    """Parameters of ``smear``."""

    decay: float = Field(
        0.15, ge=0, le=1, description="share of the cell's own pixels mixed in at each step"
    )


@effect(
    "smear",
    Smear,
    op=Op.SMEAR,
    traits=Trait.READS_OTHER | Trait.PER_CELL,
    settings=lambda parameters: [round(256 * (1 - parameters.decay))],
)
def smear(stamp: Stamp, parameters: Smear) -> NDArray[np.uint8]:
    """Drag the block along the agent's path, fading into what it crosses.

    left · (1 − decay) + cell · decay, in 256ths, rounded.
    """
    kept = np.int64(round(256 * (1 - parameters.decay)))
    left = fitted(stamp.left, stamp.cell.shape)
    return ((left * kept + stamp.cell * (256 - kept) + 128) >> 8).astype(np.uint8)


@effect("swap", NoParameters, op=Op.SWAP, traits=Trait.READS_OTHER | Trait.PER_CELL)
def swap(stamp: Stamp, parameters: NoParameters) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Swap the cell with the one the agent left.

    If their sizes differ by a pixel, a line is cut off or repeated.
    """
    return fitted(stamp.left, stamp.cell.shape), fitted(stamp.cell, stamp.left.shape)
