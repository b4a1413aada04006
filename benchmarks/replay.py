"""Replay against its peers: ``pip install opencv-python-headless; python benchmarks/replay.py``.

Each effect is stamped on every cell of a 1080p frame, at 200×100 and at 40×20 cells, and compared
with whole-frame implementations of the same thing, run in turns with it in one process. Their
results need not be the same to the bit, but they do the same work.
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
from glitch_render.replay import Canvas

HEIGHT, WIDTH = 1080, 1920
Frame = NDArray[np.uint8]
Peers = dict[str, Callable[[], object]]


def photograph(shift: int = 0) -> Frame:
    """Give a photograph at 1080p; of a moving one, if asked."""
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
    return cv2.remap(before, grid[1] - flow[..., 0], grid[0] - flow[..., 1], cv2.INTER_NEAREST)


def cosines(frame: Frame) -> Frame:
    """Round the DCT of blocks of 18 × 18 pixels, by SciPy in one thread."""
    rows, cols = HEIGHT // 18, -(-WIDTH // 18)
    whole = np.pad(frame, ((0, 0), (0, cols * 18 - WIDTH), (0, 0)), mode="edge")
    tiles = whole.astype(np.float32).reshape(rows, 18, cols, 18, 3)
    found = dctn(tiles, axes=(1, 3), norm="ortho")
    shown = idctn(np.rint(found / 360) * 360, axes=(1, 3), norm="ortho")
    return np.clip(shown, 0, 255).astype(np.uint8).reshape(HEIGHT, cols * 18, 3)[:, :WIDTH]


def jpeg(frame: Frame) -> Frame:
    """Encode and decode a frame."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def peers_of(frame: Frame, before: Frame) -> dict[str, Peers]:
    """Name the whole-frame peers of each effect."""
    image = Image.fromarray(frame)
    table = np.array([value if value < 128 else 255 - value for value in range(256)], np.uint8)
    turn = np.array(get_effect("hue_rotate").settings(get_effect("hue_rotate").parameters()))
    matrix = turn.reshape(3, 3).astype(np.float32) / 65536
    shares = np.where(360 * np.arange(HEIGHT) // HEIGHT % 2 == 1, 0.4, 1.0).astype(np.float32)
    dark = np.ascontiguousarray(np.broadcast_to(shares[:, None, None], frame.shape))
    rows = np.arange(HEIGHT) * 360 // HEIGHT % 8
    cols = np.arange(WIDTH) * 360 // HEIGHT % 8
    dots = (4 * BAYER[rows[:, None], cols[None, :]] + 2).astype(np.uint8)
    dots3 = np.ascontiguousarray(np.repeat(dots[:, :, None], 3, axis=2))
    shifted = np.roll(frame, 10, axis=1)
    grey = image.convert("L")

    def dim() -> Frame:
        out = frame.copy()
        lines = out[3::6], out[4::6], out[5::6]
        for some in lines:
            np.copyto(some, (some * np.float32(0.4)).astype(np.uint8))
        return out

    def channels() -> Frame:
        out = frame.copy()
        out[:, 2:, 0] = frame[:, :-2, 0]
        out[:, :-2, 2] = frame[:, 2:, 2]
        return out

    def channels_cv() -> Frame:
        red, green, blue = cv2.split(frame)
        return cv2.merge([np.roll(red, 2, 1), green, np.roll(blue, -2, 1)])

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
        "channel_shift": {"NumPy slices": channels, "cv2.split, merge": channels_cv},
        "pixel_sort": {"NumPy argsort": lambda: sorted_lines(frame)},
        "displace": {
            "NumPy roll": lambda: np.roll(frame, 10, axis=1),
            "cv2.copyMakeBorder": lambda: cv2.copyMakeBorder(
                frame[:, :-10], 0, 0, 10, 0, cv2.BORDER_REPLICATE
            ),
        },
        "smear": {"cv2.addWeighted": lambda: cv2.addWeighted(frame, 0.15, shifted, 0.85, 0)},
        "swap": {
            "NumPy take": lambda: frame[:, np.arange(WIDTH) ^ 1],
            "NumPy slices": lambda: (frame[:, :-10].copy(), frame[:, 10:].copy()),
        },
        "echo": {"NumPy copy": lambda: before.copy()},
        "melt": {"cv2 DIS + remap": lambda: warped(frame, before)},
        "jpeg_bytes": {"Pillow JPEG": lambda: jpeg(frame)},
        "dct": {"SciPy dctn": lambda: cosines(frame)},
        "artifact": {"Pillow JPEG": lambda: jpeg(frame)},
    }


def stamped(effect: str, grid: Grid) -> Canvas:
    """Stamp an effect on every cell, moving right, from the right: none reads what was stamped."""
    actions = ActionSet((effect,))
    canvas = Canvas(grid, actions, HEIGHT, WIDTH)
    cells = np.arange(grid.n_cells, dtype=np.int32).reshape(grid.rows, grid.cols)
    if effect == "swap":
        cells = cells[:, 1::2]
    order = np.ascontiguousarray(cells[:, ::-1].ravel()[None])
    canvas.stamp(order, np.full(order.shape, actions.encode(effect, "right"), np.int32))
    return canvas


def seconds(job: Callable[[], object]) -> float:
    """Time one run."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", nargs="*", help="effects")
    given = parser.parse_args()
    frame, before = photograph(), photograph(6)
    print("| effect | best peer | ms | ours ÷ it, 200×100 | ours ÷ it, 40×20 |")
    print("|---|---|---|---|---|")
    for effect, peers in peers_of(frame, before).items():
        if given.only and effect not in given.only:
            continue
        ours = {}
        for rows, cols in ((100, 200), (20, 40)):

            def run(rows: int = rows, cols: int = cols, effect: str = effect) -> Frame:
                # Stamping is part of it, as is the copy that the frame is painted on
                canvas = stamped(effect, Grid(rows, cols, rows, cols))
                out = frame.copy()
                canvas.paint(out, earlier=[before] * canvas.lag)
                return out

            ours[f"{rows}×{cols}"] = run
        for job in (*peers.values(), *ours.values()):
            job()
        times = [
            {name: seconds(job) for name, job in {**peers, **ours}.items()}
            for _ in range(given.repeats)
        ]
        medians = {name: statistics.median(one[name] for one in times) for name in times[0]}
        best = min(peers, key=lambda name: medians[name])
        ratios = []
        for name in ours:
            all_ratios = sorted(one[name] / one[best] for one in times)
            ratios.append(
                f"{statistics.median(all_ratios):.2f} ({all_ratios[0]:.2f}…{all_ratios[-1]:.2f})"
            )
        print(
            f"| {effect} | {best} | {1000 * medians[best]:.1f} | {ratios[0]} | {ratios[1]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
