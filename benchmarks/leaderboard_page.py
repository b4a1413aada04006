"""Write docs/leaderboard.md and its plot from the finished runs of benchmarks/leaderboard.py."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

if TYPE_CHECKING:
    from leaderboard import Run

__all__ = ["interval", "iqm", "write_page"]

RESAMPLES = 5_000
_ENOUGH = 10
Scores = Sequence[NDArray[np.float64]]


def iqm(scores: Scores) -> float:
    """Return the interquartile mean over all runs of all tasks."""
    return float(trim_mean(np.concatenate(scores), 0.25))


def interval(scores: Scores, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the interquartile mean, stratified by task."""
    rng = np.random.default_rng(seed)
    drawn = [own[rng.integers(len(own), size=(RESAMPLES, len(own)))] for own in scores]
    means = trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _scores(rows: Sequence[Run], learner: str, tasks: Sequence[str]) -> list[NDArray[np.float64]]:
    return [
        np.array([one.share for one in rows if (one.learner, one.task) == (learner, task)])
        for task in tasks
    ]


def _seeds(rows: Sequence[Run], learner: str) -> str:
    """Write the seeds of a learner, such as 0–9, or by task where they differ."""
    by_task = {
        task: len({one.seed for one in rows if (one.learner, one.task) == (learner, task)})
        for task in {one.task for one in rows}
    }
    low, high = min(by_task.values()), max(by_task.values())
    return str(low) if low == high else f"{low}–{high}"


def _caution(rows: Sequence[Run], learners: Sequence[str]) -> str:
    """Return a line on the learners with fewer seeds than an interval can be trusted with."""
    few = [name for name in learners if int(_seeds(rows, name).partition("–")[0]) < _ENOUGH]
    if not few:
        return ""
    return (
        f"Fewer than {_ENOUGH} seeds of a task were run of {', '.join(few)}: intervals of so few "
        f"are rough, and likely too narrow."
    )


def _overall(rows: Sequence[Run], learners: Sequence[str], tasks: Sequence[str]) -> list[str]:
    lines = [
        "| learner | IQM of the share | 95 % interval | seeds per task | median seconds |",
        "|---|---|---|---|---|",
    ]
    ranked = []
    for learner in learners:
        scores = _scores(rows, learner, tasks)
        if all(len(own) for own in scores):
            ranked.append((iqm(scores), *interval(scores), learner))
    for middle, low, high, learner in sorted(ranked, reverse=True):
        took = float(np.median([one.seconds for one in rows if one.learner == learner]))
        spent = f"{took:.1f}" if took >= 1 else f"{took:.3f}"
        lines.append(
            f"| {learner} | {middle:.3f} | {low:.3f}…{high:.3f} | {_seeds(rows, learner)} | "
            f"{spent} |"
        )
    return lines


def _by_task(rows: Sequence[Run], learners: Sequence[str], tasks: Sequence[str]) -> list[str]:
    lines = [f"| learner | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for learner in learners:
        cells = []
        for own in _scores(rows, learner, tasks):
            cells.append(f"{own.mean():.3f} ({own.min():.3f})" if len(own) else "not run")
        lines.append(f"| {learner} | {' | '.join(cells)} |")
    return lines


def _generalisation(rows: Sequence[Run], learners: Sequence[str]) -> list[str]:
    lines = ["| learner | train | test | gap | photographs | seeds |", "|---|---|---|---|---|---|"]
    for learner in learners:
        own = [one for one in rows if one.learner == learner and one.test_share is not None]
        if own:
            train, test, samples = (
                float(np.mean([getattr(one, name) for one in own]))
                for name in ("share", "test_share", "samples_share")
            )
            lines.append(
                f"| {learner} | {train:.3f} | {test:.3f} | {train - test:+.3f} | {samples:.3f} | "
                f"{len(own)} |"
            )
    return lines


def _plot(rows: Sequence[Run], learners: Sequence[str], tasks: Sequence[str], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ranked = []
    for learner in learners:
        scores = _scores(rows, learner, tasks)
        if all(len(own) for own in scores):
            ranked.append((iqm(scores), *interval(scores), learner))
    ranked.sort()
    figure, axes = plt.subplots(figsize=(7.2, 0.36 * len(ranked) + 0.9), layout="constrained")
    for height, (middle, low, high, _) in enumerate(ranked):
        axes.plot(
            [low, high], [height, height], color="#7aa6c2", linewidth=7, solid_capstyle="butt"
        )
        axes.plot([middle, middle], [height - 0.28, height + 0.28], color="#16324a", linewidth=2)
    axes.set_yticks(range(len(ranked)), [learner for *_, learner in ranked])
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("interquartile mean of the share of the optimum, with 95 % intervals")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_page(
    rows: Sequence[Run],
    learners: Sequence[str],
    tasks: Sequence[tuple[str, str]],
    budget: int,
    page: Path,
) -> None:
    """Write the page, and the plot beside it.

    Args:
        rows: the finished runs of one budget.
        learners: names of all learners, in the order of the tables.
        tasks: name and id of each task.
        budget: environment steps of a run.
        page: path of the page, which ends in .md.
    """
    learners = [name for name in learners if any(one.learner == name for one in rows)]
    names = [name for name, _ in tasks]
    packages = ", ".join(
        f"{name} {version(name)}"
        for name in ("gymnasium", "numpy", "torch", "stable-baselines3", "sb3-contrib")
    )
    lines = [
        "# Leaderboard",
        "",
        f"Each run is one learner on one task with one seed and {budget:,} environment steps. This "
        f"page holds {len(rows)} runs; the tables say how many seeds each learner has, and nothing "
        f"here is extrapolated from fewer. Made with {packages}.",
        "",
        "The score is the *share of the optimum*: the mean return within 20 steps, over all "
        "starting cells, set between the uniformly random policy (0) and the finite-horizon "
        "optimum (1). Policies are followed greedily and evaluated exactly, by dynamic "
        "programming over every state, so a score carries no sampling noise of its own; "
        "what varies is the training.",
        "",
        "## All tasks",
        "",
        "Interquartile mean over tasks and seeds, with stratified bootstrap intervals (Agarwal et "
        "al., 2021). Seconds are training time on one thread of a busy shared machine, for "
        f"orientation only. {_caution(rows, learners)}".strip(),
        "",
        *_overall(rows, learners, names),
        "",
        f"![Interquartile means with their intervals]({page.with_suffix('.png').name})",
        "",
        "The tabular learners know which state of the world they are in, the picture or the frame "
        "included. The others see coordinates (*escape*, *linger*) or the rewards around them "
        "(*clip*, *pictures*), and the model-based learner knows where moves lead.",
        "",
        "## By task",
        "",
        "Mean share over the seeds, and the lowest in brackets.",
        "",
        *_by_task(rows, learners, names),
        "",
        *(f"- *{name}*: `{env_id}`" for name, env_id in tasks),
        "",
        "## Generalisation",
        "",
        "Trained on the 200 pictures of `GlitchPictures-Linger-v0`, and measured on 200 of the "
        "test split and on the sample photographs, whose activations come from spectral residuals "
        "instead of masks. A tabular learner has no entry for a state that it has never seen.",
        "",
        *_generalisation(rows, learners),
        "",
        "## Make it anew",
        "",
        "```sh",
        'pip install -e ".[plot,rl,samples]"',
        "python benchmarks/leaderboard.py --seeds 10",
        "```",
        "",
        "Runs that are in [leaderboard.csv](../benchmarks/leaderboard.csv) are skipped: remove the "
        "file to begin at nothing, or raise `--seeds` to add to it. `--tasks`, `--learners`, "
        "`--seeds 3-5`, `--budget` and `--minutes` choose a share of the work; `--report` only "
        "writes this page.",
        "",
    ]
    wrapped = [
        line if line.startswith(("|", "#", "!")) else textwrap.fill(line, 105) for line in lines
    ]
    page.write_text("\n".join(wrapped), encoding="utf-8")
    _plot(rows, learners, names, page.with_suffix(".png"))
