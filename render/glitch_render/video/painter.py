"""The painter: any frame of a clip, corrupted."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from glitch_render.progress import ClipProgress
from glitch_render.recipe.keyframes import highest
from glitch_render.recipe.model import Recipe
from glitch_render.video.policies import Policies
from glitch_render.video.scan import FootageScan, frames_from, plan_frames, scan_footage
from glitch_render.video.selection import Selection, parse_scale
from glitch_render.video.shots import Shots
from glitch_render.video.timeline import LayerTimeline

__all__ = [
    "SEGMENT",
    "PaintedLayer",
    "Painter",
    "open_episode_painter",
    "open_painter",
    "preview_frame",
]


SEGMENT = 250
"""Frames of a segment. The output depends on it, and on no number of workers."""


class PaintedLayer(Protocol):
    """A layer that can be painted on any frame of a clip."""

    @property
    def frames_back(self) -> int:
        """How many frames of the past are of use."""
        ...

    def paint(
        self, frame: int, pixels: NDArray[np.uint8], earlier: Sequence[NDArray[np.uint8]] = ()
    ) -> None:
        """Paint the layer on the frame with a number, in place, given those before it."""
        ...


@dataclass(eq=False)
class Painter:
    """Paints the frames of a clip: any range of them, whatever was painted before.

    Args:
        footage: from ``open_footage``.
        scan: through it.
        plan: of the output's frames.
        size: (width, height) of the frames.
        layers: that are painted, one after another.
        recipe: that says so, as text; it goes into the output.
        identity: of all that decides what is painted.
        activation_of: gives the activation that a frame's agents learned by.
    """

    footage: Footage
    scan: FootageScan
    plan: FramePlan
    size: tuple[int, int]
    layers: tuple[PaintedLayer, ...]
    recipe: str
    identity: str
    activation_of: Callable[[int], Activation] | None = None
    _reader: Iterator[tuple[int, av.VideoFrame]] | None = field(default=None, init=False)
    _read: tuple[int, av.VideoFrame] | None = field(default=None, init=False)
    _past: tuple[deque[NDArray[np.uint8]], ...] = field(default=(), init=False)
    _next: int = field(default=0, init=False)

    def _source_frame(self, number: int) -> av.VideoFrame:
        """Return a frame of the footage; the one before it where it cannot be decoded any more."""
        if self._reader is None or (self._read is not None and self._read[0] > number):
            self._reader, self._read = frames_from(self.footage, self.scan, number), None
        while self._read is None or self._read[0] < number:
            following = next(self._reader, None)
            if following is None:
                if self._read is None:
                    raise PictureError(
                        f"{self.footage.name} cannot be read at frame {number}",
                        path=self.footage.name,
                    )
                return self._read[1]
            self._read = following
        return self._read[1]

    def frame_at(self, time: Fraction) -> int:
        """Return the number of the frame that is shown at a time of the source.

        Raises:
            SettingError: the time is outside the clip.
        """
        plan = self.plan
        begins = int(self.scan.times[0]) * self.footage.time_base
        ends = begins + plan.end * plan.time_base
        if not begins <= time < ends:
            raise SettingError(
                f"{float(time):g} s is outside the clip, which goes from {float(begins):g} to "
                f"{float(ends):g} s"
            )
        wanted = float((time - begins) / plan.time_base)
        return int(np.searchsorted(plan.times, wanted + 1e-6, side="right")) - 1

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
        """Return the frame to begin at, that layers which look back have what they look for."""
        frames_back = sum(layer.frames_back for layer in self.layers)
        if frames_back == 0 or (self._past and self._next == first):
            return first
        self._past = tuple(deque(maxlen=layer.frames_back) for layer in self.layers)
        return max(0, first - frames_back)

    def _paint_layers(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Paint all layers on a frame, in place, and keep what they may look back at."""
        past = self._past or tuple(deque(maxlen=0) for _ in self.layers)
        for layer, inputs in zip(self.layers, past, strict=True):
            if not layer.frames_back:
                layer.paint(number, pixels)
                continue
            came = pixels.copy()
            # Nothing has moved yet on the first frame of a clip, and ever on a still
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
            last: number after that of the last.
            deep: give 16 bits; where nothing was painted, those of the source.

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


def open_painter(
    source: str,
    recipe: Recipe,
    selection: Selection | None = None,
    *,
    cache: Cache | None = None,
    progress: ClipProgress | None = None,
) -> Painter:
    """Look through a source, learn its policies, and be ready to paint.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        recipe: what to do.
        selection: which frames, and how large; by default all as they are.
        cache: where looks, rewards and tables are kept, and recalled from.
        progress: called with the stages looking and learning.

    Raises:
        GlitchError: the source, or a setting with this source, is wrong.
    """
    selection = selection or Selection()
    footage = open_footage(source, rate=selection.rate, duration=selection.duration)
    size = parse_scale(selection.scale, footage.width, footage.height)
    # What cannot be is known before any work is done
    check_worlds(recipe)
    check_agents(sum(math.ceil(highest(layer.agents)) for _, layer in recipe.painted))
    masks = mask_digests(recipe)

    def looked(frames: int) -> None:
        if progress is not None:
            progress("looking", frames, footage.n_frames if selection.start is None else None)

    scan = scan_footage(
        footage, recipe, start=selection.start, end=selection.end, cache=cache, progress=looked
    )
    release_networks()
    plan = plan_frames(footage, scan, selection.rate)
    shots = Shots(scan, plan, recipe)
    policies = Policies(recipe, shots, size, cache, progress)
    policies.learn_all()
    layers = tuple(
        LayerTimeline(layer, index, plan, shots, policies, size[1], size[0], seed=recipe.seed)
        for index, layer in recipe.painted
    )
    for layer in layers:
        layer.check_births()
    text = embedded_text(recipe)
    return Painter(
        footage,
        scan,
        plan,
        size,
        layers,
        text,
        "\n".join([text, *masks]),
        lambda frame: shots.activation(shots.shot_of(frame)),
    )


def open_episode_painter(
    source: str,
    episode: Episode,
    selection: Selection | None = None,
    *,
    cache: Cache | None = None,
) -> Painter:
    """Look through a source, and be ready to replay an episode on it: a step a frame.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        episode: to replay.
        selection: which frames, and how large; by default all as they are.
        cache: where looks are kept, and recalled from.

    Raises:
        GlitchError: the source is wrong, or a grid is finer than it.
    """
    selection = selection or Selection()
    footage = open_footage(source, rate=selection.rate, duration=selection.duration)
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
    progress: ClipProgress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Paint the frame that the export would show at a time of the source.

    Raises:
        SettingError: the time is outside the clip.
        GlitchError: as ``open_painter``.
    """
    painter = open_painter(source, recipe, selection, cache=cache, progress=progress)
    number = painter.frame_at(at)
    pixels, alpha = next(painter.frames(number, number + 1))
    return pixels.astype(np.uint8, copy=False), alpha
