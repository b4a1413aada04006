"""Work on many processes: two jobs beside one, a batch beside a shell loop, and what a part costs.

Every figure is a ratio of times taken one after the other in this run, or a size. The clip is made
here, one minute at 1080p; the photographs are noise laid over a sample, 12 megapixels each.

Run it from the root of the repository: python benchmarks/many.py [--seconds 60] [--photos 12]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from PIL import Image

from glitch_gym.picture import read_picture
from glitch_render import ExportOptions, corrupt_clip, load_preset
from glitch_render.batches.run import BatchOptions, batch
from glitch_render.media import codecs
from glitch_render.parallel.engines import local_engine
from glitch_render.parallel.runner import Task, run_tasks

PRESET = "undertow"


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def make_clip(path: Path, seconds: int) -> None:
    """Write a clip at 1080p: a photograph that drifts, with a cut every four seconds."""
    wide = np.asarray(Image.fromarray(read_picture("sample:coffee").frame).resize((2600, 1600)))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(25 * seconds):
            x, y = 2 * number % 600, (number // 100 * 97) % 500
            frame = np.ascontiguousarray(wide[y : y + 1080, x : x + 1920])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def one_thread(*arguments: Any, **options: Any) -> dict[str, str]:
    """Return the usual options of the encoder, with one thread."""
    return _usual(*arguments, **options) | {"threads": "1"}


_usual = codecs._encoder_options


def clip_rows(folder: Path, seconds: int) -> None:
    """Time a clip with one and with two jobs, and look at the memory."""
    source, outputs = folder / "in.mp4", {}
    make_clip(source, seconds)
    recipe = load_preset(PRESET)
    times = {}
    with mock.patch.object(codecs, "_encoder_options", one_thread):
        for jobs in (1, 2, 1, 2):
            out = folder / f"{jobs}.mp4"
            stages: dict[str, float] = {}

            def progress(now: Any, stages: dict[str, float] = stages) -> None:
                stages.setdefault(now.stage, time.perf_counter())

            took = timed(
                lambda out=out, jobs=jobs, progress=progress: corrupt_clip(
                    str(source), out, recipe, options=ExportOptions(force=True),
                    executor=local_engine(jobs), progress=progress,
                )
            )  # fmt: skip
            painting = stages["joining"] - stages["painting"]
            times.setdefault(jobs, []).append((took, painting))
            outputs[jobs] = out.read_bytes()
            print(f"  {jobs} jobs: {took:6.1f} s, of these painting {painting:6.1f} s", flush=True)
    whole = min(one for one, _ in times[1]) / min(one for one, _ in times[2])
    painted = min(one for _, one in times[1]) / min(one for _, one in times[2])
    print(f"{seconds} s of 1080p, 2 jobs ÷ 1: painting {painted:.2f} ×, whole {whole:.2f} ×")
    print(f"same bytes: {outputs[1] == outputs[2]}")
    for who, name in ((resource.RUSAGE_SELF, "parent"), (resource.RUSAGE_CHILDREN, "worker")):
        print(f"peak of the {name}: {resource.getrusage(who).ru_maxrss / 1024:.0f} MiB")


def batch_rows(folder: Path, photos: int) -> None:
    """Time a batch beside a shell loop over single commands, a photograph."""
    rng = np.random.default_rng(0)
    base = Image.fromarray(read_picture("sample:chelsea").frame).resize((4000, 3000))
    pictures = folder / "photos"
    pictures.mkdir()
    for number in range(photos):
        noise = rng.integers(-6, 7, (3000, 4000, 1), np.int16)
        frame = np.clip(np.roll(np.asarray(base), 97 * number, axis=1) + noise, 0, 255)
        Image.fromarray(frame.astype(np.uint8)).save(pictures / f"{number:03}.jpg", quality=92)
    few = sorted(pictures.iterdir())[: max(3, photos // 4)]
    recipe = load_preset(PRESET)

    def loop() -> None:
        for one in few:
            subprocess.run(
                [sys.executable, "-m", "glitch_render.cli", "corrupt", str(one), "--no-cache", "-f",
                 "-o", str(folder / one.name), "--preset", PRESET],
                check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    alone = timed(loop) / len(few)
    for jobs in (1, 2):
        began = time.perf_counter()
        rows = batch(
            [str(pictures)], folder / f"out-{jobs}", recipe, BatchOptions(cache=False),
            executor=local_engine(jobs),
        )  # fmt: skip
        took = time.perf_counter() - began
        assert all(row.status == "done" for row in rows), rows
        print(
            f"batch of {photos} photographs of 12 megapixels, {jobs} jobs: {took / photos:.2f} s "
            f"each; the shell loop {alone:.2f} s: {alone * photos / took:.2f} ×",
            flush=True,
        )


def part_rows() -> None:
    """Time what the runner and an engine add to a part, with work that takes none."""
    tasks = [Task(str(n), "glitch_render.parallel.threads:usable_cores", ()) for n in range(2000)]
    engine = local_engine(2)
    first = timed(lambda: run_tasks(tasks[:2], engine, lambda task, result: None))
    all_of_them = timed(lambda: run_tasks(tasks, engine, lambda task, result: None))
    print(f"overhead of a part: {1000 * (all_of_them - first) / 1998:.2f} ms; start {first:.1f} s")


def main() -> None:
    """Print all of them."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--seconds", type=int, default=60)
    words.add_argument("--photos", type=int, default=12)
    given = words.parse_args()
    print(f"{os.cpu_count()} cores, preset {PRESET}")
    with tempfile.TemporaryDirectory() as name:
        part_rows()
        clip_rows(Path(name), given.seconds)
        batch_rows(Path(name), given.photos)


if __name__ == "__main__":
    main()
