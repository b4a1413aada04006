from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from PIL import Image
from support.clips import make_clip, scene
from support.program import QUICK, refused, run

from glitch_gym.errors import Hint, OutputError
from glitch_gym.output import check_target, write_bytes
from glitch_render.recipe.model import Layer, Recipe
from glitch_render.video.render import corrupt_clip

FOLDER = ("", ".mp4")


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """A folder ``o`` of three pictures, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "o"
    folder.mkdir()
    for number, one in enumerate(scene(3)):
        Image.fromarray(one).save(folder / f"{number:06d}.png")
    return folder


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("o/*.png", "o"),
        ("o", "o"),
        ("o/00000?.png", "./o/../o/"),
        ("o/*.png", "linked"),
        ("linked/*.png", "o"),
        ("links/*.png", "o"),
        ("hard/*.png", "o"),
        ("o/*.png", "hard"),
        ("o/000001.png", "o/000001.png"),
        ("o/000001.png", "hard/000001.png"),
        ("links/000001.png", "o/../o/000001.png"),
        ("o/000001.png", "links/000001.png"),
        ("sample:balloon", "o/000001.png"),
    ],
)
def test_no_source_is_written_over(photographs, source, output):
    Path("linked").symlink_to("o", target_is_directory=True)
    Path("links").mkdir()
    Path("hard").mkdir()
    for path in photographs.iterdir():
        (Path("links") / path.name).symlink_to(path)
        (Path("hard") / path.name).hardlink_to(path)
    extra = ["--duration", "1"] if Path(output).suffix == "" and source.endswith("1.png") else []
    if source == "sample:balloon":
        # The recipe's mask is read as well
        extra = ["--set", "layers.1.mask=o/000001.png"]
    message = refused("corrupt", source, "-o", output, *QUICK, "--force", *extra)
    assert "the output is the input" in message


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a picture, an animation, a folder of pictures and an episode, all of ours."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "o").mkdir()
    for number, one in enumerate(scene(2)):
        Image.fromarray(one).save(folder / "o" / f"{number:06d}.png")
    for output, options in (
        ("o/000002.png", ["--save-episode", folder / "walk.npz"]),
        ("moving.gif", ["--duration", "0.2"]),
    ):
        done = run("corrupt", folder / "o/000001.png", "-o", folder / output, *QUICK, *options)
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["corrupt", "o", "-o", "o/000001.png", "--preview", "0", *QUICK],
        ["corrupt", "sample:balloon", "-o", "o/000002.png", "--recipe", "o/000002.png"],
        ["activation", "o/000001.png", "-o", "o/000001.png", "--activation", "edges"],
        ["activation", "sample:balloon", "-o", "o/000001.png", "--activation", "o/000001.png"],
        ["plot", "activation", "o/000001.png", "-o", "o/000001.png", *QUICK],
        ["plot", "activation", "sample:balloon", "-o", "o/000002.png", "-r", "o/000002.png"],
        ["animate", "o/000001.png", "-o", "o", *QUICK],
        ["animate", "sample:balloon", "-o", "moving.gif", "-r", "moving.gif"],
        ["replay", "walk.npz", "o/000001.png", "-o", "o/000001.png"],
        ["replay", "walk.npz", "o/*.png", "-o", "o"],
        ["replay", "walk.npz", "moving.gif", "-o", "moving.gif"],
    ],
)
def test_no_command_writes_over_what_it_reads(made, monkeypatch, command):
    monkeypatch.chdir(made)
    assert "the output is the input" in refused(*command, "--force")


def test_an_episode_that_is_there_is_not_written_over_unasked(made, monkeypatch):
    monkeypatch.chdir(made)
    command = ["corrupt", "o/000001.png", "-o", "new.png", "--save-episode", "walk.npz", *QUICK]
    assert "walk.npz already exists" in refused(*command)


def test_other_files_in_the_folder_of_a_source_may_be_written(photographs):
    result = run("corrupt", "o/*.png", "-o", "o/all.mp4", *QUICK)
    assert result.exit_code == 0, result.output
    result = run("corrupt", "o/*.png", "-o", "o/frames", *QUICK)
    assert result.exit_code == 0, result.output
    assert len(list(Path("o/frames").iterdir())) == 3


@pytest.mark.parametrize("force", [True, False])
def test_what_is_no_file_is_never_replaced(tmp_path, force):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for path, message in (
        (tmp_path / "pipe.png", "is a pipe or a device"),
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "none" / "a.png", "folder does not exist"),
        (tmp_path / ("n" * 300 + ".png"), "too long"),
        ("/dev/null", "is a pipe or a device"),
    ):
        with pytest.raises(OutputError, match=message):
            check_target(path, force=force)
    assert stat.S_ISFIFO((tmp_path / "pipe.png").stat().st_mode)


def test_what_is_there_is_replaced_only_when_asked(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    check_target(tmp_path / "folder", suffixes=FOLDER)
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for name, suffixes in (("a.png", None), ("lost.png", None), ("folder", FOLDER)):
        with pytest.raises(OutputError) as raised:
            check_target(tmp_path / name, suffixes=suffixes)
        assert raised.value.hint is Hint.FORCE
        check_target(tmp_path / name, suffixes=suffixes, force=True)
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        check_target(tmp_path / "plain", suffixes=FOLDER, force=True)
    with pytest.raises(OutputError, match=r"one of \.png, \.jpg$") as raised:
        check_target(tmp_path / "a.gif", suffixes=(".png", ".jpg"), hint=Hint.PREVIEW)
    assert raised.value.hint is Hint.PREVIEW


def test_a_folder_in_the_place_of_the_parts_is_left_as_it_is(tmp_path):
    make_clip(tmp_path / "in.mp4", scene(4))
    theirs = tmp_path / ".out.mp4.parts"
    theirs.mkdir()
    (theirs / "mine.txt").write_text("mine")
    layer = Layer(grid=(4, 6), effects=["same"], iterations=50, agents=5)
    recipe = Recipe(layers=[layer], activation="edges")
    with pytest.raises(OutputError, match="is in the way"):
        corrupt_clip(str(tmp_path / "in.mp4"), tmp_path / "out.mp4", recipe)
    assert (theirs / "mine.txt").read_text() == "mine"
    (theirs / "mine.txt").unlink()
    corrupt_clip(str(tmp_path / "in.mp4"), tmp_path / "out.mp4", recipe)
    assert not theirs.exists()


def test_a_private_file_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        write_bytes(tmp_path / "a", b"1", private=True)
        write_bytes(tmp_path / "b", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o666
