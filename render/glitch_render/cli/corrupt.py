"""Commands that write corrupted pictures and clips: corrupt, replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glitch_render.cli.app import app
from glitch_render.cli.errors import said_plainly
from glitch_render.cli.options import (
    ActivationName,
    Backbone,
    Cluster,
    Device,
    DeviceName,
    Force,
    Jobs,
    NoCache,
    OwnLearners,
    Preset,
    RecipeFile,
    Scale,
    Seed,
    Settings,
    TrustPaths,
    Weights,
    chosen_activation,
    chosen_engine,
    make_selection,
    makes_clip,
    open_cache,
    resolve_recipe,
    spare,
)
from glitch_render.cli.progress import clip_bar, compilation_noted, layer_bars

if TYPE_CHECKING:
    from glitch_render.cache import Cache
    from glitch_render.episodes.episode import Episode
    from glitch_render.parallel.engines import Engine
    from glitch_render.recipe.model import Recipe
    from glitch_render.video.render import Report
    from glitch_render.video.selection import ExportOptions, Selection

__all__ = ["say"]


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
    device: Device = DeviceName.cpu,
    learners: OwnLearners = None,
    trust_paths: TrustPaths = False,
    force: Force = False,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start of the range: seconds, M:S or H:M:S.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End of the range.")] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            help="Frames per second, such as 25 or 30000/1001; a clip keeps its own by default."
        ),
    ] = None,
    scale: Scale = None,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Make a clip of this length from a still."),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Write the frame at this time as a picture."),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Keep the sound, or drop it.")
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
        bool, typer.Option("--resume", help="Resume the same render after it was stopped.")
    ] = False,
    jobs: Jobs = None,
    cluster: Cluster = None,
    save_episode: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the walks over a picture as .npz, for `replay`."),
    ] = None,
    no_cache: NoCache = False,
) -> None:
    """Corrupt a picture or a clip with a preset or a recipe."""
    with said_plainly():
        resolved = resolve_recipe(
            preset, recipe, settings or [], seed, chosen_activation(backbone, activation), weights,
            learners or [], trust_paths,
        )  # fmt: skip
        selection = make_selection(start, end, fps, scale, duration)
        spare(output, recipe)
        cache = open_cache(no_cache)
        if preview is not None:
            _preview(source, output, resolved, selection, preview, force, cache)
            return
        if makes_clip(source, output, duration):
            if save_episode is not None:
                raise typer.BadParameter("--save-episode works with pictures, not with clips")
            from glitch_render.video.selection import ExportOptions

            options = ExportOptions(
                codec=codec, crf=crf, encoder_preset=encoder_preset, sound=audio, strict=strict,
                resume=resume, force=force,
            )  # fmt: skip
            engine = chosen_engine(jobs, cluster)
            _corrupt_clip(source, output, resolved, selection, options, cache, engine)
            return
        for name, given in (
            ("jobs", jobs), ("cluster", cluster),
            ("start", start), ("end", end), ("fps", fps), ("scale", scale), ("codec", codec),
            ("crf", crf), ("encoder-preset", encoder_preset),
        ):  # fmt: skip
            if given is not None:
                raise typer.BadParameter(f"--{name} works with clips, but {source} is a still")
        _corrupt_still(source, output, resolved, cache, force, save_episode)


def _corrupt_still(
    source: str,
    output: Path,
    recipe: Recipe,
    cache: Cache | None,
    force: bool,
    walks: Path | None,
) -> None:
    from glitch_gym.output import check_target
    from glitch_render.episodes.episode import save_episode
    from glitch_render.stills import corrupt_picture

    if walks is not None:
        check_target(walks, suffixes=(".npz",), sources=[source], force=force)
    with compilation_noted(), layer_bars(recipe) as progress:
        frame, episode, notes = corrupt_picture(
            source, output, recipe, force=force, cache=cache, progress=progress
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
            help="An .npz from `corrupt --save-episode` or RecordEpisode, or a .toml script.",
        ),
    ],
    source: Annotated[str, typer.Argument(metavar="IN", help="A picture or a clip.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="As for `corrupt`.")
    ],
    force: Force = False,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Make a clip of this length from a still."),
    ] = None,
) -> None:
    """Replay an episode or a script on a picture, or on a clip at one step per frame."""
    with said_plainly():
        from glitch_render.episodes.playback import replay_episode
        from glitch_render.media.footage import open_footage
        from glitch_render.media.formats import SUFFIXES
        from glitch_render.media.pictures import write_picture
        from glitch_render.video.painter import open_episode_painter
        from glitch_render.video.render import write_clip
        from glitch_render.video.selection import ExportOptions

        if makes_clip(source, output, duration):
            selection = make_selection(None, None, None, None, duration)
            footage = open_footage(source, duration=duration)
            loaded = _episode(episode, footage.height, footage.width)
            with compilation_noted(), clip_bar() as progress:
                report = write_clip(
                    source,
                    output,
                    lambda opened, chosen: open_episode_painter(
                        source, loaded, chosen, footage=opened
                    ),
                    selection,
                    ExportOptions(force=force),
                    progress=progress,
                    named=[str(episode)],
                )
            say(output, report, loaded.seed)
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
    """Read an episode, or walk a script over a picture of the given size."""
    if path.suffix.lower() != ".toml":
        from glitch_render.episodes.episode import load_episode

        return load_episode(path)
    from glitch_render.episodes.script import read_script, script_episode

    script, text = read_script(path)
    return script_episode(script, height, width, text=text, origin=str(path))


def _corrupt_clip(
    source: str,
    output: Path,
    recipe: Recipe,
    selection: Selection,
    options: ExportOptions,
    cache: Cache | None,
    engine: Engine | None,
) -> None:
    from glitch_render.video.render import corrupt_clip

    with compilation_noted(), clip_bar() as progress:
        report = corrupt_clip(
            source,
            output,
            recipe,
            selection,
            options,
            cache=cache,
            progress=progress,
            executor=engine,
        )
    say(output, report, recipe.seed)


def say(output: Path, report: Report, seed: int) -> None:
    """Print notes, warnings and a summary of the written clip."""
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
    cache: Cache | None,
) -> None:
    from glitch_gym.output import check_target
    from glitch_gym.picture import Picture
    from glitch_render.layers import recipe_files
    from glitch_render.media.formats import SUFFIXES
    from glitch_render.media.pictures import write_picture
    from glitch_render.media.sources import source_files
    from glitch_render.video.painter import preview_frame
    from glitch_render.video.selection import parse_seconds

    read: list[str | Path] = [source, *source_files(source), *recipe_files(recipe)]
    check_target(output, suffixes=SUFFIXES, sources=read, force=force)
    time = parse_seconds(at)
    with compilation_noted(), clip_bar() as progress:
        frame, alpha = preview_frame(
            source, recipe, time, selection, cache=cache, progress=progress
        )
    write_picture(output, frame, like=Picture(frame, alpha), recipe=recipe, force=force)
    typer.echo(f"{output} ({frame.shape[1]}×{frame.shape[0]}, at {float(time):g} s)", err=True)
