"""A sweep: its runs on any engine, one file of results for each, and tables of all."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from glitch_agents.registry import make_learner
from glitch_gym.env import GlitchGridEnv
from glitch_gym.errors import GlitchError, SettingError, legible
from glitch_gym.output import write_bytes, write_error
from glitch_render.parallel.engines import Engine, as_engine, inline_engine
from glitch_render.parallel.runner import Task, run_tasks
from glitch_render.sweeps.plan import Run, Sweep

__all__ = ["CURVES", "RESULTS", "sweep", "train"]

RESULTS = "results.csv"
"""Name of the table with a row for each run."""

CURVES = "curves.csv"
"""Name of the table with a row for each point of each run's curve."""

_RUN = ("key", "picture", "world", "learner", "settings", "seed")
_FIGURES = ("episodes", "steps", "greedy_return", "optimality")

Results = list[dict[str, Any]]


def sweep(
    plan: Sweep,
    folder: str | Path,
    *,
    executor: Executor | Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Train and measure every run of a sweep.

    Runs that an earlier call finished in the same folder are not repeated. Figures do not depend on
    the executor, save for the seconds.

    Args:
        plan: the sweep.
        folder: folder of the results, made if missing: ``runs/``, ``results.csv`` and
            ``curves.csv``.
        executor: where runs are trained; by default one after another in this process.
        progress: called with the numbers of finished runs and of all.

    Returns:
        a row for each run, in the order of the sweep, as ``results.csv`` has it: the columns of
        the run, ``status`` (``done`` or ``failed``), ``message``, ``seconds``, and the figures at
        the end of the training: ``episodes``, ``steps``, ``greedy_return`` and ``optimality``.

    Raises:
        GlitchError: the folder cannot be written.
        KeyboardInterrupt: Ctrl-C; finished runs are kept.
    """
    runs = list(plan.runs())
    place = Path(folder)
    kept = place / "runs"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(place, error) from error
    found = {run.key: _read(kept / f"{run.key}.json") for run in runs}
    missing = {run.key: run for run in runs if found[run.key] is None}

    def tell() -> None:
        if progress is not None:
            progress(sum(one is not None for one in found.values()), len(found))

    def done(task: Task, result: dict[str, Any]) -> None:
        found[task.name] = result
        if result["status"] == "done":
            content = json.dumps(result).encode()
            write_bytes(kept / f"{task.name}.json", content, sync=False)
        tell()

    def failed(task: Task, error: BaseException) -> None:
        message = f"{type(error).__name__}: {error}"
        done(task, {"status": "failed", "message": legible(message), "seconds": 0, "points": []})

    tell()
    tasks = [
        Task(key, "glitch_render.sweeps.run:train", astuple(run), run.episodes)
        for key, run in missing.items()
    ]
    try:
        if tasks:
            engine = inline_engine() if executor is None else as_engine(executor)
            run_tasks(tasks, engine, done, failed=failed)
    finally:
        rows = _write_tables(place, runs, found)
    return rows


def train(
    picture: str, world: str, learner: str, settings: str, seed: int, episodes: int, points: int
) -> dict[str, Any]:
    """Train and measure a run; arguments are those of ``Run``.

    Returns:
        ``status``, ``message``, ``seconds``, and ``points``, the figures of the curve.
    """
    began = time.perf_counter()
    curve: list[dict[str, float]] = []
    try:
        env = _make_env(picture, json.loads(world))
        made = make_learner(learner, **json.loads(settings))
        options: dict[str, Any] = {"on_step": curve.append, "every": math.ceil(episodes / points)}
        made.learn(env, episodes=episodes, seed=seed, **options)
    except GlitchError as error:
        return _result("failed", legible(" ".join(str(error).split())), began, curve)
    except TypeError as error:
        message = f"the learner {learner} is not for sweeps: {error}"
        return _result("failed", legible(message), began, curve)
    return _result("done", "", began, curve)


def _make_env(picture: str, world: dict[str, Any]) -> GlitchGridEnv:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in world.items()}
    try:
        return GlitchGridEnv(picture, **given)
    except TypeError as error:
        raise SettingError(f"the sweep's world: {error}") from None


def _result(
    status: str, message: str, began: float, curve: list[dict[str, float]]
) -> dict[str, Any]:
    seconds = round(time.perf_counter() - began, 3)
    points = [{name: float(one[name]) for name in _FIGURES if name in one} for one in curve]
    return {"status": status, "message": message, "seconds": seconds, "points": points}


def _read(path: Path) -> dict[str, Any] | None:
    """Return a run's results, or ``None`` if they are missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if found["status"] == "done" and found["points"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_tables(folder: Path, runs: list[Run], found: dict[str, Any]) -> Results:
    """Write both tables, and return the rows of the first."""
    results: Results = []
    curves: Results = []
    for run in runs:
        result = found[run.key]
        if result is None:
            continue
        named = {"key": run.key, **{name: asdict(run)[name] for name in _RUN[1:]}}
        last = result["points"][-1] if result["points"] else {}
        about = {name: result[name] for name in ("status", "message", "seconds")}
        results.append({**named, **about, **{name: last.get(name, "") for name in _FIGURES}})
        curves += [
            {**named, **{name: point.get(name, "") for name in _FIGURES}}
            for point in result["points"]
        ]
    _write_table(folder / RESULTS, (*_RUN, "status", "message", "seconds", *_FIGURES), results)
    _write_table(folder / CURVES, (*_RUN, *_FIGURES), curves)
    return results


def _write_table(path: Path, columns: tuple[str, ...], rows: Results) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode(), sync=False)
