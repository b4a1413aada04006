"""The export: a source in full, by the recipe that is being edited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glitch_gym.picture import Picture
from glitch_render.media.formats import is_motion_format
from glitch_render.media.pictures import write_picture
from glitch_render.progress import OnProgress, Progress
from glitch_render.recipe.model import Recipe
from glitch_render.stills import corrupt_picture
from glitch_render.studio.preview import View, Workspace, by_layer
from glitch_render.studio.source import clock
from glitch_render.video.render import corrupt_clip
from glitch_render.video.selection import ExportOptions, Selection

__all__ = ["Export", "ExportChoice", "export"]


@dataclass(frozen=True)
class ExportChoice:
    """What a person chose for an export.

    Args:
        suffix: suffix of the file; a clip's ``frame.png`` is the frame that is looked at.
        seconds: length of the clip that is made of a still.
        scale: size of a clip, as ``parse_scale`` takes it; by default the source's.
        sound: whether a clip's sound is kept.
    """

    suffix: str
    seconds: float = 6.0
    scale: str | None = None
    sound: bool = True


@dataclass(frozen=True)
class Export:
    """A finished export, which can be downloaded.

    Args:
        path: path of the file.
        name: name under which it is downloaded.
        notes: remarks on what was converted or could not be carried over.
        summary: a line with its name, size and length.
    """

    path: Path
    name: str
    notes: tuple[str, ...]
    summary: str


@dataclass(frozen=True)
class _Made:
    size: tuple[int, int]
    length: str = ""
    notes: tuple[str, ...] = ()


def export(
    workspace: Workspace,
    recipe: Recipe,
    view: View,
    choice: ExportChoice,
    report: OnProgress,
    *,
    folder: Path,
    name: str,
) -> Export:
    """Render a workspace's source in full, as the command line would.

    Args:
        workspace: the workspace of the source.
        recipe: the recipe to render by.
        view: the present view, with the range of a clip.
        choice: the format and its options.
        report: called with each stage; may raise ``Stopped``.
        folder: folder for the file, made if missing. A stopped clip leaves what an export of the
            same goes on with.
        name: name under which the file is downloaded.

    Raises:
        GlitchError: as ``corrupt_picture`` and ``corrupt_clip``; paths in it lie in ``folder``.
        Stopped: by ``report``.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    # One place for all, so that a stopped export can be resumed
    path = folder / f"export{choice.suffix.removeprefix('frame')}"
    path.unlink(missing_ok=True)
    if choice.suffix.startswith("frame"):
        made = _export_frame(workspace, recipe, view, path, report)
    elif is_motion_format(choice.suffix, still=workspace.source.kind == "still"):
        made = _export_clip(workspace, recipe, view, choice, path, report)
    else:
        made = _export_still(workspace, recipe, path, report)
    width, height = made.size
    megabytes = path.stat().st_size / 1e6
    summary = f"{name} · {width}×{height}{made.length} · {megabytes:.1f} MB"
    return Export(path, name, made.notes, summary)


def _size(frame: NDArray[np.uint8]) -> tuple[int, int]:
    return frame.shape[1], frame.shape[0]


def _export_frame(
    workspace: Workspace, recipe: Recipe, view: View, path: Path, report: OnProgress
) -> _Made:
    frame, alpha = workspace.paint_frame(recipe, view, report)
    write_picture(path, frame, like=Picture(frame, alpha), recipe=recipe, force=True)
    return _Made(_size(frame))


def _export_still(workspace: Workspace, recipe: Recipe, path: Path, report: OnProgress) -> _Made:
    report(Progress("painting"))
    frame, _, notes = corrupt_picture(
        workspace.source.path, path, recipe, force=True, cache=workspace.cache,
        progress=by_layer(recipe, report),
    )  # fmt: skip
    return _Made(_size(frame), notes=notes)


def _export_clip(
    workspace: Workspace,
    recipe: Recipe,
    view: View,
    choice: ExportChoice,
    path: Path,
    report: OnProgress,
) -> _Made:
    source = workspace.source
    selection = view.selection if source.kind == "clip" else Selection(duration=choice.seconds)
    done = corrupt_clip(
        source.path, path, recipe, replace(selection, scale=choice.scale),
        ExportOptions(sound=choice.sound, resume=True, force=True),
        cache=workspace.cache, progress=report,
    )  # fmt: skip
    length = f" · {done.frames} frames, {clock(done.seconds)}"
    return _Made(done.size, length, (*done.notes, *done.damage))
