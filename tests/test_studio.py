"""The studio, driven as a person drives it: in a real browser, on a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.browser import (
    QUICK,
    Page,
    require_chromium,
    studio,
)
from support.clips import film, make_clip, scene, sound_packets
from support.disk import small_disk

from glitch_gym.picture import read_picture
from glitch_render.media.metadata import RECIPE_KEY
from glitch_render.recipe.files import read_recipe
from glitch_render.recipe.presets import load_preset
from glitch_render.recipe.toml import parse_recipe, read_toml

# One worker has all that needs a browser
pytestmark = pytest.mark.xdist_group("studio")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    require_chromium()
    with studio(tmp_path_factory.mktemp("studio")) as one:
        yield one


@pytest.fixture
def tab(browser, running):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    one = Page(page, running)
    yield one
    page.close()
    assert one.errors == []
    assert [url for url in one.requests if not url.startswith((running.origin, "data:", "blob:"))
            ] == []  # fmt: skip


@pytest.fixture
def photo(tmp_path, chelsea):
    path = tmp_path / "my cat.png"
    Image.fromarray(chelsea).save(path)
    return path


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "walk.mp4", scene(30, 320, 240), rate=10, sounds=[440])


def by_the_command_line(*arguments):
    subprocess.run(
        [sys.executable, "-m", "glitch_render.cli", *map(str, arguments)],
        check=True,
        capture_output=True,
    )


def test_a_picture_is_dropped_a_preset_chosen_a_layer_edited_and_the_result_exported(
    tab, photo, tmp_path
):
    page = tab.page
    tab.open(photo)
    assert "my cat.png · 451×300" in tab.says("my cat.png")
    before = tab.picture()
    with tab.shows_anew():
        page.click("#presets button[data-name=weave]")
    assert tab.picture() != before
    assert page.locator("#presets button[data-name=weave]").get_attribute("aria-pressed") == "true"

    with tab.shows_anew():
        page.get_by_role("button", name="Add a layer").click()
    assert page.locator(".layers .list li").count() == 2
    before = tab.picture()
    with tab.shows_anew():
        tab.slide("agents", 900)
    assert tab.picture() != before
    with tab.shows_anew():
        page.get_by_label("Add an effect").select_option("scanlines")
    with tab.shows_anew():
        page.get_by_label("scanlines: darkness", exact=True).fill("0.9")
        page.keyboard.press("Tab")

    recipe = parse_recipe(read_toml(tab.recipe(), "saved"))
    assert len(recipe.layers) == 2
    assert recipe.layers[1].agents > 5_000
    assert recipe.layers[1].effects["scanlines"].parameters.darkness == 0.9

    exported = tab.export(tmp_path)
    assert exported.name == "my cat-glitched.png"
    assert read_recipe(exported) == recipe
    (tmp_path / "saved.toml").write_text(tab.recipe())
    by_the_command_line(
        "corrupt", photo, "-o", tmp_path / "same.png", "--recipe", tmp_path / "saved.toml"
    )
    assert exported.read_bytes() == (tmp_path / "same.png").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("label", "suffix"), [("JPEG picture", ".jpg"), ("WebP picture", ".webp")])
def test_other_pictures_are_the_command_lines_to_the_byte(tab, photo, tmp_path, label, suffix):
    tab.open(photo)
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    exported = tab.export(tmp_path, label)
    assert exported.suffix == suffix
    (tmp_path / "quick.toml").write_text(QUICK)
    same = tmp_path / f"same{suffix}"
    by_the_command_line("corrupt", photo, "-o", same, "--recipe", tmp_path / "quick.toml")
    assert exported.read_bytes() == same.read_bytes()


def test_thumbnails_of_this_picture_come_by_themselves(tab):
    tab.sample("balloon")
    tab.page.wait_for_function(
        "document.querySelectorAll('#presets img[src]').length >= 22", timeout=120_000
    )
    addresses = tab.page.eval_on_selector_all("#presets img", "all => all.map(one => one.src)")
    shown = {tab.studio.fetch(address.removeprefix(tab.studio.address))[1] for address in addresses}
    assert len(shown) == len(addresses), "no two presets look the same"


def test_a_wrong_recipe_is_told_at_its_line_and_a_right_one_moves_the_sliders(tab):
    tab.sample("chelsea")
    before = tab.number()
    tab.write_recipe(QUICK.replace("agents = 60", 'agents = "many"').replace("seed", "sed"))
    problems = tab.page.locator(".recipe .problems li")
    problems.first.wait_for()
    lines = problems.all_inner_texts()
    assert "line 2" in lines[0]
    assert "did you mean 'seed'?" in lines[0]
    assert "line 9" in lines[1]
    assert "layers.1.agents" in lines[1]
    marked = tab.page.locator(".recipe .numbers .wrong").all_inner_texts()
    assert marked == ["2", "9"]
    assert "errors" in tab.says("errors")
    assert tab.number() == before, "the picture stays"

    with tab.shows_anew():
        tab.write_recipe(QUICK.replace("agents = 60", "agents = 77  # my own remark"))
    assert problems.count() == 0
    tab.tab("Layers")
    assert tab.page.get_by_label("agents", exact=True).input_value() == "77"
    assert tab.page.get_by_label("Seed").input_value() == "3"
    assert "# my own remark" in tab.recipe(), "what was written stays as it was written"
    with tab.shows_anew():
        tab.page.get_by_label("lifetime", exact=True).fill("5")
        tab.page.keyboard.press("Tab")
    tab.tab("Recipe")
    text = tab.page.get_by_label("Recipe, as TOML").input_value()
    assert "agents = 77\n" in text
    assert "lifetime = 5\n" in text


def test_syntax_errors_have_their_line_too(tab):
    tab.write_recipe('seed = 1\nactivation = "edges\n')
    tab.page.locator(".recipe .problems li").first.wait_for()
    assert "line 2" in tab.page.locator(".recipe .problems").inner_text()


def test_changes_are_undone_and_done_again_a_slider_in_one_step(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Layers")
    for place in (300, 500, 700):
        with tab.shows_anew():
            tab.slide("agents", place)
    high = tab.page.get_by_label("agents", exact=True).input_value()
    with tab.shows_anew():
        tab.page.get_by_label("Mute: layer 1").click()
    assert "mute = true" in tab.recipe()
    with tab.shows_anew():
        tab.page.click("#undo")
    assert "mute" not in tab.recipe()
    with tab.shows_anew():
        tab.page.keyboard.press("Control+z")
    assert tab.page.get_by_label("agents", exact=True).input_value() == "60"
    with tab.shows_anew():
        tab.page.keyboard.press("Control+Shift+z")
    assert tab.page.get_by_label("agents", exact=True).input_value() == high
    assert tab.page.locator("#redo").is_enabled()


def test_layers_are_moved_copied_muted_soloed_and_removed(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Layers")
    tab.unfold()
    page = tab.page
    with tab.shows_anew():
        page.get_by_label("Duplicate: layer 1").click()
    with tab.shows_anew():
        page.get_by_label("grid, rows", exact=True).fill("7")
        page.keyboard.press("Tab")
    assert [layer.grid for layer in saved(tab).layers] == [(20, 30), (7, 30)]
    with tab.shows_anew():
        page.get_by_label("Move up: layer 2").click()
    assert [layer.grid for layer in saved(tab).layers] == [(7, 30), (20, 30)]
    with tab.shows_anew():
        page.get_by_label("Solo: layer 2").click()
    assert [index for index, _ in saved(tab).painted] == [1]
    with tab.shows_anew():
        page.get_by_label("Remove: layer 1").click()
    assert [layer.grid for layer in saved(tab).layers] == [(20, 30)]
    assert page.get_by_label("Remove: layer 1").is_disabled(), "one layer is left"
    with tab.shows_anew():
        page.get_by_label("Remove effect same").click()
    assert list(saved(tab).layers[0].effects) == ["invert"]


def saved(tab):
    return parse_recipe(read_toml(tab.recipe(), "saved"))


def test_what_a_setting_refuses_is_told_and_the_page_lives_on(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Layers")
    tab.unfold()
    tab.page.get_by_label("grid, rows", exact=True).fill("0")
    tab.page.keyboard.press("Tab")
    assert "layers.1.grid" in tab.says("layers.1.grid")
    tab.page.get_by_label("grid, rows", exact=True).fill("4000")
    tab.page.keyboard.press("Tab")
    assert "finer than the picture" in tab.says("finer")
    with tab.shows_anew():
        tab.page.get_by_label("grid, rows", exact=True).fill("10")
        tab.page.keyboard.press("Tab")
    assert "chelsea" in tab.says("chelsea")


def test_every_view_shows_something_of_its_own(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    shown = {tab.picture()}
    for name in ("Activation", "Rewards", "Policy", "Paths"):
        with tab.shows_anew():
            tab.page.get_by_label(name, exact=True).check(force=True)
        assert tab.page.locator(".stage").get_attribute("data-kind") == "picture"
        shown.add(tab.picture())
    with tab.shows_anew():
        tab.page.get_by_label("Rewards", exact=True).check(force=True)
    tab.page.get_by_label("Action", exact=True).click()
    with tab.shows_anew():
        tab.page.get_by_role("option", name="invert_left").click()
    shown.add(tab.picture())
    with tab.shows_anew(120_000):
        tab.page.get_by_label("Walk", exact=True).check(force=True)
    assert tab.page.locator(".stage").get_attribute("data-kind") == "clip"
    assert tab.page.locator(".stage video").evaluate("one => one.error") is None
    with tab.shows_anew():
        tab.page.get_by_label("Result", exact=True).check(force=True)
    with tab.shows_anew():
        tab.page.get_by_label("Grid", exact=True).check()
    shown.add(tab.picture())
    assert len(shown) == 7


def test_before_and_after_are_told_apart_with_the_keyboard_alone(tab):
    tab.sample("chelsea")
    split = tab.page.get_by_label("Before and after")
    assert tab.page.locator(".stage .after").evaluate("one => one.style.clipPath").endswith("0%)")
    split.focus()
    for _ in range(20):
        tab.page.keyboard.press("ArrowRight")
    clipped = tab.page.locator(".stage .after").evaluate("one => one.style.clipPath")
    assert "10%" in clipped
    before = tab.page.locator(".stage .before").get_attribute("src")
    _, content = tab.studio.fetch(f"/{before}")
    path = tab.studio.folder / "before.jpg"
    path.write_bytes(content)
    shown, photo = read_picture(path).frame, read_picture("sample:chelsea").frame
    path.unlink()
    assert np.abs(shown.astype(int) - photo).mean() < 2


def test_the_dice_and_the_seed_make_other_pictures_and_the_same_again(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    first = tab.picture()
    with tab.shows_anew():
        tab.page.click("#dice")
    assert tab.page.get_by_label("Seed").input_value() not in ("", "3")
    assert tab.picture() != first
    with tab.shows_anew():
        tab.page.get_by_label("Seed").fill("3")
    assert tab.picture() == first


def test_a_picture_of_ours_gives_its_recipe_back(tab, photo, tmp_path):
    (tmp_path / "quick.toml").write_text(QUICK)
    ours = tmp_path / "ours.png"
    by_the_command_line("corrupt", photo, "-o", ours, "--recipe", tmp_path / "quick.toml")
    tab.open(ours)
    tab.tab("Picture")
    with tab.shows_anew():
        tab.page.get_by_role("button", name="Use the recipe it was made by").click()
    assert saved(tab) == parse_recipe(read_toml(QUICK, "quick"))
    with tab.shows_anew():
        tab.page.click("#presets button[data-name=ash]")
    tab.tab("Recipe")
    with tab.shows_anew():
        tab.page.set_input_files("#recipe-file input[type=file]", str(ours))
    assert saved(tab).seed == 3


def test_a_strangers_picture_runs_nothing_and_asks_before_it_opens_a_file(tab, photo, tmp_path):
    def sent(name, setting):
        info = PngInfo()
        info.add_text(RECIPE_KEY, QUICK.replace("agents", f"{setting}\nagents"))
        Image.open(photo).save(tmp_path / name, pnginfo=info)
        return tmp_path / name

    tab.open(sent("code.png", 'learner = "os:abort"'))
    before = saved(tab)
    tab.tab("Picture")
    tab.page.get_by_role("button", name="Use the recipe it was made by").click()
    tab.says("this recipe has errors")
    assert saved(tab) == before

    mask = tmp_path / "mask.png"
    Image.new("L", (45, 30), 255).save(mask)
    tab.open(sent("files.png", f'mask = "{mask}"'))
    tab.tab("Picture")
    tab.page.get_by_role("button", name="Use the recipe it was made by").click()
    tab.says(re.escape(f"{mask} (layers.1.mask)"))
    assert saved(tab) == before
    with tab.shows_anew():
        tab.page.get_by_role("button", name="Open these files").click()
    assert saved(tab).layers[0].mask == str(mask)
    assert not tab.page.get_by_role("button", name="Open these files").is_visible()


def test_a_recipe_without_a_recipe_in_it_is_refused(tab, photo, tmp_path):
    tab.tab("Recipe")
    tab.page.set_input_files("#recipe-file input[type=file]", str(photo))
    assert tab.says("carries no recipe").startswith("my cat.png")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("seed = -1\n[[layers]]\n")
    tab.page.set_input_files("#recipe-file input[type=file]", str(wrong))
    tab.page.locator(".recipe .problems li").nth(1).wait_for()
    text = tab.page.locator(".recipe .problems").inner_text()
    assert "seed" in text
    assert "layers.1.grid is missing" in text


@pytest.mark.slow
def test_a_clip_is_scrubbed_and_exported_to_the_end_with_its_sound(tab, clip, tmp_path):
    tab.open(clip)
    assert "3.0 s" in tab.says("walk.mp4")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.says("frame 16 of 30, at 1.50 s")
    with tab.shows_anew():
        tab.page.locator("#at input[type=number]").fill("2.2")
        tab.page.keyboard.press("Tab")
    tab.says("frame 23 of 30, at 2.20 s")

    (tmp_path / "quick.toml").write_text(QUICK)
    frame = tab.export(tmp_path, "PNG of this frame")
    by_the_command_line(
        "corrupt", clip, "-o", tmp_path / "frame.png", "--recipe", tmp_path / "quick.toml",
        "--preview", "2.2",
    )  # fmt: skip
    assert frame.read_bytes() == (tmp_path / "frame.png").read_bytes()
    shown = tmp_path / "shown.jpg"
    shown.write_bytes(tab.picture())
    difference = np.abs(read_picture(shown).frame.astype(int) - read_picture(frame).frame)
    assert difference.mean() < 3, "the preview is what the export gives"

    exported = tab.export(tmp_path, "MP4")
    same = tmp_path / "same.mp4"
    by_the_command_line("corrupt", clip, "-o", same, "--recipe", tmp_path / "quick.toml")
    assert exported.read_bytes() == same.read_bytes()
    assert sound_packets(exported) == sound_packets(clip)
    assert read_recipe(exported) == parse_recipe(read_toml(QUICK, "quick"))


@pytest.mark.slow
def test_a_range_of_a_clip_becomes_an_animation(tab, clip, tmp_path):
    tab.open(clip)
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Export")
    with tab.shows_anew():
        tab.page.get_by_label("From, in seconds").fill("1")
    with tab.shows_anew():
        tab.page.get_by_label("To, in seconds").fill("2")
    exported = tab.export(tmp_path, "GIF")
    with Image.open(exported) as image:
        assert image.n_frames == 10
    same = tmp_path / "same.gif"
    (tmp_path / "quick.toml").write_text(QUICK)
    by_the_command_line(
        "corrupt", clip, "-o", same, "--recipe", tmp_path / "quick.toml", "--start", "1",
        "--end", "2",
    )  # fmt: skip
    assert exported.read_bytes() == same.read_bytes()


@pytest.mark.slow
def test_a_still_becomes_a_clip_of_its_agents(tab, photo, tmp_path):
    tab.open(photo)
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Export")
    tab.choose_format("MP4 of the agents at work")
    tab.page.get_by_label("Length, in seconds").fill("1")
    exported = tab.export(tmp_path)
    same = tmp_path / "same.mp4"
    (tmp_path / "quick.toml").write_text(QUICK)
    by_the_command_line(
        "corrupt", photo, "-o", same, "--recipe", tmp_path / "quick.toml", "--duration", "1"
    )
    assert exported.read_bytes() == same.read_bytes()


def test_an_export_is_cancelled_and_the_next_one_works(tab, clip, tmp_path):
    tab.open(clip)
    tab.write_recipe(QUICK.replace("iterations = 300", "iterations = 80_000_000"))
    tab.says("learning")
    tab.tab("Export")
    tab.page.click("#export-button")
    tab.says("learning", "#exporting")
    tab.page.click("#cancel")
    tab.says("the export was stopped", "#exporting")
    assert tab.page.locator("#export-button").is_enabled()
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    assert tab.export(tmp_path, "MP4").stat().st_size > 1000


@pytest.mark.slow
def test_an_export_is_cancelled_between_frames_and_the_next_one_works(tab, clip, tmp_path):
    tab.open(film("bigbuckbunny"))
    tab.tab("Export")
    tab.page.click("#export-button")
    tab.says("frame \\d+ of 132", "#exporting")
    tab.page.click("#cancel")
    tab.says("the export was stopped", "#exporting")
    assert tab.page.locator("#export-button").is_enabled()
    tab.tab("Picture")
    tab.open(clip)
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    assert tab.export(tmp_path, "MP4").stat().st_size > 1000


def test_a_newer_change_stops_the_work_of_an_older_one(tab):
    tab.sample("chelsea")
    slow = QUICK.replace("iterations = 300", "iterations = 80_000_000")
    tab.write_recipe(slow)
    tab.says("layer 1 of 1: learning")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    assert "chelsea" in tab.says("chelsea"), "the older one says nothing any more"
    assert saved(tab).layers[0].iterations == 300


@pytest.mark.slow
def test_a_mask_is_uploaded_and_stays_where_the_recipe_finds_it(browser, tmp_path, photo):
    mask = tmp_path / "half.png"
    half = np.zeros((30, 45), np.uint8)
    half[:, 20:] = 255
    Image.fromarray(half).save(mask)
    with studio(tmp_path, photo, env={"XDG_DATA_HOME": str(tmp_path / "data")}) as one:
        tab = Page(browser.new_page(), one)
        tab.says("my cat")
        with tab.shows_anew():
            tab.write_recipe(QUICK)
        tab.tab("Layers")
        tab.unfold()
        tab.page.get_by_label("Set mask", exact=True).click()
        with tab.shows_anew():
            tab.page.set_input_files("input[aria-label='mask, file']", str(mask))
        (layer,) = saved(tab).layers
        assert read_picture(layer.mask).frame.shape == (30, 45, 3)
        exported = tab.export(tmp_path)
        tab.page.close()
        one.stop()
    changed = (read_picture(exported).frame != read_picture(photo).frame).any(axis=2)
    assert not changed[:, :190].any()
    assert changed[:, 210:].any()
    again = tmp_path / "again.png"
    by_the_command_line("corrupt", photo, "-o", again, "--recipe", exported, "--trust-paths")
    assert again.read_bytes() == exported.read_bytes()


def test_tabs_do_not_disturb_each_other(browser, running, tab):
    other = Page(browser.new_page(), running)
    tab.sample("chelsea")
    other.sample("coffee")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    with other.shows_anew():
        other.page.click("#presets button[data-name=weave]")
    with tab.shows_anew():
        tab.page.click("#dice")
    assert saved(other) == load_preset("weave")
    assert "coffee" in other.says("coffee")
    assert "chelsea" in tab.says("chelsea")
    assert other.picture() != tab.picture()
    other.page.close()


@pytest.mark.slow
def test_the_webcam_gives_a_still(browser, running):
    context = browser.new_context(permissions=["camera"])
    tab = Page(context.new_page(), running)
    tab.page.get_by_text("Take a picture with the webcam").click()
    tab.page.locator("#webcam").get_by_text("Click to Access Webcam").click()
    capture = tab.page.locator("#webcam button[aria-label^=capture]")
    capture.wait_for()
    tab.page.wait_for_function("document.querySelector('#webcam video').readyState >= 2")
    with tab.shows_anew():
        capture.click()
    assert "×" in tab.says("png")
    assert tab.errors == []
    context.close()


def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(tab):
    tab.sample("chelsea")
    tab.tab("Layers")
    tab.unfold()
    nameless = tab.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')]
          .filter(one => one.checkVisibility() && one.type !== 'file')
          .filter(one => !(one.getAttribute('aria-label') || one.innerText.trim() || one.title
            || one.getAttribute('aria-labelledby') || (one.labels && one.labels.length)))
          .map(one => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    unreachable = tab.page.evaluate(
        """() => [...document.querySelectorAll('.layers button, .layers input, .layers select,'
          + '.stage input, .strip button')]
          .filter(one => one.checkVisibility() && one.tabIndex < 0).length"""
    )
    assert unreachable == 0


@pytest.mark.slow
def test_a_press_of_an_arrow_key_goes_to_the_next_value_of_a_slider(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Layers")
    tab.unfold()
    for label, key, after in (
        ("agents", "ArrowRight", "61"),
        ("lifetime", "ArrowLeft", "19"),
        ("median", "ArrowUp", "5"),
        ("same: importance", "ArrowDown", "-0.01"),
    ):
        with tab.shows_anew():
            tab.page.get_by_label(f"{label}, slider", exact=True).press(key)
        assert tab.page.get_by_label(label, exact=True).input_value() == after, label
    for label in ("opacity", "gamma"):
        slider = tab.page.get_by_label(f"{label}, slider", exact=True)
        slider.press("ArrowRight")
        for _ in range(30):
            slider.press("ArrowRight")
        assert float(tab.page.get_by_label(label, exact=True).input_value()) == 1, label


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_sideways(browser, running, size, scheme):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    tab = Page(page, running)
    tab.sample("chelsea")
    for name in ("Layers", "Recipe", "Export", "Picture"):
        tab.tab(name)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
        cut = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea, a')]
              .filter(one => one.checkVisibility() && !one.closest('.strip, [aria-hidden=true]'))
              .filter(one => !one.closest('[role=tablist]'))
              .filter(one => { const { left, right, width } = one.getBoundingClientRect();
                return width > 0 && (left < 0 || right > innerWidth); })
              .map(one => one.outerHTML.slice(0, 150))"""
        )
        assert cut == [], name
    stage = page.locator(".stage .box").bounding_box()
    assert stage["width"] <= size[0]
    assert stage["height"] > 200
    page.close()


@pytest.mark.slow
def test_every_setting_of_a_layer_and_an_effect_has_a_control(tab):
    from glitch_gym.actions import BUILT_IN_EFFECTS
    from glitch_render.effects import effects
    from glitch_render.recipe.model import Layer

    tab.sample("chelsea")
    tab.tab("Layers")
    for name in BUILT_IN_EFFECTS:
        if tab.page.locator(f"fieldset[data-effect={name}]").count() == 0:
            tab.page.get_by_label("Add an effect").select_option(name)
        box = tab.page.locator(f"fieldset[data-effect={name}]")
        for parameter in (*effects()[name].parameters.model_fields, "mean", "std", "weight"):
            assert box.locator(f"[data-name={parameter}]").count() == 1, (name, parameter)
    shown = set(tab.page.eval_on_selector_all(
        ".layers .editor > details > .row", "all => all.map(one => one.dataset.name)"
    ))  # fmt: skip
    of_the_recipe = {"activation", "weights", "cam_every", "cam_smoothing"}
    assert shown == set(Layer.model_fields) - {"effects", "mute", "solo"} | of_the_recipe


@pytest.mark.slow
def test_where_the_subject_is_can_be_found_in_other_ways(tab):
    tab.sample("chelsea")
    with tab.shows_anew():
        tab.write_recipe(QUICK)
    tab.tab("Layers")
    tab.unfold()
    with tab.shows_anew():
        tab.page.get_by_label("activation", exact=True).fill("spectral_residual")
        tab.page.keyboard.press("Tab")
    assert saved(tab).activation == "spectral_residual"
    tab.page.get_by_label("activation", exact=True).fill("edgs")
    tab.page.keyboard.press("Tab")
    assert "did you mean 'edges'?" in tab.says("edges")


def test_a_file_that_is_dropped_anywhere_on_the_page_is_opened(tab, photo):
    import base64

    with tab.shows_anew():
        tab.page.evaluate(
            """content => {
              const bytes = Uint8Array.from(atob(content), one => one.charCodeAt(0));
              const carried = new DataTransfer();
              carried.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
              const stage = document.querySelector(".stage");
              for (const kind of ["dragenter", "dragover", "drop"]) {
                stage.dispatchEvent(new DragEvent(kind,
                  { bubbles: true, cancelable: true, dataTransfer: carried }));
              }
            }""",
            base64.b64encode(photo.read_bytes()).decode(),
        )
    assert "451×300" in tab.says("dropped.png")


@pytest.mark.slow
def test_a_plug_ins_effect_appears_without_code_of_the_page(browser, tmp_path):
    from support.plug_ins import CHECKER

    plug_in = tmp_path / "plug-in"
    (plug_in / "checker-1.0.dist-info").mkdir(parents=True)
    (plug_in / "checker.py").write_text(CHECKER)
    (plug_in / "checker-1.0.dist-info" / "METADATA").write_text("Name: checker\nVersion: 1.0\n")
    (plug_in / "checker-1.0.dist-info" / "entry_points.txt").write_text(
        "[glitch_gym.effects]\nchecker = checker:checker\n"
    )
    path = f"{plug_in}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with studio(tmp_path, "sample:chelsea", env={"PYTHONPATH": path}) as one:
        tab = Page(browser.new_page(), one)
        tab.says("chelsea")
        with tab.shows_anew():
            tab.write_recipe(QUICK)
        tab.tab("Layers")
        with tab.shows_anew():
            tab.page.get_by_label("Add an effect").select_option("checker")
        with tab.shows_anew():
            tab.slide("checker: shade", 0)
        assert "[layers.effects.checker]\nshade = 0\n" in tab.recipe()
        assert tab.errors == []
        tab.page.close()


# What is bad


@pytest.fixture
def bad_files(tmp_path, chelsea):
    """Files that nobody can open, with the words that say so."""
    from PIL import PngImagePlugin

    text = tmp_path / "notes.png"
    text.write_text("this is no picture")
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    cut = tmp_path / "cut.png"
    Image.fromarray(chelsea).save(cut)
    cut.write_bytes(cut.read_bytes()[:20_000])
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(film("bikes")).read_bytes()[:50_000])
    assert PngImagePlugin is not None
    return {
        text: "notes.png is not a picture",
        empty: "empty.jpg is empty",
        cut: "cut.png is damaged or cut short",
        huge: "huge.png has more than 89 megapixels",
        broken: "broken.mp4 is not a clip or picture that can be read, or it is damaged",
    }


def test_what_cannot_be_opened_is_told_and_leaves_no_file(tab, bad_files):
    tab.sample("chelsea")
    before = tab.number()
    files = tab.studio.files()
    for path, words in bad_files.items():
        line = tab.refuse(path, words)
        assert "/" not in line.replace(" / ", ""), "no path of the server is told"
    assert tab.number() == before, "what was open stays open"
    assert tab.studio.files() == files
    with tab.shows_anew():
        tab.page.click("#presets button[data-name=weave]")


@pytest.mark.slow
def test_a_clip_of_two_hours_opens_with_a_range(tab, tmp_path):
    path = make_clip(
        tmp_path / "film.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 7_200, rate=1,
        codec="mpeg4", options={"g": "10"},
    )  # fmt: skip
    tab.open(path)
    assert "2:00:00" in tab.says("film.mp4")
    assert "of 20" in tab.says("frame")
    tab.tab("Picture")
    assert "long" in tab.page.locator("#about").inner_text()


@pytest.mark.slow
def test_a_disk_that_fills_during_an_export_is_told_and_nothing_stays(browser, tmp_path):
    with (
        small_disk(tmp_path / "disk", 1500) as disk,
        studio(tmp_path, film("bigbuckbunny"), temporary=disk) as one,
    ):
        tab = Page(browser.new_page(), one)
        tab.says("frame \\d+ of 132")
        tab.tab("Export")
        tab.page.click("#export-button")
        assert "the disk is full" in tab.says("disk", "#exporting", 120_000)
        assert "/" not in tab.says("disk", "#exporting")
        assert one.files() == []
        with tab.shows_anew():
            tab.page.click("#presets button[data-name=mosaic]")
        tab.page.close()
        assert one.stop() == 130
        assert one.files() == []


@pytest.mark.slow
def test_a_browser_that_closes_during_a_render_stops_it(browser, tmp_path):
    with studio(tmp_path, film("bigbuckbunny")) as one:
        tab = Page(browser.new_page(), one)
        tab.says("frame \\d+ of 132")
        tab.tab("Export")
        tab.page.click("#export-button")
        tab.says("frame \\d+ of 132", "#exporting")
        # The page names frame 0 before the encoder has opened its file
        one.waits(lambda files: files != [], seconds=10)
        tab.page.close()
        one.waits(lambda files: files == [], seconds=10)
        again = Page(browser.new_page(), one)
        again.says("frame \\d+ of 132")
        again.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_left_when_the_studio_is_stopped_in_the_middle_of_work(
    browser, tmp_path, kind, code
):
    with studio(tmp_path, film("bigbuckbunny")) as one:
        tab = Page(browser.new_page(), one)
        tab.says("frame \\d+ of 132")
        tab.tab("Export")
        tab.page.click("#export-button")
        tab.says("frame \\d+ of 132", "#exporting")
        assert one.stop(kind) == code
        assert list(one.folder.iterdir()) == []
        assert "Traceback" not in one.said.read_text()
        tab.page.close()


def test_a_second_studio_on_the_same_port_says_so(running):
    result = subprocess.run(
        [sys.executable, "-m", "glitch_render.cli", "studio", "--no-browser", "--port",
         str(running.port)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"port {running.port} is taken" in result.stderr


def test_the_server_listens_on_this_machine_alone_and_calls_nobody(tab):
    tab.sample("chelsea")
    pid = tab.studio.process.pid
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in inodes:
                found.append((table, columns[1].split(":")[0], columns[2].split(":")[0]))
    assert found
    here, nobody = "0100007F", "00000000"
    for table, local, remote in found:
        assert table == "tcp", found
        assert local == here, found
        assert remote in (here, nobody), found


def test_what_is_opened_on_the_command_line_must_be_there(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "glitch_render.cli", "studio", "--no-browser", "nothing.png"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1
    assert "nothing.png" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (2560, 1440)])
def test_the_picture_takes_a_large_share_of_the_window(browser, running, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    tab = Page(page, running)
    tab.sample("coffee")
    box = page.locator(".stage img.after").bounding_box()
    assert box["width"] * box["height"] > 0.42 * width * height
    assert box["y"] + box["height"] < height
    page.close()
