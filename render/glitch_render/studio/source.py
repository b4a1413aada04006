"""The source that is opened in the studio: a still or a clip, and its properties."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glitch_gym.errors import RecipeError
from glitch_gym.picture import Picture, read_picture
from glitch_render.media.footage import Footage, open_footage
from glitch_render.media.pictures import preview_size, resized
from glitch_render.media.sources import is_footage
from glitch_render.recipe.files import recipe_text

__all__ = ["LONGEST", "LONG_CLIP", "Source", "clock", "open_source"]

LONGEST = 1920
"""Longest side of a picture on the page, in pixels; larger ones are scaled down."""

LONG_CLIP = 120.0
"""Seconds from which on a clip is opened with a range, since each frame of it is looked through."""

_FIRST_RANGE = 20.0


@dataclass(frozen=True, eq=False)
class Source:
    """A still or a clip that is open.

    Args:
        path: path of the file, or ``sample:NAME``.
        name: name that the person knows it by.
        kind: a still or a clip.
        width: width of the source in pixels.
        height: height of the source in pixels.
        picture: the picture of a still.
        footage: the footage of a clip.
        recipe: text of the recipe that the file carries, if it carries one.
    """

    path: str
    name: str
    kind: Literal["still", "clip"]
    width: int
    height: int
    picture: Picture | None = None
    footage: Footage | None = None
    recipe: str | None = None

    @property
    def stem(self) -> str:
        """Its name without a suffix."""
        return PurePosixPath(self.name).stem or "picture"

    @property
    def seconds(self) -> float | None:
        """Length of a clip in seconds, where its file states one."""
        if self.footage is None:
            return None
        if self.footage.length is None and self.footage.n_frames is not None:
            return float(self.footage.n_frames / self.footage.rate)
        return self.footage.length

    @property
    def first_range(self) -> tuple[float | None, float | None]:
        """The range of seconds that a clip is opened with."""
        long = self.seconds is not None and self.seconds > LONG_CLIP
        return (0.0, _FIRST_RANGE) if long else (None, None)

    @property
    def first_time(self) -> float:
        """The time of a clip that is looked at first: halfway, when agents have been at work."""
        end = self.first_range[1] or self.seconds or 0.0
        return round(end / 2, 2)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on what was converted when it was read."""
        if self.picture is not None:
            return self.picture.notes
        return self.footage.notes if self.footage is not None else ()

    def describe(self) -> str:
        """Return a line with its name, size and length."""
        size = f"{self.name} · {self.width}×{self.height}"
        if self.footage is None:
            return size
        length = "" if self.seconds is None else f" · {clock(self.seconds)}"
        sound = " · with sound" if self.footage.audio else ""
        return f"{size}{length} · {float(self.footage.rate):.4g} fps{sound}"

    def small(self, cells: int) -> NDArray[np.uint8] | None:
        """Return a still as the page shows it, or ``None`` where that is the still itself.

        Args:
            cells: number of cells along the longer side of the finest grid.
        """
        if self.picture is None:
            return None
        size = preview_size(self.height, self.width, longest=LONGEST, cells=cells)
        if size == (self.height, self.width):
            return None
        return resized(self.picture.frame, *size)


def clock(seconds: float) -> str:
    """Return a time as text: ``4.2 s``, ``1:05`` or ``2:00:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def open_source(path: str, name: str) -> Source:
    """Return a file as a source; a still is read, a clip only probed.

    Args:
        path: path of the file, or ``sample:NAME``.
        name: name that the person knows it by.

    Raises:
        GlitchError: it is neither a picture nor a clip, or is damaged.
    """
    if is_footage(path):
        footage = open_footage(path)
        return Source(
            path, name, "clip", footage.width, footage.height, footage=footage,
            recipe=_recipe_in(path),
        )  # fmt: skip
    picture = read_picture(path)
    height, width = picture.frame.shape[:2]
    return Source(path, name, "still", width, height, picture=picture, recipe=_recipe_in(path))


def _recipe_in(path: str) -> str | None:
    """Return the text of the recipe that a file carries, or ``None``."""
    if path.startswith("sample:") or not Path(path).suffix:
        return None
    try:
        return recipe_text(path)
    except RecipeError:
        return None
