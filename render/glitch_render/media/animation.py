"""Animated GIF, WebP and APNG, joined from parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from glitch_render.media.codecs import Encoding
from glitch_render.media.timing import FramePlan
from glitch_render.media.writer import encode_error

__all__ = ["join_animation"]


def _part_frames(parts: list[Path], alpha: bool) -> Iterator[av.VideoFrame]:
    for part in parts:
        with av.open(str(part)) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(format="rgba" if alpha else "rgb24", threads=1)


def _pulled(sink: Any) -> av.VideoFrame:
    frame: av.VideoFrame = sink.pull()
    return frame


def _with_palette(parts: list[Path], alpha: bool) -> Iterator[av.VideoFrame]:
    """Yield frames reduced to the 256 colours that suit the whole animation best."""
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
        parts: files of the parts, in order.
        encoding: how the output is encoded.
        plan: times of the frames.
        loop: number of times that the animation plays; 0 for ever.

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
        raise encode_error(target, error) from error
