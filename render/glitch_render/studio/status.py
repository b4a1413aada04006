"""The texts of the status lines: what is shown, how far work has come, and what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glitch_gym.errors import GlitchError, Hint
from glitch_render.studio.jobs import Job
from glitch_render.studio.source import clock

__all__ = ["Status", "error_message", "error_status", "progress_status", "status"]

_log = logging.getLogger("glitch_gym.studio")

Status = dict[str, Any]
"""A status line as the page's script takes it: message, kind and share of the work done."""

_STAGES = {
    "": "starting",
    "looking": "looking through the picture or clip",
    "joining": "writing the file",
}
_SHORT = 1.5
"""Seconds left below which the time is not worth showing."""

_ADVICE = {
    Hint.RESUME: "export it again to go on from there",
    Hint.DURATION: "set its length under Export",
    Hint.PREVIEW: "choose the PNG of this frame under Export",
    Hint.WEIGHTS: "set the file under weights, among the layers",
    Hint.LEARNER: "start the studio with it, by its --learner",
    Hint.TRUST_PATHS: "allow it with the button below",
}
"""What a person can do on the page for each ``Hint``; the others never arise here."""


def status(message: str, kind: str = "quiet", share: float | None = None) -> Status:
    """Return a status line.

    Args:
        message: the text, which may have several lines.
        kind: ``"quiet"``, ``"working"``, ``"done"`` or ``"wrong"``.
        share: share of the work that is done, in 0…1, for a progress bar.
    """
    return {"message": message, "kind": kind, "share": share}


def progress_status(job: Job[Any]) -> Status:
    """Return the status line of a running job."""
    now = job.progress
    stage, done, total = now.stage, now.done, now.total
    message = _STAGES.get(stage, stage)
    if total and stage in ("looking", "painting"):
        message += f" · frame {done} of {total}"
    left = job.time_left
    if left is not None and left > _SHORT:
        message += f" · {clock(left)} left"
    return status(f"{message}…", "working", done / total if total else None)


def error_status(error: BaseException, names: Mapping[str, str]) -> Status:
    """Return the status line of an error; one that is no fault of the input is logged.

    Args:
        error: the error.
        names: names that the person knows, by the paths of the files or folders they stand for.
    """
    if isinstance(error, GlitchError):
        return status(error_message(error, names), "wrong")
    if isinstance(error, MemoryError):
        return status("not enough memory for a picture and recipe of this size", "wrong")
    _log.error("a job of the studio failed", exc_info=error)
    return status(f"internal error (please report): {error!r}", "wrong")


def error_message(error: GlitchError, names: Mapping[str, str]) -> str:
    """Return an error's message with a file's own name in place of its path, and advice.

    Args:
        error: the error.
        names: names that the person knows, by the paths of the files or folders they stand for.
    """
    message = str(error)
    if error.path is not None:
        for place in (error.path, *map(str, Path(error.path).parents)):
            if place in names:
                message = message.replace(error.path, names[place])
                break
    advice = _ADVICE.get(error.hint) if error.hint is not None else None
    return message if advice is None else f"{message}; {advice}"
