from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.clips import scene
from support.program import IN_OUT, QUICK, refused
from support.worlds import small_world

from glitch_agents import QTable, load_table, rollout
from glitch_agents.population import Population
from glitch_agents.rollout import MOST_AGENTS, MOST_STEPS
from glitch_gym import WorldSettings, compute_activation, make_world
from glitch_gym.errors import (
    GlitchError,
    OutputError,
    PictureError,
    RecipeError,
    SettingError,
    legible,
)
from glitch_gym.input import LARGEST_TEXT, check_file, open_file, read_text
from glitch_gym.picture import read_picture
from glitch_gym.reward import MOST_REWARDS
from glitch_render.episodes.episode import load_episode
from glitch_render.episodes.script import parse_script, read_script, script_episode
from glitch_render.media.footage import open_footage
from glitch_render.media.pictures import write_picture
from glitch_render.recipe.files import recipe_text
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.recipe.presets import load_preset
from glitch_render.recipe.toml import parse_recipe, read_toml
from glitch_render.stills import corrupt
from glitch_render.video.render import corrupt_clip
from glitch_render.video.selection import Selection

LAYER = Layer(grid=(4, 6), effects=["same"], iterations=50, agents=5)


@pytest.fixture(autouse=True)
def _no_waiting():
    """Break off what hangs: a pipe that nobody writes into is waited for without end."""

    def late(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path, monkeypatch, small):
    """A folder to work in, with the photograph ``in.png``, a pipe, and a folder with a pipe."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small).save("in.png")
    for name in ("pipe.png", "pipe.toml", "pipe.npz", "pipe.mp4", "pipe.pth", "pipe"):
        os.mkfifo(name)
    Path("shots").mkdir()
    for number, one in enumerate(scene(2)):
        Image.fromarray(one).save(f"shots/{number}.png")
    os.mkfifo("shots/2.png")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["corrupt", "pipe.png", "-o", "out.png", *QUICK], "pipe.png is a pipe, not a picture"),
        (["corrupt", "pipe.mp4", "-o", "out.mp4", *QUICK], "is a pipe, not a picture or clip"),
        (["corrupt", "shots", "-o", "out.mp4", *QUICK], "2.png is a pipe, not a picture"),
        (["corrupt", "shots/*.png", "-o", "out.mp4", *QUICK], "2.png is a pipe, not a picture"),
        (["corrupt", "/dev/zero", "-o", "out.png", *QUICK], "is a device, not a picture"),
        ([*IN_OUT, "-r", "pipe.toml"], "pipe.toml is a pipe, not a recipe"),
        ([*IN_OUT, "-r", "pipe"], "pipe is a pipe, not a recipe"),
        ([*IN_OUT, "-r", "pipe.png"], "pipe.png is a pipe, not a recipe"),
        ([*IN_OUT, "-r", "pipe.mp4"], "pipe.mp4 is a pipe, not a recipe"),
        ([*IN_OUT, "-r", "/dev/zero"], "/dev/zero is a device, not a recipe"),
        ([*IN_OUT, "--activation", "pipe.png"], "is a pipe, not a picture"),
        ([*IN_OUT, "--weights", "pipe.pth"], "is a pipe, not a weights file"),
        ([*IN_OUT, *QUICK, "--set", "layers.1.mask=pipe.png"], "is a pipe, not a picture"),
        (["replay", "pipe.npz", "in.png", "-o", "out.png"], "is a pipe, not an episode"),
        (["replay", "pipe.toml", "in.png", "-o", "out.png"], "is a pipe, not a script"),
        (["activation", "pipe.png", "-o", "out.png", "--activation", "edges"], "is a pipe"),
        (["plot", "activation", "pipe.png", "-o", "out.png", *QUICK], "is a pipe"),
        (["animate", "pipe.png", "-o", "out.gif", *QUICK], "is a pipe"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(folder, command, message):
    assert message in refused(*command)


LONG = "n" * 5000
DEEP = "d/" * 2500 + "*.png"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["corrupt", LONG, "-o", "out.png", *QUICK], "too long for the file system"),
        (["corrupt", "in.png", "-o", LONG + ".png", *QUICK], "too long for the file system"),
        (["corrupt", "in.png", "-o", LONG + "/out.png", *QUICK], "too long for the file system"),
        (["corrupt", "in.png", "-o", LONG, "--duration", "1", *QUICK], "too long"),
        (["corrupt", DEEP, "-o", "out.mp4", *QUICK], "pattern .* is too long: 5,005 characters"),
        (["corrupt", "[" * 5000, "-o", "out.mp4", *QUICK], "is too long: 5,000 characters"),
        (["corrupt", "*" * 5000, "-o", "out.mp4", *QUICK], "is too long: 5,000 characters"),
        ([*IN_OUT, "-r", LONG], "too long for the file system"),
        ([*IN_OUT, "-r", LONG + ".png"], "too long for the file system"),
        ([*IN_OUT, "--weights", LONG], "too long for the file system"),
        ([*IN_OUT, "--activation", LONG], "unknown activation"),
        ([*IN_OUT, "--activation", LONG + ".png"], "too long for the file system"),
        ([*IN_OUT, *QUICK, "--set", f"layers.1.mask={LONG}"], "too long for the file system"),
        ([*IN_OUT, *QUICK, "--save-episode", LONG + ".npz"], "too long for the file system"),
        ([*IN_OUT, "--preset", LONG], "unknown preset"),
        (["replay", LONG + ".npz", "in.png", "-o", "out.png"], "too long for the file system"),
        (["replay", LONG + ".toml", "in.png", "-o", "out.png"], "too long for the file system"),
        (["plot", "activation", LONG, "-o", "out.png", *QUICK], "too long for the file system"),
        (["animate", LONG, "-o", "out.gif", *QUICK], "too long for the file system"),
        (["corrupt", "a\0b.png", "-o", "out.png", *QUICK], "picture not found"),
    ],
)
def test_names_that_no_file_can_have_are_one_short_line(folder, command, message):
    line = refused(*command)
    assert re.search(message, line)
    assert len(line) < 700


def test_what_may_not_be_read_is_not_called_damaged():
    # Outside of pytest's own folder, which is its owner's alone
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    names = ("a.png", "a.mp4", "a.toml", "a.npz", "a.jpg", "a.gif")
    for name in names:
        (folder / name).write_bytes(b"x")
        (folder / name).chmod(0)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        for read, name in (
            (read_picture, "a.png"),
            (lambda path: open_footage(str(path)), "a.mp4"),
            (lambda path: open_footage(str(path)), "a.gif"),
            (lambda path: open_footage(str(path.parent)), "a.gif"),
            (recipe_text, "a.toml"),
            (recipe_text, "a.jpg"),
            (recipe_text, "a.mp4"),
            (read_script, "a.toml"),
            (load_episode, "a.npz"),
            (load_table, "a.npz"),
        ):
            with pytest.raises(GlitchError, match="no permission to read"):
                read(folder / name)
    finally:
        if superuser:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_a_text_is_read_whole_or_refused(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes("é = 1\r\nb = 2\r".encode())
    assert read_text(path, "recipe") == "é = 1\nb = 2\n" == path.read_text(encoding="utf-8")
    path.write_bytes(b"#" * (LARGEST_TEXT + 1))
    with pytest.raises(RecipeError, match="too large for a recipe"):
        read_text(path, "recipe", error=RecipeError)
    path.write_bytes(b"#" * LARGEST_TEXT)
    assert len(read_text(path, "recipe")) == LARGEST_TEXT
    path.write_bytes(b"\xff")
    with pytest.raises(RecipeError, match="not a text file"):
        read_text(path, "recipe", error=RecipeError)
    assert check_file(path) == 1


def test_a_file_that_becomes_a_pipe_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    usual = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr("glitch_gym.input.os.stat", lambda _: usual)
    with pytest.raises(GlitchError, match="is a pipe"):
        open_file(path)


def test_a_recipe_of_ten_megabytes_is_refused(folder, small):
    with Path("large.toml").open("w") as file:
        file.write(load_preset("weave").to_toml() + "#" * 10_000_000)
    assert "too large for a recipe" in refused(*IN_OUT, "-r", "large.toml")
    with pytest.raises(RecipeError, match="too long"):
        read_toml("#" * (LARGEST_TEXT + 1), "large")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_recipe_that_could_not_be_read_back_is_not_written(tmp_path, small, suffix):
    # Written out, each of these characters takes six
    recipe = Recipe(layers=[LAYER], description="\x01" * (LARGEST_TEXT // 6))
    with pytest.raises(OutputError, match="too long for the metadata"):
        write_picture(tmp_path / f"a{suffix}", small, recipe=recipe)
    assert list(tmp_path.iterdir()) == []
    fits = Recipe(layers=[LAYER], description="d" * 500_000)
    if suffix == ".png":
        write_picture(tmp_path / "a.png", small, recipe=fits)
        assert parse_recipe(read_toml(recipe_text(tmp_path / "a.png"), "a")) == fits


def test_a_recipe_of_many_unknown_keys_is_told_in_time(tmp_path):
    text = "\n".join(f"key_{number} = 1" for number in range(20_000))
    with pytest.raises(RecipeError, match=r"has 20,001 errors") as raised:
        parse_recipe(read_toml(text, "many"), "many", text=text)
    # Each takes a search through the text: all of them took over a minute
    assert len(raised.value.problems) <= 40
    assert str(raised.value).count("\n") <= 41


def test_a_crowd_beyond_measure_takes_no_memory(small, tmp_path):
    population = LAYER.model_copy(update={"agents": 100_000_000})
    long = LAYER.model_copy(update={"agents": 10_000, "lifetime": 100_000})
    recipes = {
        f"with {population.lifetime:,} steps each are too many": [population],
        "with 100,000 steps each": [long],
        "all layers take": [LAYER.model_copy(update={"agents": 1_000_000, "lifetime": 30})] * 2,
    }
    tracemalloc.start()
    for message, layers in recipes.items():
        with pytest.raises(SettingError, match=message):
            corrupt(small, Recipe(layers=layers, activation="edges"))
    world = small_world()
    table = QTable(np.zeros(world.reward_field.shape, np.float32))
    with pytest.raises(SettingError, match=f"at most {MOST_STEPS:,}"):
        rollout(world, table, 1_000_000_000)
    with pytest.raises(SettingError, match=f"at most {MOST_AGENTS:,}"):
        Population(1_000_000_000, lifetime=1)
    Image.fromarray(small).save(tmp_path / "in.png")
    for layers in ([population], [LAYER.model_copy(update={"agents": 6_000_000})] * 2):
        with pytest.raises(SettingError, match="too many for a clip"):
            corrupt_clip(
                str(tmp_path / "in.png"),
                tmp_path / "out.gif",
                Recipe(layers=layers, activation="edges"),
                Selection(duration=1.0),
            )
    trailing = LAYER.model_copy(update={"agents": 100_000, "trail": 1_000_000})
    with pytest.raises(SettingError, match="steps each are too many"):
        corrupt_clip(
            str(tmp_path / "in.png"),
            tmp_path / "out.gif",
            Recipe(layers=[trailing], activation="edges"),
            Selection(duration=1.0),
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000


def test_worlds_beyond_measure_take_no_memory(small, tmp_path):
    effects = ["same", "invert", "pixelate", "random"]
    giant = LAYER.model_copy(update={"grid": (4096, 4096)})
    many = Layer(grid=(512, 512), effects=effects, moves=8, iterations=50)
    tracemalloc.start()
    for layers in ([giant], [many] * 8):
        recipe = Recipe(layers=layers, activation="edges")
        with pytest.raises(SettingError, match="rewards are too many"):
            corrupt(small, recipe)
        with pytest.raises(SettingError, match="rewards are too many"):
            corrupt_clip("sample:balloon", tmp_path / "out.gif", recipe, Selection(duration=1.0))
    frame = np.zeros((4096, 4096, 3), np.uint8)
    with pytest.raises(SettingError, match=f"at most {MOST_REWARDS:,}"):
        make_world(
            compute_activation(frame[:64, :64], "edges"),
            frame.shape[:2],
            WorldSettings((4096, 4096), ["same"]),
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000


def test_a_script_beyond_measure_is_refused(monkeypatch):
    monkeypatch.setattr("glitch_render.episodes.script._MAX_TOGETHER", 150_000)
    walker = '[[agents]]\nstart = [0, 0]\ndo = "(same_right same_left)*49999"\n'
    text = "grid = [4, 6]\n" + walker * 100
    with pytest.raises(
        GlitchError, match="more than 150,000 steps of all agents together, exceeded by agent 2"
    ):
        script_episode(parse_script(text), 40, 60)
    lazy = '[[agents]]\nstart = [0, 0]\ndo = "same_right"\n'
    late = '[[agents]]\nstart = [0, 0]\nat = 99999\ndo = "same_right"\n'
    with pytest.raises(GlitchError, match="too many"):
        script_episode(parse_script("grid = [4, 6]\n" + lazy * 600 + late), 40, 60)


def test_an_error_is_legible_whatever_is_in_it():
    assert str(PictureError("a picture is missing")) == "a picture is missing"
    assert str(PictureError("one\n  two")) == "one\n  two"
    line = str(PictureError(f"{'x' * 5000} not found: {'y ' * 5000}"))
    assert len(line) <= 600
    assert line.startswith("x" * 90)
    assert "…" in line
    assert str(PictureError("\x1b[2J\u202egnp.a")) == "\\x1b[2J\\u202egnp.a"
    assert str(PictureError("\udcff.png")) == "\\udcff.png"
    many = legible("\n".join(map(str, range(1000))))
    assert many.endswith("  … and 960 more lines")
    assert str(PictureError("ünïcödé – × 40")) == "ünïcödé – × 40"


def test_names_and_settings_are_legible_on_the_command_line(folder):
    line = refused("corrupt", "\x1b]0;mine\x07.png", "-o", "out.png", *QUICK)
    assert "\\x1b]0;mine\\x07.png" in line
    line = refused(*IN_OUT, *QUICK, "--set", f"layers.1.blend={'x' * 9000}")
    assert len(line) < 700
