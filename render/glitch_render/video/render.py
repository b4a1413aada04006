"""The whole path for a clip: footage, scan, shots, policies, timelines, parts, output.

A clip is rendered in segments of a fixed number of frames, each encoded alone. A segment can be
rendered without those before it, and those that are finished are kept beside the output until it is
whole: so a render that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from glitch_gym.errors import Hint, PictureError
from glitch_gym.output import check_target
from glitch_render.cache import Cache
from glitch_render.layers import recipe_files
from glitch_render.media.codecs import Encoding, choose_encoding
from glitch_render.media.footage import Footage, open_footage
from glitch_render.media.formats import ANIMATIONS, CLIPS
from glitch_render.media.sources import source_files
from glitch_render.parallel.engines import Engine, as_engine
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.model import Recipe
from glitch_render.video.painter import Painter, open_painter
from glitch_render.video.parts import join, render_parts
from glitch_render.video.selection import ExportOptions, Selection, parse_scale

__all__ = ["OpenPainter", "Report", "check_clip_target", "corrupt_clip", "write_clip"]


_FASTEST_GIF = Fraction(50)


OpenPainter = Callable[[Footage, Selection], Painter]
"""Return the painter of what is selected of footage that is open."""


@dataclass(frozen=True)
class Report:
    """Summary of a finished render.

    Args:
        frames: number of frames of the output.
        seconds: duration of the output.
        size: (width, height) of the output, in pixels.
        damage: a line for each kind of damage that was found in the source.
        notes: what was converted, or could not be carried over.
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
        output: path of the clip, or of a folder for its frames.
        source: source of the clip.
        named: further files that are read.
        force: replace an existing output.

    Raises:
        OutputError: as ``check_target``.
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
    options: ExportOptions | None = None,
    *,
    cache: Cache | None = None,
    progress: OnProgress | None = None,
    executor: Executor | Engine | None = None,
) -> Report:
    """Corrupt a clip by a recipe; the same clip and recipe give the same frames.

    Args:
        source: a clip, an animated picture, a folder or pattern of pictures, or a still.
        output: ``.mp4``, ``.mov``, ``.webm``, ``.mkv``, ``.gif``, ``.webp``, ``.apng``, or a
            folder for PNGs.
        recipe: what to do.
        selection: which frames, and how large; by default all as they are.
        options: how the output is encoded and written.
        cache: cache of scans, rewards and tables.
        progress: called with the stages looking, learning, painting and joining.
        executor: where segments are rendered: any executor of ``concurrent.futures`` whose workers
            see the same files, or an engine; by default this process. The bytes are the same.

    Raises:
        GlitchError: the source, the recipe, an option or the output is wrong; nothing is left
            under the output's name.
        Interrupted: Ctrl-C; finished segments are kept for ``ExportOptions.resume``.
    """

    def paint(footage: Footage, selection: Selection) -> Painter:
        return open_painter(
            source,
            recipe,
            selection,
            footage=footage,
            cache=cache,
            progress=progress,
            # Elsewhere, earlier shots are painted while later ones are learned
            learn=executor is None,
        )

    return write_clip(
        source,
        output,
        paint,
        selection,
        options,
        progress=progress,
        named=recipe_files(recipe),
        executor=executor,
    )


def write_clip(
    source: str,
    output: str | Path,
    paint: OpenPainter,
    selection: Selection | None = None,
    options: ExportOptions | None = None,
    *,
    progress: OnProgress | None = None,
    named: Sequence[str] = (),
    executor: Executor | Engine | None = None,
) -> Report:
    """Write what a painter paints as a clip.

    Args:
        source: source of the clip.
        output: as for ``corrupt_clip``.
        paint: called with the open footage and the selection, once as a rule.
        selection: which frames, and how large; by default all as they are.
        options: how the output is encoded and written.
        progress: called with the stages painting and joining.
        named: further files that are read, and so must not be written over.
        executor: where segments are rendered, as for ``corrupt_clip``.

    Raises:
        GlitchError: as ``corrupt_clip``.
        Interrupted: as ``corrupt_clip``.
    """
    target = Path(output)
    selection, options = selection or Selection(), options or ExportOptions()
    check_clip_target(target, source, named=named, force=options.force)
    footage, selection = _open_at_most(source, selection, _fastest(target))
    size = parse_scale(selection.scale, footage.width, footage.height)

    def encoding_at(rate: Fraction) -> Encoding:
        heard = footage if options.sound else replace(footage, audio=())
        return choose_encoding(
            target.suffix.lower(),
            heard,
            size,
            rate,
            codec=options.codec,
            crf=options.crf,
            preset=options.encoder_preset,
        )

    # Chosen before the scan, so that a wrong option is refused at once
    encoding_at(footage.rate)
    painter = paint(footage, selection)
    damage = tuple(f"{footage.name} {line}" for line in painter.scan.damage)
    if options.strict and damage:
        raise PictureError("; ".join(damage))
    fastest = _fastest(target)
    if fastest is not None and painter.plan.rate > fastest:
        # Only an animation's average rate is not known before its scan
        selection = replace(selection, rate=fastest)
        painter = paint(footage, selection)
    encoding = encoding_at(painter.plan.rate)
    notes = [*footage.notes, *encoding.notes]
    engine = None if executor is None else as_engine(executor)
    parts = render_parts(target, painter, encoding, selection, options, progress, engine=engine)
    if progress is not None:
        progress(Progress("joining"))
    notes += join(target, parts, painter, encoding, selection, options.sound)
    plan = painter.plan
    return Report(
        len(plan),
        float(plan.end * plan.time_base),
        (encoding.width, encoding.height),
        damage,
        tuple(notes),
    )


def _fastest(target: Path) -> Fraction | None:
    """Return the most frames a second that an output can show, if it has such a limit."""
    return _FASTEST_GIF if target.suffix.lower() == ".gif" else None


def _open_at_most(
    source: str, selection: Selection, fastest: Fraction | None
) -> tuple[Footage, Selection]:
    """Open a source, its rate limited as far as it is known before the frames are scanned."""
    if fastest is not None and selection.rate is not None and selection.rate > fastest:
        selection = replace(selection, rate=fastest)
    footage = open_footage(source, rate=selection.rate, duration=selection.duration)
    if fastest is not None and selection.rate is None and footage.kind == "clip":
        selection = replace(selection, rate=fastest if footage.rate > fastest else None)
    return footage, selection
