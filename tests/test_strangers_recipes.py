"""Recipes that a stranger made: nothing of theirs is run, and no file is opened unasked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import tomli_w
from packages import with_packages
from PIL import Image, PngImagePlugin
from support.clips import make_clip, scene
from typer.testing import CliRunner

import glitch_render.media.pictures as media
from glitch_gym.activation import compute_activation
from glitch_gym.errors import GlitchError, Hint, PictureError, RecipeError, WeightsError
from glitch_gym.paths import path_problem
from glitch_render import Layer, Recipe, corrupt, read_recipe
from glitch_render.cli import app
from glitch_render.media.metadata import embed_recipe
from glitch_render.recipe.files import recipe_text
from glitch_render.recipe.paths import WantedPath, wanted_paths
from glitch_render.recipe.toml import parse_recipe
from glitch_render.video.render import corrupt_clip
from glitch_render.video.selection import Selection

HOSTILE = """
activation = "edges"

[[layers]]
grid = [10, 15]
fit = "stretch"
effects = ["same"]
agents = 60
iterations = 50
{setting}
"""
LEARNERS = ["os:abort", "sys:exit", "builtins:print", "shutil:rmtree", "os.path:join", "__import__"]
OWN = """
import numpy as np

class Rightwards:
    def learn(self, env, *, episodes, seed):
        print("noise")
        actions = env.unwrapped.actions
        class Policy:
            def act(self, observations):
                return np.full(observations.shape, actions.encode("same", "right"))
        return Policy()

class Downwards(Rightwards):
    def learn(self, env, **settings):
        raise SystemExit(0)
"""


def hidden_in(kind, folder, text, frame):
    """Hide a recipe's text in a file as ours carry it; gives its path."""
    path = folder / f"sent.{kind}"
    if kind == "toml":
        path.write_text(text)
    elif kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text(media.RECIPE_KEY, text)
        Image.fromarray(frame).save(path, pnginfo=info)
    elif kind in ("jpg", "webp"):
        Image.fromarray(frame).save(path, exif=media.exif_with(text))
    elif kind == "gif":
        Image.fromarray(frame).save(path, comment=f"{media.RECIPE_KEY}\n{text}".encode())
    elif kind == "apng":
        frames = [Image.fromarray(frame), Image.fromarray(255 - frame)]
        frames[0].save(path, format="PNG", save_all=True, append_images=frames[1:])
        embed_recipe(path, text)
    else:
        make_clip(folder / f"plain.{kind}", scene(4))
        with av.open(str(folder / f"plain.{kind}")) as plain, av.open(str(path), "w") as sent:
            sent.metadata["comment"] = f"{media.RECIPE_KEY}\n{text}"
            stream = sent.add_stream_from_template(plain.streams.video[0])
            for packet in plain.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    sent.mux(packet)
    return path


def at_once(*arguments):
    """Run the command line in this process."""
    said = CliRunner().invoke(app, [str(one) for one in arguments])
    assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
    return said


def run(*arguments, folder=None):
    """Run the command line in a process of its own, which may be killed."""
    return subprocess.run(
        [sys.executable, "-m", "glitch_render.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=with_packages(folder or "."),
    )


@pytest.fixture
def photo(tmp_path, small):
    path = tmp_path / "photo.png"
    Image.fromarray(small).save(path)
    return path


@pytest.mark.parametrize("kind", ["toml", "png", "jpg", "webp", "gif", "apng", "mp4", "mkv"])
def test_a_learner_that_is_code_is_refused_wherever_the_recipe_lies(tmp_path, small, kind):
    for learner in LEARNERS:
        text = HOSTILE.format(setting=f'learner = "{learner}"')
        path = hidden_in(kind, tmp_path, text, small)
        assert recipe_text(path).strip() == text.strip()
        with pytest.raises(RecipeError, match=r"layers\.1\.learner") as caught:
            read_recipe(path, trust_paths=True)
        assert caught.value.hint is Hint.LEARNER
        assert "--" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["toml", "png", "gif", "mp4"])
def test_the_command_line_refuses_code_with_exit_code_1(tmp_path, small, photo, kind):
    for learner in ("os:abort", "sys:exit"):
        path = hidden_in(kind, tmp_path, HOSTILE.format(setting=f'learner = "{learner}"'), small)
        said = run("corrupt", photo, "-o", tmp_path / "out.png", "--recipe", path)
        assert said.returncode == 1, said
        assert f"'{learner}' is not the name of a learner" in said.stderr
        assert said.stderr.strip().endswith("pass it with --learner module:Class")
        assert len(said.stderr.strip().splitlines()) == 1
    for command in (
        ["plot", "policy", photo, "-o", tmp_path / "out.png"],
        ["animate", photo, "-o", tmp_path / "out.mp4"],
    ):
        refused = at_once(*command, "--recipe", path)
        assert refused.exit_code == 1
        assert "'sys:exit' is not the name of a learner" in refused.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_setting_given_by_hand_is_no_way_in_either(tmp_path, photo):
    setting = "layers.1.learner=sys:exit"
    said = at_once("corrupt", photo, "-o", tmp_path / "o.png", "--set", setting)
    assert said.exit_code == 1
    assert "'sys:exit' is not the name of a learner" in said.stderr


def test_an_episode_whose_recipe_is_hostile_is_replayed_without_it(tmp_path, small):
    from glitch_render.episodes.episode import load_episode, save_episode
    from glitch_render.stills import corrupt_with_episode

    layer = Layer(grid=(10, 15), fit="stretch", effects=["same"], agents=20, iterations=20)
    _, episode = corrupt_with_episode(small, Recipe(layers=[layer], activation="edges"))
    save_episode(tmp_path / "run.npz", episode)
    with np.load(tmp_path / "run.npz") as content:
        arrays = dict(content)
    arrays["about"] = np.array(str(arrays["about"]).replace("q_learning", "os:abort"))
    np.savez(tmp_path / "run.npz", **arrays)
    loaded = load_episode(tmp_path / "run.npz")
    assert loaded.recipe is None
    assert len(loaded.layers) == 1


# Learners of one's own, given by hand


@pytest.mark.slow
def test_a_learner_given_by_hand_paints_and_leaves_its_name_alone(tmp_path, photo):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "r.toml").write_text(HOSTILE.format(setting=""))
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    by_hand = ["--learner", "mine:Rightwards"]
    said = run("corrupt", photo, "-o", first, "-r", "r.toml", *by_hand, folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout == ""
    assert 'learner = "Rightwards"' in recipe_text(first)
    assert "mine" not in recipe_text(first)

    said = run("corrupt", photo, "-o", again, "-r", first, folder=tmp_path)
    assert said.returncode == 1
    assert "unknown learner 'Rightwards'" in said.stderr
    assert said.stderr.strip().endswith("pass it with --learner module:Class")

    said = run("corrupt", photo, "-o", again, "-r", first, *by_hand, folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.slow
def test_learners_given_by_hand_go_to_the_layers_that_name_them(tmp_path, photo):
    (tmp_path / "mine.py").write_text(OWN)
    both = HOSTILE.format(setting='learner = "Rightwards"') + "[[layers]]\ngrid = [4, 6]\n"
    (tmp_path / "r.toml").write_text(both)
    made = ["corrupt", photo, "-o", "out.png", "-r", "r.toml", "--set", "layers.2.effects=['same']"]
    said = run(*made, "--learner", "mine:Rightwards", folder=tmp_path)
    assert said.returncode == 0, said.stderr
    text = recipe_text(tmp_path / "out.png")
    assert text.count('learner = "Rightwards"') == 1
    assert text.count('learner = "q_learning"') == 1
    two = ["--learner", "mine:Rightwards", "--learner", "mine:Downwards"]
    said = run(*made, "--force", *two, folder=tmp_path)
    assert said.returncode == 1
    assert "no layer names the learner Downwards" in said.stderr


def test_plots_and_animations_take_learners_by_hand_too(tmp_path, photo, monkeypatch):
    (tmp_path / "mine_too.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = hidden_in("toml", tmp_path, HOSTILE.format(setting='learner = "Rightwards"'), None)
    for command in (["plot", "learning"], ["plot", "policy"], ["animate"]):
        out = tmp_path / f"out{'.mp4' if command == ['animate'] else '.png'}"
        made = [*command, photo, "-f", "-o", out, "-r", recipe]
        assert "unknown learner 'Rightwards'" in at_once(*made).stderr
        said = at_once(*made, "--learner", "mine_too:Rightwards")
        assert said.exit_code == 0, said.output
        assert "noise" not in said.stdout
    assert 'learner = "Rightwards"' in recipe_text(tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        ("mine:Downwards", "the learner 'Downwards' failed: SystemExit: 0"),
        ("mine:Absent", "AttributeError"),
        ("sys:exit", "SystemExit"),
        ("mine", "write module:Class"),
        ("mine:np.float32", "has no method learn"),
        ("collections:namedtuple", "namedtuple"),
    ],
)
def test_what_a_learner_given_by_hand_does_wrong_is_told(tmp_path, photo, learner, words):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "r.toml").write_text(HOSTILE.format(setting=""))
    said = run(
        "corrupt", photo, "-o", "out.png", "-r", "r.toml", "--learner", learner, folder=tmp_path
    )
    assert said.returncode == 1, said
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "out.png").exists()


class Rightwards:
    def learn(self, env, *, episodes, seed=0):
        actions = env.unwrapped.actions

        class Policy:
            def act(self, observations):
                return np.full(observations.shape, actions.encode("same", "right"))

        return Policy()


def test_in_python_it_is_an_object_and_its_reader_gives_it_again(tmp_path, small):
    import pickle

    layer = Layer(grid=(10, 15), fit="stretch", effects=["same"], agents=60, learner=Rightwards)
    recipe = Recipe(layers=[layer], activation="edges")
    painted = corrupt(small, recipe)
    media.write_picture(tmp_path / "own.png", painted, recipe=recipe)
    with pytest.raises(RecipeError, match="unknown learner 'Rightwards'"):
        read_recipe(tmp_path / "own.png")
    again = read_recipe(tmp_path / "own.png", learners={"Rightwards": Rightwards})
    assert again == recipe
    assert again.layers[0].learner.make is Rightwards
    np.testing.assert_array_equal(corrupt(small, again), painted)
    sent = pickle.loads(pickle.dumps(recipe))
    assert sent == recipe
    np.testing.assert_array_equal(corrupt(small, sent), painted)
    for taken in ("q_learning", "no name", "os:abort"):
        with pytest.raises(GlitchError, match="learner of your own"):
            parse_recipe({"layers": [{"grid": [2, 2]}]}, learners={taken: Rightwards})
    with pytest.raises(ValueError, match="no method learn"):
        Layer(grid=(2, 2), learner=object())


# Files


PATHS = 'mask = "/home/somebody/mask.png"'


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "apng", "mp4"])
def test_files_that_a_pictures_recipe_names_are_not_opened_unasked(tmp_path, small, kind):
    path = hidden_in(kind, tmp_path, HOSTILE.format(setting=PATHS), small)
    with pytest.raises(RecipeError, match=r"/home/somebody/mask\.png \(layers\.1\.mask\)") as told:
        read_recipe(path)
    assert told.value.hint is Hint.TRUST_PATHS
    assert told.value.path == "/home/somebody/mask.png"
    trusted = read_recipe(path, trust_paths=True)
    assert wanted_paths(trusted) == (WantedPath("layers.1.mask", "/home/somebody/mask.png"),)


def test_what_a_recipe_wants_to_open_is_listed_without_opening_it():
    recipe = parse_recipe(
        {
            "activation": "resnet18",
            "weights": "w.pth",
            "layers": [
                {"grid": [2, 2], "mask": "sample:chelsea"},
                {"grid": [2, 2], "mask": "a.png", "mute": True},
            ],
        }
    )
    assert wanted_paths(recipe) == (
        WantedPath("weights", "w.pth"), WantedPath("layers.2.mask", "a.png"),
    )  # fmt: skip
    mask = parse_recipe({"activation": "b.png", "layers": [{"grid": [2, 2]}]})
    assert wanted_paths(mask) == (WantedPath("activation", "b.png"),)


def test_messages_quote_a_stranger_in_one_line_that_can_be_read(tmp_path, small):
    layers = [{"grid": [2, 2], "mask": f"a\x1b[2J\n{number}.png"} for number in range(64)]
    text = Recipe(layers=[Layer(grid=(2, 2))]).to_toml(brief=True).partition("[[layers]]")[0]
    text += tomli_w.dumps({"layers": layers})
    with pytest.raises(RecipeError) as told:
        read_recipe(hidden_in("png", tmp_path, text, small))
    assert str(told.value).isprintable()
    assert str(told.value).endswith("and 59 more, which its author chose")
    for learner in ("x" * 100_000, "os:" + "x" * 100_000, "\x1b[2J:x"):
        with pytest.raises(RecipeError) as told:
            parse_recipe({"layers": [{"grid": [2, 2], "learner": learner}]})
        assert str(told.value).isprintable()
        assert len(str(told.value)) < 400


def test_the_command_line_says_which_file_and_how_to_allow_it(tmp_path, small, photo):
    mask = tmp_path / "mask.png"
    Image.fromarray(np.full((16, 24), 255, np.uint8)).save(mask)
    text = HOSTILE.format(setting=f'mask = "{mask}"')
    sent = hidden_in("png", tmp_path, text, small)
    out = tmp_path / "out.png"
    said = at_once("corrupt", photo, "-o", out, "-r", sent)
    assert said.exit_code == 1
    assert f"{mask} (layers.1.mask)" in said.stderr
    assert said.stderr.strip().endswith("allow it with --trust-paths")
    assert not out.exists()
    assert at_once("corrupt", photo, "-o", out, "-r", sent, "--trust-paths").exit_code == 0
    # What a person writes by hand is theirs, and so is a file of TOML
    other = tmp_path / "other.png"
    mask.rename(other)
    by_hand = ["--set", f"layers.1.mask={other}"]
    assert at_once("corrupt", photo, "-f", "-o", out, "-r", sent, *by_hand).exit_code == 0
    toml = hidden_in("toml", tmp_path, text.replace(str(mask), str(other)), small)
    assert at_once("corrupt", photo, "-f", "-o", out, "-r", toml).exit_code == 0


def test_an_activation_given_by_hand_takes_the_place_of_the_files(tmp_path, small, photo):
    text = HOSTILE.format(setting="").replace('"edges"', '"secret.png"')
    sent = hidden_in("png", tmp_path, text, small)
    out = tmp_path / "out.png"
    assert "secret.png (activation)" in at_once("corrupt", photo, "-o", out, "-r", sent).stderr
    said = at_once("corrupt", photo, "-o", out, "-r", sent, "--activation", "edges")
    assert said.exit_code == 0


@pytest.mark.parametrize(
    "path",
    [
        r"\\host\share\mask.png", "//host/share/mask.png", r"\/host/share", r"\\.\pipe\x",
        r"\\?\C:\mask.png", "/dev/zero", "/dev/stdin", "/tmp/../dev/zero", "/proc/self/environ",
        "/sys/power/state", "NUL", "con", "C:/masks/aux.png", "com1.txt", "masks/nul /mask.png",
        "a\0b.png", "http://host/mask.png", "file:///etc/passwd", "CONIN$",
    ],
)  # fmt: skip
def test_paths_that_are_no_file_of_this_machine_are_refused_on_every_system(path):
    assert path_problem(path) is not None
    layer = {"grid": [2, 2]}
    for data in (
        {"layers": [{**layer, "mask": path}]},
        {"layers": [layer], "activation": path},
        {"layers": [layer], "weights": path},
    ):
        with pytest.raises(RecipeError, match="which no recipe may open"):
            parse_recipe(data)


@pytest.mark.parametrize(
    "path",
    ["mask.png", "../masks/m.png", "/home/dev/m.png", r"C:\masks\m.png", "device/nullify.png",
     "console.png", "sample:chelsea", "ein Bild: groß.png", "/devices/m.png"],
)  # fmt: skip
def test_ordinary_paths_are_allowed(path):
    assert path_problem(path) is None


def test_what_is_no_ordinary_file_is_refused_and_never_waited_for(tmp_path, small):
    fifo, plug = tmp_path / "fifo.png", tmp_path / "plug.png"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(plug))
        (tmp_path / "link.png").symlink_to("/dev/zero")
        for path in (fifo, plug, tmp_path / "link.png"):
            layer = Layer(grid=(4, 6), mask=str(path))
            with pytest.raises(PictureError, match=r"is a (pipe|socket|device), not a"):
                corrupt(small, Recipe(layers=[layer], activation="edges"))
            with pytest.raises(PictureError, match=r"is a (pipe|socket|device), not a"):
                compute_activation(small, str(path))
            with pytest.raises(WeightsError, match=r"is a (pipe|socket|device), not a"):
                compute_activation(small, "efficientnet_lite0", weights=str(path))


@pytest.mark.xdist_group("torch")
def test_weights_are_tensors_alone_and_no_larger_than_weights_are(tmp_path, small):
    import zipfile

    import torch

    def refused(path):
        with pytest.raises(WeightsError) as caught:
            compute_activation(small, "efficientnet_lite0", weights=str(path))
        return str(caught.value)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"fc": Evil()}, tmp_path / "evil.pth")
    assert "not a PyTorch state dict" in refused(tmp_path / "evil.pth")
    assert not (tmp_path / "made").exists()
    torch.save({"fc": torch.zeros(3), "more": "text"}, tmp_path / "mixed.pth")
    assert "more than tensors" in refused(tmp_path / "mixed.pth")
    with (tmp_path / "large.pth").open("wb") as file:
        file.truncate(1 << 30)
    assert "1,074 MB" in refused(tmp_path / "large.pth")
    with (
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data/0", "w", force_zip64=True) as member,
    ):
        for _ in range(600):
            member.write(bytes(1 << 20))
    assert (tmp_path / "bomb.pth").stat().st_size < 1_000_000
    assert "629 MB" in refused(tmp_path / "bomb.pth")


def test_a_picture_that_is_a_program_is_not_run(tmp_path, small, monkeypatch):
    from PIL import EpsImagePlugin

    ran = tmp_path / "ran"
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o700)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(script))
    mask = tmp_path / "mask.png"
    mask.write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    layer = Layer(grid=(4, 6), mask=str(mask))
    with pytest.raises(PictureError, match="PostScript"):
        corrupt(small, Recipe(layers=[layer], activation="edges"))
    assert not ran.exists()


def test_masks_are_pictures_within_the_limits_of_pictures(tmp_path, small):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "giant.png")
    for name, words in {"text.png": "not a picture", "giant.png": "megapixels"}.items():
        layer = Layer(grid=(4, 6), mask=str(tmp_path / name))
        with pytest.raises(PictureError, match=words):
            corrupt(small, Recipe(layers=[layer], activation="edges"))


def test_a_clips_mask_is_checked_before_it_is_looked_through(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    clip = make_clip(tmp_path / "clip.mp4", scene(4))
    recipe = Recipe(layers=[Layer(grid=(4, 6), mask=str(tmp_path / "fifo.png"))])
    with pytest.raises(PictureError, match=r"is a (pipe|socket|device), not a"):
        corrupt_clip(str(clip), Path(tmp_path / "o.mp4"), recipe, Selection())
