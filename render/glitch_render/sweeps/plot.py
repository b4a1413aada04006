"""The curves of a sweep, with bands."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from glitch_gym.errors import OutputError
from glitch_gym.output import write_bytes
from glitch_render.plots.figures import new_figure
from glitch_render.sweeps.plan import Run
from glitch_render.sweeps.run import CURVES

__all__ = ["plot_sweep"]

Curves = Mapping[str, Mapping[int, Sequence[float]]]


def plot_sweep(folder: str | Path) -> Path:
    """Draw the optimality of each learner over its training; return the picture's path.

    A line is the median over pictures and seeds, a band reaches from the lower quartile to the
    upper one. Where the world varies, each of its settings has a panel of its own.

    Args:
        folder: folder of a sweep's results.

    Raises:
        OutputError: there are no results, or the picture cannot be written.
        MissingExtraError: Matplotlib is not installed.
    """
    path = Path(folder) / "curves.png"
    panels = _read(Path(folder) / CURVES)
    figure = new_figure(6.4 * max(1, len(panels)), 4.4)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for label, points in curves.items():
            episodes = sorted(points)
            low, middle, high = (
                np.array([np.percentile(points[one], share) for one in episodes])
                for share in (25, 50, 75)
            )
            (line,) = axis.plot(episodes, middle, label=label, linewidth=1.6)
            axis.fill_between(episodes, low, high, color=line.get_color(), alpha=0.18, linewidth=0)
        axis.axhline(1, color="0.6", linewidth=0.8, linestyle="--")
        axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training episodes")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("optimality (0: random, 1: optimum)")
    axes[-1].legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, dpi=150, metadata={"Software": None})
    write_bytes(path, content.getvalue(), sync=False)
    return path


def _read(path: Path) -> dict[str, Curves]:
    """Return the optimalities by panel, label and episodes."""
    panels: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["optimality"]:
                    run = Run("", row["world"], row["learner"], row["settings"], 0, 1, 1)
                    points = panels[_title(row["world"])][run.label]
                    points[int(float(row["episodes"]))].append(float(row["optimality"]))
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"cannot read the curves in {path}: {error}", path=str(path)) from error
    if not panels:
        raise OutputError(f"{path} has no curves", path=str(path))
    return dict(sorted(panels.items()))


def _title(world: str) -> str:
    settings = json.loads(world)
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "the default world"
