"""The whole path for a clip: footage, look, shots, policies, timelines, parts, output.

A clip is rendered in segments of a fixed number of frames, each encoded alone. A segment can be
rendered without those before it, and those that are finished are kept beside the output until it is
whole: so a render that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from glitch_gym.errors import (
    Hint,
    PictureError,
)
from glitch_gym.output import check_target
from glitch_render.cache import Cache
from glitch_render.layers import (
    recipe_files,
)
from glitch_render.media.codecs import Encoding, choose_encoding
from glitch_render.media.footage import open_footage, source_files
from glitch_render.media.formats import ANIMATIONS, CLIPS
from glitch_render.progress import ClipProgress
from glitch_render.recipe.model import Recipe
from glitch_render.video.painter import SEGMENT, Painter, open_painter
from glitch_render.video.parts import join, render_parts
from glitch_render.video.selection import Selection, parse_scale

__all__ = ["Report", "check_clip_target", "corrupt_clip", "write_clip"]


_FASTEST_GIF = Fraction(50)


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
    cache: Cache | None = None,
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
        cache: where looks, rewards and tables are kept, and recalled from.
        progress: called with the stages.

    Raises:
        GlitchError: the source, the recipe, an option or the output is wrong; nothing is left
            under the output's name.
        Interrupted: Ctrl-C; finished segments are kept for ``resume``.
    """

    def paint(selection: Selection) -> Painter:
        return open_painter(source, recipe, selection, cache=cache, progress=progress)

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
    damage = tuple(f"{footage.name} {line}" for line in painter.scan.damage)
    if strict and damage:
        raise PictureError("; ".join(damage))
    if target.suffix.lower() == ".gif" and painter.plan.rate > _FASTEST_GIF:
        selection = dataclasses.replace(selection, rate=_FASTEST_GIF)
        painter = paint(selection)
    encoding = encoding_at(painter.plan.rate)
    notes = [*footage.notes, *encoding.notes]
    parts = render_parts(target, painter, encoding, selection, segment, resume, progress)
    if progress is not None:
        progress("joining", 0, None)
    notes += join(target, parts, painter, encoding, selection, sound)
    plan = painter.plan
    return Report(
        len(plan),
        float(plan.end * plan.time_base),
        (encoding.width, encoding.height),
        damage,
        tuple(notes),
    )
