"""Measure what a first picture costs: the install, the first run, later runs, and the network.

    python benchmarks/light.py [--repeats 15] [--install]

Times of processes are ratios to ``python -c "import numba, PIL, numpy"``, those of an activation
map to the bare forward pass of its network, taken back to back, so that a noisy neighbour slows
both sides alike; what is printed is the median, least and largest. ``--install`` also makes a fresh
virtual environment from this checkout, which downloads about 200 MB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glitch_gym.activation.cam import class_activation_map, load_backbone, prepare
from glitch_gym.picture import read_picture

ROOT = Path(__file__).resolve().parent.parent
BASE = [sys.executable, "-c", "import numba, PIL, numpy"]
HEIGHT, WIDTH = 1080, 1920


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return the CPU time of one call in this thread."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


def process_seconds(command: list[str], **environment: str) -> float:
    """Return the time of a whole process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    return time.perf_counter() - began


def peak_memory(command: list[str], **environment: str) -> float:
    """Return the peak memory of a process in MiB."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return float(done.stdout)


def row(what: str, values: list[float], unit: str, target: str) -> None:
    """Print a row of the table."""
    spread = f" ({min(values):.2f}…{max(values):.2f})" if len(values) > 1 else ""
    print(f"| {what} | {statistics.median(values):.2f}{spread} {unit} | {target} |", flush=True)


def network(repeats: int) -> None:
    """Compare the map of a 1080p frame with the bare forward pass."""
    image = Image.fromarray(read_picture("sample:balloon").frame)
    frame = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    backbone = load_backbone("efficientnet_lite0")
    x, _ = prepare(frame, backbone)
    class_activation_map(frame)
    ratios, maps = [], []
    for _ in range(repeats):
        bare = cpu_seconds(lambda: backbone.run(x))
        maps.append(cpu_seconds(lambda: class_activation_map(frame)))
        ratios.append(maps[-1] / bare)
    row("map of a 1080p frame, CPU", [1e3 * one for one in maps], "ms", "")
    row("the same ÷ bare forward pass", ratios, "×", "≤ 1.3 ×")


def command_line(folder: Path, repeats: int) -> None:
    """Time ``glitch-gym corrupt`` on a still of 451×300: first run, later runs, memory."""
    still = folder / "still.png"
    Image.fromarray(read_picture("sample:balloon").frame).resize((451, 300)).save(still)
    corrupt = [
        sys.executable, "-m", "glitch_render.cli", "corrupt", str(still),
        "-o", str(folder / "out.png"), "--force",
    ]  # fmt: skip
    places = {
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "GLITCH_GYM_CACHE": str(folder / "cache"),
    }
    row("451×300, first run, numba compiles", [process_seconds(corrupt, **places)], "s", "≤ 6 s")
    warm, fresh = [], []
    for _ in range(repeats):
        base = process_seconds(BASE)
        warm.append(process_seconds(corrupt, **places) / base)
        fresh.append(process_seconds([*corrupt, "--no-cache"], **places) / base)
    row("the same, warm ÷ import numba, PIL, numpy", warm, "×", "≤ 2 ×")
    row("the same, nothing cached but compiled code", fresh, "×", "")
    row("the same, memory", [peak_memory([*corrupt, "--no-cache"], **places)], "MiB", "")
    clip = [*corrupt[:4], str(still), "-o", str(folder / "out.mp4"), "--force", "--no-cache"]
    clip += ["--duration", "4", "--scale", "1080p"]
    row("clip of 4 s from that still, memory", [peak_memory(clip, **places)], "MiB", "≤ 450 MiB")


def imports(repeats: int) -> None:
    """Time what ``import glitch_gym`` adds to gymnasium and numba."""
    added = []
    for _ in range(repeats):
        base = process_seconds([sys.executable, "-c", "import gymnasium, numba"])
        whole = process_seconds([sys.executable, "-c", "import gymnasium, numba, glitch_gym"])
        added.append(whole - base)
    row("import glitch_gym beyond gymnasium and numba", added, "s", "≤ 0.05 s")


def install(folder: Path) -> None:
    """Do what the README's first command does, in a copy of the tracked files."""
    copy = folder / "copy"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = (line for line in readme.splitlines() if "pip install . &&" in line)
    outside = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    outside |= {"XDG_CACHE_HOME": str(folder / "home"), "PIP_CACHE_DIR": str(folder / "pip")}
    began = time.perf_counter()
    subprocess.run(
        ["bash", "-euc", command], cwd=copy, check=True, capture_output=True, env=outside
    )
    row("README command 1, with its first run", [time.perf_counter() - began], "s", "≤ 35 s")
    size = sum(
        file.stat().st_blocks * 512 for file in (copy / ".venv").rglob("*") if not file.is_symlink()
    )
    row("its virtual environment", [size / 1e9], "GB", "≤ 0.75 GB")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    print("| what | measured | target |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        if options.install:
            install(Path(folder))
        network(options.repeats)
        command_line(Path(folder), options.repeats)
        imports(options.repeats)


if __name__ == "__main__":
    main()
