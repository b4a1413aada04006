"""Block motion between two frames, estimated as in video encoders.

Source: the three-step search of Koga et al., *Motion-compensated interframe coding for video
conferencing*, 1981.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.compilation import compiled
from glitch_gym.errors import SettingError

__all__ = ["block_motion", "move_blocks"]

_LINES = 270
"""Approximate height to which frames are reduced for the estimation."""


def block_motion(
    before: NDArray[np.uint8], now: NDArray[np.uint8], block: int
) -> NDArray[np.int32]:
    """Return the motion of each block of a frame, smoothed by a median over its neighbours.

    Args:
        before: uint8 (height, width, 3), RGB.
        now: uint8 (height, width, 3), RGB.
        block: side of a block in pixels, at least 4.

    Returns:
        int32 (rows, cols, 2), pixels by which each block has moved down and right.

    Raises:
        SettingError: the frames differ in size, or blocks are too small.
    """
    if before.shape != now.shape or now.ndim != 3 or now.shape[2] != 3 or block < 4:
        raise SettingError(
            f"motion needs two frames of one size and blocks of at least 4 pixels, not "
            f"{before.shape}, {now.shape} and {block}"
        )
    from scipy.ndimage import median_filter

    height, width = now.shape[:2]
    factor = max(1, round(height / _LINES))
    rows, cols = -(-height // block), -(-width // block)
    motion = np.zeros((rows, cols, 2), np.int32)
    _search(_reduced(before, factor), _reduced(now, factor), block / factor, motion)
    # Neighbours outvote chance matches of a single block
    smooth: NDArray[np.int32] = median_filter(motion, size=(5, 5, 1), mode="nearest")
    return smooth * np.int32(factor)


def _reduced(frame: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return a grey picture of every ``factor``-th pixel."""
    picked = frame[factor // 2 :: factor, factor // 2 :: factor].astype(np.uint16)
    return ((picked[:, :, 0] + 2 * picked[:, :, 1] + picked[:, :, 2]) >> 2).astype(np.uint8)


@compiled
def _difference(
    before: NDArray[np.uint8],
    now: NDArray[np.uint8],
    top: int,
    start: int,
    side: int,
    down: int,
    right: int,
) -> int:
    total = 0
    for line in range(np.uint64(side)):
        y, from_y = np.uint64(top) + line, np.uint64(top - down) + line
        row = np.uint32(0)
        for place in range(np.uint64(side)):
            here = now[y, np.uint64(start) + place]
            there = before[from_y, np.uint64(start - right) + place]
            row += np.uint32(max(here, there) - min(here, there))
        total += int(np.int64(row))
    # A block without texture stays in place
    return total + (abs(down) + abs(right)) * side * side // 8


@compiled
def _search(
    before: NDArray[np.uint8], now: NDArray[np.uint8], block: float, motion: NDArray[np.int32]
) -> None:
    height, width = now.shape
    side = min(8, height, width)
    for row in range(motion.shape[0]):
        for col in range(motion.shape[1]):
            top = min(max(int((row + 0.5) * block) - side // 2, 0), height - side)
            start = min(max(int((col + 0.5) * block) - side // 2, 0), width - side)
            down = right = 0
            best = _difference(before, now, top, start, side, 0, 0)
            step = 4
            while step > 0:
                around_down, around_right = down, right
                for d in range(-1, 2):
                    for r in range(-1, 2):
                        to_down, to_right = around_down + d * step, around_right + r * step
                        inside = (
                            0 <= top - to_down <= height - side
                            and 0 <= start - to_right <= width - side
                        )
                        if (d == 0 and r == 0) or not inside:
                            continue
                        found = _difference(before, now, top, start, side, to_down, to_right)
                        if found < best:
                            best, down, right = found, to_down, to_right
                step //= 2
            motion[row, col, 0] = down
            motion[row, col, 1] = right


@compiled
def move_blocks(
    frame: NDArray[np.uint8], motion: NDArray[np.int32], block: int, out: NDArray[np.uint8]
) -> None:
    """Fill each block with the pixels at its origin, repeating border pixels beyond the frame.

    Args:
        frame: uint8 (height, width, 3).
        motion: int32 (rows, cols, 2), pixels down and right.
        block: side of a block in pixels.
        out: uint8 (height, width, 3), written to.
    """
    height, width = frame.shape[:2]
    lines, from_lines = out.reshape((height, -1)), frame.reshape((height, -1))
    for y in range(height):
        row = y // block
        for col in range(motion.shape[1]):
            start, end = col * block, min(width, (col + 1) * block)
            from_y = np.uint64(min(max(y - motion[row, col, 0], 0), height - 1))
            right = motion[row, col, 1]
            if start - right >= 0 and end - right <= width:
                # Nearly all blocks are copied in one piece
                begin, there = np.uint64(3 * start), np.uint64(3 * (start - right))
                for place in range(np.uint64(3 * (end - start))):
                    lines[np.uint64(y), begin + place] = from_lines[from_y, there + place]
                continue
            for x in range(start, end):
                from_x = min(max(x - right, 0), width - 1)
                for channel in range(3):
                    out[y, x, channel] = frame[from_y, from_x, channel]
