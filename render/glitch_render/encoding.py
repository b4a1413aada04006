"""Frames out: clips, animations and folders of pictures, in parts that are joined.

A part is a range of frames, encoded alone, in which frame k has time k. Joining copies its packets
into the output, gives each the frame's own time, and lays the sound beside them. So parts can be
made at different times or places, and nothing of a frame's time is lost on the way. Animated
pictures have no packets to copy: their parts are lossless, and encoded once more when joined.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from llvmlite.binding import get_host_cpu_features
from numpy.typing import NDArray

from glitch_gym.errors import OutputError, SettingError, unknown_name
from glitch_gym.output import write_error
from glitch_render.footage import Colour, Footage
from glitch_render.media import ANIMATIONS, CLIPS, encode_picture
from glitch_render.shots import FramePlan

__all__ = [
    "Encoding",
    "PartWriter",
    "Span",
    "choose_encoding",
    "join_animation",
    "join_clip",
]

_CODECS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264", "libopenh264"),
    "hevc": ("libx265",),
    "vp9": ("libvpx-vp9",),
    "av1": ("libsvtav1", "libaom-av1"),
    "prores": ("prores_ks",),
    "mpeg4": ("mpeg4",),
    "ffv1": ("ffv1",),
}
_ALLOWED: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9", "mpeg4"),
    ".m4v": ("h264", "hevc", "mpeg4"),
    ".mov": ("prores", "h264", "hevc", "mpeg4"),
    ".webm": ("vp9", "av1"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "prores", "mpeg4", "ffv1"),
}
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm", ".mkv": "matroska"}
# Where packets of a codec are kept between encoding and joining
_PART_CONTAINERS = {"h264": "mp4", "hevc": "mp4", "mpeg4": "mp4", "prores": "mov"}
_CRF = {"h264": (18, 51), "hevc": (20, 51), "vp9": (24, 63), "av1": (24, 63)}
_SPEEDS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
_PRESETS: dict[str, tuple[str, ...]] = {
    "h264": _SPEEDS,
    "hevc": _SPEEDS,
    "av1": tuple(map(str, range(14))),
    "vp9": tuple(map(str, range(9))),
}
_COPIED_SOUND: dict[str, tuple[str, ...]] = {
    ".mp4": ("aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts", "vorbis"),
    ".m4v": ("aac", "ac3", "alac", "mp3"),
    ".mov": ("aac", "mp3", "mp2", "ac3", "eac3", "alac", "pcm_"),
    ".webm": ("opus", "vorbis"),
    ".mkv": ("",),
}
_SOUND = {".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".webm": "libopus", ".mkv": "flac"}
_OF_THE_CONTAINER = (
    "major_brand", "minor_version", "compatible_brands", "encoder", "comment", "duration",
)  # fmt: skip
_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1"}
_SLOWEST = Fraction(1, 1001)
_BT601, _BT709, _UNSPECIFIED = 5, 1, 2
_YUV_WITHOUT_MATRIX = (0, _UNSPECIFIED, 3)
_BY_DECODING = (".mp4", ".m4v", ".mov")
# x265 and SVT-AV1 leave their memory where frames are narrower than one of their blocks
_NARROWEST = 64
# These say in their own stream how wide a pixel is; others leave it to a container that cannot
_KNOW_THEIR_ASPECT = ("h264", "hevc", "mpeg4")


@dataclass(frozen=True)
class Encoding:
    """How an output is encoded; everything that a part needs to fit those beside it.

    Args:
        kind: packets that are copied, an animation that is encoded again, or single pictures.
        suffix: of the output.
        codec: our name of it, such as ``h264``.
        encoder: FFmpeg's name, such as ``libx264``.
        pixel_format: FFmpeg's name.
        options: of the encoder.
        width: in pixels, as encoded.
        height: likewise.
        rate: frames a second, on average.
        colour: how numbers stand for colours.
        sample_aspect: width of a pixel over its height.
        alpha: whether transparency is written.
        notes: what the output cannot carry, for the user to read.
    """

    kind: Literal["packets", "animation", "pictures"]
    suffix: str
    codec: str
    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...]
    width: int
    height: int
    rate: Fraction
    colour: Colour
    sample_aspect: Fraction
    alpha: bool
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def deep(self) -> bool:
        """Whether more than 8 bits of a channel are written."""
        return "10" in self.pixel_format

    @property
    def part_suffix(self) -> str:
        """Suffix of the file of a part; a folder of pictures has none."""
        return {"packets": f".{_part_container(self.codec)}", "animation": ".mkv"}.get(
            self.kind, ""
        )


@dataclass(frozen=True)
class Span:
    """Which part of the footage's sound goes with the frames.

    Args:
        begin: seconds of the footage at which the output begins.
        end: seconds of the footage at which it ends; ``None`` for all that there is.
        cut: leave out what is heard before ``begin``.
    """

    begin: Fraction
    end: Fraction | None = None
    cut: bool = False


def _part_container(codec: str) -> str:
    return _PART_CONTAINERS.get(codec, "matroska")


def _available() -> list[str]:
    return [
        name
        for name, encoders in _CODECS.items()
        if any(one in av.codecs_available for one in encoders)
    ]


def _find_encoder(codec: str) -> str:
    for encoder in _CODECS[codec]:
        with contextlib.suppress(ValueError, av.error.FFmpegError):
            av.Codec(encoder, "w")
            return encoder
    raise OutputError(
        f"this FFmpeg has no encoder for {codec}; it has: {', '.join(_available()) or 'none'}"
    )


def _choose_codec(suffix: str, codec: str | None) -> str:
    if codec is None:
        return _ALLOWED[suffix][0]
    if codec not in _CODECS:
        raise unknown_name("codec", codec, _CODECS)
    if codec not in _ALLOWED[suffix]:
        raise OutputError(
            f"{suffix} does not take {codec}; it takes: {', '.join(_ALLOWED[suffix])}"
        )
    return codec


def _encoder_options(codec: str, crf: int | None, preset: str | None) -> dict[str, str]:
    """Options of the encoder: the same bytes on any number of cores, so threads are fixed."""
    options: dict[str, str] = {}
    if codec in _CRF:
        usual, highest = _CRF[codec]
        if crf is not None and not 0 <= crf <= highest:
            raise SettingError(f"crf of {codec} must lie in 0…{highest}, not {crf}")
        options["crf"] = str(usual if crf is None else crf)
    elif crf is not None:
        raise SettingError(f"{codec} has no crf; it goes with: {', '.join(_CRF)}")
    if preset is not None:
        if codec not in _PRESETS:
            raise SettingError(f"{codec} has no presets")
        if preset not in _PRESETS[codec]:
            raise unknown_name(f"encoder preset of {codec}", preset, _PRESETS[codec])
    if codec in ("h264", "hevc"):
        options["preset"] = preset or "medium"
    if codec == "h264":
        options["threads"] = "4"
        if get_host_cpu_features().get("avx512f"):
            # x264's AVX-512 routine for the tree of macroblocks reads past rows that are no
            # multiple of 256 pixels: other bytes at each run. Narrower ones all give the same
            options["x264-params"] = "asm=AVX2"
        if options["preset"] in ("medium", "slow", "slower", "veryslow"):
            # Each frame that is looked ahead at costs 7 MB at 1080p, and past 20 they gain little
            options["rc-lookahead"] = "20"
    elif codec == "hevc":
        options["x265-params"] = "log-level=error:frame-threads=2:pools=4"
    elif codec == "vp9":
        options |= {"b": "0", "cpu-used": preset or "4", "row-mt": "1", "threads": "4"}
        options["auto-alt-ref"] = "0"
    elif codec == "av1":
        options |= {"preset": preset or "8", "svtav1-params": "lp=2"}
    elif codec == "mpeg4":
        options["q:v"] = "2"
    return options


def _pixel_format(codec: str, footage: Footage, alpha: bool, notes: list[str]) -> str:
    deep = footage.bits > 8
    if codec == "prores":
        return "yuva444p10le" if alpha else "yuv422p10le"
    if codec == "ffv1":
        if deep:
            notes.append(f"{footage.bits} bits per channel are reduced to 8")
        return "bgra" if alpha else "bgr0"
    if alpha:
        return "yuva420p"
    if not deep:
        return "yuv420p"
    if codec in ("h264", "hevc", "vp9", "av1"):
        if footage.bits > 10:
            notes.append(f"{footage.bits} bits per channel are reduced to 10")
        return "yuv420p10le"
    notes.append(f"{footage.bits} bits per channel are reduced to 8")
    return "yuv420p"


def _out_colour(footage: Footage, width: int, height: int) -> Colour:
    """Tag the output as its source was; what comes from RGB is BT.709 in studio range."""
    if footage.kind == "clip" and footage.colour.matrix not in (0, 3):
        return footage.colour
    return Colour(matrix=_BT709, primaries=_BT709, transfer=_BT709)


def choose_encoding(
    suffix: str,
    footage: Footage,
    size: tuple[int, int],
    rate: Fraction,
    *,
    codec: str | None = None,
    crf: int | None = None,
    preset: str | None = None,
) -> Encoding:
    """Choose how an output is encoded.

    Args:
        suffix: of the output; empty for a folder of pictures.
        footage: what it is made of.
        size: (width, height) of the frames.
        rate: frames a second, on average.
        codec: h264, hevc, vp9, av1, prores, mpeg4 or ffv1; by default the suffix's own.
        crf: quality of h264, hevc, vp9 and av1; lower is better.
        preset: of the encoder: ultrafast…veryslow, or a number for av1 and vp9.

    Raises:
        OutputError: the suffix does not take the codec, there is no encoder, or it cannot encode
            frames so narrow.
        SettingError: an unknown codec or preset, or a crf out of its range.
    """
    notes: list[str] = []
    width, height = size
    chosen = _choose_codec(suffix, codec) if suffix in CLIPS else "ffv1"
    aspect = footage.sample_aspect
    if aspect != 1 and suffix not in _BY_DECODING and chosen not in _KNOW_THEIR_ASPECT:
        width, aspect = max(1, round(width * aspect)), Fraction(1)
        notes.append(f"pixels are made square, {width}×{height}")
    if suffix not in CLIPS:
        for name, value in (("codec", codec), ("crf", crf), ("encoder_preset", preset)):
            if value is not None:
                raise SettingError(f"{name} goes with {', '.join(CLIPS)}, not with this output")
        if footage.bits > 8:
            notes.append(f"{footage.bits} bits per channel are reduced to 8")
        if footage.audio:
            notes.append(f"{suffix or 'a folder of pictures'} carries no sound; it is left out")
        return Encoding(
            kind="animation" if suffix in ANIMATIONS else "pictures",
            suffix=suffix,
            codec="ffv1",
            encoder="ffv1",
            pixel_format="bgra" if footage.alpha else "bgr0",
            options=(("threads", "1"),),
            width=width,
            height=height,
            rate=rate,
            colour=Colour(),
            sample_aspect=aspect,
            alpha=footage.alpha,
            notes=tuple(notes),
        )
    alpha = footage.alpha and (chosen in ("prores", "ffv1") or (chosen, suffix) == ("vp9", ".webm"))
    if footage.alpha and not alpha:
        notes.append(
            f"{chosen} in {suffix} carries no transparency; the frames are laid on black "
            f"(.webm, .mov, .webp, .apng and folders keep it)"
        )
    pixel_format = _pixel_format(chosen, footage, alpha, notes)
    if chosen not in ("ffv1",) and (width % 2 or height % 2):
        width, height = width + width % 2, height + height % 2
        notes.append(f"{chosen} needs even sides: the last line is doubled, {width}×{height}")
    if chosen in ("hevc", "av1") and width < _NARROWEST:
        raise OutputError(
            f"{chosen} needs frames of {_NARROWEST} pixels in width or more, not {width}×{height}; "
            f"choose another codec"
        )
    return Encoding(
        kind="packets",
        suffix=suffix,
        codec=chosen,
        encoder=_find_encoder(chosen),
        pixel_format=pixel_format,
        options=tuple(sorted(_encoder_options(chosen, crf, preset).items())),
        width=width,
        height=height,
        rate=max(_SLOWEST, rate.limit_denominator(1001)) if rate < 1000 else Fraction(1000),
        colour=_out_colour(footage, width, height),
        sample_aspect=aspect,
        alpha=alpha,
        notes=tuple(notes),
    )


def _tag(context: Any, encoding: Encoding) -> None:
    """Tell an encoder how numbers stand for colours."""
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
    matrix = colour.matrix
    if matrix in _YUV_WITHOUT_MATRIX:
        matrix = _BT709 if max(encoding.width, encoding.height) >= 1280 else _BT601
    converted = frame.reformat(
        format=encoding.pixel_format,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        dst_colorspace=matrix,
        interpolation=Interpolation.BICUBIC,
        threads=1,
    )
    converted.color_range = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    return converted


class PartWriter:
    """Encodes the frames of a part into a file, or writes them as pictures into a folder.

    Args:
        path: of the file, or the folder, which exists.
        encoding: of the output.
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
        """Start the encoder, at the first frame: one that only waits would hold its memory."""
        path, encoding = self._path, self._encoding
        container_format = _part_container(encoding.codec)
        # SVT-AV1 talks on standard error, and is told not to by its environment alone
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
            raise _write_error(self._path, error) from error
        self._count += 1

    def finish(self) -> None:
        """Encode what is still under way, and close the file."""
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise _write_error(self._path, error) from error
        finally:
            self._container = None

    def abandon(self) -> None:
        """Close the file, which is not whole."""
        if self._container is not None:
            with contextlib.suppress(Exception):
                self._container.close()
            self._container = None


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__


def _write_error(path: Path, error: Exception) -> OutputError:
    if isinstance(error, OSError):
        return write_error(path, error)
    return OutputError(f"cannot write {path}: {_short(error)}")


def _packets(part: Path, rate: Fraction) -> Iterator[tuple[int, Any]]:
    """Read the packets of a part in the order of decoding, with the number of the frame in it."""
    with av.open(str(part)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                yield round(packet.pts * Fraction(packet.time_base) * rate), packet


def _delay(parts: list[tuple[int, Path]], rate: Fraction) -> int:
    """Packets by which a frame can come after its turn, since others need those before it."""
    return max(
        place - frame for _, part in parts for place, (frame, _) in enumerate(_packets(part, rate))
    )


def join_clip(
    target: Path,
    parts: list[tuple[int, Path]],
    encoding: Encoding,
    plan: FramePlan,
    footage: Footage,
    *,
    sound: Span | None,
    comment: str,
) -> list[str]:
    """Join parts into a clip, with the sound of the footage.

    Args:
        target: the file to write; it is not moved into place.
        parts: first frame and file of each part, in order.
        encoding: of the parts.
        plan: times of the frames.
        footage: where the sound comes from.
        sound: which of it; ``None`` for none.
        comment: goes into the file's metadata.

    Returns:
        notes on the sound.

    Raises:
        OutputError: the file cannot be written.
    """
    notes: list[str] = []
    container_format = _CONTAINERS[encoding.suffix]
    options = {}
    if container_format in ("mp4", "mov"):
        # The index goes first, so that a page can play the clip while it loads
        options = {"movflags": "+faststart"}
    try:
        with (
            av.open(str(target), "w", format=container_format, container_options=options) as out,
            av.open(str(parts[0][1])) as example,
        ):
            out.metadata.update(_kept_metadata(footage))
            if comment:
                out.metadata["comment"] = comment
            video: Any = out.add_stream_from_template(example.streams.video[0], opaque=True)
            video.time_base = plan.time_base
            if encoding.alpha and encoding.codec == "vp9":
                video.metadata["alpha_mode"] = "1"
            tracks = _Sound(out, footage, encoding.suffix, sound, notes)
            _copy_frames(out, video, parts, encoding, plan, tracks)
            tracks.finish()
    except (av.error.FFmpegError, OSError) as error:
        raise _write_error(target, error) from error
    return notes


def _kept_metadata(footage: Footage) -> dict[str, str]:
    """Give what a clip says of itself, such as its title, without what its container added."""
    if footage.kind != "clip":
        return {}
    with av.open(footage.paths[0], metadata_errors="replace") as source:
        return {
            key: value
            for key, value in source.metadata.items()
            if key.lower() not in _OF_THE_CONTAINER
        }


def _copy_frames(
    out: Any,
    video: Any,
    parts: list[tuple[int, Path]],
    encoding: Encoding,
    plan: FramePlan,
    tracks: _Sound,
) -> None:
    delay = _delay(parts, encoding.rate)
    began = 0
    for first, part in parts:
        for place, (inside, packet) in enumerate(_packets(part, encoding.rate), first):
            frame = min(first + inside, len(plan) - 1)
            # No packet may be decoded after its frame is shown, nor before the packet ahead of it
            before = place - delay
            decoded = int(plan.times[before]) if before >= 0 else before * plan.duration(0)
            packet.time_base = plan.time_base
            packet.pts = int(plan.times[frame])
            packet.dts = min(decoded, packet.pts)
            packet.duration = plan.duration(frame)
            began = packet.dts if place == 0 else began
            if place + 1 == len(plan) and encoding.suffix in _BY_DECODING:
                # Here a clip is as long as the times between its decodings together
                packet.duration = max(1, plan.end - (packet.dts - began))
            packet.stream = video
            tracks.catch_up(plan.seconds(frame))
            out.mux(packet)


class _Sound:
    """The audio tracks of the footage, on their way into the output beside its frames."""

    def __init__(
        self,
        out: Any,
        footage: Footage,
        suffix: str,
        span: Span | None,
        notes: list[str],
    ) -> None:
        self._out = out
        self._source: Any = None
        self._ended = True
        if span is None or footage.kind != "clip" or not footage.audio:
            return
        self._begin, self._end, self._cut = span.begin, span.end, span.cut
        self._source = av.open(footage.paths[0], metadata_errors="replace")
        self._tracks: dict[int, tuple[Any, Any]] = {}
        for number, stream in enumerate(self._source.streams.audio, 1):
            context = stream.codec_context
            if context is None:
                notes.append(f"audio track {number} is of an unknown codec and is left out")
                continue
            name = context.name
            track = self._copied(stream) if name.startswith(_COPIED_SOUND[suffix]) else None
            resampler = None
            if track is None:
                wanted = _SOUND[suffix]
                rate = 48_000 if wanted == "libopus" else context.sample_rate
                track = out.add_stream(wanted, rate=rate)
                # A file may count its channels only, and an encoder wants to know which they are
                layout = _USUAL_LAYOUTS.get(context.layout.name, context.layout.name)
                track.layout = layout
                resampler = av.AudioResampler(
                    format=track.codec_context.format, layout=layout, rate=rate
                )
                notes.append(
                    f"audio track {number} is encoded again, {name} to "
                    f"{wanted.removeprefix('lib')}: {suffix} does not take {name}"
                )
            self._tracks[stream.index] = (track, resampler)
            for key, value in stream.metadata.items():
                track.metadata[key] = value
        self._ended = not self._tracks
        self._packets = self._source.demux(list(self._source.streams.audio))
        if self._begin > 1:
            with contextlib.suppress(av.error.FFmpegError):
                self._source.seek(int((self._begin - 1) * av.time_base))
        self._reached = float("-inf")

    def _copied(self, stream: Any) -> Any:
        """Add a track for packets as they are, where the container takes them."""
        with contextlib.suppress(ValueError):
            return self._out.add_stream_from_template(stream, opaque=True)
        return None

    def catch_up(self, seconds: float) -> None:
        """Write the sound up to a time of the output."""
        while not self._ended and self._reached < seconds + 0.5:
            self._next()

    def finish(self) -> None:
        """Write the rest of the sound."""
        while not self._ended:
            self._next()
        if self._source is not None:
            for track, resampler in self._tracks.values():
                if resampler is not None:
                    for frame in resampler.resample(None):
                        self._out.mux(track.encode(frame))
                    self._out.mux(track.encode(None))
            self._source.close()

    def _next(self) -> None:
        try:
            packet = next(self._packets)
        except (StopIteration, av.error.FFmpegError):
            self._ended = True
            return
        if packet.pts is None or packet.stream.index not in self._tracks:
            return
        track, resampler = self._tracks[packet.stream.index]
        base = Fraction(packet.time_base)
        begins = packet.pts * base
        if self._end is not None and begins >= self._end:
            # Tracks are interleaved: another one may still have some to come
            self._ended = begins >= self._end + 2
            return
        if self._cut and begins < self._begin:
            return
        shift = round(self._begin / base)
        self._reached = float(begins) - self._begin
        if resampler is None:
            packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
            packet.stream = track
            self._out.mux(packet)
            return
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                if frame.pts is not None:
                    frame.pts -= round(self._begin / Fraction(frame.time_base or base))
                for resampled in resampler.resample(frame):
                    self._out.mux(track.encode(resampled))


def _part_frames(parts: list[Path], alpha: bool) -> Iterator[av.VideoFrame]:
    for part in parts:
        with av.open(str(part)) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(format="rgba" if alpha else "rgb24", threads=1)


def _pulled(sink: Any) -> av.VideoFrame:
    frame: av.VideoFrame = sink.pull()
    return frame


def _with_palette(parts: list[Path], alpha: bool) -> Iterator[av.VideoFrame]:
    """Reduce frames to the 256 colours that suit the whole animation best."""
    first = next(_part_frames(parts, True))
    source: dict[str, Any] = {
        "width": first.width,
        "height": first.height,
        "format": "rgba",
        "time_base": Fraction(1, 100),
    }
    graph = av.filter.Graph()
    into = graph.add_buffer(**source)
    make = graph.add("palettegen", f"reserve_transparent={int(alpha)}:stats_mode=full")
    sink = graph.add("buffersink")
    into.link_to(make)
    make.link_to(sink)
    graph.configure()
    for number, frame in enumerate(_part_frames(parts, True)):
        frame.pts, frame.time_base = number, Fraction(1, 100)
        into.push(frame)
    into.push(None)
    palette: Any = sink.pull()

    graph = av.filter.Graph()
    pictures = graph.add_buffer(**source)
    colours = graph.add_buffer(
        width=palette.width,
        height=palette.height,
        format=palette.format.name,
        time_base=Fraction(1, 100),
    )
    # An ordered pattern stands still where the picture does; error diffusion would crawl
    use = graph.add("paletteuse", "dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    pictures.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    palette.pts, palette.time_base = 0, Fraction(1, 100)
    colours.push(palette)
    colours.push(None)
    for number, frame in enumerate(_part_frames(parts, True)):
        frame.pts, frame.time_base = number, Fraction(1, 100)
        pictures.push(frame)
        with contextlib.suppress(av.error.BlockingIOError):
            while True:
                yield _pulled(sink)
    pictures.push(None)
    with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            yield _pulled(sink)


def join_animation(
    target: Path, parts: list[Path], encoding: Encoding, plan: FramePlan, loop: int
) -> None:
    """Encode lossless parts as an animated GIF, WebP or PNG.

    Args:
        target: the file to write; it is not moved into place.
        parts: in order.
        encoding: of the output.
        plan: times of the frames.
        loop: how often it plays, 0 for ever.

    Raises:
        OutputError: the file cannot be written.
    """
    base = Fraction(1, 100) if encoding.suffix == ".gif" else Fraction(1, 1000)
    times = [round(int(time) * plan.time_base / base) for time in [*plan.times, plan.end]]
    for place in range(1, len(times)):
        times[place] = max(times[place], times[place - 1] + 1)
    last = times[-1] - times[-2]
    encoder, form, options, muxing = {
        ".gif": (
            "gif", "pal8", {"gifflags": "+offsetting+transdiff"},
            {"loop": str(loop - 1 if loop else 0), "final_delay": str(last)},
        ),
        ".webp": (
            "libwebp", "bgra" if encoding.alpha else "yuv420p",
            {"quality": "85", "compression_level": "4"}, {"loop": str(loop)},
        ),
        ".apng": (
            "apng", "rgba" if encoding.alpha else "rgb24", {"pred": "mixed"},
            {"plays": str(loop), "final_delay": str(Fraction(last) * base)},
        ),
    }[encoding.suffix]  # fmt: skip
    try:
        with av.open(str(target), "w", format=encoding.suffix[1:], container_options=muxing) as out:
            stream: Any = out.add_stream(encoder, rate=encoding.rate)
            stream.width, stream.height = encoding.width, encoding.height
            stream.pix_fmt = form
            stream.codec_context.time_base = base
            stream.options = options
            frames = (
                _with_palette(parts, encoding.alpha)
                if encoding.suffix == ".gif"
                else _part_frames(parts, encoding.alpha)
            )
            for number, frame in enumerate(frames):
                shown = frame.reformat(format=form, threads=1)
                shown.pts, shown.time_base = times[number], base
                shown.duration = times[number + 1] - times[number]
                for packet in stream.encode(shown):
                    packet.duration = packet.duration or shown.duration
                    out.mux(packet)
            out.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError) as error:
        raise _write_error(target, error) from error
