"""The command for many files: batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glitch_render.cli.app import app
from glitch_render.cli.errors import said_plainly
from glitch_render.cli.options import (
    ActivationName,
    Backbone,
    Cluster,
    Jobs,
    NoCache,
    Preset,
    RecipeFile,
    Seed,
    Settings,
    TrustPaths,
    Weights,
    chosen_engine,
    resolve_recipe,
)

if TYPE_CHECKING:
    from glitch_render.batches.report import BatchRow

__all__ = ["batch"]


@app.command()
def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Pictures, clips, folders (with all below them) and patterns such as "
            "'photos/**/*.jpg'.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder of the outputs; made if missing."
        ),
    ],
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    trust_paths: TrustPaths = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="TEMPLATE",
            help="Name of an output, of {stem}, {suffix}, {recipe} and {seed}.",
        ),
    ] = "{stem}{suffix}",
    same_seed: Annotated[
        bool,
        typer.Option("--same-seed", help="Give all files one seed, not each one by its name."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="The report; FOLDER/report.csv by default."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep what an earlier run finished and what would not change."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace outputs that exist.")
    ] = False,
    jobs: Jobs = None,
    cluster: Cluster = None,
    no_cache: NoCache = False,
) -> None:
    """Corrupt many pictures and clips; a bad one is reported, and never stops the rest."""
    with said_plainly():
        from glitch_render.batches.run import BatchOptions
        from glitch_render.batches.run import batch as run_batch

        resolved = resolve_recipe(
            preset, recipe, settings or [], seed, backbone, activation, weights, [], trust_paths
        )
        options = BatchOptions(
            template=name,
            recipe_name=preset or (recipe.stem if recipe is not None else "recipe"),
            same_seed=same_seed,
            report=report,
            resume=resume,
            force=force,
            cache=not no_cache,
        )
        engine = chosen_engine(jobs, cluster)
        with _file_bar() as progress:
            rows = run_batch(sources, output, resolved, options, executor=engine, progress=progress)
        counts = {kind: sum(row.status == kind for row in rows) for kind in ("done", "kept")}
        failed = len(rows) - sum(counts.values())
        kept = f", {counts['kept']} kept" if counts["kept"] else ""
        typer.echo(
            f"{output}: {counts['done']} done{kept}, {failed} failed; "
            f"see {report or output / 'report.csv'}",
            err=True,
        )
        if failed:
            raise typer.Exit(1)


@contextmanager
def _file_bar() -> Iterator[Callable[[int, int, BatchRow | None], None]]:
    """Show files, rate and time left on standard error, and a line for each that failed."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("files", rate="")

        def progress(done: int, total: int, row: BatchRow | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task, completed=done, total=total,
                rate="" if speed is None else f"{speed:.1f} files/s",
            )  # fmt: skip
            if row is not None and row.status == "failed":
                typer.echo(f"{row.source}: {row.message}", err=True)

        yield progress
