"""Shrink a picture as PyTorch's antialiased bilinear interpolation of bytes does, bit for bit.

Pillow's differs from it by one level in a few pixels of a thousand, and copies the picture first.
A triangle as wide as the reduction weighs the pixels; its weights are rounded to 16 bits, and each
axis is rounded to bytes on its own, the columns first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled, inlined

__all__ = ["shrink"]

_WEIGHT_BITS, _MOST_PRECISION = 15, 22
_BAND = 3 * 32
"""Bytes of a column of a band: red, green and blue of 32 rows."""


def _weights(size: int, small: int) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """Return how a line of pixels becomes a shorter one.

    Args:
        size: number of pixels.
        small: number of pixels after, at most as many.

    Returns:
        first and last pixel of each window, int64 (small, 2), the last exclusive; weights of its
        pixels, int32 (small, width), 0 outside it; and the bits of their fraction.
    """
    scale = size / small
    centres = scale * (np.arange(small) + 0.5)
    first = np.maximum((centres - scale + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + scale + 0.5).astype(np.int64), size)
    taps = np.arange((last - first).max())
    distances = np.abs(taps + first[:, None] - centres[:, None] + 0.5) / scale
    triangle = np.where(first[:, None] + taps < last[:, None], np.maximum(0, 1 - distances), 0)
    triangle /= triangle.sum(axis=1, keepdims=True)
    precision, largest = 0, float(triangle.max())
    while (
        precision < _MOST_PRECISION
        and int(0.5 + largest * 2 ** (precision + 1)) < 1 << _WEIGHT_BITS
    ):
        precision += 1
    rounded = np.floor(0.5 + triangle * 2**precision).astype(np.int32)
    return np.stack([first, last], axis=1), rounded, precision


@inlined
def _rounded(total: np.int32, precision: int) -> np.uint8:
    whole = total >> precision
    # The weights of a window can sum to slightly more than 1
    return np.uint8(whole) if whole < 255 else np.uint8(255)


@compiled
def _shrink_columns(
    frame: NDArray[np.uint8],
    windows: NDArray[np.int64],
    weights: NDArray[np.int32],
    precision: int,
    out: NDArray[np.uint8],
) -> None:
    # A band of rows side by side, so that one vector instruction serves many of them
    n_rows, n_cols = frame.shape[:2]
    band = np.empty((n_cols, _BAND), np.uint8)
    sums = np.empty(_BAND, np.int32)
    for top in range(0, n_rows, _BAND // 3):
        rows = min(_BAND // 3, n_rows - top)
        for row in range(rows):
            for col in range(n_cols):
                band[col, 3 * row] = frame[top + row, col, 0]
                band[col, 3 * row + 1] = frame[top + row, col, 1]
                band[col, 3 * row + 2] = frame[top + row, col, 2]
        for col in range(out.shape[1]):
            sums[:] = np.int32(1 << (precision - 1))
            first = windows[col, 0]
            for tap in range(windows[col, 1] - first):
                weight = weights[col, tap]
                for place in range(_BAND):
                    sums[place] += weight * np.int32(band[first + tap, place])
            for row in range(rows):
                for channel in range(3):
                    out[top + row, col, channel] = _rounded(sums[3 * row + channel], precision)


@compiled
def _shrink_rows(
    frame: NDArray[np.uint8],
    windows: NDArray[np.int64],
    weights: NDArray[np.int32],
    precision: int,
    out: NDArray[np.uint8],
) -> None:
    sums = np.empty(frame.shape[1], np.int32)
    for row in range(out.shape[0]):
        sums[:] = np.int32(1 << (precision - 1))
        first = windows[row, 0]
        for tap in range(windows[row, 1] - first):
            weight = weights[row, tap]
            for place in range(sums.size):
                sums[place] += weight * np.int32(frame[first + tap, place])
        for place in range(sums.size):
            out[row, place] = _rounded(sums[place], precision)


def shrink(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a smaller copy of a picture.

    Args:
        frame: picture, uint8 (height, width, 3).
        height: rows of the copy, at most those of the picture.
        width: columns of the copy, at most those of the picture.
    """
    narrow = np.array(frame, order="C") if width == frame.shape[1] else _narrowed(frame, width)
    if height == frame.shape[0]:
        return narrow
    out = np.empty((height, width, 3), np.uint8)
    windows, weights, precision = _weights(frame.shape[0], height)
    _shrink_rows(
        narrow.reshape(frame.shape[0], -1), windows, weights, precision, out.reshape(height, -1)
    )
    return out


def _narrowed(frame: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    # Read-only as many pictures are, so that there is one version to compile
    whole = np.ascontiguousarray(frame).view()
    whole.flags.writeable = False
    out = np.empty((frame.shape[0], width, 3), np.uint8)
    _shrink_columns(whole, *_weights(frame.shape[1], width), out)
    return out
