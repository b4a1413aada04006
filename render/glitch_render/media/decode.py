"""Frames in: pictures, animations and clips decoded to pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.picture import check_pixels, read_picture
from glitch_render.media.footage import (
    WITHOUT_TIMES,
    Footage,
    alpha_beside,
    delay_of,
    limit_pixels,
    open_container,
    video_stream,
)

__all__ = ["decode", "deep_pixels_of", "pixels_of", "small_pixels", "thumbnail"]


# Seconds; two frames that are further apart were not meant to be
_LONGEST_PAUSE = 1_000_000


def decode(
    footage: Footage, since: int | None = None, *, damage: list[str] | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode frames in order.

    Args:
        footage: footage to decode, from ``open_footage``.
        since: the first time that is wanted, in units of the time base; by default the start. A
            clip is entered at the key frame before it.
        damage: list to which a line is added for each kind of damage.

    Yields:
        time, in units of the time base, and frame.

    Raises:
        PictureError: a file can no longer be read.
    """
    found = damage if damage is not None else []
    if footage.kind == "clip":
        yield from _decode_clip(footage, since, found)
        return
    makers = {"animation": _animation, "pictures": _pictures, "still": _still}
    for time, frame in makers[footage.kind](footage, found):
        if since is None or time >= since:
            yield time, frame


def _from_pixels(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    form = "rgba" if pixels.shape[2] == 4 else "rgb24"
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=form)


def _animation(footage: Footage, damage: list[str]) -> Iterator[tuple[int, av.VideoFrame]]:
    time = 0
    with Image.open(footage.paths[0]) as image:
        for index in range(footage.n_frames or 1):
            try:
                image.seek(index)
                # A damaged frame can be larger than the picture that it is a part of
                check_pixels(footage.paths[0], *image.size)
                shown = np.asarray(image.convert("RGBA" if footage.alpha else "RGB"))
                shown = shown[: footage.height, : footage.width]
            except MemoryError:
                raise
            except Exception as error:
                damage.append(f"damaged after {index} frames ({error})")
                return
            frame = _from_pixels(shown)
            frame.duration = delay_of(image)
            yield time, frame
            time += frame.duration


def _pixels_of_picture(path: str, alpha: bool) -> NDArray[np.uint8]:
    picture = read_picture(path)
    if not alpha:
        return picture.frame
    opaque = np.full(picture.frame.shape[:2], 255, np.uint8)
    return np.dstack([picture.frame, opaque if picture.alpha is None else picture.alpha])


def _pictures(footage: Footage, damage: list[str]) -> Iterator[tuple[int, av.VideoFrame]]:
    for index, path in enumerate(footage.paths):
        yield index, _from_pixels(_pixels_of_picture(path, footage.alpha))


def _still(footage: Footage, damage: list[str]) -> Iterator[tuple[int, av.VideoFrame]]:
    pixels = _pixels_of_picture(footage.paths[0], footage.alpha)
    for index in range(footage.n_frames or 1):
        yield index, _from_pixels(pixels)


def _decode_clip(
    footage: Footage, since: int | None, damage: list[str]
) -> Iterator[tuple[int, av.VideoFrame]]:
    path = Path(footage.paths[0])
    with open_container(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        limit_pixels(stream.codec_context)
        counted = container.format.name in WITHOUT_TIMES
        if since is not None and not counted:
            with contextlib.suppress(av.error.FFmpegError):
                container.seek(since, stream=stream)
        step = max(1, round(1 / (footage.rate * footage.time_base)))
        longest = max(step, int(_LONGEST_PAUSE / footage.time_base))
        last: int | None = None
        waiting = since is not None
        for frame in _frames_of(container, stream, damage):
            time = frame.pts if frame.pts is not None else frame.dts
            if time is not None and last is not None and time - last > longest:
                _note_once(damage, "holds frames whose times cannot be right")
                time = None
            if counted or time is None or (last is not None and time <= last):
                # Some old files have no times, or repeat them: frames still follow one another
                time = 0 if last is None else last + step
            if waiting and since is not None:
                if last is None and time > since:
                    break
                if time < since:
                    last = time
                    continue
            last = time
            waiting = False
            yield time, frame
        if not waiting:
            return
    # The seek overshot, or the file cannot be sought in
    for time, frame in _decode_clip(footage, None, damage):
        if since is None or time >= since:
            yield time, frame


def _frames_of(container: Any, stream: Any, damage: list[str]) -> Iterator[av.VideoFrame]:
    """Decode a stream as far as it can be read; leave out damaged packets."""
    decoder: Any = stream
    if alpha_beside(stream) and stream.codec_context.name == "vp9":
        # FFmpeg's own decoder of VP9 leaves the alpha channel out
        with contextlib.suppress(ValueError, av.error.FFmpegError):
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            limit_pixels(decoder)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            _note_once(damage, "cannot be read to its end")
            return
        if packet.is_corrupt:
            _note_once(damage, "holds damaged packets")
        try:
            frames = decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            _note_once(damage, "holds frames that cannot be decoded")
            continue
        for frame in frames:
            if frame.is_corrupt:
                _note_once(damage, "holds damaged frames")
            yield frame


def _note_once(damage: list[str], line: str) -> None:
    if line not in damage:
        damage.append(line)


def _rgb(
    footage: Footage, frame: av.VideoFrame, form: str, size: tuple[int, int], how: int
) -> NDArray[Any]:
    width, height = size
    full = footage.colour.full_range or frame.format.name.startswith(("rgb", "bgr", "gbr", "pal"))
    converted = frame.reformat(
        width,
        height,
        form,
        src_colorspace=footage.colour.yuv_matrix(footage.width, footage.height),
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=how,
        threads=1,
    )
    pixels = converted.to_ndarray()
    # Where nothing had to be converted the pixels are the source's own
    return pixels.copy() if converted is frame else pixels


def pixels_of(
    footage: Footage, frame: av.VideoFrame, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the pixels of a frame, upright, at a size.

    Args:
        footage: footage that the frame belongs to.
        frame: frame from ``decode``.
        size: (width, height) of the result, in pixels.

    Returns:
        uint8 (height, width, 3), contiguous and writable; and alpha (height, width) or ``None``.
    """
    lying = size if footage.turns % 2 == 0 else size[::-1]
    pixels = _rgb(
        footage, frame, "rgba" if footage.alpha else "rgb24", lying, Interpolation.BICUBIC
    )
    if footage.turns:
        pixels = np.rot90(pixels, footage.turns)
    if footage.alpha:
        return np.ascontiguousarray(pixels[:, :, :3]), np.ascontiguousarray(pixels[:, :, 3])
    return np.ascontiguousarray(pixels), None


def deep_pixels_of(
    footage: Footage, frame: av.VideoFrame, size: tuple[int, int]
) -> NDArray[np.uint16]:
    """Return the pixels of a frame of more than 8 bits, upright: uint16 (height, width, 3)."""
    lying = size if footage.turns % 2 == 0 else size[::-1]
    pixels = _rgb(footage, frame, "rgb48le", lying, Interpolation.BICUBIC).astype(np.uint16)
    return np.rot90(pixels, footage.turns)


def small_pixels(footage: Footage, frame: av.VideoFrame, side: int = 224) -> NDArray[np.uint8]:
    """Return a frame's pixels, upright, its longer side at most ``side``."""
    scale = min(1.0, side / max(frame.width, frame.height))
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    pixels = _rgb(footage, frame, "rgb24", size, Interpolation.AREA)
    return np.ascontiguousarray(np.rot90(pixels, footage.turns))


def thumbnail(frame: av.VideoFrame) -> NDArray[np.int16]:
    """Return a frame as 64×36 grey values, to be compared with the next."""
    small = frame.reformat(64, 36, "gray", interpolation=Interpolation.AREA, threads=1)
    return small.to_ndarray().astype(np.int16)
