"""From a change in the studio to the new picture in the browser, at 1080p.

A real browser on a real server: each time is from the moment a slider is moved until the picture
that it makes is on the page. Beside it, in the same process, the time of the function that paints,
called alone; what is more is the page's.

Run it from the root of the repository: python benchmarks/studio.py
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from glitch_gym.picture import read_picture
from glitch_render.cache import Cache
from glitch_render.recipe.presets import load_preset, preset_names
from glitch_render.stills import corrupt

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.browser import CHROMIUM, WITHOUT_SANDBOX, Page, driver, studio

TURNS = 5


def photograph(path: Path) -> np.ndarray:
    """Write a photograph of 1920×1080 pixels."""
    image = Image.fromarray(read_picture("sample:coffee").frame)
    image = image.resize((1920, 1280), Image.Resampling.BICUBIC).crop((0, 100, 1920, 1180))
    image.save(path)
    return np.asarray(image)


def times(page: Page, label: str, places: list[int]) -> list[float]:
    """Move a slider to some places, one after another; gives seconds until each is shown."""
    taken = []
    for place in places:
        began = time.perf_counter()
        with page.shows_anew():
            page.slide(label, place)
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as name, driver() as playwright:
        folder = Path(name)
        frame = photograph(folder / "photograph.png")
        cache = Cache(folder / "own cache")
        with studio(folder, env={"GLITCH_GYM_CACHE": str(folder / "cache")}) as running:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WITHOUT_SANDBOX)
            page = Page(browser.new_page(viewport={"width": 1280, "height": 720}), running)
            began = time.perf_counter()
            page.open(folder / "photograph.png")
            print(f"dropped, until its first preview, cold: {time.perf_counter() - began:.2f} s")
            began = time.perf_counter()
            page.page.wait_for_function(
                "document.querySelectorAll('#presets img[src]').length >= 22", timeout=300_000
            )
            print(f"after it, thumbnails of all presets: {time.perf_counter() - began:.1f} s\n")
            print("| preset | replay | learn one layer | painting alone |")
            print("|---|---|---|---|")
            for preset in preset_names():
                recipe = load_preset(preset)
                if recipe != load_preset() or preset != preset_names()[0]:
                    with page.shows_anew():
                        page.page.click(f"#presets button[data-name={preset}]")
                page.tab("Layers")
                # The layer that learns longest
                index = max(
                    range(len(recipe.layers)), key=lambda one: recipe.layers[one].iterations
                )
                page.page.locator(".layers .list .name").nth(index).click()
                page.unfold()
                effect = next(iter(recipe.layers[index].effects))
                replayed = times(page, "agents", [503 + 8 * turn for turn in range(TURNS)])
                learned = times(
                    page, f"{effect}: spread", [317 + 20 * turn for turn in range(TURNS)]
                )
                alone = []
                for _ in range(TURNS + 1):
                    start = time.perf_counter()
                    corrupt(frame, recipe, cache=cache)
                    alone.append(time.perf_counter() - start)
                row = [statistics.median(one) for one in (replayed, learned, alone[1:])]
                cells = (
                    f"{row[0]:.2f} ({max(replayed):.2f})",
                    f"{row[1]:.2f} ({max(learned):.2f})",
                    f"{row[2]:.2f}",
                )
                print(f"| {preset} | {' | '.join(cells)} |", flush=True)
            browser.close()


if __name__ == "__main__":
    main()
