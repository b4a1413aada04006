"""A network that is cut for class activation maps, whichever engine runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backbone", "Run", "first_line"]

Run = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A function of a normalised picture (3, h, w), its sides multiples of 32, that returns the last
feature maps (channels, h, w) and the class scores before softmax (classes,), all float32."""


@dataclass(frozen=True)
class Backbone:
    """A network that ends in global average pooling and one linear layer, ready to run.

    Args:
        run: the network; several threads may call it at once.
        weight: weights of its linear layer, float32 (classes, channels).
        bias: biases of its linear layer, float32 (classes,).
        mean: red, green and blue that it takes as 0, on the scale of 0…255, float32 (3,).
        std: red, green and blue above these that it takes as 1, float32 (3,).
    """

    run: Run
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
