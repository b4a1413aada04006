"""Real clusters on this machine: two nodes of Ray, and a scheduler of Dask with two workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.browser import free_port
from support.clips import make_clip, scene
from support.program import PROGRAM

from glitch_render import Layer, Recipe

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clusters")]

RECIPE = Recipe(
    layers=[
        Layer(grid=(9, 16), fit="stretch", iterations=80, agents=60, preserve=True,
              effects={"same": {}, "invert": {}}),
    ],
    activation="edges",
    seed=5,
)  # fmt: skip
# A token in the home folder, which any `ray.init()` leaves there, locks a cluster that is started
# later, and who names its address is not given the token
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_AUTH_MODE": "disabled"}


def beside(name):
    """Return a program that is installed beside this Python."""
    return str(Path(sys.executable).parent / name)


@contextlib.contextmanager
def started(*commands, folder):
    """Start programs in process groups of their own, and end them all."""
    running = []
    try:
        for number, words in enumerate(commands):
            with (folder / f"said-{number}.txt").open("w") as said:
                running.append(
                    subprocess.Popen(
                        words, stdout=said, stderr=said, start_new_session=True,
                        env=os.environ | QUIET,
                    )
                )  # fmt: skip
            time.sleep(1)
        yield running
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def dask(folder):
    pytest.importorskip("distributed", reason="needs pip install 'glitch-gym[dask]'")
    address = f"tcp://127.0.0.1:{free_port()}"
    worker = [
        beside("dask"), "worker", address, "--nthreads", "1", "--host", "127.0.0.1",
        "--no-dashboard", "--local-directory", str(folder),
    ]  # fmt: skip
    scheduler = [
        beside("dask"), "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2],
        "--no-dashboard",
    ]  # fmt: skip
    with started(scheduler, worker, worker, folder=folder) as running:
        yield f"dask:{address}", running[1:]


@contextlib.contextmanager
def ray(folder):
    pytest.importorskip("ray", reason="needs pip install 'glitch-gym[ray]'")
    port = free_port()
    common = ["--num-cpus=1", "--disable-usage-stats", "--block", "--object-store-memory=80000000"]
    head = [
        beside("ray"), "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}",
        "--include-dashboard=false", *common,
    ]  # fmt: skip
    node = [
        beside("ray"), "start", f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.1",
        *common,
    ]  # fmt: skip
    with started(head, folder=folder) as running:
        wait_for(port)
        more = folder / "node"
        more.mkdir()
        with started(node, folder=more) as second:
            yield f"ray:127.0.0.1:{port}", [*second, *running]


def wait_for(port):
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail("the cluster does not start")


CLUSTERS = {"dask": dask, "ray": ray}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A clip of four segments, its recipe, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("footage")
    clip = make_clip(folder / "in.mp4", scene(900, 160, 90, cut=400), rate=25, sounds=[330])
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.to_toml())
    alone = folder / "alone.mp4"
    words = [*PROGRAM, "corrupt", str(clip), "--recipe", str(recipe)]
    subprocess.run([*words, "-o", str(alone)], check=True, capture_output=True)
    return words, alone.read_bytes()


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_makes_the_same_file(tmp_path, footage, name):
    words, expected = footage
    with CLUSTERS[name](tmp_path) as (cluster, _):
        out = tmp_path / "out.mp4"
        said = subprocess.run(
            [*words, "-o", str(out), "--cluster", cluster], capture_output=True, text=True,
            env=os.environ | QUIET, timeout=240,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        assert out.read_bytes() == expected
        assert "Traceback" not in said.stderr


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_worker_or_node_that_is_killed_changes_no_byte(tmp_path, footage, name):
    words, expected = footage
    with CLUSTERS[name](tmp_path) as (cluster, victims):
        out = tmp_path / "out.mp4"
        with (tmp_path / "said.txt").open("w") as said:
            running = subprocess.Popen(
                [*words, "-o", str(out), "--cluster", cluster, "--no-cache"],
                stderr=said, env=os.environ | QUIET,
            )  # fmt: skip
        job = tmp_path / ".out.mp4.parts" / "job" / "job.json"
        while not job.exists() and running.poll() is None:
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(victims[0].pid, signal.SIGKILL)
        assert running.wait(240) == 0, (tmp_path / "said.txt").read_text()
        assert out.read_bytes() == expected


def test_what_a_killed_parent_left_is_finished_by_another_engine(tmp_path, footage):
    words, expected = footage
    out = tmp_path / "out.mp4"
    with dask(tmp_path) as (cluster, _):
        running = subprocess.Popen(
            [*words, "-o", str(out), "--cluster", cluster], stderr=subprocess.DEVNULL
        )
        while not list(tmp_path.glob(".out.mp4.parts/part-*")) and running.poll() is None:
            time.sleep(0.02)
        running.kill()
        running.wait()
    said = subprocess.run(
        [*words, "-o", str(out), "--jobs", "2", "--resume"], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert out.read_bytes() == expected


def test_a_cluster_that_is_not_there_is_told_in_a_line(tmp_path, footage):
    pytest.importorskip("distributed", reason="needs pip install 'glitch-gym[dask]'")
    words, _ = footage
    said = subprocess.run(
        [*words, "-o", str(tmp_path / "out.mp4"), "--cluster", f"dask:tcp://127.0.0.1:{free_port()}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr.startswith("error: cannot reach Dask at tcp://127.0.0.1:")
    assert said.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()) or not (tmp_path / "out.mp4").exists()
