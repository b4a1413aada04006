"""Effects that other packages might bring."""

from __future__ import annotations

CHECKER = '''
import numpy as np
from pydantic import Field
from glitch_render.effects import EffectParameters, effect

class Checker(EffectParameters):
    shade: int = Field(255, ge=0, le=255, description="of the light squares")

@effect("checker", Checker)
def checker(stamp, parameters):
    """Fill every other pixel."""
    rows, cols = np.indices(stamp.cell.shape[:2])
    light = ((rows + cols) % 2 == 0)[:, :, None]
    return np.where(light, np.uint8(parameters.shade), stamp.cell)
'''
