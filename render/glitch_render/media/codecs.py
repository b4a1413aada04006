"""Frames out: clips, animations and folders of pictures, in parts that are joined.

A part is a range of frames, encoded alone, in which frame k has time k. Joining copies its packets
into the output, gives each the frame's own time, and lays the sound beside them. So parts can be
made at different times or places, and nothing of a frame's time is lost on the way. Animated
pictures have no packets to copy: their parts are lossless, and encoded once more when joined.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import av
import av.error
from llvmlite.binding import get_host_cpu_features

from glitch_gym.errors import OutputError, SettingError, unknown_name_error
from glitch_render.media.colour import BT709, RESERVED, RGB, Colour
from glitch_render.media.footage import Footage
from glitch_render.media.formats import ANIMATIONS, CLIP_FORMATS, CLIPS

__all__ = ["ENCODERS", "Encoding", "choose_encoding", "part_container"]

ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264", "libopenh264"),
    "hevc": ("libx265",),
    "vp9": ("libvpx-vp9",),
    "av1": ("libsvtav1", "libaom-av1"),
    "prores": ("prores_ks",),
    "mpeg4": ("mpeg4",),
    "ffv1": ("ffv1",),
}
"""FFmpeg's encoders of each codec; the first that is there is taken."""

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
_SLOWEST = Fraction(1, 1001)
# x265 and SVT-AV1 leave their memory where frames are narrower than one of their blocks
_NARROWEST = 64
# These say in their own stream how wide a pixel is; others leave it to a container that cannot
_KNOW_THEIR_ASPECT = ("h264", "hevc", "mpeg4")


@dataclass(frozen=True)
class Encoding:
    """How an output is encoded; everything that a part needs to fit those beside it.

    Args:
        kind: packets that are copied, an animation that is encoded again, or single pictures.
        suffix: suffix of the output.
        codec: our name of the codec, such as ``h264``.
        encoder: FFmpeg's name of the encoder, such as ``libx264``.
        pixel_format: FFmpeg's name of the pixel format.
        options: options of the encoder, by name.
        width: width of the encoded frames, in pixels.
        height: height of the encoded frames, in pixels.
        rate: frames a second, on average.
        colour: how numbers stand for colours.
        sample_aspect: width of a pixel over its height.
        alpha: whether transparency is written.
        notes: what the output cannot carry, in words for the user.
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
        return {"packets": f".{part_container(self.codec)}", "animation": ".mkv"}.get(self.kind, "")


def part_container(codec: str) -> str:
    """Return the container that parts of a codec are written in."""
    return _PART_CONTAINERS.get(codec, "matroska")


def _available() -> list[str]:
    return [
        name
        for name, encoders in ENCODERS.items()
        if any(one in av.codecs_available for one in encoders)
    ]


def _find_encoder(codec: str) -> str:
    for encoder in ENCODERS[codec]:
        with contextlib.suppress(ValueError, av.error.FFmpegError):
            av.Codec(encoder, "w")
            return encoder
    raise OutputError(
        f"this FFmpeg has no encoder for {codec}; it has: {', '.join(_available()) or 'none'}"
    )


def _choose_codec(suffix: str, codec: str | None) -> str:
    allowed = CLIP_FORMATS[suffix].codecs
    if codec is None:
        return allowed[0]
    if codec not in ENCODERS:
        raise unknown_name_error("codec", codec, ENCODERS)
    if codec not in allowed:
        raise OutputError(f"{suffix} does not take {codec}; it takes: {', '.join(allowed)}")
    return codec


def _encoder_options(codec: str, crf: int | None, preset: str | None) -> dict[str, str]:
    """Return the encoder's options; threads are fixed, so that bytes depend on no core count."""
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
            raise unknown_name_error(f"encoder preset of {codec}", preset, _PRESETS[codec])
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


def _out_colour(footage: Footage) -> Colour:
    """Tag the output as its source was; what comes from RGB is BT.709 in studio range."""
    if footage.kind == "clip" and footage.colour.matrix not in (RGB, RESERVED):
        return footage.colour
    return Colour(matrix=BT709, primaries=BT709, transfer=BT709)


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
        suffix: suffix of the output; empty for a folder of pictures.
        footage: source of the frames and of the sound.
        size: (width, height) of the frames.
        rate: frames a second, on average.
        codec: h264, hevc, vp9, av1, prores, mpeg4 or ffv1; by default the one that suits the
            suffix.
        crf: quality of h264, hevc, vp9 and av1; lower is better.
        preset: speed of the encoder: ultrafast…veryslow, or a number for av1 and vp9.

    Raises:
        OutputError: the suffix does not take the codec, there is no encoder, or it cannot encode
            frames so narrow.
        SettingError: an unknown codec or preset, or a crf out of its range.
    """
    notes: list[str] = []
    width, height = size
    chosen = _choose_codec(suffix, codec) if suffix in CLIP_FORMATS else "ffv1"
    aspect = footage.sample_aspect
    container = CLIP_FORMATS.get(suffix)
    says_aspect = container is not None and container.is_iso
    if aspect != 1 and not says_aspect and chosen not in _KNOW_THEIR_ASPECT:
        width, aspect = max(1, round(width * aspect)), Fraction(1)
        notes.append(f"pixels are made square, {width}×{height}")
    if container is None:
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
    alpha = footage.alpha and chosen in container.alpha
    if footage.alpha and not alpha:
        notes.append(
            f"{chosen} in {suffix} carries no transparency; the frames are laid on black "
            f"(.webm, .mov, .webp, .apng and folders keep it)"
        )
    pixel_format = _pixel_format(chosen, footage, alpha, notes)
    if chosen != "ffv1" and (width % 2 or height % 2):
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
        colour=_out_colour(footage),
        sample_aspect=aspect,
        alpha=alpha,
        notes=tuple(notes),
    )
