"""The Typer application, to which the other modules of this package add their commands."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app", "cache_app", "main", "presets_app"]

app = typer.Typer(
    name="glitch-gym",
    help="Corrupt pictures and clips with agents that learn where the subject is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets_app = typer.Typer(help="List the presets, or show one.", rich_markup_mode=None)
app.add_typer(presets_app, name="presets", invoke_without_command=True)
cache_app = typer.Typer(
    help="Inspect or clear the cache of activations, rewards and tables.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(cache_app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"glitch-gym {version('glitch-gym')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit codes are 1 for bad input, 2 for wrong usage, 130 for Ctrl-C."""
    app()
