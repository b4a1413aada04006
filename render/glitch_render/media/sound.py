"""Sound copied from the source, or encoded anew where the container wants another codec."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av.error

from glitch_render.media.footage import Footage
from glitch_render.media.formats import Format
from glitch_render.media.tags import open_tolerantly, readable_tags

__all__ = ["Sound", "Span"]


_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1"}


@dataclass(frozen=True)
class Span:
    """Which part of the footage's sound goes with the frames.

    Args:
        begin: time of the footage at which the output begins, in seconds.
        end: time of the footage at which the output ends, in seconds; ``None`` for its end.
        cut: leave out the sound before ``begin``.
    """

    begin: Fraction
    end: Fraction | None = None
    cut: bool = False


class Sound:
    """The audio tracks of the footage, on their way into the output beside its frames.

    Args:
        out: container of the output, from ``av.open``.
        footage: source of the sound.
        written: format of the output.
        span: the part of the sound to keep; ``None`` for no sound.
        notes: list to which a line is added for each track that is changed or left out.
    """

    def __init__(
        self,
        out: Any,
        footage: Footage,
        written: Format,
        span: Span | None,
        notes: list[str],
    ) -> None:
        self._out = out
        self._source: Any = None
        self._ended = True
        if span is None or footage.kind != "clip" or not footage.audio:
            return
        self._begin, self._end, self._cut = span.begin, span.end, span.cut
        self._source = open_tolerantly(footage.paths[0])
        self._tracks: dict[int, tuple[Any, Any]] = {}
        for number, stream in enumerate(self._source.streams.audio, 1):
            context = stream.codec_context
            if context is None:
                notes.append(f"audio track {number} is of an unknown codec and is left out")
                continue
            name = context.name
            track = self._copied(stream) if name.startswith(written.copied_sound) else None
            resampler = None
            if track is None:
                wanted = written.sound
                rate = 48_000 if wanted == "libopus" else context.sample_rate
                track = out.add_stream(wanted, rate=rate)
                # Some files store only a channel count; encoders need a layout
                layout = _USUAL_LAYOUTS.get(context.layout.name, context.layout.name)
                track.layout = layout
                resampler = av.AudioResampler(
                    format=track.codec_context.format, layout=layout, rate=rate
                )
                notes.append(
                    f"audio track {number} is encoded again, {name} to "
                    f"{wanted.removeprefix('lib')}: {written.suffix} does not take {name}"
                )
            self._tracks[stream.index] = (track, resampler)
            for key, value in readable_tags(stream.metadata).items():
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
