"""The command for experiments: sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glitch_render.cli.app import app
from glitch_render.cli.errors import said_plainly
from glitch_render.cli.options import Cluster, Jobs, chosen_engine

__all__ = ["sweep"]


@app.command()
def sweep(
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="SWEEP", help="A TOML file: pictures, seeds, episodes, world and learners."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER",
            help="Folder of the results; runs that it holds are not repeated.",
        ),
    ],
    jobs: Jobs = None,
    cluster: Cluster = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the curves.")] = True,
) -> None:  # fmt: skip
    """Train learners × settings × seeds × pictures; write CSVs, and curves with bands."""
    with said_plainly():
        from rich.console import Console
        from rich.progress import Progress

        from glitch_render.sweeps.plan import read_sweep
        from glitch_render.sweeps.run import sweep as run_sweep

        planned = read_sweep(plan)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("runs")
            rows = run_sweep(
                planned,
                output,
                executor=chosen_engine(jobs, cluster),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        for row in rows:
            if row["status"] == "failed":
                typer.echo(f"{row['learner']} on {row['picture']}: {row['message']}", err=True)
        failed = sum(row["status"] == "failed" for row in rows)
        typer.echo(f"{output}: {len(rows) - failed} runs done, {failed} failed", err=True)
        if plot and failed < len(rows):
            from glitch_render.sweeps.plot import plot_sweep

            typer.echo(str(plot_sweep(output)), err=True)
        if failed:
            raise typer.Exit(1)
