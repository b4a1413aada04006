"""What long work reports as it goes on."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ClipProgress", "Progress"]


ClipProgress = Callable[[str, int, int | None], None]
"""Called with the stage (looking, learning, painting, joining), what is done, and of how much."""


Progress = Callable[[int, int, int], None]
"""Called with the layer's index, the training episodes done, and the episodes in all."""
