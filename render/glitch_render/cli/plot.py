"""Commands that show what agents see, learn and do: activation, plot, animate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glitch_render.cli.app import app
from glitch_render.cli.corrupt import say
from glitch_render.cli.errors import said_plainly
from glitch_render.cli.options import (
    ActivationName,
    Backbone,
    Device,
    DeviceName,
    Force,
    Input,
    NoCache,
    Output,
    OwnLearners,
    Preset,
    RecipeFile,
    Scale,
    Seed,
    Settings,
    TrustPaths,
    Weights,
    chosen_activation,
    make_selection,
    open_cache,
    resolve_recipe,
    spare,
)
from glitch_render.cli.progress import clip_bar, compilation_noted, layer_bars

__all__ = []


@app.command("activation")
def show_activation(
    source: Input,
    output: Output,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    device: Device = DeviceName.cpu,
    force: Force = False,
) -> None:
    """Draw the activation map over the picture, with the predicted class."""
    chosen = chosen_activation(backbone, activation) or "efficientnet_lite0"
    with said_plainly():
        from glitch_gym.activation import compute_activation
        from glitch_gym.output import check_target
        from glitch_gym.picture import read_picture
        from glitch_render.media.formats import SUFFIXES
        from glitch_render.media.pictures import write_picture
        from glitch_render.plots.figures import activation_caption, activation_overlay

        named = [path for path in (source, chosen, weights) if path is not None]
        check_target(output, suffixes=SUFFIXES, sources=named, force=force)
        picture = read_picture(source)
        computed = compute_activation(picture.frame, chosen, weights=weights)
        write_picture(output, activation_overlay(picture.frame, computed), force=force)
        typer.echo(activation_caption(computed))


class Plot(StrEnum):
    """What can be plotted."""

    activation = "activation"
    rewards = "rewards"
    values = "values"
    policy = "policy"
    visits = "visits"
    paths = "paths"
    learning = "learning"


@app.command("plot")
def plot(
    kind: Annotated[
        Plot,
        typer.Argument(
            metavar="KIND",
            help="activation, rewards, values, policy, visits, paths or learning.",
        ),
    ],
    source: Input,
    output: Output,
    layer: Annotated[int, typer.Option(min=1, help="Number of the layer, from 1.")] = 1,
    action: Annotated[
        str | None,
        typer.Option(help="Action whose rewards are drawn, such as same_left; all by default."),
    ] = None,
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    device: Device = DeviceName.cpu,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Plot what a layer's agents see, what they learned, or where they went."""
    with said_plainly():
        from glitch_gym.errors import SettingError
        from glitch_gym.output import check_target
        from glitch_gym.picture import read_picture
        from glitch_render.layers import recipe_files
        from glitch_render.media.formats import SUFFIXES
        from glitch_render.media.pictures import write_picture
        from glitch_render.plots.layer import plot_layer

        resolved = resolve_recipe(
            preset, recipe, settings or [], seed, chosen_activation(backbone, activation), weights,
            learners or [], trust_paths,
        )  # fmt: skip
        spare(output, recipe)
        if layer > len(resolved.layers):
            raise SettingError(f"no layer {layer}: the recipe has {len(resolved.layers)}")
        named = [source, *recipe_files(resolved)]
        check_target(output, suffixes=SUFFIXES, sources=named, force=force)
        frame = read_picture(source).frame
        with compilation_noted(), layer_bars(resolved) as progress:
            drawn = plot_layer(
                kind.value,
                frame,
                resolved,
                layer - 1,
                action=action,
                cache=open_cache(no_cache),
                progress=progress,
            )
        write_picture(output, drawn, force=force)
    typer.echo(f"{output} ({drawn.shape[1]}×{drawn.shape[0]})", err=True)


@app.command("animate")
def animate(
    source: Input,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A clip (.mp4 .mov .webm .mkv) or .gif .webp .apng.",
        ),
    ],
    speed: Annotated[float, typer.Option(help="Steps per second.")] = 10.0,
    agents: Annotated[bool, typer.Option("--agents", help="Mark where the agents are.")] = False,
    fps: Annotated[str | None, typer.Option(help="Frames per second; 25 by default.")] = None,
    scale: Scale = None,
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    device: Device = DeviceName.cpu,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Animate agents eating a picture step by step, layer after layer."""
    with said_plainly():
        from glitch_render.layers import recipe_files
        from glitch_render.video.animate import Walk, animate_still
        from glitch_render.video.render import check_clip_target
        from glitch_render.video.selection import ExportOptions

        resolved = resolve_recipe(
            preset, recipe, settings or [], seed, chosen_activation(backbone, activation), weights,
            learners or [], trust_paths,
        )  # fmt: skip
        walk = Walk(speed, agents)
        spare(output, recipe)
        check_clip_target(output, source, named=recipe_files(resolved), force=force)
        with compilation_noted(), layer_bars(resolved) as by_layer, clip_bar() as by_stage:
            report = animate_still(
                source,
                output,
                resolved,
                make_selection(None, None, fps, scale, None),
                ExportOptions(force=force),
                walk=walk,
                cache=open_cache(no_cache),
                progress=lambda now: (by_stage if now.layer is None else by_layer)(now),
            )
        say(output, report, resolved.seed)
