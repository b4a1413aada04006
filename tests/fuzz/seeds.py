"""Whole inputs of every kind, made by code: what the cases of the lane are damaged copies of."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from glitch_gym.samples import balloon
from tests.support.clips import make_clip, scene

__all__ = ["CLEAN", "RECIPE", "SCRIPTS", "make_seeds"]

CLEAN = "clean.png"
"""Name of the picture that is never damaged."""

RECIPE = """\
seed = 3
activation = "spectral_residual"
cam_every = 4
cam_smoothing = 2.0

[[layers]]
grid = [6, 8]
iterations = 20
agents = { 0 = 8, 1 = 4 }
lifetime = 5
alpha = { start = 1.0, end = 0.1, over = 0.5, shape = "linear" }
epsilon = 0.5
opacity = 0.9
blend = "screen"
mask_above = 0.1
mask_soft = 0.01

[layers.effects.same]
mean = 0.1

[layers.effects.pixel_sort]
std = 0.2
low = 60

[[layers]]
grid = [4, 5]
fit = "stretch"
effects = ["invert", "random"]
learner = "q_learning"
objective = "linger"
iterations = 10
agents = 5
lifetime = 4
repeat_agents = true
"""

SCRIPTS = (
    """\
grid = [6, 8]
effects = { pixel_sort = { low = 60 } }

[[agents]]
start = [3, 1]
do = "same_right*4 (pixelate_down invert_up)*3"

[[agents]]
start = [2, 6]
at = 3
loop = 2
do = "smear_left*2 move_up wait*2"
""",
    """\
seed = 7
[[layers]]
grid = [4, 4]
blend = "add"
opacity = 0.5
agents = [{ start = [0, 0], do = "invert_down*2, same_right" }]
[[layers]]
grid = [2, 3]
agents = [{ start = [1, 1], do = "# note\\nrandom_left", at = 1 }]
""",
)

_QUIET = {"x265-params": "log-level=none:pools=1"}


def _deep_png(pixels: np.ndarray) -> bytes:
    """Encode 16 bits per channel, which Pillow does not write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    height, width = pixels.shape[:2]

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _make_pictures(folder: Path, image: Image.Image) -> None:
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    palette = image.quantize(32)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "rgb.png", icc_profile=profile)
    image.save(folder / "turned.png", exif=exif)
    clear.save(folder / "rgba.png")
    image.convert("L").save(folder / "grey.png")
    image.convert("LA").save(folder / "grey-alpha.png")
    image.convert("1").save(folder / "bits.png")
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-clear.png", transparency=3)
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(
        folder / "grey-16.png"
    )
    (folder / "rgb-16.png").write_bytes(_deep_png(np.asarray(image).astype(np.uint16) * 257))
    image.save(folder / "plain.jpg")
    image.save(folder / "turned.jpg", exif=exif, progressive=True)
    image.convert("L").save(folder / "grey.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.save(folder / "lossy.webp")
    clear.save(folder / "clear.webp", lossless=True, exif=exif)
    image.save(folder / "still.gif")
    image.save(folder / "raw.tif")
    image.save(folder / "lzw.tif", compression="tiff_lzw")
    image.save(folder / "deflate.tif", compression="tiff_adobe_deflate")
    image.save(folder / "jpeg.tif", compression="jpeg")
    palette.save(folder / "palette.tif")
    for suffix in ("bmp", "ppm", "tga", "ico", "jp2", "pcx", "sgi", "dds"):
        image.save(folder / f"other.{suffix}")


def _make_clips(folder: Path) -> None:
    # Two seconds: of a shorter clip nobody could say that its end is missing
    pictures = scene(10, 48, 32)
    fast = {"preset": "ultrafast"}

    def make(name: str, **options: Any) -> None:
        make_clip(folder / name, pictures, rate=5, **options)

    make("sound.mp4", sounds=(440,), options=fast)
    make("plain.mov", codec="prores_ks", pixel_format="yuv422p10le")
    make("lossless.mkv", codec="ffv1", pixel_format="bgr0")
    make("plain.mkv", options=fast, sounds=(330,), sound_codec="flac")
    make("plain.webm", codec="libvpx-vp9", sounds=(440,), sound_codec="libopus")
    make("old.avi", codec="mpeg4")
    make("stream.ts", options=fast, fmt="mpegts")
    make("old.mpg", codec="mpeg2video", sounds=(440,), sound_codec="mp2", fmt="vob")
    make("old.flv", codec="flv1", sounds=(440,), sound_codec="mp3")
    make("old.wmv", codec="wmv2", fmt="asf")
    make("raw.h264", options=fast, fmt="h264")
    # x265 writes past its memory where a frame is 48 pixels wide
    deep = {"codec": "libx265", "pixel_format": "yuv420p10le", "options": fast | _QUIET}
    make_clip(folder / "deep.mp4", scene(10, 64, 32), rate=5, **deep)
    make("own-times.mkv", options=fast, times=[0, 1, 4, 5, 6, 9, 10, 11, 12, 14])
    clear = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (32, 1))
    make("clear.webm", codec="libvpx-vp9", pixel_format="yuva420p", alpha=clear)
    make("clear.mov", codec="qtrle", pixel_format="argb", alpha=clear)
    frames = [Image.fromarray(one) for one in pictures]
    rest = {"save_all": True, "append_images": frames[1:], "duration": 200}
    frames[0].save(folder / "moving.gif", loop=0, **rest)
    frames[0].save(folder / "moving.apng", format="PNG", **rest)
    frames[0].save(folder / "moving.webp", **rest)
    see_through = [one.convert("RGBA") for one in frames]
    for one in see_through:
        one.putalpha(Image.fromarray(clear))
    rest |= {"append_images": see_through[1:], "loop": 2}
    see_through[0].save(folder / "clear.apng", format="PNG", disposal=1, blend=1, **rest)
    see_through[0].save(folder / "clear.webp", lossless=True, **rest)
    see_through[0].save(folder / "clear.gif", disposal=2, **rest)


def _make_own(folder: Path, work: Path) -> None:
    """Make what the program itself writes: pictures and clips with recipes, episodes, a cache."""
    from glitch_agents import QLearning
    from glitch_agents.table_files import save_table
    from glitch_gym import WorldSettings, compute_activation, make_world
    from glitch_render.cache import Cache
    from glitch_render.episodes.episode import save_episode
    from glitch_render.recipe.toml import parse_recipe, read_toml
    from glitch_render.stills import corrupt_picture
    from glitch_render.video.render import corrupt_clip
    from glitch_render.video.selection import ExportOptions, Selection

    recipe = parse_recipe(read_toml(RECIPE, "recipe"))
    clean = str(work / CLEAN)
    for name in ("made.png", "made.jpg", "made.webp"):
        _, episode, _ = corrupt_picture(clean, folder / "carriers" / name, recipe)
    save_episode(folder / "episodes" / "walked.npz", episode)
    selection = Selection(duration=0.1)
    for name in ("made.mp4", "made.mkv", "made.webm", "made.mov", "made.gif", "made.apng"):
        codec = "h264" if name.endswith("mov") else None
        options = ExportOptions(codec=codec, sound=False)
        corrupt_clip(clean, folder / "carriers" / name, recipe, selection, options)
    corrupt_picture(clean, work / "expected.png", recipe, cache=Cache(folder / "cache"))
    frame = balloon(40, 48)
    settings = WorldSettings((6, 8), ["same", "invert"])
    world = make_world(compute_activation(frame, "edges"), (40, 48), settings)
    table = QLearning().learn(world, episodes=20, seed=1)
    save_table(folder / "tables" / "learned.npz", table, world)


def _make_weights(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    state = {"_conv_stem.weight": torch.rand(8, 3, 3, 3), "_fc.bias": torch.rand(10)}
    torch.save(state, folder / "state.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "nested.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save([1, 2, "three"], folder / "list.pth")


def make_seeds(folder: Path) -> None:
    """Make the seeds of every target.

    Args:
        folder: made if it is missing; left as it is if it is complete.
    """
    done = folder / "done.json"
    if done.exists():
        return
    for name in ("pictures", "clips", "carriers", "episodes", "tables", "cache", "weights"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(balloon(40, 48))
    image.save(folder / CLEAN)
    _make_pictures(folder / "pictures", image)
    _make_clips(folder / "clips")
    _make_own(folder, folder)
    _make_weights(folder / "weights")
    done.write_text(json.dumps(sorted(str(one) for one in folder.rglob("*") if one.is_file())))
