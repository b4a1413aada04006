"""Read pictures, from a file or as a sample, into RGB frames.

A frame is one still, upright (EXIF orientation applied), with 8 bits per channel. Conversions are
listed in ``Picture.notes``.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glitch_gym.checks import shown
from glitch_gym.errors import PictureError
from glitch_gym.input import check_file, is_regular
from glitch_gym.samples import balloon, sample_path

__all__ = [
    "Picture",
    "check_frame",
    "check_pixels",
    "decoding_error",
    "is_animated",
    "pillow_warnings",
    "read_frame",
    "read_picture",
]

_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_filters_lock = threading.RLock()


@dataclass(frozen=True)
class Picture:
    """A still picture.

    Args:
        frame: uint8 (height, width, 3), RGB.
        alpha: uint8 (height, width), or ``None`` for an opaque picture.
        icc_profile: the embedded RGB colour profile, to be kept in the output.
        notes: messages for the user on what was converted.
    """

    frame: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    notes: tuple[str, ...] = ()


def check_frame(frame: object) -> None:
    """Check that a value is a frame: uint8 (height, width, 3) with at least one pixel.

    Raises:
        PictureError: the value is not an array, or the array has another dtype or shape.
    """
    if not isinstance(frame, np.ndarray):
        raise PictureError(f"a frame is a uint8 array (height, width, 3), not {shown(frame)}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise PictureError(
            f"a frame is a uint8 array (height, width, 3), not {frame.dtype} {frame.shape}"
        )


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Check that the frames of a picture or clip are small enough to hold in memory.

    Args:
        path: path of the file, for the message.
        width: width of a frame in pixels.
        height: height of a frame in pixels.

    Raises:
        PictureError: a frame has more pixels than Pillow's limit.
    """
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(path)


def decoding_error(path: str | Path, error: Exception) -> PictureError:
    """Return the error for a picture that Pillow could not decode.

    Pillow's plug-ins raise errors of a dozen kinds on damaged files, and imageio wraps them.

    Args:
        path: path of the file, for the message.
        error: the error that Pillow or imageio raised.
    """
    causes = tuple(_causes(error))
    if any(isinstance(cause, _BOMBS) for cause in causes):
        return _too_large(path)
    if any(isinstance(cause, UnidentifiedImageError) for cause in causes) or (
        "can not handle" in str(error)
    ):
        return PictureError(f"{path} is not a picture that can be read", path=str(path))
    # Other errors are about a plug-in's internals, which help no user
    meant = isinstance(error, OSError | SyntaxError | ValueError | EOFError)
    detail = f" ({error})" if meant else ""
    return PictureError(f"{path} is damaged or cut short{detail}", path=str(path))


def _too_large(path: str | Path) -> PictureError:
    return PictureError(
        f"{path} has more than {(Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} megapixels, which is "
        f"beyond the limit that protects against decompression bombs; shrink it first",
        path=str(path),
    )


def read_picture(source: str | Path) -> Picture:
    """Read a still picture, or a sample as ``sample:NAME``.

    EXIF orientation is applied, alpha and an RGB colour profile are kept, 16-bit and CMYK pictures
    are converted with a note.

    Args:
        source: a path, or ``sample:`` and a name of ``SAMPLES``.

    Raises:
        PictureError: the file is missing, empty, damaged, animated, not a picture, or beyond
            Pillow's limit on the number of pixels.
        SettingError: the sample is unknown.
        MissingExtraError: the sample needs an extra that is not installed.

    Example:
        >>> picture = read_picture("sample:balloon")
        >>> picture.frame.shape
        (400, 320, 3)
        >>> picture.alpha is None
        True
    """
    if isinstance(source, str) and source.startswith("sample:"):
        name = source.removeprefix("sample:")
        if name == "balloon":
            return Picture(balloon())
        return _read_file(sample_path(name))
    return _read_file(Path(source))


@contextmanager
def pillow_warnings() -> Iterator[None]:
    """Silence Pillow's warnings, except that of a picture beyond its limit, which is raised.

    Python's filters are global to the process. Only one thread may change them at a time;
    otherwise one thread could restore the filters that another has set.
    """
    with _filters_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read_file(path: Path) -> Picture:
    if check_file(path, "picture", error=PictureError) == 0:
        raise PictureError(f"{path} is empty (0 bytes)", path=str(path))
    try:
        with pillow_warnings():
            return _decode(path)
    except PictureError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's plug-ins raise errors of a dozen kinds on damaged files
        raise decoding_error(path, error) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, since imageio wraps what Pillow raises."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_animated(image: Image.Image) -> bool:
    """Return whether an opened picture is an animation: a GIF, WebP or APNG with several frames."""
    # The pages of a TIFF and the two pictures of a stereo camera's MPO are not an animation
    return image.format in ("GIF", "WEBP", "PNG") and int(getattr(image, "n_frames", 1)) > 1


def _decode(path: Path) -> Picture:
    notes: list[str] = []
    # The plug-in has more attributes than the interface that imopen declares
    opened: Any = iio.imopen(path, "r", plugin="pillow")
    with opened as file:
        metadata = file.metadata(index=0, exclude_applied=False)
        mode = str(metadata.get("mode", "RGB"))
        if file._image.format == "EPS":
            # Pillow would let Ghostscript, if installed, run it as a program
            raise PictureError(
                f"{path} is PostScript, which is a program; convert it to PNG first",
                path=str(path),
            )
        if is_animated(file._image):
            raise PictureError(
                f"{path} is animated ({file._image.n_frames} frames); this needs a still",
                path=str(path),
            )
        deep = mode.startswith(("I", "F"))
        if mode == "F":
            raise PictureError(
                f"{path} holds floating-point values; convert it to 8 bits first", path=str(path)
            )
        if deep or _png_bit_depth(path) == 16:
            notes.append("16 bits per channel reduced to 8")
        if mode == "CMYK":
            notes.append("CMYK converted to RGB without its colour profile")
        if deep:
            grey = file.read(index=0, rotate=True).astype(np.int64)
            pixels = np.repeat(np.clip(grey >> 8, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        elif mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in metadata:
            pixels = file.read(index=0, mode="RGBA", rotate=True)
        else:
            pixels = file.read(index=0, mode="RGB", rotate=True)
        profile = metadata.get("icc_profile")
    # The output is RGB; viewers refuse a profile of another colour space
    keeps_profile = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    frame = np.ascontiguousarray(pixels[:, :, :3])
    check_frame(frame)
    alpha = np.ascontiguousarray(pixels[:, :, 3]) if pixels.shape[2] == 4 else None
    return Picture(frame, alpha, profile if keeps_profile else None, tuple(notes))


def _png_bit_depth(path: Path) -> int | None:
    """Read a PNG's bit depth from its header, since Pillow silently reduces 16-bit colour."""
    with path.open("rb") as file:
        head = file.read(25)
    return head[24] if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 25 else None


@lru_cache(maxsize=8)
def _read_frame_once(path: str, modified_ns: int, size: int) -> NDArray[np.uint8]:
    frame = read_picture(path).frame
    frame.setflags(write=False)
    return frame


def read_frame(source: str | Path) -> NDArray[np.uint8]:
    """Read a picture's frame, cached as long as the file does not change.

    Returns:
        uint8 (height, width, 3), read-only.

    Raises:
        PictureError, SettingError, MissingExtraError: as ``read_picture``.
    """
    text = str(source)
    if text.startswith("sample:") or not is_regular(text):
        return _read_frame_once(text, 0, 0)
    stat = Path(text).stat()
    return _read_frame_once(text, stat.st_mtime_ns, stat.st_size)
