"""The command line. Whatever is heavy is imported inside the command that needs it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from glitch_gym.errors import GlitchError
    from glitch_render.clip import ClipProgress, Report, Selection
    from glitch_render.episode import Episode
    from glitch_render.recipe import Recipe
    from glitch_render.store import Store

__all__ = ["app", "main"]

app = typer.Typer(
    name="glitch-gym",
    help="Corrupt pictures and clips by agents that learned where the subject is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets_app = typer.Typer(help="List the presets, or show one.", rich_markup_mode=None)
app.add_typer(presets_app, name="presets", invoke_without_command=True)
cache_app = typer.Typer(
    help="Look at or empty the cache of activations, rewards and tables.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(cache_app, name="cache")


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


_ADVICE = {
    "FORCE": "give --force to write over it",
    "RESUME": "go on with --resume",
    "DURATION": "give --duration",
    "PREVIEW": "write one frame as a picture with --preview",
    "WEIGHTS": "give a file with --weights",
    "OTHER_PORT": "choose another port with --port",
    "LEARNER": "give it with --learner module:Class",
    "TRUST_PATHS": "allow it with --trust-paths",
}
"""What the command line's options do for each ``Hint``, by its name."""


def _with_advice(error: GlitchError) -> str:
    """Return an error's message, with the option that would help."""
    return f"{error}; {_ADVICE[error.hint.name]}" if error.hint is not None else str(error)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Turn errors that a person can act on into a line and exit code 1."""
    from glitch_gym.errors import GlitchError, is_interrupt

    handler = _Warnings()
    logging.getLogger("glitch_gym").addHandler(handler)
    usual = warnings.showwarning
    try:
        warnings.showwarning = _show_warning
        yield
    except GlitchError as error:
        _fail(_with_advice(error))
    except (KeyboardInterrupt, SystemError) as error:
        if not is_interrupt(error):
            raise
        kept = getattr(error, "kept", 0)
        more = f"; {error}: go on with --resume" if kept else ""
        typer.echo(f"stopped{more}", err=True)
        raise typer.Exit(130) from None
    except MemoryError:
        _fail("not enough memory for a picture and recipe of this size")
    finally:
        logging.getLogger("glitch_gym").removeHandler(handler)
        warnings.showwarning = usual


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Show a warning, such as that of a broken plug-in, as a line of the program."""
    from glitch_gym.errors import legible

    typer.echo(legible(f"warning: {message}"), err=True)


class _Warnings(logging.Handler):
    """Shows what the library logs as lines of the program."""

    def emit(self, record: logging.LogRecord) -> None:
        from glitch_gym.errors import legible

        typer.echo(legible(f"{record.levelname.lower()}: {record.getMessage()}"), err=True)


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
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Compute all anew, and keep nothing for the next run.")
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
Preset = Annotated[
    str | None, typer.Option("--preset", "-p", help="A preset; `glitch-gym presets` lists them.")
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
        help="A learner of your own, for the layers that name it, or for all if none does.",
    ),
]
TrustPaths = Annotated[
    bool,
    typer.Option("--trust-paths", help="Open the files that a picture's or clip's recipe names."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed, another picture.")]
Scale = Annotated[str | None, typer.Option(metavar="SIZE", help="0.5, 50%, 720p or 1280x720.")]
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
    backbone: str | None,
    activation: str | None,
    weights: str | None,
    learners: list[str],
    trust_paths: bool,
) -> Recipe:
    """Put a recipe together: the preset or file, then --set, then the options of their own."""
    if preset is not None and recipe is not None:
        raise typer.BadParameter("give --preset or --recipe, not both")
    activation = _chosen_activation(backbone, activation)
    from glitch_render.media import carries_recipe, recipe_text
    from glitch_render.recipe import (
        DEFAULT_PRESET,
        apply_settings,
        check_wanted_paths,
        parse_recipe,
        preset_text,
        read_toml,
    )

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
    own = _import_learners(learners)
    resolved = parse_recipe(_with_learners(data, own), origin, text=text, learners=own)
    if recipe is not None and carries_recipe(recipe) and not trust_paths:
        by_hand = (setting.partition("=")[0].replace(" ", "") for setting in settings)
        check_wanted_paths(resolved, origin, by_hand=[*by_hand, *chosen])
    return resolved


def _import_learners(written: list[str]) -> dict[str, Any]:
    """Import the learners that were given by hand; returns them by their names."""
    if not written:
        return {}
    from glitch_agents.catalogue import import_learner

    # As for `python -m`, modules of the folder where the user is; those installed come first
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return {one.name: one for one in map(import_learner, written)}


def _with_learners(data: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Have all layers learn by the learner that was given by hand, if none of them names it."""
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


@app.command()
def corrupt(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A picture, a clip, an animated GIF, WebP or APNG, a folder or pattern of "
            "pictures, or sample:NAME (such as sample:chelsea).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A picture (.png .jpg .webp), a clip (.mp4 .mov .webm .mkv), an animation "
            "(.gif .webp .apng), or a folder for the frames.",
        ),
    ],
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin here: seconds, M:S or H:M:S.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End before this.")] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            help="Frames a second, such as 25 or 30000/1001; by default a clip keeps its own."
        ),
    ] = None,
    scale: Scale = None,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Make a clip of a still, so long.")
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Write the one frame at this time, as a picture."),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Keep the sound, or leave it out.")
    ] = True,
    codec: Annotated[
        str | None,
        typer.Option(help="h264, hevc, vp9, av1, prores, mpeg4 or ffv1, as OUT's suffix allows."),
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Quality of h264, hevc, vp9 and av1; lower is better.")
    ] = None,
    encoder_preset: Annotated[
        str | None,
        typer.Option(help="Speed of h264 and hevc (ultrafast…veryslow), av1 (0…13), vp9 (0…8)."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a clip that is damaged or cut short.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a render of the same that was stopped.")
    ] = False,
    save_episode: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the walks over a picture as .npz, for `replay`."),
    ] = None,
    no_cache: NoCache = False,
) -> None:
    """Corrupt a picture or a clip by a preset or a recipe."""
    with _said_plainly():
        from glitch_gym.picture import SAMPLES

        resolved = _resolve_recipe(
            preset, recipe, settings or [], seed, backbone, activation, weights, learners or [],
            trust_paths,
        )  # fmt: skip
        selection = _selection(start, end, fps, scale, duration)
        _spare(output, recipe)
        store = _store(no_cache)
        if source.removeprefix("sample:") in SAMPLES and source.startswith("sample:"):
            moves = False
        else:
            from glitch_render.footage import is_footage

            moves = is_footage(source)
        if preview is not None:
            _preview(source, output, resolved, selection, preview, force, store)
            return
        if moves or duration is not None or _is_for_clips(output):
            if save_episode is not None:
                raise typer.BadParameter("--save-episode goes with pictures, not with clips")
            options = {"codec": codec, "crf": crf, "encoder_preset": encoder_preset}
            switches = {"sound": audio, "strict": strict, "resume": resume, "force": force}
            _corrupt_clip(source, output, resolved, selection, store, options | switches)
            return
        for name, given in (
            ("start", start), ("end", end), ("fps", fps), ("scale", scale), ("codec", codec),
            ("crf", crf), ("encoder-preset", encoder_preset),
        ):  # fmt: skip
            if given is not None:
                raise typer.BadParameter(f"--{name} goes with clips; {source} is a still")
        _corrupt_still(source, output, resolved, store, force, save_episode)


def _corrupt_still(
    source: str,
    output: Path,
    recipe: Recipe,
    store: Store | None,
    force: bool,
    walks: Path | None,
) -> None:
    from glitch_gym.output import check_target
    from glitch_render.episode import save_episode
    from glitch_render.still import corrupt_still

    if walks is not None:
        check_target(walks, suffixes=(".npz",), sources=[source], force=force)
    with _layer_bars(recipe) as progress:
        frame, episode, notes = corrupt_still(
            source, output, recipe, force=force, store=store, progress=progress
        )
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if walks is not None:
        save_episode(walks, episode)
    typer.echo(f"{output} ({frame.shape[1]}×{frame.shape[0]}, seed {recipe.seed})", err=True)


@app.command("replay")
def replay_episode_on(
    episode: Annotated[
        Path,
        typer.Argument(
            metavar="EPISODE",
            help="An .npz of `corrupt --save-episode` or RecordEpisode, or a script in .toml.",
        ),
    ],
    source: Annotated[str, typer.Argument(metavar="IN", help="A picture or a clip.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="As of `corrupt`.")],
    force: Force = False,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Make a clip of a still, so long.")
    ] = None,
) -> None:
    """Replay the walks of an episode or a script on a picture, or on a clip: a step a frame."""
    with _said_plainly():
        from glitch_render.clip import open_episode_painter, write_clip
        from glitch_render.episode import replay_episode
        from glitch_render.footage import is_footage, open_footage
        from glitch_render.media import SUFFIXES, write_picture

        if is_footage(source) or duration is not None or _is_for_clips(output):
            selection = _selection(None, None, None, None, duration)
            footage = open_footage(source, duration=duration)
            loaded = _episode(episode, footage.height, footage.width)
            with _clip_bar() as progress:
                report = write_clip(
                    source,
                    output,
                    lambda chosen: open_episode_painter(source, loaded, chosen),
                    selection,
                    force=force,
                    progress=progress,
                    named=[str(episode)],
                )
            _say(output, report, loaded.seed)
            return
        from glitch_gym.output import check_target
        from glitch_gym.picture import read_picture

        check_target(output, suffixes=SUFFIXES, sources=[source, episode], force=force)
        picture = read_picture(source)
        loaded = _episode(episode, *picture.frame.shape[:2])
        frame = replay_episode(picture.frame, loaded)
        write_picture(output, frame, like=picture, recipe=loaded.recipe, force=force)
    typer.echo(f"{output} ({frame.shape[1]}×{frame.shape[0]})", err=True)


def _episode(path: Path, height: int, width: int) -> Episode:
    """Read an episode, or walk a script over a picture of that size."""
    if path.suffix.lower() != ".toml":
        from glitch_render.episode import load_episode

        return load_episode(path)
    from glitch_render.script import read_script, script_episode

    script, text = read_script(path)
    return script_episode(script, height, width, text=text, origin=str(path))


def _spare(output: Path, recipe: Path | None) -> None:
    """Refuse an output that is the file of the recipe."""
    from glitch_gym.output import check_target

    if recipe is not None:
        check_target(output, suffixes=[output.suffix.lower()], sources=[recipe], force=True)


def _is_for_clips(output: Path) -> bool:
    """Say whether an output can only be a clip; ``.webp`` can be a still as well."""
    from glitch_render.media import ANIMATIONS, CLIPS, SUFFIXES

    suffix = output.suffix.lower()
    return suffix in (*CLIPS, *ANIMATIONS, "") and suffix not in SUFFIXES


def _store(no_cache: bool) -> Store | None:
    from glitch_render.store import user_store

    return None if no_cache else user_store()


def _selection(
    start: str | None, end: str | None, fps: str | None, scale: str | None, duration: float | None
) -> Selection:
    from glitch_render.clip import Selection, parse_rate, parse_seconds

    return Selection(
        start=None if start is None else parse_seconds(start),
        end=None if end is None else parse_seconds(end),
        rate=None if fps is None else parse_rate(fps),
        scale=scale,
        duration=duration,
    )


def _corrupt_clip(
    source: str,
    output: Path,
    recipe: Recipe,
    selection: Selection,
    store: Store | None,
    options: dict[str, Any],
) -> None:
    from glitch_render.clip import corrupt_clip

    with _clip_bar() as progress:
        report = corrupt_clip(
            source, output, recipe, selection, store=store, progress=progress, **options
        )
    _say(output, report, recipe.seed)


def _say(output: Path, report: Report, seed: int) -> None:
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    for line in report.damage:
        typer.echo(f"warning: {line}", err=True)
    width, height = report.size
    typer.echo(
        f"{output} ({width}×{height}, {report.frames} frames, {report.seconds:.2f} s, seed {seed})",
        err=True,
    )


def _preview(
    source: str,
    output: Path,
    recipe: Recipe,
    selection: Selection,
    at: str,
    force: bool,
    store: Store | None,
) -> None:
    from glitch_gym.output import check_target
    from glitch_gym.picture import Picture
    from glitch_render.clip import parse_seconds, preview_frame
    from glitch_render.corrupt import recipe_files
    from glitch_render.footage import source_files
    from glitch_render.media import SUFFIXES, write_picture

    read: list[str | Path] = [source, *source_files(source), *recipe_files(recipe)]
    check_target(output, suffixes=SUFFIXES, sources=read, force=force)
    time = parse_seconds(at)
    with _clip_bar() as progress:
        frame, alpha = preview_frame(
            source, recipe, time, selection, store=store, progress=progress
        )
    write_picture(output, frame, like=Picture(frame, alpha), recipe=recipe, force=force)
    typer.echo(f"{output} ({frame.shape[1]}×{frame.shape[0]}, at {float(time):g} s)", err=True)


@contextmanager
def _clip_bar() -> Iterator[ClipProgress]:
    """Show stage, share, frames a second and time left on standard error, if it is a terminal."""
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

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                # What a stage finds done already says nothing on how fast it is
                tasks[stage] = bars.add_task(stage, total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


@cache_app.command("info")
def cache_info() -> None:
    """Say where the cache is, what it holds, and how large it may grow."""
    with _said_plainly():
        from glitch_render.store import user_store

        store = user_store()
        kept = store.kept()
        total = sum(one.size for one in kept.values())
        typer.echo(f"{store.folder}")
        for kind, one in kept.items():
            typer.echo(f"    {kind:<12} {one.entries:>6} entries  {one.size / 1e6:>9.1f} MB")
        typer.echo(f"    {'together':<12} {total / 1e6:.1f} MB of at most {store.limit / 1e6:,.0f}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Empty the cache."""
    with _said_plainly():
        from glitch_render.store import user_store

        store = user_store()
        typer.echo(f"{store.clear() / 1e6:.1f} MB freed in {store.folder}")


@contextmanager
def _layer_bars(recipe: Recipe) -> Iterator[Any]:
    """Show a bar per layer on standard error; on no terminal, nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from glitch_render.keyframes import last

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
        recipes = {name: load_preset(name) for name in preset_names()}
        for family in sorted({recipe.family for recipe in recipes.values()}):
            typer.echo(family)
            for name, recipe in recipes.items():
                if recipe.family == family:
                    default = " (the default)" if name == DEFAULT_PRESET else ""
                    typer.echo(f"  {name:<{width}}  {recipe.description}{default}")


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
        from glitch_render.controls import effect_forms

        for form in effect_forms():
            typer.echo(f"{form.name}: {form.summary}")
            for one in form.controls:
                default = f"{one.default:g}" if one.kind == "number" else one.default
                typer.echo(f"    {one.name} = {default}  {one.help} ({one.limits()})")


@app.command("plugins")
def list_plug_ins() -> None:
    """List what installed packages offer: effects, learners and activations; and what is broken."""
    with _said_plainly():
        from glitch_agents.catalogue import LEARNERS, load_learner
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
            typer.echo(group if found else f"{group}: none is installed")
            for one in found:
                problem = one.problem
                if not problem and one.name in ours:
                    problem = "the name is taken by one of ours"
                if not problem:
                    try:
                        load(one.name)
                    except GlitchError as error:
                        problem = str(error)
                broken = f"\n      cannot be used: {problem}" if problem else ""
                typer.echo(f"    {one.name}  ({one.value}, of {one.package}){broken}")


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
        from glitch_gym.output import check_target
        from glitch_gym.picture import read_picture
        from glitch_render.media import SUFFIXES, write_picture
        from glitch_render.plots import activation_caption, activation_overlay

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
    layer: Annotated[int, typer.Option(min=1, help="Which layer of the recipe, from 1.")] = 1,
    action: Annotated[
        str | None, typer.Option(help="Of rewards, the one action to show, such as same_left.")
    ] = None,
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Plot what a layer's agents see, what they learned, or where they went."""
    with _said_plainly():
        from glitch_gym.errors import SettingError
        from glitch_gym.output import check_target
        from glitch_gym.picture import read_picture
        from glitch_render.corrupt import recipe_files
        from glitch_render.media import SUFFIXES, write_picture
        from glitch_render.studies import plot_layer

        resolved = _resolve_recipe(
            preset, recipe, settings or [], seed, backbone, activation, weights, learners or [],
            trust_paths,
        )  # fmt: skip
        _spare(output, recipe)
        if layer > len(resolved.layers):
            raise SettingError(f"there is no layer {layer}: the recipe has {len(resolved.layers)}")
        named = [source, *recipe_files(resolved)]
        check_target(output, suffixes=SUFFIXES, sources=named, force=force)
        frame = read_picture(source).frame
        with _layer_bars(resolved) as progress:
            drawn = plot_layer(
                kind.value,
                frame,
                resolved,
                layer - 1,
                action=action,
                store=_store(no_cache),
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
    speed: Annotated[float, typer.Option(help="Steps a second.")] = 10.0,
    agents: Annotated[bool, typer.Option("--agents", help="Show where the agents are.")] = False,
    fps: Annotated[str | None, typer.Option(help="Frames a second; 25 by default.")] = None,
    scale: Scale = None,
    preset: Preset = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    seed: Seed = None,
    backbone: Backbone = None,
    activation: ActivationName = None,
    weights: Weights = None,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Show a picture being eaten step by step, layer after layer."""
    with _said_plainly():
        from glitch_render.animate import animate_still, check_speed
        from glitch_render.clip import check_clip_target
        from glitch_render.corrupt import recipe_files

        resolved = _resolve_recipe(
            preset, recipe, settings or [], seed, backbone, activation, weights, learners or [],
            trust_paths,
        )  # fmt: skip
        check_speed(speed)
        _spare(output, recipe)
        check_clip_target(output, source, named=recipe_files(resolved), force=force)
        with _layer_bars(resolved) as learning, _clip_bar() as progress:
            report = animate_still(
                source,
                output,
                resolved,
                _selection(None, None, fps, scale, None),
                speed=speed,
                agents=agents,
                force=force,
                store=_store(no_cache),
                learning=learning,
                progress=progress,
            )
        _say(output, report, resolved.seed)


@app.command("studio")
def studio(
    source: Annotated[
        str | None, typer.Argument(metavar="[PICTURE]", help="A picture or clip to open.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine.")] = 7860,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    learners: Annotated[
        list[str] | None,
        typer.Option(
            "--learner", metavar="MODULE:CLASS", help="A learner of your own that recipes may name."
        ),
    ] = None,
    max_upload: Annotated[
        float, typer.Option(metavar="GB", min=0.001, help="Largest file that the page takes in.")
    ] = 8.0,
    no_cache: NoCache = False,
) -> None:
    """Open the studio: the whole filter in a browser page, for this machine alone."""
    with _said_plainly():
        from glitch_render.studio.server import open_studio

        open_studio(
            port=port,
            browser=browser,
            opening=source,
            store=_store(no_cache),
            learners=_import_learners(learners or []),
            largest_upload=round(max_upload * 1e9),
        )


def main() -> None:
    """Run the command line: exit code 1 for bad input, 2 for wrong usage, 130 for Ctrl-C."""
    app()


if __name__ == "__main__":
    main()
