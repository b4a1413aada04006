"""Replay against its peers: ``pip install opencv-python-headless; python benchmarks/replay.py``.

Each effect is stamped on every cell of a 1080p frame, at 200×100 and at 40×20 cells, and compared
with whole-frame implementations of the same thing, run in turns with it in one process.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.fft import dctn, idctn

from glitch_gym.actions import ActionSet
from glitch_gym.grid import Grid
from glitch_gym.picture import read_picture
from glitch_render.effects import get_effect
from glitch_render.effects.colours import BAYER
from glitch_render.engine.canvas import Canvas

HEIGHT, WIDTH = 1080, 1920
Frame = NDArray[np.uint8]
Peers = dict[str, Callable[[], object]]


def photograph(shift: int = 0) -> Frame:
    """Return a photograph at 1080p, shifted to the left by some pixels."""
    image = Image.fromarray(read_picture("sample:astronaut").frame)
    wide = np.asarray(image.resize((WIDTH + 64, WIDTH + 64), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(wide[300 : 300 + HEIGHT, shift : shift + WIDTH])


def sorted_lines(frame: Frame) -> Frame:
    """Sort whole lines of pixels by luma, as the quickest of NumPy's ways does."""
    keys = (frame.astype(np.uint16) @ np.array([30, 59, 11], np.uint16) + 50) // 100
    order = np.argsort(keys.astype(np.uint8), axis=1, kind="stable")
    return np.take_along_axis(frame, order[:, :, None], axis=1)


def warped(frame: Frame, before: Frame) -> Frame:
    """Pull a frame along its optical flow, by OpenCV at its fastest."""
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    small = [
        cv2.cvtColor(cv2.resize(one, (480, 270)), cv2.COLOR_RGB2GRAY) for one in (before, frame)
    ]
    flow = cv2.resize(flow_of.calc(small[0], small[1], None), (WIDTH, HEIGHT)) * 4
    grid = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    pulled = cv2.remap(before, grid[1] - flow[..., 0], grid[0] - flow[..., 1], cv2.INTER_NEAREST)
    return pulled.astype(np.uint8, copy=False)


def cosines(frame: Frame) -> Frame:
    """Round the DCT of blocks of 40 × 40 pixels, by SciPy in one thread."""
    rows, cols = HEIGHT // 40, WIDTH // 40
    tiles = frame.astype(np.float32).reshape(rows, 40, cols, 40, 3)
    found = dctn(tiles, axes=(1, 3), norm="ortho")
    shown = idctn(np.rint(found / 2100) * 2100, axes=(1, 3), norm="ortho")
    return np.clip(shown, 0, 255).astype(np.uint8).reshape(frame.shape)


def jpeg(frame: Frame) -> Frame:
    """Encode and decode a frame."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def peers_of(frame: Frame, before: Frame, rows: int, cols: int) -> dict[str, Peers]:
    """Name the whole-frame peers of each effect on a grid.

    Where blocks change places, peers give the same blocks: by slices where cells are alike, else
    by an index for each pixel. Tables, matrices and indices are made beforehand.
    """
    image = Image.fromarray(frame)
    table = np.array([value if value < 128 else 255 - value for value in range(256)], np.uint8)
    hue = get_effect("hue_rotate")
    assert hue.settings is not None
    matrix = np.array(hue.settings(hue.parameters())).reshape(3, 3).astype(np.float32) / 4096
    shares = np.where(360 * np.arange(HEIGHT) // HEIGHT % 2 == 1, 0.4, 1.0).astype(np.float32)
    dark = np.ascontiguousarray(np.broadcast_to(shares[:, None, None], frame.shape))
    dot_rows = np.arange(HEIGHT) * 360 // HEIGHT % 8
    dot_cols = np.arange(WIDTH) * 360 // HEIGHT % 8
    dots = (4 * BAYER[dot_rows[:, None], dot_cols[None, :]] + 2).astype(np.uint8)
    dots3 = np.ascontiguousarray(np.repeat(dots[:, :, None], 3, axis=2))
    grey = image.convert("L")
    edges = np.arange(cols + 1) * WIDTH // cols
    widths = np.diff(edges)
    side = WIDTH // cols if WIDTH % cols == 0 else None

    def indices(from_col: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each pixel of a line the one that it comes from."""
        own = np.repeat(np.arange(cols), widths)
        inside = np.arange(WIDTH) - edges[own]
        source = from_col[own]
        return edges[source] + np.minimum(inside, widths[source] - 1)

    left = indices(np.maximum(np.arange(cols) - 1, 0))
    other = indices(np.arange(cols) ^ 1)
    shift = (round(1024 * 0.25) * widths + 512) >> 10
    own = np.repeat(np.arange(cols), widths)
    inside = np.arange(WIDTH) - edges[own]
    red = edges[own] + (inside - shift[own]) % widths[own]
    blue = edges[own] + (inside + shift[own]) % widths[own]
    across = np.stack([red, np.arange(WIDTH), blue], axis=1) * 3 + np.arange(3)
    maps = {
        name: np.meshgrid(index.astype(np.float32), np.arange(HEIGHT, dtype=np.float32))
        for name, index in (("left", left), ("other", other))
    }

    def moved(name: str) -> Peers:
        index = {"left": left, "other": other}[name]
        return {
            "NumPy take": lambda: np.take(frame, index, axis=1),
            "cv2.remap": lambda: cv2.remap(frame, *maps[name], cv2.INTER_NEAREST),
        }

    def by_slices() -> Frame:
        assert side is not None
        out = np.empty_like(frame)
        out[:, side:] = frame[:, :-side]
        out[:, :side] = frame[:, :side]
        return out

    def swapped() -> Frame:
        assert side is not None
        pairs = frame.reshape(HEIGHT, cols // 2, 2, 3 * side)
        return np.ascontiguousarray(pairs[:, :, ::-1]).reshape(frame.shape)

    def dim() -> Frame:
        out = frame.copy()
        for lines in (out[3::6], out[4::6], out[5::6]):
            np.copyto(lines, (lines * np.float32(0.4)).astype(np.uint8))
        return out

    def channels_cv() -> Frame:
        parts = cv2.split(frame)
        merged = cv2.merge([np.take(parts[0], red, 1), parts[1], np.take(parts[2], blue, 1)])
        return merged.astype(np.uint8, copy=False)

    displace, swap = moved("left"), moved("other")
    if side is not None:
        displace["NumPy slices"] = by_slices
        swap["NumPy slices"] = swapped
    drag = by_slices if side is not None else moved("left")["NumPy take"]
    return {
        "posterize": {
            "NumPy &": lambda: frame & np.uint8(192),
            "cv2.bitwise_and": lambda: cv2.bitwise_and(frame, (192, 192, 192, 0)),
            "Pillow": lambda: ImageOps.posterize(image, 2),
        },
        "solarize": {
            "cv2.LUT": lambda: cv2.LUT(frame, table),
            "NumPy minimum": lambda: np.minimum(frame, 255 - frame),
            "Pillow": lambda: ImageOps.solarize(image, 128),
        },
        "hue_rotate": {
            "cv2.transform": lambda: cv2.transform(frame, matrix),
            "Pillow": lambda: image.convert("RGB", [*matrix[0], 0, *matrix[1], 0, *matrix[2], 0]),
        },
        "scanlines": {
            "NumPy slices": dim,
            "cv2.multiply": lambda: cv2.multiply(frame, dark, dtype=cv2.CV_8U),
        },
        "dither": {
            "cv2.compare": lambda: cv2.compare(frame, dots3, cv2.CMP_GT),
            "NumPy": lambda: np.where(frame > dots[:, :, None], np.uint8(255), np.uint8(0)),
            "Pillow (1 channel)": lambda: grey.convert("1"),
        },
        "channel_shift": {
            "NumPy take": lambda: np.take(frame.reshape(HEIGHT, -1), across.ravel(), axis=1),
            "cv2.split, NumPy take, cv2.merge": channels_cv,
        },
        "pixel_sort": {"NumPy argsort": lambda: sorted_lines(frame)},
        "displace": displace,
        "smear": {
            f"{'NumPy slices' if side else 'NumPy take'}, cv2.addWeighted": lambda: cv2.addWeighted(
                frame, 0.15, drag(), 0.85, 0
            )
        },
        "swap": swap,
        "echo": {"NumPy copy": lambda: before.copy()},
        "melt": {"cv2 DIS, cv2.remap": lambda: warped(frame, before)},
        "jpeg_bytes": {"Pillow": lambda: jpeg(frame)},
        "dct": {"SciPy dctn": lambda: cosines(frame)},
    }


def stamps_of(canvas: Canvas, effect: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return a stamp on every cell, moving right, from the right: none reads a stamped cell."""
    grid = canvas.grid
    cells = np.arange(grid.n_cells, dtype=np.int32).reshape(grid.rows, grid.cols)
    if effect == "swap":
        cells = cells[:, 1::2]
    order = np.ascontiguousarray(cells[:, ::-1].ravel()[None])
    return order, np.full(order.shape, canvas.actions.encode(effect, "right"), np.int32)


def seconds(job: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Time the best of three runs on end, so that nobody pays for another's use of the caches."""
    times = []
    for _ in range(3):
        before()
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", nargs="*", help="effects")
    given = parser.parse_args()
    frame, before = photograph(), photograph(6)
    print("| effect | grid | best peer | ms | ours ÷ it |\n|---|---|---|---|---|")
    for rows, cols in ((100, 200), (20, 40)):
        grid = Grid(rows, cols, rows, cols)
        for effect, peers in peers_of(frame, before, rows, cols).items():
            if given.only and effect not in given.only:
                continue
            canvas = Canvas(grid, ActionSet((effect,)), HEIGHT, WIDTH)
            stamps = stamps_of(canvas, effect)
            times: list[dict[str, float]] = []
            for repeat in range(given.repeats + 1):
                out = np.empty_like(frame)

                def run(
                    canvas: Canvas = canvas,
                    out: Frame = out,
                    stamps: tuple[NDArray[np.int32], NDArray[np.int32]] = stamps,
                ) -> None:
                    # As for a frame of a clip: stamped anew, and painted in place
                    canvas.clear()
                    canvas.stamp(*stamps, check=False)
                    canvas.paint(out, earlier=[before] * canvas.frames_back)

                found = {name: seconds(job) for name, job in peers.items()}
                found["ours"] = seconds(run, lambda out=out: np.copyto(out, frame))
                if repeat > 0:
                    times.append(found)
            medians = {name: statistics.median(one[name] for one in times) for name in times[0]}
            best = min(peers, key=lambda name: medians[name])
            ratios = sorted(one["ours"] / one[best] for one in times)
            print(
                f"| {effect} | {rows}×{cols} | {best} | {1000 * medians[best]:.2f} | "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}…{ratios[-1]:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
