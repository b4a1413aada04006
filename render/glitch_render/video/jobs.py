"""The job of a clip: what a worker needs to render any part of it, in a folder beside the parts.

The parent looks through the footage, learns, and chooses the encoding; networks and learning stay
with it, since the last bits of what they compute differ between processors. What it found is
written as JSON and plain arrays. A worker opens the source itself, renders frames of it, and moves
the finished part into place, so that a task is a few bytes, and can be done twice without harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

import glitch_gym
from glitch_agents.policy import QTable
from glitch_gym.activation import is_activation_name
from glitch_gym.dynamics import GridWorld, grid_world
from glitch_gym.errors import ArrayFileError, EngineError, OutputError, PictureError
from glitch_gym.npz import describe, encode_arrays, read_arrays, read_description
from glitch_gym.output import write_bytes
from glitch_render.cache import code_digest
from glitch_render.media.codecs import Encoding
from glitch_render.media.footage import Footage, file_digest
from glitch_render.parallel.engines import Engine
from glitch_render.parallel.runner import Task, run_tasks
from glitch_render.recipe.model import Recipe
from glitch_render.recipe.toml import parse_recipe
from glitch_render.video.painter import Painter, assemble_painter
from glitch_render.video.scan import FootageScan
from glitch_render.video.segments import Segment, write_segments
from glitch_render.video.selection import Selection, parse_scale

__all__ = ["PartReport", "greet", "render_part", "render_segments", "write_job"]

_JOB = "job.json"
_SCAN = "scan.npz"
_FORMAT, _VERSION = "glitch-gym learned layer", 1
_HELD = 8
"""Worlds and policies that a worker holds at a time."""


@dataclass(frozen=True)
class _Job:
    """A job, as it is written.

    Args:
        key: key of the parts that it belongs to.
        footage: source of the frames, with absolute paths.
        digest: digest of the source's files.
        selection: which frames, and how large.
        encoding: how they are encoded.
        recipe: the recipe as plain data, its learners left out and its paths absolute.
        end: time at which the last frame ends, of the scan.
        since: time at which the scan began.
        seekable: whether frames can be found again by their times.
    """

    key: str
    footage: Footage
    digest: str
    selection: Selection
    encoding: Encoding
    recipe: dict[str, Any]
    end: int
    since: int | None
    seekable: bool


@dataclass(frozen=True)
class PartReport:
    """What became of a part.

    Args:
        frames: number of its frames.
        digest: digest of its bytes.
        seconds: time that it took.
    """

    frames: int
    digest: str
    seconds: float


_jobs = TypeAdapter(_Job)


def _absolute(path: str) -> str:
    return path if path.startswith("sample:") else str(Path(path).absolute())


def _portable(recipe: str) -> dict[str, Any]:
    """Return a recipe as data that means the same in another folder and without its learners."""
    data = tomllib.loads(recipe)
    named = data.get("activation")
    if isinstance(named, str) and not is_activation_name(named):
        data["activation"] = _absolute(named)
    data.pop("weights", None)
    for layer in data["layers"]:
        layer.pop("learner", None)
        if "mask" in layer:
            layer["mask"] = _absolute(layer["mask"])
    return data


def write_job(
    folder: Path, key: str, painter: Painter, encoding: Encoding, selection: Selection
) -> None:
    """Write the job of a clip.

    Args:
        folder: folder of the job, made if missing.
        key: key of the parts that it belongs to.
        painter: painter of the clip.
        encoding: how its frames are encoded.
        selection: which frames, and how large.

    Raises:
        OutputError: the folder cannot be written.
    """
    scan = painter.scan
    folder.mkdir(exist_ok=True)
    paths = tuple(map(_absolute, painter.footage.paths))
    footage = replace(painter.footage, paths=paths)
    job = _Job(
        key, footage, file_digest(painter.footage), selection, encoding,
        _portable(painter.recipe), scan.end, scan.since, scan.seekable,
    )  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {
        "times": scan.times, "cuts": scan.cuts, "samples": scan.samples,
        "of_best": scan.of_best, "of_all": scan.of_all,
    }  # fmt: skip
    write_bytes(folder / _SCAN, encode_arrays(arrays), sync=False)
    # The last, so that a job that can be opened is whole
    write_bytes(folder / _JOB, _jobs.dump_json(job, indent=1), sync=False)


def _write_learned(folder: Path, painter: Painter, shot: int, index: int) -> None:
    """Learn a layer in a shot, and write what was learned, unless an earlier run did."""
    path = folder / _learned_name(shot, index)
    if path.exists():
        return
    assert painter.learned is not None
    world, table = painter.learned(shot, index)
    about = {
        "format": _FORMAT, "version": _VERSION, "ties": table.ties, "epsilon": table.epsilon,
        "temperature": table.temperature,
    }  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {
        "field": world.reward_field, "activation": world.activation, "values": table.values,
    }  # fmt: skip
    write_bytes(path, encode_arrays({**arrays, **describe(about)}, compressed=False), sync=False)


def _tasks_as_learned(
    folder: Path, key: str, painter: Painter, segments: Sequence[Segment]
) -> Iterator[Task]:
    """Yield each segment's task once all that its frames can need is learned and written."""
    places = iter(painter.places)
    following = next(places, None)
    for one in segments:
        shot = painter.shot_of(one.last - 1)
        while following is not None and following[0] <= shot:
            _write_learned(folder, painter, *following)
            following = next(places, None)
        yield Task(
            one.path.name,
            "glitch_render.video.jobs:render_part",
            (str(folder), key, one.first, one.last, one.path.name),
        )


def _learned_name(shot: int, index: int) -> str:
    return f"learned-{shot:06d}-{index:02d}.npz"


class _Learned:
    """Worlds and policies of a job, read as they are needed."""

    def __init__(self, folder: Path, recipe: Recipe, size: tuple[int, int]) -> None:
        self._folder, self._recipe = folder, recipe
        self._width, self._height = size
        self._held: OrderedDict[tuple[int, int], tuple[GridWorld, QTable]] = OrderedDict()

    def __call__(self, shot: int, index: int) -> tuple[GridWorld, QTable]:
        """Return the world and the policy of a layer in a shot."""
        place = (shot, index)
        if place in self._held:
            self._held.move_to_end(place)
            return self._held[place]
        path = self._folder / _learned_name(shot, index)
        arrays = read_arrays(path, "learned layer")
        about = read_description(arrays, path, "learned layer", kind=_FORMAT, version=_VERSION)
        settings = self._recipe.layers[index].world_settings()
        world = grid_world(
            settings.grid_over(self._height, self._width),
            settings.actions,
            arrays["field"],
            exit_reward=settings.leaving_reward,
            prohibited_reward=settings.prohibited_reward,
            activation=arrays["activation"],
        )
        table = QTable(
            arrays["values"],
            ties=about["ties"],
            epsilon=about["epsilon"],
            temperature=about["temperature"],
        )
        self._held[place] = (world, table)
        while len(self._held) > _HELD * len(self._recipe.layers):
            self._held.popitem(last=False)
        return world, table


# A painter goes from frame to frame, so that each thread needs its own
_last = threading.local()


def _recall_job(folder: str, key: str) -> tuple[Painter, Encoding]:
    """Return a job's painter and encoding; the last one stays open, so that it is read on."""
    if getattr(_last, "place", None) != (folder, key):
        _last.place = None
        _last.opened = _open_job(folder, key)
        _last.place = (folder, key)
    opened: tuple[Painter, Encoding] = _last.opened
    return opened


def _open_job(folder: str, key: str) -> tuple[Painter, Encoding]:
    try:
        job = _jobs.validate_json((Path(folder) / _JOB).read_bytes())
        scan = read_arrays(Path(folder) / _SCAN, "scan")
    except (OSError, ValidationError, ArrayFileError) as error:
        raise EngineError(f"a worker cannot read the job in {folder}: {error}") from error
    if job.key != key:
        raise EngineError(f"the job in {folder} is another by now")
    footage = job.footage
    _check_source(footage, job.digest)
    found = FootageScan(
        scan["times"], job.end, scan["cuts"], scan["samples"], scan["of_best"], scan["of_all"],
        job.since, job.seekable, (),
    )  # fmt: skip
    recipe = parse_recipe(job.recipe, "the job")
    size = parse_scale(job.selection.scale, footage.width, footage.height)
    learned = _Learned(Path(folder), recipe, size)
    painter = assemble_painter(footage, found, recipe, job.selection, learned)
    return painter, job.encoding


def _check_source(footage: Footage, digest: str) -> None:
    """Raise an error for a source that is gone, or another than when the render began."""
    try:
        found = file_digest(footage)
    except OSError as error:
        raise EngineError(
            f"a worker cannot read {footage.name}: {error.strerror or error}; all machines need it "
            f"under this path",
            path=footage.name,
        ) from error
    if found != digest:
        raise PictureError(
            f"{footage.name} is not the file that it was when the render began", path=footage.name
        )


def _part_digest(path: Path) -> str:
    """Return a digest of a part: of its file, or of the files in its folder."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(f"{file.name}\n".encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def greet(folder: str) -> dict[str, str]:
    """Return a worker's versions and the token in a job's folder, before any work is given to it.

    Args:
        folder: folder of the job.
    """
    token = Path(folder) / "token"
    with contextlib.suppress(OSError):
        return _versions() | {"token": token.read_text(encoding="utf-8")}
    return _versions() | {"token": ""}


def _versions() -> dict[str, str]:
    return {
        "glitch-gym": f"{glitch_gym.__version__} ({code_digest()[:8]})",
        "NumPy": np.__version__,
        "PyAV": av.__version__,
    }


def render_part(folder: str, key: str, first: int, last: int, name: str) -> PartReport:
    """Render a part of a job's clip into the folder above the job's.

    Args:
        folder: folder of the job.
        key: key of the parts that the job belongs to.
        first: number of the part's first frame.
        last: number of the frame after its last.
        name: name of the part.

    Raises:
        GlitchError: the job or its source cannot be read, or the part cannot be written.
    """
    began = time.perf_counter()
    painter, encoding = _recall_job(folder, key)
    path = Path(folder).parent / name
    if not path.exists():
        # Two workers can have the same part, if one was given up for lost
        mark = f"{os.getpid()}-{secrets.token_hex(4)}-"
        write_segments(painter, encoding, [Segment(first, last, path)], lambda: None, mark=mark)
    return PartReport(last - first, _part_digest(path), time.perf_counter() - began)


def render_segments(
    folder: Path,
    key: str,
    painter: Painter,
    segments: Sequence[Segment],
    engine: Engine,
    painted: Callable[[int], None],
) -> None:
    """Render segments of a job on an engine, each as soon as its shots are learned.

    Args:
        folder: folder of the job, below that of the parts.
        key: key of the parts.
        painter: painter of the clip, which learns what is not written yet.
        segments: segments to render.
        engine: where they are rendered.
        painted: called with the number of frames of each part that is finished.

    Raises:
        EngineError: workers do not see the folder, run other versions, or are lost.
        GlitchError: as ``render_part``.
    """
    if not engine.shares_disk:
        _check_workers(folder, engine)
    by_name = {one.path.name: one for one in segments}

    def done(task: Task, report: PartReport) -> None:
        segment = by_name[task.name]
        if not segment.path.exists() or _part_digest(segment.path) != report.digest:
            raise OutputError(
                f"{segment.path} is not what a worker wrote there: the disk is not shared, or it "
                f"was changed",
                path=str(segment.path),
            )
        painted(segment.last - segment.first)

    run_tasks(_tasks_as_learned(folder, key, painter, segments), engine, done)


def _check_workers(folder: Path, engine: Engine) -> None:
    """Send a token round, so that what is wrong with a cluster is told before any work is done."""
    token = secrets.token_hex(16)
    write_bytes(folder / "token", token.encode())
    ours = _versions()

    def done(task: Task, theirs: dict[str, str]) -> None:
        if theirs.pop("token") != token:
            raise EngineError(
                f"{engine.name}: a worker cannot read {folder}: source and output must be on a "
                f"disk that all machines have under the same path"
            )
        for name, version in ours.items():
            if theirs[name] != version:
                raise EngineError(
                    f"{engine.name}: a worker has {name} {theirs[name]}, this machine has "
                    f"{version}: install the same on all"
                )

    greeting = Task("greeting", "glitch_render.video.jobs:greet", (str(folder),))
    run_tasks([greeting], engine, done)
