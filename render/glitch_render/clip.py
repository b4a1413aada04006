"""The whole path for a clip: footage, look, shots, policies, timelines, parts, output.

A clip is rendered in segments of a fixed number of frames, each encoded alone. A segment can be
rendered without those before it, and those that are finished are kept beside the output until it is
whole: so a render that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import shutil
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from glitch_agents.policy import QTable
from glitch_agents.rollout import as_table, check_agents
from glitch_gym.activation import Activation, release_networks
from glitch_gym.dynamics import GridWorld
from glitch_gym.errors import (
    GlitchError,
    Hint,
    OutputError,
    PictureError,
    SettingError,
    is_interrupt,
)
from glitch_gym.input import is_regular
from glitch_gym.output import check_target, write_error
from glitch_render.corrupt import (
    Start,
    check_worlds,
    layer_policy,
    layer_world,
    mask_digests,
    recipe_files,
    table_key,
)
from glitch_render.encoding import (
    Encoding,
    PartWriter,
    Span,
    choose_encoding,
    join_animation,
    join_clip,
)
from glitch_render.episode import Episode, EpisodeTimeline, episode_digest
from glitch_render.footage import (
    Footage,
    deep_pixels_of,
    file_digest,
    open_footage,
    pixels_of,
    source_files,
)
from glitch_render.inscription import inscribe
from glitch_render.keyframes import highest
from glitch_render.media import ANIMATIONS, CLIPS, RECIPE_KEY, embedded_text
from glitch_render.recipe import Recipe
from glitch_render.shots import FramePlan, Look, Shots, frames_from, look_through, plan_frames
from glitch_render.store import Store, key_of
from glitch_render.timeline import LayerTimeline

__all__ = [
    "ClipProgress",
    "Interrupted",
    "PaintedLayer",
    "Painter",
    "Report",
    "Selection",
    "check_clip_target",
    "corrupt_clip",
    "open_episode_painter",
    "open_painter",
    "parse_rate",
    "parse_scale",
    "parse_seconds",
    "preview_frame",
    "write_clip",
]

ClipProgress = Callable[[str, int, int | None], None]
"""Called with the stage (looking, learning, painting, joining), what is done, and of how much."""

SEGMENT = 250
"""Frames of a segment. The output depends on it, and on no number of workers."""

_FASTEST_GIF = Fraction(50)
_AHEAD = 2
"""Frames that may wait for the encoder."""

_MANIFEST = "manifest.json"
_MAX_SIDE = 16_384
_LATEST = 1_000_000
_SLOWEST, _FASTEST = Fraction(1, 100), Fraction(1000)
_LONGEST_STILL = 86_400
# No number that somebody means has more characters, and Python reads none of thousands of digits
_LONGEST_NUMBER = 32


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a render whose finished segments are kept.

    Args:
        kept: frames that are kept.
        frames: of the output in all.
    """

    def __init__(self, kept: int, frames: int) -> None:
        super().__init__(f"{kept} of {frames} frames are kept")
        self.kept = kept
        self.frames = frames


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are rendered, and how large.

    Args:
        start: seconds of the source at which to begin.
        end: seconds of the source at which to end.
        rate: frames a second; by default the source's own frames at their own times.
        scale: a size as ``parse_scale`` takes it.
        duration: seconds that a still is shown.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    rate: Fraction | None = None
    scale: str | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not 0 <= value <= _LATEST:
                where = "before 0" if value < 0 else f"after {_LATEST:,} s"
                raise SettingError(f"{name} must not be {where}, not {_rounded(value)} s")
        if self.end is not None and self.end <= (self.start or 0):
            raise SettingError(
                f"the end ({float(self.end):g} s) must come after the start "
                f"({float(self.start or 0):g} s)"
            )
        if self.rate is not None and not _SLOWEST <= self.rate <= _FASTEST:
            raise SettingError(
                f"fps must lie in {float(_SLOWEST):g}…{_FASTEST}, not {_rounded(self.rate)}"
            )
        if self.duration is not None and not 0 < self.duration <= _LONGEST_STILL:
            raise SettingError(
                f"duration must be above 0 s and at most {_LONGEST_STILL:,} s, "
                f"not {self.duration:g}"
            )


@dataclass(frozen=True)
class Report:
    """What became of a clip.

    Args:
        frames: of the output.
        seconds: that it lasts.
        size: (width, height).
        damage: what was wrong with the source.
        notes: what was converted, or could not be carried.
    """

    frames: int
    seconds: float
    size: tuple[int, int]
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _rounded(number: Fraction) -> str:
    try:
        return f"{float(number):g}"
    except OverflowError:
        return "a number of hundreds of digits"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_NUMBER else f"{text[:_LONGEST_NUMBER]}…")


def parse_rate(text: str) -> Fraction:
    """Read a number of frames a second, such as ``25``, ``29.97`` or ``30000/1001``.

    Raises:
        SettingError: something else.
    """
    # An exponent could stand for a number that fills the memory
    if len(text) > _LONGEST_NUMBER or not re.fullmatch(r"[-+\d./\s]+", text):
        raise SettingError(f"fps must be a number such as 25 or 30000/1001, not {_quoted(text)}")
    try:
        return Fraction(text).limit_denominator(1_000_000)
    except (ValueError, ZeroDivisionError):
        raise SettingError(f"fps must be a number such as 25 or 30000/1001, not {text!r}") from None


def parse_seconds(text: str) -> Fraction:
    """Read a time: seconds, ``M:S`` or ``H:M:S``, with decimals.

    Raises:
        SettingError: something else.
    """
    if len(text) > _LONGEST_NUMBER or not re.fullmatch(
        r"(\d+:)?(\d+:)?\d+(\.\d*)?|\.\d+", text.strip()
    ):
        raise SettingError(
            f"{_quoted(text)} is not a time: write seconds, M:S or H:M:S, such as 1:02.5"
        )
    seconds = Fraction(0)
    for part in text.strip().split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds


def parse_scale(text: str | None, width: int, height: int) -> tuple[int, int]:
    """Read a size: a factor (``0.5``, ``50%``), a height (``720p``) or ``1280x720``.

    Args:
        text: ``None`` keeps the size.
        width: of the source, in pixels.
        height: likewise.

    Returns:
        (width, height).

    Raises:
        SettingError: something else, or a size of nothing or too much.
    """
    if text is None:
        return width, height
    given = text.strip().lower() if len(text) <= _LONGEST_NUMBER else ""
    if match := re.fullmatch(r"(\d+)[x×](\d+)", given):
        size = (int(match[1]), int(match[2]))
    elif match := re.fullmatch(r"(\d+)p", given):
        size = (round(width * int(match[1]) / height), int(match[1]))
    elif match := re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(%?)", given):
        factor = float(match[1]) / (100 if match[2] else 1)
        size = (round(width * factor), round(height * factor))
    else:
        raise SettingError(f"{_quoted(text)} is not a size: write 0.5, 50%, 720p or 1280x720")
    if not all(1 <= side <= _MAX_SIDE for side in size):
        raise SettingError(f"the size {size[0]}×{size[1]} must lie within 1…{_MAX_SIDE} pixels")
    return size


class _Policies:
    """Worlds and policies of the layers of each shot, learned in the order of the shots."""

    def __init__(
        self,
        recipe: Recipe,
        shots: Shots,
        size: tuple[int, int],
        store: Store | None,
        progress: ClipProgress | None,
    ) -> None:
        self._recipe = recipe
        self._shots = shots
        self._width, self._height = size
        self._store = store
        self._progress = progress
        # Two shots at most: a film has thousands, and the store has the others
        self._memory: OrderedDict[tuple[int, int], tuple[GridWorld, QTable]] = OrderedDict()
        self._keys: dict[tuple[int, int], str] = {}
        self._blank = np.broadcast_to(np.uint8(0), (self._height, self._width, 3))

    def __call__(self, shot: int, index: int) -> tuple[GridWorld, QTable]:
        """Give the world and the policy of a layer in a shot."""
        if (shot, index) not in self._memory:
            world = self._world(shot, index)
            layer, seed = self._recipe.layers[index], self._recipe.seed
            policy = layer_policy(
                layer,
                index,
                world,
                self._blank,
                seed=seed,
                store=self._store,
                start=self._start(shot, index),
                progress=self._report(shot),
            )
            self._memory[shot, index] = (world, as_table(policy, world))
            while len(self._memory) > 2 * len(self._recipe.layers):
                self._memory.popitem(last=False)
        return self._memory[shot, index]

    def learn_all(self) -> None:
        """Learn every policy there is, shot by shot."""
        for shot in range(len(self._shots)):
            for index, _ in self._recipe.painted:
                self(shot, index)

    def _world(self, shot: int, index: int) -> GridWorld:
        return layer_world(
            self._recipe.layers[index],
            index,
            self._shots.activation(shot),
            self._height,
            self._width,
            seed=self._recipe.seed,
            store=self._store,
        )

    def _start(self, shot: int, index: int) -> Start | None:
        if shot == 0:
            return None

        def policy() -> QTable:
            # From the first on, so that each finds the one before it in memory
            if (shot - 1, index) not in self._memory:
                for earlier in range(shot - 1):
                    self(earlier, index)
            return self(shot - 1, index)[1]

        return Start(self._key(shot - 1, index), policy)

    def _key(self, shot: int, index: int) -> str:
        for earlier in range(shot + 1):
            if (earlier, index) not in self._keys:
                start = None
                if earlier > 0:
                    start = Start(self._keys[earlier - 1, index], lambda: NotImplemented)
                self._keys[earlier, index] = table_key(
                    self._recipe.layers[index],
                    index,
                    self._world(earlier, index),
                    seed=self._recipe.seed,
                    start=start,
                )
        return self._keys[shot, index]

    def _report(self, shot: int) -> Callable[[int, int, int], None]:
        numbers = [index for index, _ in self._recipe.painted]
        layers = len(numbers)

        def report(index: int, done: int, episodes: int) -> None:
            if self._progress is not None:
                share = shot * layers + numbers.index(index) + done / episodes
                self._progress("learning", round(100 * share), 100 * layers * len(self._shots))

        return report


class PaintedLayer(Protocol):
    """A layer that can be painted on any frame of a clip."""

    @property
    def lag(self) -> int:
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
        look: through it.
        plan: of the output's frames.
        size: (width, height) of the frames.
        layers: that are painted, one after another.
        recipe: that says so, as text; it goes into the output.
        identity: of all that decides what is painted.
        activation_of: gives the activation that a frame's agents learned by.
    """

    footage: Footage
    look: Look
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
        """Give a frame of the footage; the one before it where it cannot be decoded any more."""
        if self._reader is None or (self._read is not None and self._read[0] > number):
            self._reader, self._read = frames_from(self.footage, self.look, number), None
        while self._read is None or self._read[0] < number:
            following = next(self._reader, None)
            if following is None:
                if self._read is None:
                    raise PictureError(f"{self.footage.name} cannot be read at frame {number}")
                return self._read[1]
            self._read = following
        return self._read[1]

    def frame_at(self, time: Fraction) -> int:
        """Give the number of the frame that is shown at a time of the source.

        Raises:
            SettingError: the time is outside the clip.
        """
        plan = self.plan
        begins = int(self.look.times[0]) * self.footage.time_base
        ends = begins + plan.end * plan.time_base
        if not begins <= time < ends:
            raise SettingError(
                f"{float(time):g} s is outside the clip, which goes from {float(begins):g} to "
                f"{float(ends):g} s"
            )
        wanted = float((time - begins) / plan.time_base)
        return int(np.searchsorted(plan.times, wanted + 1e-6, side="right")) - 1

    def untouched(self, frame: int) -> NDArray[np.uint8]:
        """Give a frame as it is before it is painted: uint8 (height, width, 3)."""
        self._enter(frame)
        number = int(self.plan.sources[frame])
        return pixels_of(self.footage, self._source_frame(number), self.size)[0]

    def _enter(self, frame: int) -> None:
        number = int(self.plan.sources[frame])
        near = self._read is not None and 0 <= number - self._read[0] <= SEGMENT // 4
        if not near:
            self._reader, self._read = frames_from(self.footage, self.look, number), None

    def _with_past(self, first: int) -> int:
        """Give the frame to begin at, that layers which look back have what they look for."""
        lag = sum(layer.lag for layer in self.layers)
        if lag == 0 or (self._past and self._next == first):
            return first
        self._past = tuple(deque(maxlen=layer.lag) for layer in self.layers)
        return max(0, first - lag)

    def _paint_layers(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Paint all layers on a frame, in place, and keep what they may look back at."""
        past = self._past or tuple(deque(maxlen=0) for _ in self.layers)
        for layer, inputs in zip(self.layers, past, strict=True):
            if not layer.lag:
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
    store: Store | None = None,
    progress: ClipProgress | None = None,
) -> Painter:
    """Look through a source, learn its policies, and be ready to paint.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        recipe: what to do.
        selection: which frames, and how large; by default all as they are.
        store: where looks, rewards and tables are kept, and recalled from.
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

    look = look_through(
        footage, recipe, start=selection.start, end=selection.end, store=store, progress=looked
    )
    release_networks()
    plan = plan_frames(footage, look, selection.rate)
    shots = Shots(look, plan, recipe)
    policies = _Policies(recipe, shots, size, store, progress)
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
        look,
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
    store: Store | None = None,
) -> Painter:
    """Look through a source, and be ready to replay an episode on it: a step a frame.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        episode: to replay.
        selection: which frames, and how large; by default all as they are.
        store: where looks are kept, and recalled from.

    Raises:
        GlitchError: the source is wrong, or a grid is finer than it.
    """
    selection = selection or Selection()
    footage = open_footage(source, rate=selection.rate, duration=selection.duration)
    size = parse_scale(selection.scale, footage.width, footage.height)
    look = look_through(footage, start=selection.start, end=selection.end, store=store)
    plan = plan_frames(footage, look, selection.rate)
    layers = tuple(
        EpisodeTimeline(episode, number, size[1], size[0]) for number in range(len(episode.layers))
    )
    recipe = "" if episode.recipe is None else embedded_text(episode.recipe)
    return Painter(footage, look, plan, size, layers, recipe, episode_digest(episode))


def preview_frame(
    source: str,
    recipe: Recipe,
    at: Fraction,
    selection: Selection | None = None,
    *,
    store: Store | None = None,
    progress: ClipProgress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Paint the frame that the export would show at a time of the source.

    Raises:
        SettingError: the time is outside the clip.
        GlitchError: as ``open_painter``.
    """
    painter = open_painter(source, recipe, selection, store=store, progress=progress)
    number = painter.frame_at(at)
    pixels, alpha = next(painter.frames(number, number + 1))
    return pixels.astype(np.uint8, copy=False), alpha


def check_clip_target(
    output: str | Path, source: str, *, named: Sequence[str] = (), force: bool = False
) -> None:
    """Refuse a clip's output that cannot or must not be written, before any work is done.

    Args:
        output: of the clip.
        source: that it is made of.
        named: further files that are read.
        force: replace what is there.

    Raises:
        OutputError: as of ``check_target``.
    """
    check_target(
        output,
        suffixes=(*CLIPS, *ANIMATIONS, ""),
        sources=[source, *source_files(source), *named],
        force=force,
        hint=Hint.PREVIEW,
    )


def corrupt_clip(
    source: str,
    output: str | Path,
    recipe: Recipe,
    selection: Selection | None = None,
    *,
    codec: str | None = None,
    crf: int | None = None,
    encoder_preset: str | None = None,
    sound: bool = True,
    strict: bool = False,
    resume: bool = False,
    force: bool = False,
    segment: int = SEGMENT,
    store: Store | None = None,
    progress: ClipProgress | None = None,
) -> Report:
    """Corrupt a clip by a recipe; the same clip and recipe give the same frames.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        output: ``.mp4``, ``.mov``, ``.webm``, ``.mkv``, ``.gif``, ``.webp``, ``.apng``, or a
            folder for PNGs.
        recipe: what to do.
        selection: which frames, and how large; by default all as they are.
        codec: of a clip; by default its suffix's.
        crf: quality; lower is better.
        encoder_preset: speed of the encoder.
        sound: keep the source's audio tracks.
        strict: refuse a source that is damaged.
        resume: go on with a render of the same that was stopped.
        force: replace an output that is there.
        segment: frames of a segment.
        store: where looks, rewards and tables are kept, and recalled from.
        progress: called with the stages.

    Raises:
        GlitchError: the source, the recipe, an option or the output is wrong; nothing is left
            under the output's name.
        Interrupted: Ctrl-C; finished segments are kept for ``resume``.
    """

    def paint(selection: Selection) -> Painter:
        return open_painter(source, recipe, selection, store=store, progress=progress)

    return write_clip(
        source, output, paint, selection, codec=codec, crf=crf, encoder_preset=encoder_preset,
        sound=sound, strict=strict, resume=resume, force=force, segment=segment, progress=progress,
        named=recipe_files(recipe),
    )  # fmt: skip


def write_clip(
    source: str,
    output: str | Path,
    paint: Callable[[Selection], Painter],
    selection: Selection | None = None,
    *,
    codec: str | None = None,
    crf: int | None = None,
    encoder_preset: str | None = None,
    sound: bool = True,
    strict: bool = False,
    resume: bool = False,
    force: bool = False,
    segment: int = SEGMENT,
    progress: ClipProgress | None = None,
    named: Sequence[str] = (),
) -> Report:
    """Write what a painter paints as a clip; arguments and errors as of ``corrupt_clip``.

    Args:
        source: that is painted on.
        output: to write.
        paint: opens the painter.
        selection: which frames, and how large.
        codec: of a clip; by default its suffix's.
        crf: quality; lower is better.
        encoder_preset: speed of the encoder.
        sound: keep the source's audio tracks.
        strict: refuse a source that is damaged.
        resume: go on with a render of the same that was stopped.
        force: replace an output that is there.
        segment: frames of a segment.
        progress: called with the stages.
        named: further files that are read, and so must not be written over.
    """
    target = Path(output)
    selection = selection or Selection()
    check_clip_target(target, source, named=named, force=force)
    footage = open_footage(source, rate=selection.rate, duration=selection.duration)
    size = parse_scale(selection.scale, footage.width, footage.height)

    def encoding_at(rate: Fraction) -> Encoding:
        heard = footage if sound else dataclasses.replace(footage, audio=())
        return choose_encoding(
            target.suffix.lower(), heard, size, rate, codec=codec, crf=crf, preset=encoder_preset
        )

    # Chosen before the look, so that a wrong option is told at once
    encoding_at(footage.rate)
    painter = paint(selection)
    damage = tuple(f"{footage.name} {line}" for line in painter.look.damage)
    if strict and damage:
        raise PictureError("; ".join(damage))
    if target.suffix.lower() == ".gif" and painter.plan.rate > _FASTEST_GIF:
        selection = dataclasses.replace(selection, rate=_FASTEST_GIF)
        painter = paint(selection)
    encoding = encoding_at(painter.plan.rate)
    notes = [*footage.notes, *encoding.notes]
    parts = _render_parts(target, painter, encoding, selection, segment, resume, progress)
    if progress is not None:
        progress("joining", 0, None)
    notes += _join(target, parts, painter, encoding, selection, sound)
    plan = painter.plan
    return Report(
        len(plan),
        float(plan.end * plan.time_base),
        (encoding.width, encoding.height),
        damage,
        tuple(notes),
    )


def _parts_folder(target: Path) -> Path:
    return target.parent / f".{target.name}.parts"


def _render_parts(
    target: Path,
    painter: Painter,
    encoding: Encoding,
    selection: Selection,
    segment: int,
    resume: bool,
    progress: ClipProgress | None,
) -> list[tuple[int, Path]]:
    """Render the segments that are not there yet; gives the first frame and file of each."""
    folder = _parts_folder(target)
    plan = painter.plan
    key = key_of(
        digest=file_digest(painter.footage),
        selection=[str(one) for one in dataclasses.astuple(selection)],
        painted=painter.identity,
        encoding=repr(dataclasses.replace(encoding, notes=())),
        segment=segment,
    )
    _prepare_folder(folder, key, resume)
    firsts = range(0, len(plan), segment)
    parts = [(first, folder / f"part-{first:08d}{encoding.part_suffix}") for first in firsts]
    missing = [(first, path) for first, path in parts if not path.exists()]
    done = sum(min(segment, len(plan) - first) for first, path in parts if path.exists())

    def painted(frames: int) -> None:
        if progress is not None:
            progress("painting", frames, len(plan))

    painted(done)
    try:
        # The encoder has a thread of its own, so that painting does not wait for it
        with ThreadPoolExecutor(1) as encoder:
            ahead: deque[Future[None]] = deque()

            def later(call: Callable[..., None], *arguments: object) -> None:
                ahead.append(encoder.submit(call, *arguments))
                if len(ahead) > _AHEAD:
                    ahead.popleft().result()

            for first, path in missing:
                last = min(first + segment, len(plan))
                unfinished = path.with_name(f"unfinished-{path.name}")
                if encoding.kind == "pictures":
                    shutil.rmtree(unfinished, ignore_errors=True)
                    unfinished.mkdir()
                writer = PartWriter(unfinished, encoding, first)
                try:
                    for pixels, alpha in painter.frames(first, last, deep=encoding.deep):
                        later(writer.write, pixels, alpha)
                        done += 1
                        painted(done)
                    later(_finish, writer, unfinished, path)
                    if path == missing[-1][1]:
                        while ahead:
                            ahead.popleft().result()
                except BaseException:
                    encoder.shutdown()
                    writer.abandon()
                    raise
    except BaseException as error:
        _tidy(folder)
        kept = sum(min(segment, len(plan) - first) for first, path in parts if path.exists())
        if kept == 0:
            shutil.rmtree(folder, ignore_errors=True)
        if is_interrupt(error):
            raise Interrupted(kept, len(plan)) from None
        if isinstance(error, GlitchError) and kept:
            raise OutputError(
                f"{error} ({kept} of {len(plan)} frames are kept)", hint=Hint.RESUME
            ) from error
        if isinstance(error, OSError):
            raise write_error(target, error) from error
        raise
    return parts


def _finish(writer: PartWriter, unfinished: Path, path: Path) -> None:
    writer.finish()
    unfinished.replace(path)


def _tidy(folder: Path) -> None:
    """Throw out what is not whole."""
    for path in folder.glob("unfinished-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _prepare_folder(folder: Path, key: str, resume: bool) -> None:
    """Make the folder of parts, or take up the one that a stopped render of the same left."""
    manifest = folder / _MANIFEST
    _check_parts_folder(folder, manifest)
    try:
        found = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    except (OSError, ValueError):
        found = None
    fits = isinstance(found, dict) and found.get("key") == key
    try:
        if not (resume and fits):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
            manifest.write_text(json.dumps({"key": key}), encoding="utf-8")
        _tidy(folder)
    except OSError as error:
        raise write_error(folder, error) from error


def _check_parts_folder(folder: Path, manifest: Path) -> None:
    """Refuse a folder of parts that is not known to be ours, since it is going to be emptied.

    Raises:
        OutputError: something else has the folder's name.
    """
    try:
        mode = folder.lstat().st_mode
        ours = stat.S_ISDIR(mode) and (is_regular(manifest) or not any(folder.iterdir()))
    except FileNotFoundError:
        return
    except OSError as error:
        raise write_error(folder, error) from error
    if not ours:
        raise OutputError(
            f"{folder} is in the way: the parts of the output go there, and it holds something "
            f"else; move it away"
        )


def _join(
    target: Path,
    parts: list[tuple[int, Path]],
    painter: Painter,
    encoding: Encoding,
    selection: Selection,
    sound: bool,
) -> list[str]:
    """Join parts into the output and move it into place; gives notes."""
    folder = _parts_folder(target)
    joined = folder / f"joined{target.suffix}"
    footage, look, notes = painter.footage, painter.look, []
    try:
        if encoding.kind == "pictures":
            target.mkdir(exist_ok=True)
            for _, part in parts:
                for picture in sorted(part.iterdir()):
                    picture.replace(target / picture.name)
        else:
            if encoding.kind == "animation":
                paths = [path for _, path in parts]
                join_animation(joined, paths, encoding, painter.plan, footage.loop)
                if painter.recipe:
                    inscribe(joined, painter.recipe)
            else:
                begin = int(look.times[0]) * footage.time_base
                notes = join_clip(
                    joined,
                    parts,
                    encoding,
                    painter.plan,
                    footage,
                    sound=Span(begin, selection.end, selection.start is not None)
                    if sound
                    else None,
                    comment=f"{RECIPE_KEY}\n{painter.recipe}" if painter.recipe else "",
                )
            joined.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            joined.unlink()
        count = len(painter.plan)
        if is_interrupt(error):
            raise Interrupted(count, count) from None
        if isinstance(error, OSError):
            error = write_error(target, error)
        if isinstance(error, OutputError):
            said = str(error).replace(str(joined), str(target))
            raise OutputError(f"{said} (all frames are kept)", hint=Hint.RESUME) from error
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return notes
