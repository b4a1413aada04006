"""When each frame of an output is shown, and which frame of the source it is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["FramePlan"]


@dataclass(frozen=True, eq=False)
class FramePlan:
    """Which frame of the footage each frame of the output shows, and when.

    Args:
        sources: int64 (frames,), numbers of the scan's frames, ascending; some may repeat.
        times: int64 (frames,), from 0, in units of ``time_base``.
        end: time at which the last frame ends.
        time_base: seconds of one unit.
        rate: frames a second, on average.
    """

    sources: NDArray[np.int64]
    times: NDArray[np.int64]
    end: int
    time_base: Fraction
    rate: Fraction

    def __len__(self) -> int:
        return len(self.sources)

    def seconds(self, frame: int) -> float:
        """Return the time of a frame, in seconds."""
        return float(int(self.times[frame]) * self.time_base)

    def duration(self, frame: int) -> int:
        """Return how long a frame is shown, in units of the time base."""
        after = self.end if frame + 1 == len(self.times) else int(self.times[frame + 1])
        return max(1, after - int(self.times[frame]))
