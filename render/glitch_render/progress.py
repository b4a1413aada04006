"""What long work reports as it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OnProgress", "Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a stage of long work has come.

    Args:
        stage: name of the stage: ``"looking"``, ``"learning"``, ``"painting"`` or ``"joining"``.
        done: number of units that are finished: frames, training episodes, or hundredths of a
            policy where the policies of a whole clip are learned.
        total: number of units in all; ``None`` where it is not known beforehand.
        layer: index of the layer that is learning, from 0; ``None`` where the stage concerns no
            single layer.
    """

    stage: str
    done: int = 0
    total: int | None = None
    layer: int | None = None


OnProgress = Callable[[Progress], None]
"""Called as long work goes on; what it raises stops the work."""
