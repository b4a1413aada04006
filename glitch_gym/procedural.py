"""Pictures drawn by number: a family without end, each with the mask of its subject.

A picture is a function of (seed, split, index), so that nothing has to be stored, and the pictures
of the train and of the test split have no draw in common. All of it is integer arithmetic on NumPy
arrays: the same bytes on every machine and under every version of NumPy.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import whole_number
from glitch_gym.errors import SettingError, unknown_name_error

__all__ = ["SPLITS", "SUBJECTS", "ProceduralPicture", "draw_clip", "draw_picture"]

SPLITS = ("train", "test")
"""The halves of the family. No picture belongs to both."""

Pixels = NDArray[np.int32]

# One unit of length: distances are integers in 1/1024 of the subject's radius, angles in 1/64 turn
_UNIT = 1024
_COSINES = np.array(
    [1024, 1019, 1004, 980, 946, 903, 851, 792, 724, 650, 569, 483, 392, 297, 200, 100], np.int32
)
_OVERSAMPLING = 2
_LARGEST_SIDE = 4096
_WORDS = 48

# Background from and to, subject, and the subject's second colour
_PALETTES = np.array(
    [
        [(24, 28, 58), (88, 70, 120), (250, 206, 92), (232, 92, 72)],
        [(196, 222, 232), (120, 168, 196), (206, 54, 52), (120, 22, 44)],
        [(20, 52, 50), (72, 118, 92), (246, 236, 206), (238, 150, 84)],
        [(238, 214, 180), (206, 158, 128), (30, 74, 122), (16, 36, 72)],
        [(40, 22, 30), (112, 48, 62), (120, 220, 208), (236, 248, 220)],
        [(214, 224, 190), (142, 172, 120), (128, 34, 116), (60, 14, 70)],
        [(14, 18, 24), (60, 72, 88), (246, 248, 250), (92, 188, 246)],
        [(248, 196, 168), (150, 110, 160), (20, 46, 54), (10, 92, 96)],
        [(70, 96, 148), (176, 186, 212), (255, 226, 60), (244, 128, 30)],
        [(52, 40, 26), (140, 108, 66), (236, 88, 130), (255, 216, 226)],
    ],
    np.int32,
)


@dataclass(frozen=True, eq=False)
class ProceduralPicture:
    """A picture drawn by number.

    Args:
        frame: uint8 (height, width, 3), RGB.
        mask: float32 (height, width) in [0, 1], how much of each pixel is the subject.
        subject: what the subject is, one of ``SUBJECTS``.
    """

    frame: NDArray[np.uint8]
    mask: NDArray[np.float32]
    subject: str


def _cosine(angle: int) -> int:
    """Return 1024 times the cosine of an angle in 1/64 turn."""
    quarter, rest = divmod(angle % 64, 16)
    falling, rising = int(_COSINES[rest]), int(_COSINES[16 - rest]) if rest else 0
    return (falling, -rising, -falling, rising)[quarter]


def _sine(angle: int) -> int:
    return _cosine(angle - 16)


def _inside_all_but(
    x: Pixels, y: Pixels, sides: int, reach: int, outside: int
) -> NDArray[np.bool_]:
    """Return which places are outside of so many sides of a regular polygon, at most."""
    inside = np.zeros(x.shape, np.int32)
    for side in range(sides):
        angle = side * 64 // sides
        inside += x * _cosine(angle) + y * _sine(angle) <= reach * _UNIT
    return np.asarray(inside >= sides - outside)


def _square(x: Pixels, y: Pixels) -> Pixels:
    return x * x + y * y


def _disc(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return _square(x, y) <= _UNIT**2


def _ring(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    squares = _square(x, y)
    return (squares <= _UNIT**2) & (squares >= (_UNIT * 9 // 20) ** 2)


def _crescent(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return _disc(x, y) & (_square(x - 480, y) >= 800**2)


def _diamond(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return abs(x) + abs(y) <= _UNIT


def _triangle(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return _inside_all_but(x, y, 3, 560, 0)


def _hexagon(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return _inside_all_but(x, y, 6, 880, 0)


def _star(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    # A tip of the star lies outside exactly one of the five lines that bound it
    return _inside_all_but(x, y, 5, 370, 1)


def _six_pointed_star(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    return _inside_all_but(x, y, 6, 540, 1)


def _cross(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    wide, narrow = 980, 320
    return ((abs(x) <= wide) & (abs(y) <= narrow)) | ((abs(x) <= narrow) & (abs(y) <= wide))


def _heart(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    x = abs(x)
    lobes = _square(x - 440, y + 330) <= 560**2
    return lobes | ((x + y <= 930) & (y >= -230) & (y - x >= -1160))


def _flower(x: Pixels, y: Pixels) -> NDArray[np.bool_]:
    inside = _square(x, y) <= 420**2
    for petal in range(5):
        angle = petal * 64 // 5
        inside |= (
            _square(x - 600 * _cosine(angle) // 1024, y - 600 * _sine(angle) // 1024) <= 400**2
        )
    return inside


_SHAPES: dict[str, Callable[[Pixels, Pixels], NDArray[np.bool_]]] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "diamond": _diamond,
    "triangle": _triangle,
    "hexagon": _hexagon,
    "star": _star,
    "six-pointed star": _six_pointed_star,
    "cross": _cross,
    "heart": _heart,
    "flower": _flower,
}

SUBJECTS = tuple(_SHAPES)
"""What the subject of a procedural picture may be."""


def _lattice(words: NDArray[np.int64], rows: Pixels, cols: Pixels, cells: int) -> Pixels:
    """Return value noise in 0…255: a random lattice of cells × cells, interpolated."""
    points = np.arange((cells + 1) * (cells + 1), dtype=np.int64)
    # A few words spread over the lattice by a multiplicative hash, in 64 bits without overflow
    mixed = (words[points % 8] ^ (points * 2654435761)) & 0xFFFFFFFF
    mixed = ((mixed >> 15) ^ mixed) * 0x2C1B3C6D & 0xFFFFFFFF
    values = (((mixed >> 12) ^ mixed) & 255).astype(np.int32).reshape(cells + 1, cells + 1)
    top, left = rows * cells, cols * cells
    row, col, below, right = top >> 10, left >> 10, top & 1023, left & 1023
    here = values[row] * (1024 - below[:, None]) + values[row + 1] * below[:, None]
    here >>= 4
    return np.asarray((here[:, col] * (1024 - right) + here[:, col + 1] * right) >> 16)


def _background(
    kind: int, words: NDArray[np.int64], rows: Pixels, cols: Pixels, ends: Pixels
) -> Pixels:
    """Return the background, int32 (h, w, 3); rows and columns are in 0…1023 of the sides."""
    down, along = rows[:, None], cols[None, :]
    tilt = int(words[8] % 1024)
    if kind == 0:  # A slanted gradient
        level = (down * tilt + along * (1023 - tilt)) >> 12
    elif kind == 1:  # Light that falls off from a corner
        across, deep = along - 1023 * (tilt & 1), down - 1023 * (tilt >> 1 & 1)
        level = (across * across + deep * deep) >> 13
    elif kind == 2:  # Hills, the nearer the darker
        level = np.broadcast_to(down >> 3, (len(rows), len(cols)))
        for ridge in range(3):
            height = _lattice(np.roll(words, ridge), rows[:1] * 0, cols, 3 + ridge)[0]
            level = np.where(down >= 480 + 170 * ridge - height, 200 - 80 * ridge, level)
    elif kind == 3:  # Soft stripes
        period = 96 + int(words[9] % 128)
        wave = abs((down * tilt + along * (1023 - tilt) >> 10) % period - period // 2)
        level = wave * 255 // (period // 2) * 3 // 5 + 40
    else:  # Clouds alone
        level = np.full((len(rows), len(cols)), 90, np.int32)
    clouds = _lattice(words, rows, cols, 3) + _lattice(words[::-1], rows, cols, 11) // 2
    level = np.clip(level + ((clouds - 190) >> (0 if kind == 4 else 2)), 0, 255)
    return np.asarray(ends[0] + (((ends[1] - ends[0]) * level[:, :, None]) >> 8))


def _texture(kind: int, x: Pixels, y: Pixels, period: int) -> NDArray[np.bool_]:
    """Return where the subject's second colour shows."""
    if kind == 0:
        return np.asarray((x + 8 * _UNIT) % period < period // 2)
    if kind == 1:
        square = (x + 8 * _UNIT) % period - period // 2, (y + 8 * _UNIT) % period - period // 2
        return np.asarray(square[0] ** 2 + square[1] ** 2 < (period * 3 // 10) ** 2)
    if kind == 2:
        return np.asarray(((x + 8 * _UNIT) // period + (y + 8 * _UNIT) // period) % 2 == 0)
    if kind == 3:
        return np.asarray(_square(x, y) % (period * _UNIT) < period * _UNIT // 2)
    return np.zeros(x.shape, np.bool_)


def _words(seed: int, split: str, index: int) -> NDArray[np.int64]:
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(split.encode()), index))
    return sequence.generate_state(_WORDS, np.uint32).astype(np.int64)


def _draw(
    words: NDArray[np.int64], size: tuple[int, int], shift: tuple[int, int], turn: int
) -> ProceduralPicture:
    """Draw the picture of these words, its subject shifted by 1/1024 of the sides and turned."""
    height, width = size
    channels = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    # Two pictures of three keep their palette, since skies and hills look best as they are
    order = channels[int(words[0]) % 6] if words[1] % 3 == 0 else channels[0]
    palette = _PALETTES[int(words[2]) % len(_PALETTES)][:, list(order)]
    rows = np.arange(height, dtype=np.int32) * 1023 // max(height - 1, 1)
    cols = np.arange(width, dtype=np.int32) * 1023 // max(width - 1, 1)
    picture = _background(int(words[3]) % 5, words[8:24], rows, cols, palette[:2])
    mask = np.zeros(size, np.float32)

    radius = max(2, min(size) * _OVERSAMPLING * int(200 + words[4] % 160) // 1024)
    down = (180 + int(words[6] % 664) + shift[0]) * height * _OVERSAMPLING // 1024
    across = (180 + int(words[5] % 664) + shift[1]) * width * _OVERSAMPLING // 1024
    # The subject is drawn twice as large, and only where it or its shadow can be
    reach = radius * 5 // 4
    top, bottom = (_within((down + sign * reach) // _OVERSAMPLING, height) for sign in (-1, 1))
    left, right = (_within((across + sign * reach) // _OVERSAMPLING, width) for sign in (-1, 1))
    v = _offsets(top, bottom, down, radius)[:, None]
    u = _offsets(left, right, across, radius)[None, :]
    angle = int(words[7] % 64) + turn
    cosine, sine = _cosine(angle), _sine(angle)
    x = (u * cosine + v * sine) >> 10
    y = ((v * cosine - u * sine) >> 10) * (1024 + int(words[24] % 384)) >> 10
    subject = SUBJECTS[int(words[25]) % len(SUBJECTS)]
    shape = _SHAPES[subject]
    inside = shape(x, y)
    second = _texture(int(words[26]) % 5, x, y, 256 + int(words[27] % 384))
    colours = np.where(second[:, :, None], palette[3], palette[2])
    # Light from above, and a soft shadow behind
    light = np.clip(1064 - (v + u) // 9, 760, 1240)
    colours = np.minimum(colours * light[:, :, None] >> 10, 255)
    covered = _pooled(inside[:, :, None])
    painted = _pooled(colours * inside[:, :, None])
    shade = _pooled(shape(x - 90, y - 90)[:, :, None])

    n = _OVERSAMPLING**2
    behind = picture[top:bottom, left:right]
    behind = behind * (16 * n - 5 * shade) // (16 * n)
    picture[top:bottom, left:right] = (painted + behind * (n - covered) + n // 2) // n
    mask[top:bottom, left:right] = covered[:, :, 0].astype(np.float32) / np.float32(n)
    frame = picture.astype(np.uint8)
    frame.setflags(write=False)
    mask.setflags(write=False)
    return ProceduralPicture(frame, mask, subject)


def _within(place: int, side: int) -> int:
    return min(max(place, 0), side)


def _offsets(first: int, last: int, centre: int, radius: int) -> Pixels:
    """Return how far oversampled pixels are from a centre, in 1/1024 of a radius."""
    places = np.arange(first * _OVERSAMPLING, last * _OVERSAMPLING, dtype=np.int32)
    return np.asarray((places - centre) * _UNIT // radius)


def _pooled(values: NDArray[Any]) -> Pixels:
    """Return the sums over the oversampled pixels of each pixel, int32 (h, w, channels)."""
    high, wide, channels = values.shape
    k = _OVERSAMPLING
    blocks = values.reshape(high // k, k, wide // k, k, channels)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.int32))


def _checked(index: int, split: str, seed: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    if split not in SPLITS:
        raise unknown_name_error("split", str(split), SPLITS)
    try:
        height, width = (whole_number("size", side, least=4, most=_LARGEST_SIDE) for side in size)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"size must be (height, width), 4…{_LARGEST_SIDE} pixels each, not {size!r}"
        ) from error
    index = whole_number("index", index, most=2**32 - 1)
    return index, whole_number("seed", seed, most=None), height, width


def draw_picture(
    index: int, *, split: str = "train", seed: int = 0, size: tuple[int, int] = (64, 96)
) -> ProceduralPicture:
    """Draw a picture of the family.

    Args:
        index: number of the picture.
        split: ``"train"`` or ``"test"``.
        seed: seed of the family; each has pictures of its own.
        size: (height, width) in pixels.

    Returns:
        the picture and the mask of its subject, read-only.

    Raises:
        SettingError: an unknown split, or a number out of range.

    Example:
        >>> picture = draw_picture(0, split="test")
        >>> picture.frame.shape, picture.mask.shape
        ((64, 96, 3), (64, 96))
    """
    index, seed, height, width = _checked(index, split, seed, size)
    return _draw(_words(seed, split, index), (height, width), (0, 0), 0)


def draw_clip(
    index: int,
    frames: int,
    *,
    split: str = "train",
    seed: int = 0,
    size: tuple[int, int] = (64, 96),
) -> list[ProceduralPicture]:
    """Draw a clip: the subject of a picture circles and turns, and is back after the last frame.

    Args:
        index: number of the picture.
        frames: number of frames, at least 1.
        split: ``"train"`` or ``"test"``.
        seed: seed of the family.
        size: (height, width) in pixels.

    Raises:
        SettingError: an unknown split, or a number out of range.
    """
    index, seed, height, width = _checked(index, split, seed, size)
    frames = whole_number("frames", frames, least=1, most=10_000)
    words = _words(seed, split, index)
    # The circle goes through where the picture has its subject, towards the middle
    side = [-1 if words[place] % 664 > 332 else 1 for place in (6, 5)]
    clip = []
    for frame in range(frames):
        angle = 64 * frame // frames
        shift = (
            side[0] * 220 * _sine(angle) // 1024,
            side[1] * 220 * (1024 - _cosine(angle)) // 1024,
        )
        clip.append(_draw(words, (height, width), shift, angle))
    return clip
