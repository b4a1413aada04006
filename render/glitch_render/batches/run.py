"""A batch: every file corrupted by itself, on any engine; a bad one never stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from glitch_gym.errors import GlitchError, OutputError, legible
from glitch_gym.output import write_error
from glitch_render.batches.plan import BatchFile, plan_batch
from glitch_render.batches.report import BatchRow, Report, Status, digest_of, read_rows
from glitch_render.cache import Cache, cache_key, user_cache
from glitch_render.media.metadata import embedded_text
from glitch_render.media.sources import is_footage
from glitch_render.parallel.engines import Engine, as_engine, inline_engine
from glitch_render.parallel.runner import Task, run_tasks
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import parse_recipe, read_toml
from glitch_render.stills import corrupt_picture
from glitch_render.video.render import corrupt_clip
from glitch_render.video.selection import ExportOptions

__all__ = ["BatchOptions", "batch", "render_file"]

REPORT = "report.csv"
"""Name of the report in the folder of the outputs."""


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is written.

    Args:
        template: name of an output, with ``{stem}``, ``{suffix}``, ``{recipe}`` and ``{seed}``.
        recipe_name: name of the recipe in the template.
        same_seed: give every file the recipe's own seed, rather than one made from its name.
        report: path of the report; by default ``report.csv`` in the folder of the outputs.
        resume: keep what an earlier run finished, where source, recipe and output are unchanged.
        force: replace existing outputs.
        cache: use the user's cache.
    """

    template: str = "{stem}{suffix}"
    recipe_name: str = "recipe"
    same_seed: bool = False
    report: Path | None = None
    resume: bool = False
    force: bool = False
    cache: bool = True


def batch(
    sources: Sequence[str],
    folder: str | Path,
    recipe: Recipe,
    options: BatchOptions | None = None,
    *,
    executor: Executor | Engine | None = None,
    progress: Callable[[int, int, BatchRow | None], None] | None = None,
) -> list[BatchRow]:
    """Corrupt many pictures and clips by a recipe.

    Args:
        sources: files, folders and patterns, as ``plan_batch`` takes them.
        folder: folder of the outputs, made if missing.
        recipe: recipe to follow; its learner must be installed.
        options: how the outputs are named and written.
        executor: where files are corrupted; by default one after another in this process.
        progress: called with the number of files that are finished, the number in all, and the
            latest row.

    Returns:
        a row for each file, in the order of their names. One that failed says why; nothing is
        left under its output's name.

    Raises:
        GlitchError: there is nothing to read, the outputs' names clash, or the report cannot be
            written.
        KeyboardInterrupt: Ctrl-C; finished files are kept, and in the report.
    """
    options = options or BatchOptions()
    folder = Path(folder)
    files = plan_batch(
        sources,
        folder,
        seed=recipe.seed,
        same_seed=options.same_seed,
        template=options.template,
        recipe=options.recipe_name,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    path = options.report or folder / REPORT
    text = embedded_text(recipe)
    # A learner that was passed by hand has no name that a worker would know
    _recipe_of(text, recipe.seed)
    found = {row.source: row for row in read_rows(path)} if options.resume else {}
    kept = [row for one in files if (row := _still_holds(one, text, found)) is not None]
    finished = {row.source for row in kept}
    rows = {row.source: row for row in kept}
    missing = [one for one in files if one.source not in finished]
    by_name = {one.source: one for one in missing}

    def add(row: BatchRow) -> None:
        rows[row.source] = row
        report.add(row)
        if progress is not None:
            progress(len(rows), len(files), row)

    def failed(task: Task, error: BaseException) -> None:
        one = by_name[task.name]
        add(_failed_row(one, error))

    with Report(path, kept) as report:
        if progress is not None:
            progress(len(rows), len(files), None)
        for one in missing:
            _make_folder(one.output.parent)
        tasks = [
            Task(
                one.source,
                "glitch_render.batches.run:render_file",
                (one.source, str(one.output), text, one.seed, options.force, options.cache),
                one.size,
            )
            for one in missing
        ]
        engine = inline_engine() if executor is None else as_engine(executor)
        run_tasks(tasks, engine, lambda task, row: add(row), failed=failed)
    return [rows[one.source] for one in files]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def _work_digest(source: str, recipe: str, seed: int) -> str:
    """Return a digest of everything that the output's bytes depend on."""
    return cache_key(source=digest_of(source), recipe=recipe, seed=seed)


def _still_holds(one: BatchFile, recipe: str, found: Mapping[str, BatchRow]) -> BatchRow | None:
    """Return the row of an earlier run if its output is whole and would come out the same."""
    row = found.get(one.source)
    if row is None or row.status == "failed" or row.output != str(one.output):
        return None
    try:
        whole = digest_of(one.output) == row.digest
        same = whole and _work_digest(one.source, recipe, one.seed) == row.work
    except OSError:
        return None
    if not same:
        return None
    return replace(row, status="kept")


def _failed_row(one: BatchFile, error: BaseException) -> BatchRow:
    message = str(error) if isinstance(error, GlitchError) else f"{type(error).__name__}: {error}"
    return BatchRow(
        one.source, str(one.output), "failed", legible(" ".join(message.split())), 0.0, one.seed,
        "", "",
    )  # fmt: skip


@lru_cache(maxsize=1)
def _recipe_of(text: str, seed: int) -> Recipe:
    return parse_recipe({**read_toml(text, "the recipe"), "seed": seed}, "the recipe")


@lru_cache(maxsize=1)
def _cache() -> Cache | None:
    return user_cache()


def render_file(
    source: str, output: str, recipe: str, seed: int, force: bool, cached: bool
) -> BatchRow:
    """Corrupt one file of a batch.

    Args:
        source: path of the file.
        output: path to write to.
        recipe: recipe in TOML.
        seed: seed in place of the recipe's.
        force: replace an existing output.
        cached: use the user's cache.

    Returns:
        its row; a file that cannot be read or written has ``failed``.
    """
    began = time.perf_counter()
    cache = _cache() if cached else None
    try:
        made = _recipe_of(recipe, seed)
        if is_footage(source):
            report = corrupt_clip(
                source, output, made, options=ExportOptions(force=force), cache=cache
            )
            notes = (*report.notes, *report.damage)
        else:
            _, _, notes = corrupt_picture(source, output, made, force=force, cache=cache)
        digest, work = digest_of(output), _work_digest(source, recipe, seed)
    except GlitchError as error:
        return _row(source, output, "failed", str(error), began, seed)
    except OSError as error:
        failure = OutputError(f"{source}: {error.strerror or error}")
        return _row(source, output, "failed", str(failure), began, seed)
    row = _row(source, output, "done", "; ".join(notes), began, seed)
    return replace(row, digest=digest, work=work)


def _row(
    source: str, output: str, status: Status, message: str, began: float, seed: int
) -> BatchRow:
    seconds = round(time.perf_counter() - began, 3)
    return BatchRow(
        source, output, status, legible(" ".join(message.split())), seconds, seed, "", ""
    )
