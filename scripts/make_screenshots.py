"""Make the screenshots of the studio in docs/studio/: needs Chromium, and the extra dev.

Run it from the root of the repository: python scripts/make_screenshots.py
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.browser import CHROMIUM, WITHOUT_SANDBOX, Page, driver, studio  # noqa: E402
from support.clips import film  # noqa: E402

from glitch_gym.samples import sample_path  # noqa: E402

OUT = ROOT / "docs" / "studio"


def keep(page: Page, name: str) -> None:
    """Take a screenshot of what the window shows."""
    page.page.wait_for_timeout(400)
    with Image.open(io.BytesIO(page.page.screenshot())) as image:
        image.convert("RGB").save(OUT / f"{name}.webp", quality=82, method=6)
    print(f"docs/studio/{name}.webp")


def main() -> None:
    """Make all of them."""
    OUT.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        studio(Path(folder)) as running,
        driver() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WITHOUT_SANDBOX)

        def tab(width: int = 1280, height: int = 720, scheme: str = "light") -> Page:
            viewport = {"width": width, "height": height}
            return Page(browser.new_page(viewport=viewport, color_scheme=scheme), running)

        page = tab()
        keep(page, "empty")
        page.open(sample_path("coffee"))
        page.page.wait_for_function(
            "document.querySelectorAll('#presets img[src]').length >= 22", timeout=240_000
        )
        with page.shows_anew():
            page.page.click("#presets button[data-name=riptide]")
        keep(page, "layers")
        for name in ("Activation", "Rewards", "Policy", "Paths"):
            with page.shows_anew():
                page.page.get_by_label(name, exact=True).check(force=True)
            keep(page, name.lower())
        with page.shows_anew(120_000):
            page.page.get_by_label("Walk", exact=True).check(force=True)
        page.page.wait_for_timeout(1500)
        keep(page, "walk")
        with page.shows_anew():
            page.page.get_by_label("Result", exact=True).check(force=True)
        with page.shows_anew():
            page.page.get_by_label("Grid", exact=True).check()
        split = page.page.get_by_label("Before and after")
        split.focus()
        for _ in range(90):
            page.page.keyboard.press("ArrowRight")
        page.tab("Recipe")
        keep(page, "recipe")
        text = page.page.get_by_label("Recipe, as TOML").input_value()
        page.write_recipe(text.replace("agents = ", "agents = -").replace("lifetime", "lifetimes"))
        page.page.locator(".recipe .problems li").first.wait_for()
        keep(page, "wrong-recipe")
        wrong = Path(folder) / "holiday.png"
        wrong.write_text("no picture")
        page.refuse(wrong, "holiday.png")
        keep(page, "wrong-file")
        page.page.close()

        page = tab(scheme="dark")
        page.open(sample_path("astronaut"))
        with page.shows_anew():
            page.page.click("#presets button[data-name=gazette]")
        page.page.wait_for_function(
            "document.querySelectorAll('#presets img[src]').length >= 22", timeout=240_000
        )
        keep(page, "dark")
        page.page.close()

        page = tab()
        page.open(film("bigbuckbunny"))
        with page.shows_anew():
            page.page.locator("#at input[type=number]").fill("2.4")
            page.page.keyboard.press("Tab")
        page.tab("Export")
        page.page.click("#export-button")
        page.says("frame [2-9]\\d of 132", "#exporting")
        keep(page, "export")
        page.page.click("#cancel")
        page.says("stopped", "#exporting")
        page.page.close()

        page = tab(390, 844, "dark")
        page.open(sample_path("chelsea"))
        page.page.wait_for_timeout(8_000)
        keep(page, "phone")
        page.page.evaluate("document.querySelector('#tabs').scrollIntoView()")
        keep(page, "phone-layers")
        browser.close()


if __name__ == "__main__":
    main()
