"""Effects that show a piece of a plane as large as the frame: echo, melt, jpeg_bytes, dct."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from glitch_render.effects.registry import EffectParameters, Op, Source, Stamp, Trait, effect
from glitch_render.parallel.threads import usable_cores


class Echo(EffectParameters):
    """Parameters of ``echo``."""

    frames: int = Field(8, ge=1, le=48, description="in a clip, number of frames back")


def _past(source: Source, parameters: Echo) -> NDArray[np.uint8]:
    return source.earlier[-1] if source.earlier else source.frame


@effect(
    "echo",
    Echo,
    plane=_past,
    frames_back=lambda parameters: parameters.frames,
    op=Op.PLANE,
    traits=Trait.SYMBOLIC,
)
def echo(stamp: Stamp, parameters: Echo) -> NDArray[np.uint8]:
    """Show the same block from some frames ago.

    The pixels come from the layer's input. On a still, and before a clip's first frame, they are
    the input itself, which undoes other effects.
    """
    return stamp.plane


class Melt(EffectParameters):
    """Parameters of ``melt``."""

    pull: float = Field(
        8.0, ge=0, le=64, description="multiple of its motion by which a block is pulled"
    )
    blocks: int = Field(54, ge=2, le=540, description="blocks over the frame's height")


def _pulled(source: Source, parameters: Melt) -> NDArray[np.uint8]:
    frame = source.frame
    height, width = frame.shape[:2]
    block = max(4, round(height / parameters.blocks))
    # Compiled code is slow to load, and most recipes do not need it
    from glitch_render.effects.motion import block_motion, move_blocks

    if source.earlier:
        motion = block_motion(source.earlier[0], frame, block)
        seen = source.earlier[0]
        pulled = np.round(motion * parameters.pull).astype(np.int32)
    else:
        from scipy.ndimage import gaussian_filter1d

        seen = frame
        rows, cols = -(-height // block), -(-width // block)
        drawn = np.random.Generator(np.random.Philox(key=source.key)).random(cols)
        wave = gaussian_filter1d(drawn, 2.0, mode="wrap")
        wave = (wave - wave.min()) / max(float(np.ptp(wave)), 1e-9)
        pulled = np.zeros((rows, cols, 2), np.int32)
        pulled[:, :, 0] = np.round(wave**2 * height * parameters.pull / 40)
    out = np.empty_like(frame)
    move_blocks(np.ascontiguousarray(seen), pulled, block, out)
    return out


@effect(
    "melt",
    Melt,
    plane=_pulled,
    frames_back=lambda parameters: 1,
    op=Op.PLANE,
    traits=Trait.SYMBOLIC,
)
def melt(stamp: Stamp, parameters: Melt) -> NDArray[np.uint8]:
    """Pull the picture along its own motion (datamosh).

    Each block of the plane shows the previous frame at p − pull · v(p), where v is the block's
    motion since then. On a still, columns of blocks slump down by up to pull / 40 of the height.
    Source: Takeshi Murata, *Monster Movie*, 2005; Paul B. Davis and Paperrad, 2005.
    """
    return stamp.plane


class JpegBytes(EffectParameters):
    """Parameters of ``jpeg_bytes``."""

    quality: int = Field(60, ge=1, le=95, description="JPEG quality before the damage")
    damage: int = Field(24, ge=1, le=10_000, description="number of bytes changed in the stream")
    restart: int = Field(
        6, ge=0, le=500, description="rows of blocks after which decoding recovers; 0 for never"
    )


def _scan(data: bytes) -> int:
    """Return the offset of a JPEG's compressed pixels."""
    place = 2
    while data[place + 1] != 0xDA:
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return place + 2 + int.from_bytes(data[place + 2 : place + 4])


def _damaged(source: Source, parameters: JpegBytes) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(source.frame).save(
        buffer, "JPEG", quality=parameters.quality, restart_marker_rows=parameters.restart
    )
    stream = bytearray(buffer.getvalue())
    drawn = np.random.Generator(np.random.Philox(key=source.key))
    places = drawn.integers(_scan(bytes(stream)), len(stream) - 2, parameters.damage)
    values = drawn.integers(255, size=parameters.damage)
    for place, value in zip(places.tolist(), values.tolist(), strict=True):
        # Markers are left alone, since a stream without them cannot be decoded
        if 0xFF not in stream[place - 1 : place + 1]:
            stream[place] = value
    return np.asarray(Image.open(io.BytesIO(stream)))


@effect("jpeg_bytes", JpegBytes, plane=_damaged, op=Op.PLANE, traits=Trait.SYMBOLIC)
def jpeg_bytes(stamp: Stamp, parameters: JpegBytes) -> NDArray[np.uint8]:
    """Show what a damaged JPEG stream decodes to.

    The layer's input is encoded, random bytes of its compressed pixels are changed, and libjpeg,
    which continues after errors, decodes the result: blocks shift and colours drift until the next
    restart. Source: databending; Rosa Menkman, *A Vernacular of File Formats*, 2010.
    """
    return stamp.plane


class Dct(EffectParameters):
    """Parameters of ``dct``."""

    step: float = Field(
        420.0,
        ge=1,
        le=4096,
        description="coefficients are rounded to multiples of it",
    )
    blocks: int = Field(27, ge=1, le=540, description="blocks over the frame's height")


def _requantised(source: Source, parameters: Dct) -> NDArray[np.uint8]:
    from scipy.fft import dctn, idctn

    height, width = source.frame.shape[:2]
    side = max(2, round(height / parameters.blocks))
    rows, cols = -(-height // side), -(-width // side)
    spare = ((0, rows * side - height), (0, cols * side - width), (0, 0))
    whole = np.pad(source.frame, spare, mode="edge").astype(np.float32)
    tiles = whole.reshape(rows, side, cols, side, 3)
    step = np.float32(parameters.step * side / 8)
    cores = usable_cores()
    found = dctn(tiles, axes=(1, 3), norm="ortho", overwrite_x=True, workers=cores)
    np.multiply(np.rint(found / step), step, out=found)
    shown = idctn(found, axes=(1, 3), norm="ortho", overwrite_x=True, workers=cores)
    shown = shown.reshape(rows * side, cols * side, 3)[:height, :width]
    clipped: NDArray[np.uint8] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return clipped


@effect("dct", Dct, plane=_requantised, op=Op.PLANE, traits=Trait.SYMBOLIC)
def dct(stamp: Stamp, parameters: Dct) -> NDArray[np.uint8]:
    """Keep only the strongest frequencies of each block, like a codec starved of bits.

    The layer's input is cut into blocks of N×N pixels; coefficients of their orthonormal DCT-II are
    rounded to multiples of step · N / 8. Source: Ahmed, Natarajan and Rao, *Discrete cosine
    transform*, 1974; the quantisation of JPEG with one step for all.
    """
    return stamp.plane
