"""Footage in: clips, animated pictures, folders of pictures and stills, as frames with times.

Every source gives the same thing: frames of PyAV with their times in the source's own time base, in
order, from any time on. Sizes are those of the upright picture; a clip that was filmed sideways is
turned when its pixels are taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import av
import av.error
from PIL import Image, UnidentifiedImageError

from glitch_gym.activation.base import file_stamp
from glitch_gym.errors import GlitchError, Hint, PictureError, SettingError
from glitch_gym.input import check_file, is_folder
from glitch_gym.picture import check_pixels, decoding_error, read_picture
from glitch_render.media.colour import FULL_RANGE, HDR_TRANSFERS, Colour
from glitch_render.media.sources import PICTURES, is_footage, is_pattern, source_files
from glitch_render.media.tags import open_tolerantly, readable_tags

__all__ = [
    "WITHOUT_TIMES",
    "Footage",
    "alpha_beside",
    "file_digest",
    "limit_pixels",
    "open_container",
    "open_footage",
    "video_stream",
]

_DEFAULT_RATE = Fraction(25)
# Browsers show a frame whose delay is 10 ms or less for 100 ms, and so do we
_SHORTEST_DELAY, _USUAL_DELAY = 10, 100
# These have an order of frames, but no times that can be trusted
WITHOUT_TIMES = ("avi", "h264", "hevc", "mpegvideo", "m4v")


@dataclass(frozen=True)
class Footage:
    """Properties of footage that are known before its frames are decoded.

    Args:
        kind: a clip, an animated picture, a list of pictures, or a still that is shown for a while.
        paths: paths of the files.
        width: width of the upright picture, in pixels.
        height: height of the upright picture, in pixels.
        time_base: seconds of one unit of the frames' times.
        rate: frames a second, on average.
        length: time of the end, in seconds, where the file states it.
        turns: quarter turns, counterclockwise, that bring the frames upright.
        alpha: whether the frames have transparency.
        bits: bits per channel.
        pixel_format: FFmpeg's name of the pixel format.
        colour: how numbers stand for colours.
        sample_aspect: width of a pixel over its height, upright.
        audio: codec of each audio track.
        loop: number of times that an animation plays; 0 for ever.
        n_frames: number of frames, where it is known beforehand.
        notes: what was converted, in words for the user.
    """

    kind: Literal["clip", "animation", "pictures", "still"]
    paths: tuple[str, ...]
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    length: float | None = None
    turns: int = 0
    alpha: bool = False
    bits: int = 8
    pixel_format: str = "rgb24"
    colour: Colour = field(default_factory=Colour)
    sample_aspect: Fraction = Fraction(1)
    audio: tuple[str, ...] = ()
    loop: int = 0
    n_frames: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the footage in messages."""
        return self.paths[0] if len(self.paths) == 1 else f"{Path(self.paths[0]).parent}"


def open_footage(
    source: str, *, rate: Fraction | None = None, duration: float | None = None
) -> Footage:
    """Open a source and return its properties.

    Args:
        source: a file, a folder, or a pattern such as ``shots/*.png``; ``sample:NAME`` for a still.
        rate: frames a second of pictures and stills; 25 by default.
        duration: seconds for which a still is shown.

    Raises:
        PictureError: the source is missing, damaged, without frames, or HDR.
        SettingError: the source is a still, and has no duration.
    """
    if not source.startswith("sample:"):
        path = Path(source)
        if is_folder(source) or is_pattern(source):
            what = "folder" if is_folder(source) else "pattern"
            return _open_pictures(
                source_files(source), f"the {what} {source}", rate or _DEFAULT_RATE
            )
        if check_file(path, "picture or clip", error=PictureError) == 0:
            raise PictureError(f"{source} is empty (0 bytes)", path=source)
        if is_footage(source):
            try:
                with Image.open(path) as image:
                    return _open_animation(path, image)
            except UnidentifiedImageError:
                return _open_clip(path)
            except (GlitchError, MemoryError):
                raise
            except Exception as error:
                raise decoding_error(source, error) from error
    return _open_still(source, rate or _DEFAULT_RATE, duration)


def _open_still(source: str, rate: Fraction, duration: float | None) -> Footage:
    picture = read_picture(source)
    if duration is None:
        raise SettingError(
            f"{source} is a still: say for how many seconds it is to be shown",
            hint=Hint.DURATION,
            path=source,
        )
    height, width = picture.frame.shape[:2]
    return Footage(
        kind="still",
        paths=(source,),
        width=width,
        height=height,
        time_base=1 / rate,
        rate=rate,
        length=duration,
        alpha=picture.alpha is not None,
        pixel_format="rgba" if picture.alpha is not None else "rgb24",
        n_frames=max(1, round(duration * rate)),
        notes=picture.notes,
    )


def _natural(path: Path) -> list[tuple[int, Any]]:
    """Order ``frame9`` before ``frame10``."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts]


def _open_pictures(paths: list[Path], what: str, rate: Fraction) -> Footage:
    if not paths:
        raise PictureError(f"{what} holds no pictures ({', '.join(PICTURES)})")
    paths = sorted(paths, key=_natural)
    alpha = False
    size: tuple[int, int] | None = None
    for path in paths:
        check_file(path, "picture", error=PictureError)
        try:
            with Image.open(path) as image:
                turned = image.getexif().get(0x0112, 1) >= 5
                now = image.size[::-1] if turned else image.size
                alpha |= image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        except MemoryError:
            raise
        except Exception as error:
            raise decoding_error(path, error) from error
        check_pixels(path, *now)
        if size is not None and now != size:
            raise PictureError(
                f"all pictures must have one size: {paths[0].name} is {size[0]}×{size[1]}, "
                f"{path.name} is {now[0]}×{now[1]}"
            )
        size = now
    assert size is not None
    return Footage(
        kind="pictures",
        paths=tuple(map(str, paths)),
        width=size[0],
        height=size[1],
        time_base=1 / rate,
        rate=rate,
        length=float(len(paths) / rate),
        alpha=alpha,
        pixel_format="rgba" if alpha else "rgb24",
        n_frames=len(paths),
    )


def _open_animation(path: Path, image: Image.Image) -> Footage:
    check_pixels(path, *image.size)
    n_frames = int(getattr(image, "n_frames", 1))
    first = delay_of(image)
    return Footage(
        kind="animation",
        paths=(str(path),),
        width=image.width,
        height=image.height,
        time_base=Fraction(1, 1000),
        rate=Fraction(1000, first),
        alpha=image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        pixel_format="rgba",
        loop=int(image.info.get("loop", 1 if image.format == "GIF" else 0)),
        n_frames=n_frames,
    )


def delay_of(image: Image.Image) -> int:
    """Return how long an animation's present frame is shown, in milliseconds."""
    delay = round(float(image.info.get("duration", 0)))
    return delay if delay > _SHORTEST_DELAY else _USUAL_DELAY


def open_container(path: Path) -> Any:
    """Open a clip.

    Raises:
        PictureError: the clip cannot be read.
    """
    try:
        return open_tolerantly(path)
    except av.error.FFmpegError as error:
        if path.suffix.lower() in PICTURES:
            raise PictureError(
                f"{path} is not a picture that can be read", path=str(path)
            ) from error
        raise PictureError(
            f"{path} is not a clip or picture that can be read, or it is damaged: a clip that was "
            f"cut off while it was written often lacks its index",
            path=str(path),
        ) from error
    except OSError as error:
        raise PictureError(
            f"cannot read {path}: {error.strerror or error}", path=str(path)
        ) from error


def video_stream(container: Any, path: Path) -> Any:
    """Return the stream of moving pictures.

    Raises:
        PictureError: the clip has no such stream.
    """
    # Covers of songs are video streams too, of one frame
    attached = 0x400
    streams = [one for one in container.streams.video if not int(one.disposition) & attached]
    if not streams:
        heard = " (only sound)" if container.streams.audio else ""
        raise PictureError(f"{path} has no video stream{heard}", path=str(path))
    return streams[0]


def _open_clip(path: Path) -> Footage:
    try:
        return _probe_clip(path)
    except (GlitchError, MemoryError):
        raise
    except Exception as error:
        # A header that lies gives FFmpeg's errors, or numbers that PyAV does not take
        raise PictureError(
            f"{path} is damaged: its header cannot be right ({error})", path=str(path)
        ) from error


def _probe_clip(path: Path) -> Footage:
    with open_container(path) as container:
        stream = video_stream(container, path)
        context = stream.codec_context
        if context is None or not context.name:
            raise PictureError(
                f"{path}: its video codec is not known to this FFmpeg", path=str(path)
            )
        width, height = int(context.width), int(context.height)
        if width < 1 or height < 1 or context.format is None:
            raise PictureError(f"{path} holds no frame that can be read", path=str(path))
        check_pixels(path, width, height)
        turns = _quarter_turns(path)
        if context.color_trc in HDR_TRANSFERS:
            raise PictureError(
                f"{path} is HDR ({HDR_TRANSFERS[context.color_trc]}): corrupted as it is it would "
                f"look washed out; convert it to SDR (BT.709) first",
                path=str(path),
            )
        keyed = alpha_beside(stream)
        components = context.format.components
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
        if aspect <= 0:
            aspect = Fraction(1)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or _DEFAULT_RATE
        length = None
        if stream.duration is not None:
            length = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
        elif container.duration is not None:
            length = (container.duration + (container.start_time or 0)) / av.time_base
        upright = (width, height) if turns % 2 == 0 else (height, width)
        return Footage(
            kind="clip",
            paths=(str(path),),
            width=upright[0],
            height=upright[1],
            time_base=Fraction(stream.time_base),
            rate=Fraction(rate),
            length=length,
            turns=turns,
            alpha=keyed or any(one.is_alpha for one in components) or "pal8" in context.pix_fmt,
            bits=max(one.bits for one in components),
            pixel_format=context.pix_fmt,
            colour=Colour(
                matrix=int(context.colorspace),
                primaries=int(context.color_primaries),
                transfer=int(context.color_trc),
                full_range=int(context.color_range) == FULL_RANGE
                or context.pix_fmt.startswith("yuvj"),
            ),
            sample_aspect=Fraction(aspect) if turns % 2 == 0 else 1 / Fraction(aspect),
            audio=tuple(
                one.codec_context.name if one.codec_context else "unknown"
                for one in container.streams.audio
            ),
            n_frames=int(stream.frames) or None,
            notes=("subtitles are left out",) if container.streams.subtitles else (),
        )


def alpha_beside(stream: Any) -> bool:
    """Return whether a WebM's packets carry an alpha channel beside the picture."""
    tags = {key.lower(): value for key, value in readable_tags(stream.metadata).items()}
    return tags.get("alpha_mode") == "1"


def _quarter_turns(path: Path) -> int:
    """Return the quarter turns of a clip, which its first frame states."""
    with open_container(path) as container:
        stream = video_stream(container, path)
        limit_pixels(stream.codec_context)
        with contextlib.suppress(av.error.FFmpegError):
            for frame in container.decode(stream):
                return round(int(frame.rotation) / 90) % 4
    return 0


def limit_pixels(context: Any) -> None:
    """Have a decoder refuse frames that are too large: they may grow in the middle of a clip."""
    if Image.MAX_IMAGE_PIXELS is not None:
        context.options = {"max_pixels": str(Image.MAX_IMAGE_PIXELS)}


def file_digest(footage: Footage) -> str:
    """Return a digest of the files of footage: equal digests mean equal content."""
    return _digest_of(tuple((path, file_stamp(path)) for path in footage.paths))


@lru_cache(maxsize=64)
def _digest_of(stamped: tuple[tuple[str, str], ...]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for path, _ in stamped:
        if path.startswith("sample:"):
            digest.update(read_picture(path).frame.tobytes())
            continue
        with Path(path).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
        digest.update(b"\0end of file\0")
    return digest.hexdigest()
