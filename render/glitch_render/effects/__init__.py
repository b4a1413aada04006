"""Effects: what happens to the pixels of a cell when an agent enters it.

An effect is a plain function, a frozen model of its parameters, and the decorator ``@effect``. From
that one declaration come the recipe's validation and the command line's help. Effects from other
packages are found through the entry point group ``glitch_gym.effects``.

Example::

    class Posterize(EffectParameters):
        bits: int = Field(2, ge=1, le=7, description="number of bits kept of each channel")

    @effect("posterize", Posterize)
    def posterize(stamp: Stamp, parameters: Posterize) -> NDArray[np.uint8]:
        \"\"\"Keep only the highest bits of each channel.\"\"\"
        return stamp.cell & np.uint8(256 - 2 ** (8 - parameters.bits))
"""

from __future__ import annotations

# Importing these modules declares their effects
from glitch_render.effects import blocks, colours, planes, post  # noqa: F401
from glitch_render.effects.registry import (
    Effect,
    EffectParameters,
    NoParameters,
    Op,
    Source,
    Stamp,
    Trait,
    effect,
    effects,
    fitted,
    get_effect,
    mean_colour,
    override,
)

__all__ = [
    "Effect",
    "EffectParameters",
    "NoParameters",
    "Op",
    "Source",
    "Stamp",
    "Trait",
    "effect",
    "effects",
    "fitted",
    "get_effect",
    "mean_colour",
    "override",
]
