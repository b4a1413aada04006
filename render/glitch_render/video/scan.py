"""One scan of footage: times, cuts, and activations of sampled frames.

The scan is kept in the cache. Everything after it knows each frame's time and number, so that any
range of frames can be rendered alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glitch_gym.activation import ACTIVATIONS, BACKBONES, compute_activation, is_activation_name
from glitch_gym.activation.provenance import engine_stamp
from glitch_gym.activation.saliency import to_unit_range
from glitch_gym.errors import PictureError
from glitch_render.cache import Cache, cache_key
from glitch_render.media.decode import decode, small_pixels, thumbnail
from glitch_render.media.footage import Footage, file_digest
from glitch_render.media.timing import FramePlan
from glitch_render.recipe.model import Recipe

__all__ = ["FootageScan", "frames_from", "plan_frames", "scan_footage"]


_CUT = 20.0
"""Mean absolute difference of grey thumbnails, 0…255, above which two frames are two shots."""


_ABOVE_UNREST = 2.5
"""A cut also exceeds the mean of the last changes by this factor: fast motion is not a cut."""


_SHORTEST_SHOT = 12
"""Frames; a flash within this distance of a cut is not another cut."""


_LARGEST_MAP = 32


_MAX_WAITING = 256


_MOST_FRAMES = 10_000_000


@dataclass(frozen=True, eq=False)
class FootageScan:
    """Result of scanning footage; frames are numbered from the first that is wanted.

    Args:
        times: int64 (frames,), in units of the footage's time base, ascending.
        end: time at which the last frame ends.
        cuts: int64 (shots,), first frame of each shot, starting with 0.
        samples: int64 (samples,), frames whose activation was computed, ascending.
        of_best: float32 (samples, h, w), maps of the predicted class, in [0, 1].
        of_all: float32 (samples, h, w), maps of all classes by their probabilities, in [0, 1].
        since: time at which the scan began, in units of the time base; ``None`` for the start.
        seekable: whether frames can be found again by their times.
        damage: a line for each kind of damage, in words for the user.
    """

    times: NDArray[np.int64]
    end: int
    cuts: NDArray[np.int64]
    samples: NDArray[np.int64]
    of_best: NDArray[np.float32]
    of_all: NDArray[np.float32]
    since: int | None
    seekable: bool
    damage: tuple[str, ...]


def _sample(
    pixels: NDArray[np.uint8], source: str, weights: str | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if source in BACKBONES:
        from glitch_gym.activation.cam import class_activation_maps

        of_best, of_all = class_activation_maps(pixels, source, weights=weights)
        return of_best.map, of_all.map
    found = Image.fromarray(compute_activation(pixels, source, weights=weights).map)
    # Kept small: there are many, and grids are coarse
    found.thumbnail((_LARGEST_MAP, _LARGEST_MAP), Image.Resampling.BOX)
    only = to_unit_range(np.asarray(found))
    return only, only


def _scan(
    footage: Footage,
    recipe: Recipe | None,
    first: int | None,
    last: int | None,
    progress: Callable[[int], None] | None,
) -> FootageScan:
    # Activations have their own thread: decoding continues while the network is loaded and runs
    with ThreadPoolExecutor(1) as worker:
        try:
            return _scan_with(worker, footage, recipe, first, last, progress)
        except BaseException:
            worker.shutdown(wait=True, cancel_futures=True)
            raise


def _scan_with(
    worker: ThreadPoolExecutor,
    footage: Footage,
    recipe: Recipe | None,
    first: int | None,
    last: int | None,
    progress: Callable[[int], None] | None,
) -> FootageScan:
    times: list[int] = []
    cuts, samples = [0], []
    maps: deque[tuple[NDArray[np.float32], NDArray[np.float32]]] = deque()
    waiting: deque[Future[tuple[NDArray[np.float32], NDArray[np.float32]]]] = deque()
    damage: list[str] = []
    before: NDArray[np.int16] | None = None
    changes: deque[float] = deque(maxlen=6)
    seekable = True
    ended: int | None = None
    sampled = recipe if recipe is not None and is_activation_name(recipe.activation) else None
    length = 0
    for time, frame in decode(footage, first, damage=damage):
        if last is not None and time >= last:
            ended = time
            break
        number = len(times)
        times.append(time)
        if footage.kind == "clip":
            seekable &= frame.pts == time
        length = int(frame.duration or 0)
        now = thumbnail(frame)
        change = 0.0 if before is None else float(np.abs(now - before).mean())
        unrest = sum(changes) / max(1, len(changes))
        if change > max(_CUT, _ABOVE_UNREST * unrest) and number - cuts[-1] >= _SHORTEST_SHOT:
            cuts.append(number)
            changes.clear()
        elif number > 0:
            changes.append(change)
        before = now
        still = footage.kind == "still" and number > 0
        if sampled and not still and (number - cuts[-1]) % sampled.cam_every == 0:
            samples.append(number)
            small = small_pixels(footage, frame)
            waiting.append(worker.submit(_sample, small, sampled.activation, sampled.weights))
            while waiting and (waiting[0].done() or len(waiting) > _MAX_WAITING):
                maps.append(waiting.popleft().result())
        if progress is not None:
            progress(number + 1)
    maps.extend(one.result() for one in waiting)
    if not times:
        where = " there" if first is not None or last is not None else ""
        raise PictureError(
            f"{footage.name} has no frame that can be read{where}", path=footage.name
        )
    if ended is None:
        step = times[-1] - times[-2] if len(times) > 1 else 0
        usual = max(1, round(1 / (footage.rate * footage.time_base)))
        ended = times[-1] + (length or step or usual)
        _miss_the_end(footage, ended, damage)
    nothing = np.empty((0, 1, 1), np.float32)
    return FootageScan(
        np.array(times, np.int64),
        ended,
        np.array(cuts, np.int64),
        np.array(samples, np.int64),
        np.stack([of_best for of_best, _ in maps]) if maps else nothing,
        np.stack([of_all for _, of_all in maps]) if maps else nothing,
        first,
        seekable,
        tuple(damage),
    )


def _miss_the_end(footage: Footage, ended: int, damage: list[str]) -> None:
    """Add a line on damage if the frames end well before the file states."""
    if footage.kind != "clip" or footage.length is None:
        return
    reached = float(ended * footage.time_base)
    if reached < footage.length - max(0.5, 3 / float(footage.rate)):
        damage.append(f"ends at {reached:.2f} s of {footage.length:.2f} s")


def _sampled(recipe: Recipe | None) -> tuple[object, ...]:
    """Return everything that the samples of a scan depend on."""
    if recipe is None or not is_activation_name(recipe.activation):
        return ()
    stamp = engine_stamp(recipe.activation, recipe.weights)
    return recipe.activation, stamp, recipe.cam_every


def scan_footage(
    footage: Footage,
    recipe: Recipe | None = None,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    cache: Cache | None = None,
    progress: Callable[[int], None] | None = None,
) -> FootageScan:
    """Scan footage once, or recall the scan from the cache.

    Args:
        footage: footage to scan, from ``open_footage``.
        recipe: recipe whose activation, weights and ``cam_every`` decide on the samples; without
            one there are no samples.
        start: time of the first frame that is wanted, in seconds.
        end: time before which the last frame begins, in seconds.
        cache: cache of scans.
        progress: called with the number of frames that have been scanned.

    Raises:
        PictureError: the footage has no readable frame in that range.
        GlitchError: as ``compute_activation``.
    """
    first = None if start is None else _first_at(start, footage.time_base)
    last = None if end is None else _first_at(end, footage.time_base)
    theirs = recipe is not None and recipe.activation not in ACTIVATIONS
    if cache is None or (theirs and _sampled(recipe)):
        # The code of a plug-in's activation may have changed, as that of its learner
        return _scan(footage, recipe, first, last, progress)
    key = cache_key(
        footage=dataclasses.replace(footage, paths=(), notes=()),
        digest=file_digest(footage),
        first=first,
        last=last,
        activation=_sampled(recipe),
        cut=(_CUT, _ABOVE_UNREST, _SHORTEST_SHOT),
    )
    kept = cache.find("look", key)
    if kept is not None:
        about = json.loads(str(kept["about"]))
        return FootageScan(
            kept["times"], about["end"], kept["cuts"], kept["samples"], kept["of_best"],
            kept["of_all"], first, about["seekable"], tuple(about["damage"]),
        )  # fmt: skip
    scan = _scan(footage, recipe, first, last, progress)
    about = {"end": scan.end, "seekable": scan.seekable, "damage": scan.damage}
    cache.keep(
        "look",
        key,
        {
            "times": scan.times,
            "cuts": scan.cuts,
            "samples": scan.samples,
            "of_best": scan.of_best,
            "of_all": scan.of_all,
            "about": np.array(json.dumps(about)),
        },
    )
    return scan


def frames_from(
    footage: Footage, scan: FootageScan, number: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield numbers and frames of a scan again, from one frame on."""
    if not scan.seekable:
        for counted, (_, frame) in enumerate(decode(footage, scan.since)):
            if counted >= number:
                yield counted, frame
        return
    since = scan.since if number == 0 else int(scan.times[number])
    for time, frame in decode(footage, since):
        found = int(np.searchsorted(scan.times, time))
        if found < len(scan.times) and scan.times[found] == time:
            yield found, frame


def _first_at(seconds: Fraction, time_base: Fraction) -> int:
    """Return the first time not before ``seconds``, in units of the time base."""
    exact = seconds / time_base
    return -(-exact.numerator // exact.denominator)


def plan_frames(footage: Footage, scan: FootageScan, rate: Fraction | None = None) -> FramePlan:
    """Plan the frames of the output.

    Args:
        footage: footage of the frames.
        scan: scan of the footage.
        rate: frames a second; by default the footage's own frames at their own times.

    Raises:
        PictureError: the output would have over 10,000,000 frames.
    """
    times = scan.times - scan.times[0]
    end = int(scan.end - scan.times[0])
    if rate is None or footage.kind in ("pictures", "still"):
        average = footage.rate
        if footage.kind == "animation":
            average = len(times) / (end * footage.time_base)
        return FramePlan(np.arange(len(times)), times, end, footage.time_base, average)
    whole = end * footage.time_base * rate
    count = max(1, round(whole))
    if count > _MOST_FRAMES:
        raise PictureError(
            f"{footage.name} lasts {float(end * footage.time_base):,.0f} s, which is more than "
            f"{_MOST_FRAMES:,} frames at {float(rate):g} a second: choose a start and an end",
            path=footage.name,
        )
    unit = footage.time_base * rate
    # Frame k is shown from k / rate on: the last of the footage's that has begun by then
    wanted = (np.arange(count) * unit.denominator) // unit.numerator
    sources = np.maximum(np.searchsorted(times, wanted, side="right") - 1, 0)
    return FramePlan(sources, np.arange(count), count, 1 / rate, rate)
