"""Frames out: one part of a clip, encoded alone."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from glitch_gym.errors import OutputError
from glitch_gym.output import write_error
from glitch_render.media.codecs import Encoding, part_container
from glitch_render.media.pictures import encode_picture
from glitch_render.media.priority import usual_priority

__all__ = ["PartWriter", "encode_error"]


def _tag(context: Any, encoding: Encoding) -> None:
    """Set how an encoder's numbers stand for colours."""
    colour = encoding.colour
    if encoding.pixel_format.startswith("yuv"):
        context.color_range = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    context.colorspace = colour.matrix
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer


def _padded(pixels: NDArray[Any], form: str, encoding: Encoding) -> NDArray[Any]:
    """Make pixels square, and double the last line and column where sides must be even."""
    if encoding.width - pixels.shape[1] not in (0, 1):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=form)
        wide = frame.reformat(
            encoding.width, pixels.shape[0], interpolation=Interpolation.BICUBIC, threads=1
        )
        pixels = wide.to_ndarray()
    down, right = encoding.height - pixels.shape[0], encoding.width - pixels.shape[1]
    if down or right:
        pixels = np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


def _video_frame(
    pixels: NDArray[Any], alpha: NDArray[np.uint8] | None, encoding: Encoding
) -> av.VideoFrame:
    deep = pixels.dtype == np.uint16
    form = "rgb48le" if deep else "rgb24"
    if alpha is not None and encoding.alpha:
        form = "rgba64le" if deep else "rgba"
        pixels = np.dstack([pixels, alpha * np.uint16(257) if deep else alpha])
    elif alpha is not None:
        cover = alpha[:, :, None].astype(np.uint32)
        pixels = ((pixels * cover + 127) // 255).astype(pixels.dtype)
    frame = av.VideoFrame.from_ndarray(_padded(pixels, form, encoding), format=form)
    if not encoding.pixel_format.startswith("yuv"):
        return frame.reformat(format=encoding.pixel_format, threads=1)
    colour = encoding.colour
    converted = frame.reformat(
        format=encoding.pixel_format,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        dst_colorspace=colour.yuv_matrix(encoding.width, encoding.height),
        interpolation=Interpolation.BICUBIC,
        threads=1,
    )
    converted.color_range = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    return converted


class PartWriter:
    """Encodes the frames of a part into a file, or writes them as pictures into a folder.

    Args:
        path: path of the file, or of a folder that exists.
        encoding: how the output is encoded.
        first: number of the part's first frame, for the names of pictures.
    """

    def __init__(self, path: Path, encoding: Encoding, first: int) -> None:
        self._path = path
        self._encoding = encoding
        self._count = first if encoding.kind == "pictures" else 0
        self._container: Any = None
        self._stream: Any = None
        self._time_base = 1 / encoding.rate

    def _open(self) -> None:
        """Start the encoder, at the first frame: an idle encoder would hold its memory."""
        path, encoding = self._path, self._encoding
        container_format = part_container(encoding.codec)
        # SVT-AV1 logs to stderr; only an environment variable silences it
        os.environ.setdefault("SVT_LOG", "1")
        try:
            self._container = av.open(str(path), "w", format=container_format)
            stream: Any = self._container.add_stream(encoding.encoder, rate=encoding.rate)
            stream.width, stream.height = encoding.width, encoding.height
            stream.pix_fmt = encoding.pixel_format
            stream.codec_context.sample_aspect_ratio = encoding.sample_aspect
            _tag(stream.codec_context, encoding)
            options = dict(encoding.options)
            # PyAV sets the number of threads itself unless it is told
            if "threads" in options:
                stream.codec_context.thread_count = int(options.pop("threads"))
            stream.options = options
            if encoding.alpha and encoding.codec == "vp9":
                stream.metadata["alpha_mode"] = "1"
            with usual_priority():
                stream.codec_context.open()
        except (av.error.FFmpegError, ValueError) as error:
            self.abandon()
            raise OutputError(
                f"the encoder {encoding.encoder} does not start with {encoding.width}×"
                f"{encoding.height} and {encoding.pixel_format}: {_short(error)}"
            ) from error
        except OSError as error:
            raise write_error(path, error) from error
        self._stream = stream

    def write(self, pixels: NDArray[Any], alpha: NDArray[np.uint8] | None = None) -> None:
        """Encode the next frame.

        Args:
            pixels: uint8 (height, width, 3), or uint16 where the encoding is ``deep``.
            alpha: uint8 (height, width).

        Raises:
            OutputError: the encoder does not start, or the file cannot be written.
        """
        if self._container is None and self._encoding.kind != "pictures":
            self._open()
        try:
            if self._encoding.kind == "pictures":
                shown = _padded(pixels, "rgb24", self._encoding)
                if alpha is not None:
                    alpha = _padded(alpha[:, :, None], "gray", self._encoding).reshape(
                        shown.shape[:2]
                    )
                content = encode_picture(shown, ".png", alpha=alpha)
                (self._path / f"{self._count:06d}.png").write_bytes(content)
            else:
                frame = _video_frame(pixels, alpha, self._encoding)
                frame.pts, frame.time_base = self._count, self._time_base
                self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise encode_error(self._path, error) from error
        self._count += 1

    def finish(self) -> None:
        """Flush the encoder, and close the file.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise encode_error(self._path, error) from error
        finally:
            self._container = None

    def abandon(self) -> None:
        """Close the unfinished file."""
        if self._container is not None:
            with contextlib.suppress(Exception):
                self._container.close()
            self._container = None


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__


def encode_error(path: Path, error: Exception) -> OutputError:
    """Return the error to raise for a failure of the encoder or the disk."""
    if isinstance(error, OSError):
        return write_error(path, error)
    return OutputError(f"cannot write {path}: {_short(error)}", path=str(path))
