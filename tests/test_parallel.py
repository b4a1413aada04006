"""Segments on many workers: the same bytes, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.clips import frames_of, make_clip, scene
from support.program import PROGRAM, refused

from glitch_gym.errors import EngineError, GlitchError, PictureError, SettingError
from glitch_render import ExportOptions, Layer, Recipe, Selection, corrupt_clip
from glitch_render.parallel.engines import Engine, as_engine, local_engine, open_engine
from glitch_render.parallel.runner import Task, run_tasks
from glitch_render.parallel.worker import call

RECIPE = Recipe(
    layers=[
        Layer(grid=(9, 16), fit="stretch", iterations=80, agents=60, preserve=True,
              effects={"same": {}, "invert": {}}),
        Layer(grid=(18, 32), fit="stretch", iterations=80, agents=90, repeat_agents=True,
              effects={"pixelate": {}, "echo": {}}),
    ],
    activation="edges",
    seed=5,
)  # fmt: skip
SHORT = ExportOptions(segment=7)


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "in.mp4", scene(40, cut=22), rate=20, sounds=[440])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ""])
def test_the_output_is_the_same_on_any_executor(tmp_path, clip, suffix):
    alone, shared = tmp_path / f"alone{suffix}", tmp_path / f"shared{suffix}"
    corrupt_clip(str(clip), alone, RECIPE, options=SHORT)
    seen = []
    with ThreadPoolExecutor(3) as threads:
        corrupt_clip(
            str(clip), shared, RECIPE, options=SHORT, executor=threads, progress=seen.append
        )
    if suffix == ".mkv":
        # The muxer's own random numbers; what it holds is the same
        np.testing.assert_array_equal(frames_of(alone)[0], frames_of(shared)[0])
    elif suffix:
        assert shared.read_bytes() == alone.read_bytes()
    else:
        assert [one.read_bytes() for one in sorted(shared.iterdir())] == [
            one.read_bytes() for one in sorted(alone.iterdir())
        ]
    painting = [now.done for now in seen if now.stage == "painting"]
    assert painting[0] == 0
    assert painting[-1] == 40
    assert painting == sorted(painting)
    assert not list(tmp_path.glob(".*.parts"))


def test_processes_make_the_same_file_as_one(tmp_path, clip):
    corrupt_clip(str(clip), tmp_path / "alone.mp4", RECIPE, options=SHORT)
    corrupt_clip(str(clip), tmp_path / "two.mp4", RECIPE, options=SHORT, executor=local_engine(2))
    assert (tmp_path / "two.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_what_one_engine_left_another_goes_on_with(tmp_path, clip):
    corrupt_clip(str(clip), tmp_path / "alone.mp4", RECIPE, options=SHORT)
    out = tmp_path / "out.mp4"

    def stop(now):
        if now.stage == "painting" and now.done >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(2) as threads:
        corrupt_clip(str(clip), out, RECIPE, options=SHORT, executor=threads, progress=stop)
    assert not out.exists()
    before = sorted(path.name for path in (tmp_path / ".out.mp4.parts").glob("part-*"))
    assert len(before) >= 2
    again = ExportOptions(segment=7, resume=True)
    first = []
    corrupt_clip(str(clip), out, RECIPE, options=again, progress=first.append)
    assert next(now.done for now in first if now.stage == "painting") >= 14
    assert out.read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_a_range_of_a_scaled_clip_is_the_same_too(tmp_path, clip):
    chosen = Selection(Fraction(1, 2), Fraction(9, 5), Fraction(10), "50%")
    corrupt_clip(str(clip), tmp_path / "alone.mp4", RECIPE, chosen, SHORT)
    with ThreadPoolExecutor(2) as threads:
        corrupt_clip(str(clip), tmp_path / "out.mp4", RECIPE, chosen, SHORT, executor=threads)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


class Lossy(Executor):
    """Threads of which every third task is lost, as if a worker had been killed.

    Args:
        losses: how many more are lost.
    """

    def __init__(self, losses):
        self._threads = ThreadPoolExecutor(2)
        self.losses = losses
        self.count = 0

    def submit(self, fn, /, *args, **kwargs):
        self.count += 1
        if self.count % 3 == 0 and self.losses:
            self.losses -= 1
            lost = Future()
            lost.set_exception(BrokenExecutor("a worker is gone"))
            return lost
        return self._threads.submit(fn, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)


def lossy_engine(losses):
    left = [losses]

    def opened():
        made = Lossy(min(1, left[0]))
        left[0] -= made.losses
        return made

    return Engine("lossy", opened, lambda executor: executor.shutdown(cancel_futures=True))


def test_lost_workers_are_replaced_and_nothing_is_lost(tmp_path, clip):
    corrupt_clip(str(clip), tmp_path / "alone.mp4", RECIPE, options=SHORT)
    corrupt_clip(str(clip), tmp_path / "out.mp4", RECIPE, options=SHORT, executor=lossy_engine(2))
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_workers_that_are_lost_again_and_again_are_told_once():
    tasks = [Task(f"part {number}", "glitch_render.cache:cache_key", ()) for number in range(9)]

    class Gone(Executor):
        def submit(self, fn, /, *args, **kwargs):
            raise BrokenExecutor("gone")

    engine = Engine("gone", Gone, lambda _: None)
    with pytest.raises(EngineError, match="the workers were lost 4 times in a row"):
        run_tasks(tasks, engine, lambda task, result: None)


def test_a_task_is_tried_three_times_and_fails_alone():
    tried, over, failed = [], [], []

    class Stubborn(ThreadPoolExecutor):
        def submit(self, fn, /, *given, **options):
            _, (number,), _ = given

            def work():
                tried.append(number)
                if number == 2:
                    raise OSError("the disk went away")
                return number

            return super().submit(work)

    tasks = [Task(str(n), "glitch_render.none:none", (n,), size=n) for n in range(5)]
    with Stubborn(1) as executor:
        run_tasks(
            tasks,
            as_engine(executor),
            lambda task, result: over.append(result),
            failed=lambda task, error: failed.append((task.name, str(error))),
        )
    assert sorted(over) == [0, 1, 3, 4]
    assert tried[:2] == [4, 3], "the longest first"
    assert tried.count(2) == 3
    assert failed == [("2", "the disk went away")]


def test_a_source_that_changes_between_parts_is_noticed(tmp_path, clip):
    class Meddling(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            future = super().submit(fn, *args, **kwargs)
            future.exception()
            make_clip(clip, scene(40, still=True), rate=20)
            return future

    with Meddling(1) as executor, pytest.raises(PictureError, match="is not the file that it was"):
        corrupt_clip(str(clip), tmp_path / "out.mp4", RECIPE, options=SHORT, executor=executor)
    assert not (tmp_path / "out.mp4").exists()


def test_a_disk_that_workers_do_not_share_is_told_before_any_work(tmp_path, clip, monkeypatch):
    class Elsewhere(ThreadPoolExecutor):
        """Workers to which every path leads into another folder."""

        def submit(self, fn, /, *given, **options):
            function, arguments, own_cache = given
            moved = tuple(
                one.replace(str(tmp_path), str(tmp_path / "elsewhere"))
                if isinstance(one, str) else one
                for one in arguments
            )  # fmt: skip
            return super().submit(fn, function, moved, own_cache)

    with Elsewhere(1) as executor, pytest.raises(EngineError, match=r"cannot read .* same path"):
        corrupt_clip(str(clip), tmp_path / "out.mp4", RECIPE, options=SHORT, executor=executor)


def test_a_worker_of_another_version_is_refused(tmp_path, clip):
    class Older(ThreadPoolExecutor):
        def submit(self, fn, /, *given, **options):
            def work():
                found = fn(*given)
                return found | {"PyAV": "9.0"} if given[0].endswith(":greet") else found

            return super().submit(work)

    with Older(1) as executor, pytest.raises(EngineError, match=r"a worker has PyAV 9\.0"):
        corrupt_clip(str(clip), tmp_path / "out.mp4", RECIPE, options=SHORT, executor=executor)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ray://host:10001", "is no cluster|ray job submit"),
        ("ray:ray://host:10001", "ray job submit"),
        ("ray:nonsense", "is no address"),
        ("dask:host:8786", "is no address"),
        ("dask:", "is no address"),
        ("slurm", "is no cluster"),
        ("no_such_module:function", "cannot load"),
        ("os:getcwd", "which is no executor"),
        ("os:abort.x", "cannot load"),
        ("", "is no cluster"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_told(text, words):
    with pytest.raises(GlitchError, match=words):
        open_engine(text).open()


def test_without_a_cluster_in_the_environment_auto_says_so(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(SettingError, match="both empty"):
        open_engine("auto")


def test_a_task_names_work_of_this_package_alone():
    with pytest.raises(ValueError, match="no work of this package"):
        call("os:system", ("true",), False)


def test_jobs_and_cluster_exclude_each_other(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused("corrupt", clip, "-o", "out.mp4", "--jobs", "2", "--cluster", "auto", code=2)
    assert "not both" in said


@pytest.mark.slow
def test_killed_workers_and_a_killed_parent_change_no_byte(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", scene(600, 320, 180, cut=300), rate=25)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.to_toml())
    words = [*PROGRAM, "corrupt", str(clip), "--recipe", str(recipe)]
    alone, out = tmp_path / "alone.mp4", tmp_path / "out.mp4"
    subprocess.run([*words, "-o", str(alone)], check=True, capture_output=True)
    for victim in ("worker", "parent", "worker"):
        more = ["--jobs", "2", "--resume", "--no-cache", "-f"]
        with (tmp_path / "said.txt").open("w") as said:
            running = subprocess.Popen([*words, "-o", str(out), *more], stderr=said)
        job = tmp_path / ".out.mp4.parts" / "job" / "job.json"
        while not job.exists() and running.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        if victim == "parent":
            running.kill()
            running.wait()
            continue
        workers = children(running.pid)
        if workers:
            os.kill(workers[-1], signal.SIGKILL)
        assert running.wait(120) == 0, (tmp_path / "said.txt").read_text()
        assert out.read_bytes() == alone.read_bytes()
        out.unlink()


def children(process):
    """Return the processes of loky's workers."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == process and b"loky" in words and b"tracker" not in words:
            found.append(int(folder.name))
    return sorted(found)


if sys.platform != "linux":
    del test_killed_workers_and_a_killed_parent_change_no_byte
