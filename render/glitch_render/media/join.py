"""Parts of a clip joined into one file, with the source's sound and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from glitch_render.media.codecs import Encoding
from glitch_render.media.footage import Footage
from glitch_render.media.formats import CLIP_FORMATS
from glitch_render.media.sound import Sound, Span
from glitch_render.media.tags import open_tolerantly, readable_tags
from glitch_render.media.timing import FramePlan
from glitch_render.media.writer import encode_error

__all__ = ["join_clip"]


_OF_THE_CONTAINER = (
    "major_brand", "minor_version", "compatible_brands", "encoder", "comment", "duration",
)  # fmt: skip


def _packets(part: Path, rate: Fraction) -> Iterator[tuple[int, Any]]:
    """Yield a part's packets in the order of decoding, each with its frame's number."""
    with av.open(str(part)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
                yield round(packet.pts * base * rate), packet


def _delay(parts: list[tuple[int, Path]], rate: Fraction) -> int:
    """Return how many packets later than its turn a frame can be stored, at most."""
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
        parts: number of the first frame, and file, of each part, in order.
        encoding: how the parts are encoded.
        plan: times of the frames.
        footage: source of the sound and the metadata.
        sound: the part of the sound to keep; ``None`` for no sound.
        comment: comment for the file's metadata.

    Returns:
        notes on the sound, in words for the user.

    Raises:
        OutputError: the file cannot be written.
    """
    notes: list[str] = []
    written = CLIP_FORMATS[encoding.suffix]
    options = {}
    if written.is_iso:
        # The index goes first, so that a page can play the clip while it loads
        options = {"movflags": "+faststart"}
    try:
        with (
            av.open(str(target), "w", format=written.container, container_options=options) as out,
            av.open(str(parts[0][1])) as example,
        ):
            out.metadata.update(_kept_metadata(footage))
            if comment:
                out.metadata["comment"] = comment
            video: Any = out.add_stream_from_template(example.streams.video[0], opaque=True)
            video.time_base = plan.time_base
            if encoding.alpha and encoding.codec == "vp9":
                video.metadata["alpha_mode"] = "1"
            tracks = Sound(out, footage, written, sound, notes)
            _copy_frames(out, video, parts, encoding, plan, tracks)
            tracks.finish()
    except (av.error.FFmpegError, OSError) as error:
        raise encode_error(target, error) from error
    return notes


def _kept_metadata(footage: Footage) -> dict[str, str]:
    """Return a clip's metadata, such as its title, without what its container added."""
    if footage.kind != "clip":
        return {}
    with open_tolerantly(footage.paths[0]) as source:
        return {
            key: value
            for key, value in readable_tags(source.metadata).items()
            if key.lower() not in _OF_THE_CONTAINER
        }


def _copy_frames(
    out: Any,
    video: Any,
    parts: list[tuple[int, Path]],
    encoding: Encoding,
    plan: FramePlan,
    tracks: Sound,
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
            if place + 1 == len(plan) and CLIP_FORMATS[encoding.suffix].is_iso:
                # Here a clip's duration is the sum of the times between its decodings
                packet.duration = max(1, plan.end - (packet.dts - began))
            packet.stream = video
            tracks.catch_up(plan.seconds(frame))
            out.mux(packet)
