"""Shots: the activation that each shot's policy is learned from, and that of each frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glitch_gym.activation import compute_activation, is_activation_name
from glitch_gym.activation.base import Activation
from glitch_gym.activation.saliency import to_unit_range
from glitch_render.media.timing import FramePlan
from glitch_render.recipe.model import Recipe
from glitch_render.video.scan import FootageScan

__all__ = ["Shots"]


class Shots:
    """The shots of an output, with the activation of each shot and of each of its frames.

    Args:
        scan: scan of the footage.
        plan: times and sources of the output's frames.
        recipe: recipe with the activation and ``cam_smoothing``.

    Raises:
        GlitchError: the picture that the recipe takes its activation from cannot be read.
    """

    def __init__(self, scan: FootageScan, plan: FramePlan, recipe: Recipe) -> None:
        self._scan = scan
        self._smoothing = recipe.cam_smoothing
        self._maps = scan.of_all if recipe.cam_smoothing > 0 else scan.of_best
        self._source = recipe.activation
        self._sources = plan.sources
        self._fixed: Activation | None = None
        if not is_activation_name(recipe.activation):
            nothing = np.zeros((1, 1, 3), np.uint8)
            self._fixed = compute_activation(nothing, recipe.activation, weights=recipe.weights)
        firsts = np.searchsorted(plan.sources, scan.cuts, side="left")
        # Frames can be left out at a lower rate, and a shot with them
        self._shots = [
            (int(first), int(cut))
            for first, cut, after in zip(firsts, scan.cuts, [*firsts[1:], len(plan)], strict=True)
            if first < after
        ]
        self._firsts = np.array([first for first, _ in self._shots], np.int64)
        self._memory: dict[int, Activation] = {}

    def __len__(self) -> int:
        return len(self._shots)

    def shot_of(self, frame: int) -> int:
        """Return the number of the shot that a frame of the output is in."""
        return int(np.searchsorted(self._firsts, frame, side="right")) - 1

    def _samples(self, shot: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        cut = self._shots[shot][1]
        later = self._scan.cuts[self._scan.cuts > cut]
        after = int(later[0]) if len(later) else len(self._scan.times)
        inside = (self._scan.samples >= cut) & (self._scan.samples < after)
        return self._scan.samples[inside], self._maps[inside]

    def activation(self, shot: int) -> Activation:
        """Return the activation that a shot's policy is learned from: the mean over the shot."""
        if self._fixed is not None:
            return self._fixed
        if shot not in self._memory:
            _, maps = self._samples(shot)
            mean = maps.mean(axis=0, dtype=np.float64).astype(np.float32)
            self._memory = {shot: Activation(to_unit_range(mean), self._source)}
        return self._memory[shot]

    def activation_at(self, frame: int) -> Activation:
        """Return the activation of a frame of the output, smoothed over time within its shot."""
        if self._fixed is not None:
            return self._fixed
        number = int(self._sources[frame])
        samples, maps = self._samples(self.shot_of(frame))
        if self._smoothing == 0:
            at = max(0, int(np.searchsorted(samples, number, side="right")) - 1)
            return Activation(maps[at], self._source)
        weights = np.exp(-0.5 * ((samples - number) / self._smoothing) ** 2)
        if weights.sum() < 1e-12:
            weights = (np.abs(samples - number) == np.abs(samples - number).min()).astype(float)
        mean = np.tensordot(weights / weights.sum(), maps.astype(np.float64), axes=1)
        return Activation(to_unit_range(mean.astype(np.float32)), self._source)
