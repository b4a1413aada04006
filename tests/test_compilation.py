"""The first run on a machine says what it waits for; no folder for its cache is no obstacle."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from PIL import Image
from support.program import PROGRAM

from glitch_gym.compilation import when_compiling


def test_only_the_first_compilation_is_told():
    told = []
    twice, thrice = numba.njit(lambda x: 2 * x), numba.njit(lambda x: 3 * x)
    with when_compiling(lambda: told.append("compiled")):
        assert told == []
        assert twice(2) == 4
        assert thrice(2.0) == 6
    assert told == ["compiled"]
    with when_compiling(lambda: told.append("again")):
        twice(3)
    assert told == ["compiled"]


STILL = ["corrupt", "in.png", "-o", "out.png", "--activation", "edges", "--preset", "post-4"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(256, size=(200, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("in.png")
    return tmp_path


@pytest.mark.slow
def test_a_terminal_reads_once_why_the_first_run_takes_long(folder):
    pty = pytest.importorskip("pty")
    screens = []
    for _ in range(2):
        master, terminal = pty.openpty()
        environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "numba"), "TERM": "xterm"}
        running = subprocess.Popen(
            [*PROGRAM, *STILL, "--force"], stderr=terminal, env=environment | {"COLUMNS": "100"}
        )
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        assert running.wait(timeout=120) == 0
        screens.append(shown.decode())
    told = [one.count("compiling the inner loops") for one in screens]
    # The second run walks with tables from the cache, by what the first compiled
    assert told == [1, 0]


@pytest.mark.slow
def test_without_a_folder_for_any_cache_pictures_are_made_all_the_same(folder):
    """No home, no cache: all is compiled and computed in memory, and one line says so."""
    closed = folder / "closed"
    closed.write_text("a file, where folders would have to be made")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")
    }
    environment |= {
        "HOME": str(closed),
        "XDG_CACHE_HOME": str(closed),
        "GLITCH_GYM_CACHE": str(closed / "cache"),
        "NUMBA_CACHE_DIR": str(closed / "numba"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", *PROGRAM[1:], *STILL],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    warning, made = done.stderr.splitlines()
    assert warning.startswith("warning: the cache takes nothing more, so nothing is kept")
    assert made == "out.png (300×200, seed 0)"
    assert (folder / "out.png").exists()


@pytest.mark.slow
def test_a_processor_without_avx2_makes_the_same_picture(folder):
    """Numba compiles for the oldest processor of the kind, without vectors of 256 bits."""
    pictures = []
    for name, features in (("usual", {}), ("old", {"NUMBA_CPU_NAME": "x86-64"})):
        environment = os.environ | features | {"NUMBA_CACHE_DIR": str(folder / name)}
        subprocess.run([*PROGRAM, *STILL, "--force"], env=environment, check=True)
        pictures.append((folder / "out.png").read_bytes())
    assert pictures[0] == pictures[1]
