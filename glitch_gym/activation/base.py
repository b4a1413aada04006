"""An activation map, and the stamp of a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glitch_gym.checks import shown
from glitch_gym.errors import SettingError
from glitch_gym.input import is_regular
from glitch_gym.memory import content_digest

__all__ = ["Activation", "file_stamp"]


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation map and its source; activations with equal maps are equal.

    Args:
        map: float32 (h, w), values in [0, 1], of any size: it is resized to the grid.
        source: name of the activation that made it, or ``"mask"``.
        class_index: index of the predicted ImageNet class, for a class activation map.
        class_name: name of that class, if it is known.
        probability: softmax probability of that class, in [0, 1].

    Raises:
        SettingError: the map is not two-dimensional, is empty, holds values that are not
            numbers, or leaves [0, 1].
    """

    map: NDArray[np.float32]
    source: str = "mask"
    class_index: int | None = None
    class_name: str | None = None
    probability: float | None = None
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not isinstance(self.map, np.ndarray) or self.map.dtype.kind not in "biuf":
            raise SettingError(f"an activation map is an array of numbers, not {shown(self.map)}")
        if self.map.ndim != 2 or self.map.size == 0:
            raise SettingError(
                f"an activation map is a two-dimensional array, not one of shape {self.map.shape}"
            )
        values = np.array(self.map, np.float32, order="C")
        if not np.isfinite(values).all():
            raise SettingError("the activation map holds values that are not finite numbers")
        if values.min() < 0 or values.max() > 1:
            raise SettingError(
                f"an activation map lies in 0…1; this one reaches from {values.min():g} to "
                f"{values.max():g}"
            )
        values.setflags(write=False)
        object.__setattr__(self, "map", values)
        object.__setattr__(self, "digest", content_digest(values))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def file_stamp(path: str | None) -> str:
    """Return a cheap stamp of a file's present content, so that a changed file is read again."""
    if path is None or not is_regular(path):
        return str(path)
    stat = Path(path).stat()
    return f"{path}:{stat.st_mtime_ns}:{stat.st_size}"
