"""Options that several commands share, and the values they resolve to."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from glitch_render.cache import Cache
    from glitch_render.parallel.engines import Engine
    from glitch_render.recipe.model import Recipe
    from glitch_render.video.selection import Selection

__all__ = [
    "ActivationName",
    "Backbone",
    "Cluster",
    "Device",
    "DeviceName",
    "Force",
    "Input",
    "Jobs",
    "NoCache",
    "Output",
    "OwnLearners",
    "Preset",
    "RecipeFile",
    "Scale",
    "Seed",
    "Settings",
    "TrustPaths",
    "Weights",
    "chosen_activation",
    "chosen_engine",
    "complete_preset",
    "import_learners",
    "makes_clip",
    "resolve_recipe",
    "spare",
]


Input = Annotated[
    str, typer.Argument(metavar="IN", help="A picture, or sample:NAME (such as sample:chelsea).")
]


Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="A .png, .jpg or .webp to write.")
]


NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Ignore the cache, and store nothing in it.")
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


Weights = Annotated[str | None, typer.Option(help="File with the network's weights.")]


class DeviceName(StrEnum):
    """Where PyTorch computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def _choose_device(name: DeviceName) -> DeviceName:
    # The import takes time, and the CPU is what is chosen at first
    if name is not DeviceName.cpu or "glitch_gym.activation" in sys.modules:
        from glitch_gym.activation.devices import choose_device

        choose_device(name.value)
    return name


Device = Annotated[
    DeviceName,
    typer.Option(callback=_choose_device, help="Where PyTorch computes, for resnet18."),
]


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets that a shell offers for what has been typed."""
    from glitch_render.recipe.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="A preset; `glitch-gym presets` lists them.",
        autocompletion=complete_preset,
    ),
]


RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", "-r", help="A recipe: a TOML file, or a picture or clip made by us."),
]


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting: layers.1.agents=800."),
]


OwnLearners = Annotated[
    list[str] | None,
    typer.Option(
        "--learner",
        metavar="MODULE:CLASS",
        help="Your own learner, for the layers that name it, or for all layers if none does.",
    ),
]


TrustPaths = Annotated[
    bool,
    typer.Option(
        "--trust-paths", help="Open files named by a recipe from inside a picture or clip."
    ),
]


Seed = Annotated[int | None, typer.Option(min=0, help="Seed of all random draws.")]


Scale = Annotated[str | None, typer.Option(metavar="SIZE", help="0.5, 50%, 720p or 1280x720.")]


Force = Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it exists.")]


Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, metavar="N", help="Render in N processes of this machine."),
]


Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Render on a cluster: auto, ray, ray:HOST:PORT, dask:tcp://HOST:PORT, or "
        "module:function for an executor of your own.",
    ),
]


def chosen_engine(jobs: int | None, cluster: str | None) -> Engine | None:
    """Return the engine that --jobs or --cluster names; one process is this one."""
    if jobs is not None and cluster is not None:
        raise typer.BadParameter("give --jobs or --cluster, not both")
    if cluster is None and (jobs or 1) == 1:
        return None
    from glitch_render.parallel.engines import local_engine, open_engine

    return local_engine(jobs or 1) if cluster is None else open_engine(cluster)


def chosen_activation(backbone: str | None, activation: str | None) -> str | None:
    """Return the activation that --backbone or --activation names."""
    if backbone is not None and activation is not None:
        raise typer.BadParameter("give --backbone or --activation, not both")
    if backbone is not None:
        from glitch_gym.activation import BACKBONES
        from glitch_gym.errors import unknown_name_error

        if backbone not in BACKBONES:
            raise typer.BadParameter(str(unknown_name_error("backbone", backbone, BACKBONES)))
    return backbone or activation


def resolve_recipe(
    preset: str | None,
    recipe: Path | None,
    settings: list[str],
    seed: int | None,
    activation: str | None,
    weights: str | None,
    learners: list[str],
    trust_paths: bool,
) -> Recipe:
    """Build the recipe: the preset or file, changed by --set and then by the other options.

    ``activation`` is what ``chosen_activation`` returns.
    """
    if preset is not None and recipe is not None:
        raise typer.BadParameter("give --preset or --recipe, not both")
    from glitch_render.media.metadata import carries_recipe
    from glitch_render.recipe.files import recipe_text
    from glitch_render.recipe.paths import check_wanted_paths
    from glitch_render.recipe.presets import DEFAULT_PRESET, preset_text
    from glitch_render.recipe.toml import apply_settings, parse_recipe, read_toml

    if recipe is not None:
        origin = str(recipe)
        text = recipe_text(recipe)
    else:
        origin = f"preset {preset or DEFAULT_PRESET}"
        text = preset_text(preset or DEFAULT_PRESET)
    data = apply_settings(read_toml(text, origin), settings)
    overrides: dict[str, Any] = {"seed": seed, "activation": activation, "weights": weights}
    if activation is not None and weights is None:
        data.pop("weights", None)
    chosen = {name: value for name, value in overrides.items() if value is not None}
    data |= chosen
    own = import_learners(learners)
    resolved = parse_recipe(_with_learners(data, own), origin, text=text, learners=own)
    if recipe is not None and carries_recipe(recipe) and not trust_paths:
        by_hand = (setting.partition("=")[0].replace(" ", "") for setting in settings)
        check_wanted_paths(resolved, origin, by_hand=[*by_hand, *chosen])
    return resolved


def import_learners(written: list[str]) -> dict[str, Any]:
    """Import learners given as ``module:Class``, and return them by name."""
    if not written:
        return {}
    from glitch_agents.registry import import_learner

    # As with `python -m`, modules in the working folder count; installed ones come first
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return {one.name: one for one in map(import_learner, written)}


def _with_learners(data: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Let all layers use the only learner passed by hand if no layer names it."""
    from glitch_gym.errors import SettingError

    layers = data.get("layers")
    if not (isinstance(layers, list) and all(isinstance(one, dict) for one in layers)):
        return data
    unnamed = own.keys() - {str(layer.get("learner")) for layer in layers}
    if len(own) == 1 and unnamed:
        return data | {"layers": [layer | {"learner": own[min(unnamed)]} for layer in layers]}
    if unnamed:
        names = ", ".join(sorted(unnamed))
        raise SettingError(f"no layer names the learner {names}: set layers.N.learner to its name")
    return data


def spare(output: Path, recipe: Path | None) -> None:
    """Check that the output is not the recipe's own file."""
    from glitch_gym.output import check_target

    if recipe is not None:
        check_target(output, suffixes=[output.suffix.lower()], sources=[recipe], force=True)


def makes_clip(source: str, output: Path, duration: float | None) -> bool:
    """Return whether a command writes a clip: by its source, its output or a duration."""
    from glitch_render.media.formats import is_motion_format

    if duration is not None or is_motion_format(output.suffix.lower(), still=True):
        return True
    if source.startswith("sample:"):
        return False
    from glitch_render.media.sources import is_footage

    return is_footage(source)


def open_cache(no_cache: bool) -> Cache | None:
    """Return the user's cache, or ``None`` with --no-cache."""
    from glitch_render.cache import user_cache

    return None if no_cache else user_cache()


def make_selection(
    start: str | None, end: str | None, fps: str | None, scale: str | None, duration: float | None
) -> Selection:
    """Return the selection that the options describe."""
    from glitch_render.video.selection import Selection, parse_rate, parse_seconds

    return Selection(
        start=None if start is None else parse_seconds(start),
        end=None if end is None else parse_seconds(end),
        rate=None if fps is None else parse_rate(fps),
        scale=scale,
        duration=duration,
    )
