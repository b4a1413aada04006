"""Footage in: clips, animated pictures, folders of pictures and stills, as frames with times.

Every source gives the same thing: frames of PyAV with their times in the source's own time base, in
order, from any time on. Sizes are those of the upright picture; a clip that was filmed sideways is
turned when its pixels are taken.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glitch_gym.activation import file_stamp
from glitch_gym.errors import GlitchError, Hint, PictureError, SettingError
from glitch_gym.input import check_file, is_folder, is_regular
from glitch_gym.picture import check_pixels, decoding_error, is_animated, read_picture

__all__ = [
    "PICTURES",
    "Colour",
    "Footage",
    "decode",
    "deep_pixels_of",
    "file_digest",
    "is_footage",
    "open_footage",
    "pixels_of",
    "small_pixels",
    "source_files",
    "thumbnail",
]

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".apng")
"""Suffixes of what is taken for a picture in a folder."""

_UNSPECIFIED = 2
_FULL_RANGE = 2
_BT601, _BT709 = 5, 1
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_DEFAULT_RATE = Fraction(25)
_LONGEST_PATTERN = 1000
# Browsers show a frame whose delay is 10 ms or less for 100 ms, and so do we
_SHORTEST_DELAY, _USUAL_DELAY = 10, 100
# Seconds; two frames that are further apart were not meant to be
_LONGEST_PAUSE = 1_000_000
# These have an order of frames, but no times that can be trusted
_WITHOUT_TIMES = ("avi", "h264", "hevc", "mpegvideo", "m4v")


@dataclass(frozen=True)
class Colour:
    """How the numbers of a clip stand for colours: codes of ITU-T H.273, 2 being unspecified."""

    matrix: int = _UNSPECIFIED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    full_range: bool = False


@dataclass(frozen=True)
class Footage:
    """What there is to know of footage before its frames are decoded.

    Args:
        kind: a clip, an animated picture, a list of pictures, or a still that is shown for a while.
        paths: its files.
        width: of the upright picture, in pixels.
        height: likewise.
        time_base: seconds of one unit of its times.
        rate: frames a second, on average.
        length: time of its end in seconds, where the file says so.
        turns: quarter turns, counterclockwise, that bring its frames upright.
        alpha: whether it has transparency.
        bits: of a channel.
        pixel_format: FFmpeg's name.
        colour: how numbers stand for colours.
        sample_aspect: width of a pixel over its height, upright.
        audio: codec of each audio track.
        loop: how often an animation plays, 0 for ever.
        n_frames: where they are counted beforehand.
        notes: what was converted, for the user to read.
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
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    audio: tuple[str, ...] = ()
    loop: int = 0
    n_frames: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.paths[0] if len(self.paths) == 1 else f"{Path(self.paths[0]).parent}"


def is_footage(source: str) -> bool:
    """Say whether a source is something that moves: a clip, an animation, or many pictures."""
    if source.startswith("sample:"):
        return False
    path = Path(source)
    if is_folder(source) or _is_pattern(source):
        return True
    if not is_regular(source) or path.stat().st_size == 0:
        return False
    try:
        with Image.open(path) as image:
            return is_animated(image)
    except Image.DecompressionBombError:
        return False
    except Exception:
        # Pillow has many ways to say that it does not know a file; PyAV is asked next
        return path.suffix.lower() not in PICTURES


def _is_pattern(source: str) -> bool:
    return not is_regular(source) and glob.has_magic(source) and not os.path.lexists(source)


def source_files(source: str) -> list[Path]:
    """List the files that a source is read from: one, those of a folder, or those of a pattern.

    Raises:
        PictureError: a folder that cannot be read, or a pattern that is too long.
    """
    if source.startswith("sample:"):
        return []
    if is_folder(source):
        try:
            return [one for one in Path(source).iterdir() if one.suffix.lower() in PICTURES]
        except OSError as error:
            raise PictureError(f"cannot read {source}: {error.strerror or error}") from error
    if not _is_pattern(source):
        return [Path(source)]
    if len(source) > _LONGEST_PATTERN:
        raise PictureError(
            f"the pattern {source} is too long: {len(source):,} characters, at most "
            f"{_LONGEST_PATTERN:,}"
        )
    # pathlib's patterns cannot start with a folder that is absolute
    return [Path(one) for one in glob.glob(source)]  # noqa: PTH207


def open_footage(
    source: str, *, rate: Fraction | None = None, duration: float | None = None
) -> Footage:
    """Find out what a source is.

    Args:
        source: a file, a folder, or a pattern such as ``shots/*.png``; ``sample:NAME`` for a still.
        rate: frames a second, of pictures and stills; 25 by default.
        duration: seconds that a still is shown.

    Raises:
        PictureError: missing, damaged, without frames, or of a kind that cannot be kept whole.
        SettingError: a still without a duration.
    """
    if not source.startswith("sample:"):
        path = Path(source)
        if is_folder(source) or _is_pattern(source):
            what = "folder" if is_folder(source) else "pattern"
            return _open_pictures(
                source_files(source), f"the {what} {source}", rate or _DEFAULT_RATE
            )
        if check_file(path, "picture or clip", error=PictureError) == 0:
            raise PictureError(f"{source} is empty (0 bytes)")
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
            f"{source} is a still: say for how many seconds it is to be shown", hint=Hint.DURATION
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
    first = _delay(image)
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


def _delay(image: Image.Image) -> int:
    """Milliseconds that the present frame of an animation is shown."""
    delay = round(float(image.info.get("duration", 0)))
    return delay if delay > _SHORTEST_DELAY else _USUAL_DELAY


def _open_container(path: Path) -> Any:
    try:
        # Tags that are not UTF-8 are damaged, or of another age; the frames are what counts
        return av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        if path.suffix.lower() in PICTURES:
            raise PictureError(f"{path} is not a picture that can be read") from error
        raise PictureError(
            f"{path} is not a clip or picture that can be read, or it is damaged: a clip that was "
            f"cut off while it was written often lacks its index"
        ) from error
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror or error}") from error


def _video_stream(container: Any, path: Path) -> Any:
    # Covers of songs are video streams too, of one frame
    attached = 0x400
    streams = [one for one in container.streams.video if not int(one.disposition) & attached]
    if not streams:
        heard = " (only sound)" if container.streams.audio else ""
        raise PictureError(f"{path} has no video stream{heard}")
    return streams[0]


def _open_clip(path: Path) -> Footage:
    try:
        return _probe_clip(path)
    except (GlitchError, MemoryError):
        raise
    except Exception as error:
        # A header that lies gives FFmpeg's errors, or numbers that PyAV does not take
        raise PictureError(f"{path} is damaged: its header cannot be right ({error})") from error


def _probe_clip(path: Path) -> Footage:
    with _open_container(path) as container:
        stream = _video_stream(container, path)
        context = stream.codec_context
        if context is None or not context.name:
            raise PictureError(f"{path}: its video codec is not known to this FFmpeg")
        width, height = int(context.width), int(context.height)
        if width < 1 or height < 1 or context.format is None:
            raise PictureError(f"{path} holds no frame that can be read")
        check_pixels(path, width, height)
        turns = _quarter_turns(path)
        if context.color_trc in _HDR_TRANSFERS:
            raise PictureError(
                f"{path} is HDR ({_HDR_TRANSFERS[context.color_trc]}): corrupted as it is it would "
                f"look washed out; convert it to SDR (BT.709) first"
            )
        keyed = _alpha_beside(stream)
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
                full_range=int(context.color_range) == _FULL_RANGE
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


def _alpha_beside(stream: Any) -> bool:
    """Say whether a WebM's packets bring an alpha channel beside the picture."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1"


def _quarter_turns(path: Path) -> int:
    """Read from the first frame how a clip is to be turned."""
    with _open_container(path) as container:
        stream = _video_stream(container, path)
        _limit_pixels(stream.codec_context)
        with contextlib.suppress(av.error.FFmpegError):
            for frame in container.decode(stream):
                return round(int(frame.rotation) / 90) % 4
    return 0


def _limit_pixels(context: Any) -> None:
    """Have a decoder refuse frames that are too large: they may grow in the middle of a clip."""
    if Image.MAX_IMAGE_PIXELS is not None:
        context.options = {"max_pixels": str(Image.MAX_IMAGE_PIXELS)}


def file_digest(footage: Footage) -> str:
    """Hash the files of footage: equal digests mean equal content."""
    return _digest_of(tuple((path, file_stamp(path)) for path in footage.paths))


_digests: dict[tuple[tuple[str, str], ...], str] = {}


def _digest_of(stamped: tuple[tuple[str, str], ...]) -> str:
    if stamped not in _digests:
        digest = hashlib.blake2b(digest_size=20)
        for path, _ in stamped:
            if path.startswith("sample:"):
                digest.update(read_picture(path).frame.tobytes())
                continue
            with Path(path).open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
            digest.update(b"\0end of file\0")
        _digests[stamped] = digest.hexdigest()
    return _digests[stamped]


def decode(
    footage: Footage, since: int | None = None, *, damage: list[str] | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode frames in order.

    Args:
        footage: from ``open_footage``.
        since: the first time that is wanted, in units of its time base; by default from the start.
            A clip is entered at the key frame before it.
        damage: takes a line for each kind of damage that is met.

    Yields:
        time, in units of the time base, and frame.

    Raises:
        PictureError: the files cannot be read any more.
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
            frame.duration = _delay(image)
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
    with _open_container(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        _limit_pixels(stream.codec_context)
        counted = container.format.name in _WITHOUT_TIMES
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
    # The seek came out behind the place, or the file cannot be sought in
    for time, frame in _decode_clip(footage, None, damage):
        if since is None or time >= since:
            yield time, frame


def _frames_of(container: Any, stream: Any, damage: list[str]) -> Iterator[av.VideoFrame]:
    """Decode a stream up to where it can be read; packets that are damaged are left out."""
    decoder: Any = stream
    if _alpha_beside(stream) and stream.codec_context.name == "vp9":
        # FFmpeg's own decoder of VP9 leaves the alpha channel out
        with contextlib.suppress(ValueError, av.error.FFmpegError):
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            _limit_pixels(decoder)
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


def _matrix(footage: Footage) -> int:
    """The matrix of luma and chroma: where it is not said, players guess by the height."""
    if footage.colour.matrix not in (0, _UNSPECIFIED, 3):
        return footage.colour.matrix
    return _BT709 if max(footage.width, footage.height) >= 1280 else _BT601


def _rgb(
    footage: Footage, frame: av.VideoFrame, form: str, size: tuple[int, int], how: int
) -> NDArray[Any]:
    width, height = size
    full = footage.colour.full_range or frame.format.name.startswith(("rgb", "bgr", "gbr", "pal"))
    converted = frame.reformat(
        width,
        height,
        form,
        src_colorspace=_matrix(footage),
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
    """Take the pixels of a frame, upright, at a size.

    Args:
        footage: that it belongs to.
        frame: from ``decode``.
        size: (width, height) of the result.

    Returns:
        uint8 (height, width, 3), contiguous, to be painted on; and alpha (height, width) or None.
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
    """Take the pixels of a frame of more than 8 bits, upright, as uint16 (height, width, 3)."""
    lying = size if footage.turns % 2 == 0 else size[::-1]
    pixels = _rgb(footage, frame, "rgb48le", lying, Interpolation.BICUBIC).astype(np.uint16)
    return np.rot90(pixels, footage.turns)


def small_pixels(footage: Footage, frame: av.VideoFrame, side: int = 224) -> NDArray[np.uint8]:
    """Take a frame's pixels, upright, its longer side shrunk to ``side`` where it is longer."""
    scale = min(1.0, side / max(frame.width, frame.height))
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    pixels = _rgb(footage, frame, "rgb24", size, Interpolation.AREA)
    return np.ascontiguousarray(np.rot90(pixels, footage.turns))


def thumbnail(frame: av.VideoFrame) -> NDArray[np.int16]:
    """Shrink a frame to 64×36 grey values, to be compared with the next."""
    small = frame.reformat(64, 36, "gray", interpolation=Interpolation.AREA, threads=1)
    return small.to_ndarray().astype(np.int16)
