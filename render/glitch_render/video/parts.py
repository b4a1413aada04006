"""Parts of a render on disk, kept until the output is whole."""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from glitch_gym.errors import GlitchError, Hint, OutputError, is_interrupt
from glitch_gym.input import is_regular
from glitch_gym.output import write_error
from glitch_render.cache import cache_key
from glitch_render.media.animation import join_animation
from glitch_render.media.codecs import Encoding
from glitch_render.media.footage import file_digest
from glitch_render.media.join import join_clip
from glitch_render.media.metadata import RECIPE_KEY, embed_recipe
from glitch_render.media.sound import Span
from glitch_render.parallel.engines import Engine
from glitch_render.progress import OnProgress, Progress
from glitch_render.video.jobs import render_segments, write_job
from glitch_render.video.painter import Painter
from glitch_render.video.segments import UNFINISHED, Segment, write_segments
from glitch_render.video.selection import ExportOptions, Selection

__all__ = ["Interrupted", "join", "render_parts"]


_MANIFEST = "manifest.json"
_JOB = "job"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a render whose finished segments are kept.

    Args:
        kept: number of frames that are kept.
        frames: number of frames of the whole output.
    """

    def __init__(self, kept: int, frames: int) -> None:
        super().__init__(f"{kept} of {frames} frames are kept")
        self.kept = kept
        self.frames = frames


def _parts_folder(target: Path) -> Path:
    return target.parent / f".{target.name}.parts"


def render_parts(
    target: Path,
    painter: Painter,
    encoding: Encoding,
    selection: Selection,
    options: ExportOptions,
    progress: OnProgress | None,
    *,
    engine: Engine | None = None,
) -> list[tuple[int, Path]]:
    """Render the segments that are not there yet.

    Args:
        target: the output; its parts lie beside it.
        painter: painter of the frames.
        encoding: how they are encoded.
        selection: which frames, and how large.
        options: of these, ``segment`` and ``resume``.
        progress: called with the stage painting.
        engine: where the segments are rendered; by default in this process.

    Returns:
        number of the first frame, and file, of each part, in order.

    Raises:
        Interrupted: Ctrl-C; finished segments are kept.
        GlitchError: a frame cannot be read, painted or written.
    """
    folder = _parts_folder(target)
    plan, length = painter.plan, options.segment
    key = cache_key(
        digest=file_digest(painter.footage),
        selection=selection,
        painted=painter.identity,
        encoding=encoding,
        segment=length,
    )
    _prepare_folder(folder, key, options.resume)
    segments = [
        Segment(
            first,
            min(first + length, len(plan)),
            folder / f"part-{first:08d}{encoding.part_suffix}",
        )
        for first in range(0, len(plan), length)
    ]
    missing = [one for one in segments if not one.path.exists()]
    done = _frames_kept(segments)

    def painted(frames: int = 1) -> None:
        nonlocal done
        done += frames
        if progress is not None:
            progress(Progress("painting", done, len(plan)))

    painted(0)
    try:
        if engine is None or len(missing) < 2 or painter.learned is None:
            write_segments(painter, encoding, missing, painted)
        else:
            job = folder / _JOB
            write_job(job, key, painter, encoding, selection)
            render_segments(job, key, painter, missing, engine, painted)
    except BaseException as error:
        _tidy(folder)
        kept = _frames_kept(segments)
        if kept == 0:
            shutil.rmtree(folder, ignore_errors=True)
        if is_interrupt(error):
            raise Interrupted(kept, len(plan)) from None
        if isinstance(error, GlitchError) and kept:
            raise OutputError(
                f"{error} ({kept} of {len(plan)} frames are kept)",
                hint=Hint.RESUME,
                path=error.path,
            ) from error
        if isinstance(error, OSError):
            raise write_error(target, error) from error
        raise
    return [(one.first, one.path) for one in segments]


def _frames_kept(segments: Sequence[Segment]) -> int:
    """Return the number of frames in parts that are finished."""
    return sum(one.last - one.first for one in segments if one.path.exists())


def _tidy(folder: Path) -> None:
    """Delete unfinished parts."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _prepare_folder(folder: Path, key: str, resume: bool) -> None:
    """Create the folder of parts, or reuse the one that a stopped render of the same left."""
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
    """Refuse a folder of parts that may not be ours, since it is going to be emptied.

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
            f"else; move it away",
            path=str(folder),
        )


def join(
    target: Path,
    parts: list[tuple[int, Path]],
    painter: Painter,
    encoding: Encoding,
    selection: Selection,
    sound: bool,
) -> list[str]:
    """Join parts into the output and move it into place; return notes on the sound.

    Args:
        target: the output.
        parts: from ``render_parts``.
        painter: painter of the frames.
        encoding: how the parts are encoded.
        selection: which frames were painted.
        sound: keep the footage's audio tracks.

    Raises:
        Interrupted: Ctrl-C; all frames are kept.
        OutputError: the output cannot be written; all frames are kept.
    """
    folder = _parts_folder(target)
    joined = folder / f"joined{target.suffix}"
    footage, notes = painter.footage, []
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
                    embed_recipe(joined, painter.recipe)
            else:
                span = Span(painter.begins, selection.end, selection.start is not None)
                notes = join_clip(
                    joined,
                    parts,
                    encoding,
                    painter.plan,
                    footage,
                    sound=span if sound else None,
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
            raise OutputError(
                f"{said} (all frames are kept)", hint=Hint.RESUME, path=str(target)
            ) from error
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return notes
