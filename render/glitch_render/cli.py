"""The command line. Whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from glitch_render.recipe import Recipe

__all__ = ["app", "main"]

app = typer.Typer(
    name="glitch-gym",
    help="Corrupt pictures by agents that learned where the subject is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets_app = typer.Typer(help="List the presets, or show one.", rich_markup_mode=None)
app.add_typer(presets_app, name="presets", invoke_without_command=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Turn errors that a person can act on into a line and exit code 1."""
    from glitch_gym.errors import GlitchError

    try:
        yield
    except GlitchError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(130) from None
    except MemoryError:
        _fail("not enough memory for a picture and recipe of this size")


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


Input = Annotated[
    str, typer.Argument(metavar="IN", help="A picture, or sample:NAME (such as sample:chelsea).")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="A .png, .jpg or .webp to write.")
]
Backbone = Annotated[
    str | None, typer.Option(help="Network for the activation: efficientnet_lite0 or resnet18.")
]
ActivationName = Annotated[
    str | None,
    typer.Option(
        "--activation",
        help="A network, spectral_residual, edges, or a mask picture (white is active).",
    ),
]
Weights = Annotated[str | None, typer.Option(help="File with weights for the network.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it exists.")]


def _chosen_activation(backbone: str | None, activation: str | None) -> str | None:
    if backbone is not None and activation is not None:
        raise typer.BadParameter("give --backbone or --activation, not both")
    if backbone is not None:
        from glitch_gym.activation import BACKBONES
        from glitch_gym.errors import unknown_name

        if backbone not in BACKBONES:
            raise typer.BadParameter(str(unknown_name("backbone", backbone, BACKBONES)))
    return backbone or activation


def _resolve_recipe(
    preset: str | None,
    recipe: Path | None,
    settings: list[str],
    seed: int | None,
    activation: str | None,
    weights: str | None,
) -> Recipe:
    """Put a recipe together: the preset or file, then --set, then the options of their own."""
    from glitch_render.media import recipe_data
    from glitch_render.recipe import (
        DEFAULT_PRESET,
        apply_settings,
        parse_recipe,
        preset_text,
        read_toml,
    )

    if recipe is not None:
        origin = str(recipe)
        data = recipe_data(recipe)
    else:
        origin = f"preset {preset or DEFAULT_PRESET}"
        data = read_toml(preset_text(preset or DEFAULT_PRESET), origin)
    data = apply_settings(data, settings)
    overrides: dict[str, Any] = {"seed": seed, "activation": activation, "weights": weights}
    if activation is not None and weights is None:
        data.pop("weights", None)
    data |= {name: value for name, value in overrides.items() if value is not None}
    return parse_recipe(data, origin)


@app.command()
def corrupt(
    source: Input,
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option("--preset", "-p", help="A preset; `glitch-gym presets` lists them."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", "-r", help="A recipe: a TOML file, or a picture made by us."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting: layers.1.agents=800."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed, another picture.")] = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    force: Force = False,
) -> None:
    """Corrupt a picture by a preset or a recipe."""
    if preset is not None and recipe is not None:
        raise typer.BadParameter("give --preset or --recipe, not both")
    chosen = _chosen_activation(backbone, activation)
    with _said_plainly():
        from glitch_gym.picture import read_picture
        from glitch_render.corrupt import corrupt as corrupt_frame
        from glitch_render.media import check_output, write_picture

        resolved = _resolve_recipe(preset, recipe, settings or [], seed, chosen, weights)
        check_output(output, source=Path(source), force=force)
        picture = read_picture(source)
        for note in picture.notes:
            typer.echo(f"note: {note}", err=True)
        if picture.alpha is not None and output.suffix.lower() in (".jpg", ".jpeg"):
            typer.echo("note: JPEG has no transparency; the picture is laid on white", err=True)
        with _layer_bars(resolved) as progress:
            frame = corrupt_frame(picture.frame, resolved, progress=progress)
        write_picture(output, frame, like=picture, recipe=resolved, force=force)
    typer.echo(f"{output} ({frame.shape[1]}×{frame.shape[0]}, seed {resolved.seed})", err=True)


@contextmanager
def _layer_bars(recipe: Recipe) -> Iterator[Any]:
    """Show a bar per layer on standard error; on no terminal, nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

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
                f"layer {number}: {'×'.join(map(str, layer.grid))}, {layer.agents:,} agents",
                total=layer.iterations,
                start=False,
            )
            for number, layer in enumerate(recipe.layers, 1)
        ]

        def progress(index: int, done: int, episodes: int) -> None:
            bars.start_task(tasks[index])
            bars.update(tasks[index], completed=done, total=episodes)

        yield progress


@presets_app.callback()
def presets(context: typer.Context) -> None:
    """List the presets."""
    if context.invoked_subcommand is not None:
        return
    with _said_plainly():
        from glitch_render.recipe import DEFAULT_PRESET, load_preset, preset_names

        width = max(len(name) for name in preset_names())
        for name in preset_names():
            default = " (the default)" if name == DEFAULT_PRESET else ""
            typer.echo(f"{name:<{width}}  {load_preset(name).description}{default}")


@presets_app.command("show")
def presets_show(name: Annotated[str, typer.Argument(help="A preset's name.")]) -> None:
    """Print a preset as a recipe, every setting spelled out, ready to be saved and edited."""
    with _said_plainly():
        from glitch_render.recipe import load_preset

        typer.echo(load_preset(name).to_toml(), nl=False)


@app.command("effects")
def list_effects() -> None:
    """List the effects with their parameters and ranges."""
    with _said_plainly():
        from glitch_gym.reward import effect_noise
        from glitch_render.effects import effects

        for name, effect in effects().items():
            noise = effect_noise([name])[name]
            typer.echo(f"{name}: {effect.summary}")
            typer.echo(f"    mean = {noise.mean:g}  of its reward noise; higher is more often")
            typer.echo(f"    std = {noise.std:g}  of its reward noise, from 0")
            for key, described in effect.parameters.model_fields.items():
                limits = _limits(described.metadata)
                typer.echo(f"    {key} = {described.default}  {described.description} ({limits})")


def _limits(metadata: list[Any]) -> str:
    low = [str(one.ge) for one in metadata if getattr(one, "ge", None) is not None]
    low += [f"above {one.gt}" for one in metadata if getattr(one, "gt", None) is not None]
    high = [str(one.le) for one in metadata if getattr(one, "le", None) is not None]
    high += [f"below {one.lt}" for one in metadata if getattr(one, "lt", None) is not None]
    return "…".join([*low, *high]) or "any"


@app.command("activation")
def show_activation(
    source: Input,
    output: Output,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    force: Force = False,
) -> None:
    """Write the activation map over the picture, with the predicted class."""
    chosen = _chosen_activation(backbone, activation) or "efficientnet_lite0"
    with _said_plainly():
        from glitch_gym.activation import compute_activation
        from glitch_gym.picture import read_picture
        from glitch_render.media import check_output, write_picture
        from glitch_render.plots import activation_caption, activation_overlay

        check_output(output, source=Path(source), force=force)
        picture = read_picture(source)
        computed = compute_activation(picture.frame, chosen, weights=weights)
        write_picture(output, activation_overlay(picture.frame, computed), force=force)
        typer.echo(activation_caption(computed))


def main() -> None:
    """Run the command line: exit code 1 for bad input, 2 for wrong usage, 130 for Ctrl-C."""
    app()


if __name__ == "__main__":
    main()
