"""Commands for listings, the cache and the studio: cache, presets, effects, plugins, studio."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Annotated

import typer

from glitch_render.cli.app import app, cache_app, presets_app
from glitch_render.cli.errors import said_plainly
from glitch_render.cli.options import NoCache, complete_preset, import_learners, open_cache

__all__ = []


@cache_app.command("info")
def cache_info() -> None:
    """Show where the cache is, what it holds, and its size limit."""
    with said_plainly():
        from glitch_render.cache import user_cache

        cache = user_cache()
        kept = cache.kept()
        total = sum(one.size for one in kept.values())
        typer.echo(f"{cache.folder}")
        for kind, one in kept.items():
            typer.echo(f"    {kind:<12} {one.entries:>6} entries  {one.size / 1e6:>9.1f} MB")
        typer.echo(f"    {'total':<12} {total / 1e6:.1f} MB of at most {cache.limit / 1e6:,.0f}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Clear the cache."""
    with said_plainly():
        from glitch_render.cache import user_cache

        cache = user_cache()
        typer.echo(f"{cache.clear() / 1e6:.1f} MB freed in {cache.folder}")


@presets_app.callback()
def presets(context: typer.Context) -> None:
    """List the presets."""
    if context.invoked_subcommand is not None:
        return
    with said_plainly():
        from glitch_render.recipe.presets import DEFAULT_PRESET, load_preset, preset_names

        width = max(len(name) for name in preset_names())
        recipes = {name: load_preset(name) for name in preset_names()}
        for family in sorted({recipe.family for recipe in recipes.values()}):
            typer.echo(family)
            for name, recipe in recipes.items():
                if recipe.family == family:
                    default = " (the default)" if name == DEFAULT_PRESET else ""
                    typer.echo(f"  {name:<{width}}  {recipe.description}{default}")


@presets_app.command("show")
def presets_show(
    name: Annotated[str, typer.Argument(help="A preset's name.", autocompletion=complete_preset)],
) -> None:
    """Print a preset as a recipe with every setting spelled out, to save and edit."""
    with said_plainly():
        from glitch_render.recipe.presets import load_preset

        typer.echo(load_preset(name).to_toml(), nl=False)


@app.command("effects")
def list_effects() -> None:
    """List the effects with their parameters and ranges."""
    with said_plainly():
        from glitch_render.recipe.forms import effect_forms

        for form in effect_forms():
            typer.echo(f"{form.name}: {form.summary}")
            for one in form.controls:
                default = f"{one.default:g}" if one.kind == "number" else one.default
                typer.echo(f"    {one.name} = {default}  {one.help} ({one.limits()})")


@app.command("plugins")
def list_plug_ins() -> None:
    """List installed plug-ins (effects, learners, activations), and what is wrong with any."""
    with said_plainly():
        from glitch_agents.registry import LEARNERS, load_learner
        from glitch_gym.actions import BUILT_IN_EFFECTS
        from glitch_gym.activation import ACTIVATIONS, load_activation
        from glitch_gym.errors import GlitchError
        from glitch_gym.plugins import ACTIVATION_GROUP, EFFECT_GROUP, LEARNER_GROUP, plug_ins
        from glitch_render.effects import get_effect

        groups: tuple[tuple[str, Callable[[str], object], Container[str]], ...] = (
            (EFFECT_GROUP, get_effect, BUILT_IN_EFFECTS),
            (LEARNER_GROUP, load_learner, LEARNERS),
            (ACTIVATION_GROUP, load_activation, ACTIVATIONS),
        )
        for group, load, ours in groups:
            found = plug_ins(group)
            typer.echo(group if found else f"{group}: none installed")
            for one in found:
                problem = one.problem
                if not problem and one.name in ours:
                    problem = "the name is built in"
                if not problem:
                    try:
                        load(one.name)
                    except GlitchError as error:
                        problem = str(error)
                broken = f"\n      cannot be used: {problem}" if problem else ""
                typer.echo(f"    {one.name}  ({one.value}, from {one.package}){broken}")


@app.command("studio")
def studio(
    source: Annotated[
        str | None, typer.Argument(metavar="[PICTURE]", help="A picture or clip to open.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 7860,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    learners: Annotated[
        list[str] | None,
        typer.Option(
            "--learner", metavar="MODULE:CLASS", help="Your own learner, for recipes that name it."
        ),
    ] = None,
    max_upload: Annotated[
        float, typer.Option(metavar="GB", min=0.001, help="Largest upload that the page accepts.")
    ] = 8.0,
    no_cache: NoCache = False,
) -> None:
    """Open the studio: the whole filter in a browser page, on this machine only."""
    with said_plainly():
        from glitch_render.studio.server import open_studio

        open_studio(
            port=port,
            browser=browser,
            opening=source,
            cache=open_cache(no_cache),
            learners=import_learners(learners or []),
            largest_upload=round(max_upload * 1e9),
        )
