"""The painter: any frame of a clip, corrupted."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from glitch_agents.rollout import check_agents
from glitch_gym.activation import release_networks
from glitch_gym.activation.base import Activation
from glitch_gym.errors import PictureError, SettingError
from glitch_render.cache import Cache
from glitch_render.episodes.episode import Episode, episode_digest
from glitch_render.episodes.playback import EpisodeTimeline
from glitch_render.layers import check_worlds, mask_digests
from glitch_render.media.decode import deep_pixels_of, pixels_of
from glitch_render.media.footage import Footage, open_footage
from glitch_render.media.metadata import embedded_text
from glitch_render.media.timing import FramePlan
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.keyframes import highest
from glitch_render.recipe.model import Recipe
from glitch_render.video.policies import Policies
from glitch_render.video.scan import FootageScan, frames_from, plan_frames, scan_footage
from glitch_render.video.selection import SEGMENT, Selection, parse_scale
from glitch_render.video.shots import Shots
from glitch_render.video.timeline import LayerTimeline, Learned

__all__ = [
    "PaintedLayer",
    "Painter",
    "assemble_painter",
    "open_episode_painter",
    "open_painter",
    "preview_frame",
]


class PaintedLayer(Protocol):
    """A layer that can be painted on any frame of a clip."""

    @property
    def frames_back(self) -> int:
        """Number of earlier frames that the layer's effects can use."""
        ...

    def paint(
        self, frame: int, pixels: NDArray[np.uint8], earlier: Sequence[NDArray[np.uint8]] = ()
    ) -> None:
        """Paint the layer on a frame, in place.

        Args:
            frame: number of the frame.
            pixels: uint8 (height, width, 3), contiguous.
            earlier: the frames before it as they came to this layer, the latest first.
        """
        ...


@dataclass(eq=False)
class Painter:
    """Paints the frames of a clip: any range of them, whatever was painted before.

    Args:
        footage: source of the frames, from ``open_footage``.
        scan: what one look through the footage found, from ``scan_footage``.
        plan: times and sources of the output's frames.
        size: (width, height) of the frames, in pixels.
        layers: layers to paint, in order.
        recipe: text of the recipe, which is embedded in the output.
        identity: text that differs wherever the painted frames may differ.
        activation_of: function from a frame's number to the activation that its agents learned by;
            ``None`` where nothing was learned.
        learned: function that returns the world and the policy of a layer in a shot; ``None`` as
            well where nothing was learned.
        places: numbers of every shot and layer that ``learned`` knows, shot by shot.
        shot_of: function from a frame's number to that of its shot.
    """

    footage: Footage
    scan: FootageScan
    plan: FramePlan
    size: tuple[int, int]
    layers: tuple[PaintedLayer, ...]
    recipe: str
    identity: str
    activation_of: Callable[[int], Activation] | None = None
    learned: Learned | None = None
    places: tuple[tuple[int, int], ...] = ()
    shot_of: Callable[[int], int] = lambda frame: 0
    _reader: Iterator[tuple[int, av.VideoFrame]] | None = field(default=None, init=False)
    _read: tuple[int, av.VideoFrame] | None = field(default=None, init=False)
    _past: tuple[deque[NDArray[np.uint8]], ...] = field(default=(), init=False)
    _next: int = field(default=0, init=False)

    def _source_frame(self, number: int) -> av.VideoFrame:
        """Return a frame of the footage, or the last one before it that can be decoded."""
        if self._reader is None or (self._read is not None and self._read[0] > number):
            self._reader, self._read = frames_from(self.footage, self.scan, number), None
        while self._read is None or self._read[0] < number:
            following = next(self._reader, None)
            if following is None:
                if self._read is None:
                    raise PictureError(
                        f"cannot read frame {number} of {self.footage.name}",
                        path=self.footage.name,
                    )
                return self._read[1]
            self._read = following
        return self._read[1]

    @property
    def begins(self) -> Fraction:
        """Time of the source at which the first frame is shown, in seconds."""
        return int(self.scan.times[0]) * self.footage.time_base

    @property
    def ends(self) -> Fraction:
        """Time of the source at which the last frame ends, in seconds."""
        return self.begins + self.plan.end * self.plan.time_base

    def with_layers(self, layers: Sequence[PaintedLayer], identity: str) -> Painter:
        """Return a painter of other layers on the same frames.

        Args:
            layers: layers to paint, in order.
            identity: text that differs wherever the painted frames may differ.
        """
        return replace(self, layers=tuple(layers), identity=identity)

    def frame_at(self, time: Fraction) -> int:
        """Return the number of the frame that is shown at a time of the source.

        Raises:
            SettingError: the time is outside the clip.
        """
        if not self.begins <= time < self.ends:
            raise SettingError(
                f"{float(time):g} s is outside the clip, which lasts from {float(self.begins):g} "
                f"to {float(self.ends):g} s"
            )
        wanted = float((time - self.begins) / self.plan.time_base)
        return int(np.searchsorted(self.plan.times, wanted + 1e-6, side="right")) - 1

    def nearest(self, time: Fraction) -> int:
        """Return the number of the frame that is shown nearest to a time of the source."""
        if time <= self.begins:
            return 0
        if time >= self.ends:
            return len(self.plan) - 1
        return self.frame_at(time)

    def untouched(self, frame: int) -> NDArray[np.uint8]:
        """Return a frame as it is before it is painted: uint8 (height, width, 3)."""
        self._enter(frame)
        number = int(self.plan.sources[frame])
        return pixels_of(self.footage, self._source_frame(number), self.size)[0]

    def _enter(self, frame: int) -> None:
        number = int(self.plan.sources[frame])
        near = self._read is not None and 0 <= number - self._read[0] <= SEGMENT // 4
        if not near:
            self._reader, self._read = frames_from(self.footage, self.scan, number), None

    def _with_past(self, first: int) -> int:
        """Return the frame to start at, so that layers which look back find earlier frames."""
        frames_back = sum(layer.frames_back for layer in self.layers)
        if frames_back == 0 or (self._past and self._next == first):
            return first
        self._past = tuple(deque(maxlen=layer.frames_back) for layer in self.layers)
        return max(0, first - frames_back)

    def _paint_layers(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Paint all layers on a frame, in place, and keep the frames that they may look back at."""
        past = self._past or tuple(deque(maxlen=0) for _ in self.layers)
        for layer, inputs in zip(self.layers, past, strict=True):
            if not layer.frames_back:
                layer.paint(number, pixels)
                continue
            came = pixels.copy()
            # No motion yet on a clip's first frame, nor ever on a still
            first = () if self.footage.kind == "still" else (came,)
            layer.paint(number, pixels, tuple(inputs) or first)
            if self.footage.kind != "still":
                inputs.appendleft(came)
        self._next = number + 1

    def frames(
        self, first: int, last: int, *, deep: bool = False
    ) -> Iterator[tuple[NDArray[np.uint8] | NDArray[np.uint16], NDArray[np.uint8] | None]]:
        """Paint the frames [first, last).

        Args:
            first: number of the first frame.
            last: number of the frame after the last.
            deep: yield 16 bits per channel; unpainted pixels keep those of the source.

        Yields:
            pixels (height, width, 3), and alpha (height, width) or None.
        """
        begin = self._with_past(first)
        self._enter(begin)
        for number in range(begin, last):
            frame = self._source_frame(int(self.plan.sources[number]))
            pixels, alpha = pixels_of(self.footage, frame, self.size)
            before = pixels.copy() if deep else pixels
            self._paint_layers(number, pixels)
            if number < first:
                continue
            if not deep:
                yield pixels, alpha
                continue
            painted = (pixels != before).any(axis=2, keepdims=True)
            source = deep_pixels_of(self.footage, frame, self.size)
            yield np.where(painted, pixels.astype(np.uint16) * 257, source), alpha


def _open(source: str, selection: Selection) -> Footage:
    return open_footage(source, rate=selection.rate, duration=selection.duration)


def open_painter(
    source: str,
    recipe: Recipe,
    selection: Selection | None = None,
    *,
    footage: Footage | None = None,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
    learn: bool = True,
) -> Painter:
    """Scan a source and learn its policies; return a painter of its frames.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        recipe: what to do.
        selection: which frames, and how large; by default all as they are.
        footage: the source, where it has been opened already with the selection's rate and
            duration.
        cache: cache of scans, rewards and tables.
        progress: called with the stages looking and learning.
        learn: learn every policy now, not each one when it is first needed.

    Raises:
        GlitchError: the source, or a setting with this source, is wrong.
    """
    selection = selection or Selection()
    footage = footage or _open(source, selection)
    size = parse_scale(selection.scale, footage.width, footage.height)
    # Refused before any work is done
    check_worlds(recipe)
    check_agents(sum(math.ceil(highest(layer.agents)) for _, layer in recipe.painted))
    masks = mask_digests(recipe)

    def looked(frames: int) -> None:
        if progress is not None:
            total = footage.n_frames if selection.start is None else None
            progress(Progress("looking", frames, total))

    scan = scan_footage(
        footage, recipe, start=selection.start, end=selection.end, cache=cache, progress=looked
    )
    release_networks()
    shots = Shots(scan, plan_frames(footage, scan, selection.rate), recipe)
    policies = Policies(recipe, shots, size, cache, progress)
    if learn:
        policies.learn_all()
    painter = assemble_painter(footage, scan, recipe, selection, policies)
    for layer in painter.layers:
        assert isinstance(layer, LayerTimeline)
        layer.check_births()
    text = embedded_text(recipe)
    return replace(painter, recipe=text, identity="\n".join([text, *masks]))


def assemble_painter(
    footage: Footage, scan: FootageScan, recipe: Recipe, selection: Selection, learned: Learned
) -> Painter:
    """Return a painter of footage that was scanned, by policies that were learned.

    Args:
        footage: source of the frames.
        scan: scan of the footage.
        recipe: what to do.
        selection: which frames, and how large.
        learned: function that returns the world and the policy of a layer in a shot.
    """
    size = parse_scale(selection.scale, footage.width, footage.height)
    plan = plan_frames(footage, scan, selection.rate)
    shots = Shots(scan, plan, recipe)
    layers = tuple(
        LayerTimeline(layer, index, plan, shots, learned, size[1], size[0], seed=recipe.seed)
        for index, layer in recipe.painted
    )

    def activation_of(frame: int) -> Activation:
        return shots.activation(shots.shot_of(frame))

    places = tuple((shot, index) for shot in range(len(shots)) for index, _ in recipe.painted)
    return Painter(
        footage, scan, plan, size, layers, "", "", activation_of, learned, places, shots.shot_of
    )


def open_episode_painter(
    source: str,
    episode: Episode,
    selection: Selection | None = None,
    *,
    footage: Footage | None = None,
    cache: Cache | None = None,
) -> Painter:
    """Scan a source; return a painter that replays an episode on it, one step a frame.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        episode: episode to replay.
        selection: which frames, and how large; by default all as they are.
        footage: the source, where it has been opened already with the selection's rate and
            duration.
        cache: cache of scans.

    Raises:
        GlitchError: the source is wrong, or a grid is finer than it.
    """
    selection = selection or Selection()
    footage = footage or _open(source, selection)
    size = parse_scale(selection.scale, footage.width, footage.height)
    scan = scan_footage(footage, start=selection.start, end=selection.end, cache=cache)
    plan = plan_frames(footage, scan, selection.rate)
    layers = tuple(
        EpisodeTimeline(episode, number, size[1], size[0]) for number in range(len(episode.layers))
    )
    recipe = "" if episode.recipe is None else embedded_text(episode.recipe)
    return Painter(footage, scan, plan, size, layers, recipe, episode_digest(episode))


def preview_frame(
    source: str,
    recipe: Recipe,
    at: Fraction,
    selection: Selection | None = None,
    *,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the painted frame that the export would show at a time of the source.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        recipe: what to do.
        at: time of the source, in seconds.
        selection: which frames, and how large; by default all as they are.
        cache: cache of scans, rewards and tables.
        progress: called with the stages looking and learning.

    Returns:
        uint8 (height, width, 3), and its alpha (height, width) or ``None``.

    Raises:
        SettingError: the time is outside the clip.
        GlitchError: as ``open_painter``.
    """
    painter = open_painter(source, recipe, selection, cache=cache, progress=progress)
    number = painter.frame_at(at)
    pixels, alpha = next(painter.frames(number, number + 1))
    return pixels.astype(np.uint8, copy=False), alpha
