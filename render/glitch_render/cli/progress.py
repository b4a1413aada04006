"""Progress bars of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from glitch_render.progress import OnProgress
    from glitch_render.progress import Progress as State
    from glitch_render.recipe.model import Recipe

__all__ = ["clip_bar", "compilation_noted", "layer_bars"]

_COMPILING = "compiling the inner loops for this processor; later runs load them"


@contextmanager
def compilation_noted() -> Iterator[None]:
    """Print on a terminal why the first run on a machine shows nothing for some seconds."""
    # Decided before progress bars redirect the stream
    if not sys.stderr.isatty():
        yield
        return
    from glitch_gym.compilation import when_compiling

    with when_compiling(lambda: typer.echo(_COMPILING, err=True)):
        yield


@contextmanager
def clip_bar() -> Iterator[OnProgress]:
    """Show stage, progress, frame rate and time left on standard error, if it is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            shown = task.description != "learning" and task.speed is not None
            return Text(f"{task.speed:.1f} fps" if shown else "")

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        tasks: dict[str, Any] = {}

        def progress(now: State) -> None:
            if now.stage not in tasks:
                # Work that was already done at the start must not count towards the speed
                tasks[now.stage] = bars.add_task(now.stage, total=now.total, completed=now.done)
            bars.update(tasks[now.stage], completed=now.done, total=now.total)

        yield progress


@contextmanager
def layer_bars(recipe: Recipe) -> Iterator[OnProgress]:
    """Show a bar per layer on standard error, if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda now: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from glitch_render.recipe.keyframes import last

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        tasks = [
            bars.add_task(
                f"layer {number}: {'×'.join(map(str, layer.grid))}, {last(layer.agents):,} agents",
                total=layer.iterations,
                start=False,
            )
            for number, layer in enumerate(recipe.layers, 1)
        ]

        def progress(now: State) -> None:
            if now.layer is not None:
                bars.start_task(tasks[now.layer])
                bars.update(tasks[now.layer], completed=now.done, total=now.total)

        yield progress
